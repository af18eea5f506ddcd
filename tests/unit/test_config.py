"""``database.toml`` from finding it to definitions: what each key becomes, and who wins when it is said twice."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pg_ephemeral.config import FILE_NAME, Config, Overrides, find, load
from pg_ephemeral.definition import BackendChoice, Definition, InstanceName, Tls
from pg_ephemeral.errors import ConfigError, DefinitionError, InvalidValue
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.reference import Registry
from pg_ephemeral.postgres import parameters
from pg_ephemeral.seeds import (
    KINDS,
    Command,
    CommandHash,
    ContainerScript,
    CsvFile,
    KeyCommand,
    KeyPaths,
    KeyScript,
    NoCache,
    Script,
    SqlFile,
    SqlStatement,
)
from pg_ephemeral.seeds.base import SeedName
from pg_ephemeral.seeds.strategies import resolve_program

HEX64 = "0123456789abcdef" * 4
# One layer has a name in one spelling only.
LAYERS = st.lists(
    st.tuples(st.sampled_from(["a", "A", "b", "B.c", "b.C"]), st.sampled_from("123")),
    unique_by=lambda item: item[0].lower(),
).map(dict)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return Path.cwd()


@pytest.fixture
def config(here):
    """Load a text as the ``database.toml`` of the working directory."""

    def write_and_load(text, **settings):
        Path(FILE_NAME).write_text(dedent(text))
        return load(**settings)

    return write_and_load


def test_every_setting_becomes_a_field_of_the_definition(config, here):
    loaded = config(
        """
        backend = "podman"

        [instances.main]
        image = "17.6-alpine3.22"
        cache_registry = "ghcr.io/owner"
        wait_available_timeout = "1m 30s"
        database = "shop"
        superuser = "Owner of All"
        test_profile = false
        parameters = { work_mem = "16MB" }
        ssl_config = { hostname = "db.example.com" }
        seeds.schema = { type = "sql-statement", statement = "SELECT 1" }
        """
    )
    assert loaded.path == here / FILE_NAME
    assert dict(loaded.instances) == {
        "main": Definition(
            instance=InstanceName("main"),
            backend=BackendChoice.PODMAN,
            image=ImageWord.parse("17.6-alpine3.22"),
            cache_registry=Registry.parse("ghcr.io/owner"),
            wait_available_timeout=90.0,
            database="shop",
            superuser="Owner of All",
            test_profile=False,
            parameters={"work_mem": "16MB"},
            tls=Tls(hostname="db.example.com"),
            seeds=(SqlStatement(name=SeedName("schema"), statement="SELECT 1"),),
            directory=here,
        )
    }


# acceptance: 37
def test_an_instance_inherits_what_it_does_not_say(config, here):
    loaded = config(
        """
        backend = "docker"
        image = "17.1"
        [instances.b]
        image = "17.2"
        [instances.a]
        """
    )
    assert list(loaded.instances) == ["a", "b"]
    for name, image in (("a", "17.1"), ("b", "17.2")):
        definition = loaded.definition(name)
        assert definition == Definition(
            instance=InstanceName(name),
            backend=BackendChoice.DOCKER,
            image=ImageWord.parse(image),
            directory=here,
        )
        assert definition.wait_available_timeout == 10.0
        assert definition.cache_registry is None
        assert (definition.superuser, definition.database) == ("postgres", "postgres")
        assert definition.tls is None
        assert definition.parameters == {}
        assert definition.test_profile


# acceptance: 38
@pytest.mark.parametrize("text", ["", 'image = "17.1"'])
def test_without_instances_there_is_main_alone(config, here, text):
    loaded = config(text)
    image = "17.1" if text else "latest"
    assert dict(loaded.instances) == {"main": Definition(image=ImageWord.parse(image), directory=here)}
    assert loaded.definition() == loaded.definition("main")


# acceptance: 36
def test_a_digest_of_an_image_reaches_the_reference(config):
    image = config(f'image = "17.6@sha256:{HEX64}"').definition().image
    assert str(image.reference).endswith(f"/library/postgres:17.6@sha256:{HEX64}")


# acceptance: 39
def test_an_override_of_the_backend_wins(config):
    overrides = Overrides.parse(backend="podman")
    assert config('backend = "docker"', overrides=overrides).definition().backend == BackendChoice.PODMAN


@pytest.mark.parametrize("word", ["auto", "docker", "podman", "embedded"])
def test_the_backends(config, word):
    assert config(f'backend = "{word}"').definition().backend == BackendChoice(word)


# acceptance: 40
def test_ssl_for_the_whole_file(config):
    loaded = config(
        """
        [ssl_config]
        hostname = "postgresql.example.com"
        [instances.a]
        [instances.b.ssl_config]
        hostname = "b.example.com"
        """
    )
    assert loaded.definition("a").tls == Tls(hostname="postgresql.example.com")
    assert loaded.definition("b").tls == Tls(hostname="b.example.com")


def test_what_is_for_the_whole_file_can_be_said_otherwise_for_an_instance(config):
    loaded = config(
        """
        cache_registry = "ghcr.io/owner"
        wait_available_timeout = "20s"
        database = "all"
        superuser = "admin"
        test_profile = false
        [instances.same]
        [instances.other]
        cache_registry = "localhost:5000"
        wait_available_timeout = "500ms"
        database = "one"
        superuser = "root"
        test_profile = true
        """
    )
    same, other = loaded.definition("same"), loaded.definition("other")
    assert (str(same.cache_registry), str(other.cache_registry)) == ("ghcr.io/owner", "localhost:5000")
    assert (same.wait_available_timeout, other.wait_available_timeout) == (20.0, 0.5)
    assert (same.database, other.database) == ("all", "one")
    assert (same.superuser, other.superuser) == ("admin", "root")
    assert (same.test_profile, other.test_profile) == (False, True)


class TestSeeds:
    """Tables of seeds."""

    @pytest.fixture
    def seeds(self, config):
        """The seeds of the instance main with these tables."""
        return lambda text: config(text).definition().seeds

    # acceptance: 41, 47
    def test_sql_files(self, seeds):
        assert seeds(
            """
            [instances.main.seeds.structure]
            type = "sql-file"
            path = "db/structure.sql"
            [instances.main.seeds.old]
            type = "sql-file"
            path = "db/old.sql"
            git_revision = "v1.0"
            """
        ) == (
            SqlFile(name=SeedName("structure"), path=Path("db/structure.sql")),
            SqlFile(name=SeedName("old"), path=Path("db/old.sql"), git_revision="v1.0"),
        )

    # acceptance: 52
    def test_a_statement_is_kept_as_it_is(self, seeds):
        (seed,) = seeds(
            """
            [instances.main.seeds.rows]
            type = "sql-statement"
            statement = '''
              INSERT INTO t VALUES ('\\n "x" # no comment');
            '''
            """
        )
        assert seed.statement == "  INSERT INTO t VALUES ('\\n \"x\" # no comment');\n"

    # acceptance: 42
    def test_a_command(self, seeds):
        (seed,) = seeds(
            """
            [instances.main.seeds.migrate]
            type = "command"
            command = "migrate"
            arguments = ["up", "--all", ""]
            cache.type = "command-hash"
            """
        )
        assert seed == Command(
            name=SeedName("migrate"), command="migrate", arguments=("up", "--all", ""), cache=CommandHash()
        )

    # acceptance: 43
    @pytest.mark.parametrize(
        ("table", "expected"),
        [
            ('type = "script", script = "echo"', Script(name=SeedName("s"), script="echo", cache=CommandHash())),
            (
                'type = "command", command = "echo"',
                Command(name=SeedName("s"), command="echo", arguments=(), cache=CommandHash()),
            ),
        ],
    )
    def test_without_a_cache_setting_the_text_is_the_key(self, seeds, table, expected):
        assert seeds(f"[instances.main.seeds]\ns = {{ {table} }}") == (expected,)

    @pytest.mark.parametrize(
        ("table", "strategy"),
        [
            ('type = "none"', NoCache()),
            ('type = "command-hash"', CommandHash()),
            ('type = "key-command", command = "git"', KeyCommand(command="git", arguments=())),
            (
                'type = "key-command", command = "git", arguments = ["rev-parse", "HEAD:db"]',
                KeyCommand(command="git", arguments=("rev-parse", "HEAD:db")),
            ),
            ('type = "key-script", script = "cat db/*.sql"', KeyScript(script="cat db/*.sql")),
            ('type = "key-paths", paths = ["db/**/*.sql", "x"]', KeyPaths(paths=("db/**/*.sql", "x"))),
        ],
    )
    @pytest.mark.parametrize("kind", ["command", "script"])
    def test_cache_strategies(self, seeds, kind, table, strategy):
        (seed,) = seeds(f'[instances.main.seeds.s]\ntype = "{kind}"\n{kind} = "x"\ncache = {{ {table} }}')
        assert seed.cache == strategy

    # acceptance: 51
    def test_a_container_script_is_kept_as_it_is(self, seeds):
        (seed,) = seeds(
            """
            [instances.main.seeds.packages]
            type = "container-script"
            script = "apt-get install -y x\\n\\techo \\"$HOME\\""
            """
        )
        assert seed == ContainerScript(name=SeedName("packages"), script='apt-get install -y x\n\techo "$HOME"')

    # acceptance: 53
    def test_a_csv_file(self, seeds):
        table = 'type = "csv-file", path = "db/rows.csv", table = { schema = "public", table = "Rows" }'
        (seed,) = seeds(f"[instances.main.seeds]\nrows = {{ {table} }}")
        assert seed == CsvFile(name=SeedName("rows"), path=Path("db/rows.csv"), schema="public", table="Rows")
        assert (seed.delimiter, seed.quote) == (",", '"')

    def test_a_csv_file_of_another_dialect(self, seeds):
        (seed,) = seeds(
            """
            [instances.main.seeds.rows]
            type = "csv-file"
            path = "rows.csv"
            table = { schema = "public", table = "t" }
            delimiter = "\\t"
            quote = "'"
            null = "NULL"
            encoding = "LATIN1"
            """
        )
        assert (seed.delimiter, seed.quote, seed.null, seed.encoding) == ("\t", "'", "NULL", "LATIN1")

    # fault: W51
    @pytest.mark.parametrize(
        "keys",
        [
            'type = "sql-file", path = "a.sql"',
            'type = "sql-statement", statement = "SELECT 1"',
            'type = "csv-file", path = "t.csv", table = { schema = "public", table = "t" }',
            'type = "command", command = "true"',
            'type = "script", script = "true"',
            'type = "container-script", script = "true"',
        ],
    )
    def test_every_kind_may_have_a_timeout(self, seeds, keys):
        (limited,) = seeds(f'[instances.main.seeds]\ns = {{ {keys}, timeout = "1m 30s" }}')
        (unlimited,) = seeds(f"[instances.main.seeds]\ns = {{ {keys} }}")
        assert (limited.timeout, unlimited.timeout) == (90.0, None)
        assert replace(limited, timeout=None) == unlimited
        with pytest.raises(ConfigError, match=r"timeout: duration '0s' is not more than 0 s"):
            seeds(f'[instances.main.seeds]\ns = {{ {keys}, timeout = "0s" }}')

    # acceptance: 44, 45
    def test_seeds_of_all_kinds_stay_in_the_order_of_declaration(self, seeds):
        declared = seeds(
            """
            [instances.main.seeds.z]
            type = "sql-file"
            path = "z.sql"
            [instances.main.seeds.m]
            type = "command"
            command = "m"
            [instances.main.seeds.a]
            type = "script"
            script = "a"
            """
        )
        assert [(seed.name, type(seed)) for seed in declared] == [("z", SqlFile), ("m", Command), ("a", Script)]

    def test_an_instance_has_seeds_of_its_own(self, config):
        loaded = config(
            """
            [instances.a.seeds.same]
            type = "script"
            script = "a"
            [instances.b.seeds.same]
            type = "script"
            script = "b"
            [instances.c]
            """
        )
        assert [[seed.script for seed in loaded.definition(name).seeds] for name in "abc"] == [["a"], ["b"], []]


class TestPlaces:
    """Where relative paths of seeds start."""

    SEEDS = """
        [instances.main.seeds.file]
        type = "sql-file"
        path = "db/structure.sql"
        [instances.main.seeds.absolute]
        type = "sql-file"
        path = "/db/structure.sql"
        [instances.main.seeds.rows]
        type = "csv-file"
        path = "rows.csv"
        table = { schema = "public", table = "t" }
        """

    # acceptance: 48, 53
    def test_files_are_below_the_directory_of_the_config_file(self, here, monkeypatch):
        project, elsewhere = here / "project", here / "elsewhere"
        project.mkdir()
        elsewhere.mkdir()
        (project / "database.toml").write_text(dedent(self.SEEDS))
        monkeypatch.chdir(elsewhere)
        for path in ("../project/database.toml", project / "database.toml"):
            definition = load(path).definition()
            assert definition.directory == project
            files = [seed for seed in definition.seeds if isinstance(seed, (SqlFile, CsvFile))]
            assert [definition.directory / seed.path for seed in files] == [
                project / "db/structure.sql",
                Path("/db/structure.sql"),
                project / "rows.csv",
            ]

    # acceptance: 49, 50
    @pytest.mark.parametrize(
        ("command", "program"),
        [
            ("./bin/migrate", "{}/bin/migrate"),
            ("bin/migrate", "{}/bin/migrate"),
            ("psql", "psql"),
            ("/bin/x", "/bin/x"),
        ],
    )
    def test_a_command_is_kept_as_it_is_declared(self, config, here, command, program):
        definition = config(
            f"""
            [instances.main.seeds.migrate]
            type = "command"
            command = "{command}"
            arguments = ["up"]
            cache = {{ type = "none" }}
            """
        ).definition()
        assert definition.directory == here
        (seed,) = definition.seeds
        assert seed == Command(name=SeedName("migrate"), command=command, arguments=("up",), cache=NoCache())
        assert resolve_program(seed.command, definition.directory) == program.format(here)

    def test_without_a_file_paths_start_in_the_working_directory(self, here):
        assert load().definition().directory == here
        assert Config.default().definition().directory == here

    def test_a_linked_file_is_where_its_link_is(self, here):
        (here / "shared").mkdir()
        (here / "shared" / "common.toml").write_text('database = "shop"')
        (here / "database.toml").symlink_to(here / "shared" / "common.toml")
        loaded = load()
        assert loaded.path == here / "database.toml"
        assert loaded.definition().directory == here
        assert loaded.definition().database == "shop"


class TestParameters:
    """One name at a time: the file's, the instance's, the command line's."""

    # acceptance: 54, 55, 56, 57
    def test_they_are_merged_by_name(self, config):
        text = """
            [parameters]
            work_mem = "1MB"
            max_connections = 10
            [instances.a]
            [instances.b.parameters]
            work_mem = "2MB"
            jit = false
            """
        loaded = config(text)
        assert loaded.definition("a").parameters == {"work_mem": "1MB", "max_connections": "10"}
        assert loaded.definition("b").parameters == {"work_mem": "2MB", "max_connections": "10", "jit": "off"}
        overridden = config(text, overrides=Overrides.parse(assignments=["work_mem=3MB", "geqo=off"]))
        assert overridden.definition("a").parameters == {"work_mem": "3MB", "max_connections": "10", "geqo": "off"}
        assert overridden.definition("b").parameters == {
            "work_mem": "3MB",
            "max_connections": "10",
            "jit": "off",
            "geqo": "off",
        }

    # fault: W66
    def test_values_of_every_plain_type(self, config):
        loaded = config(
            """
            [parameters]
            text = "a=b 'c'"
            empty = ""
            integer = 17
            negative = -1
            grouped = 1_000
            float = 1.5
            yes = true
            no = false
            "pg_stat_statements.track" = "all"
            """
        )
        assert loaded.definition().parameters == {
            "text": "a=b 'c'",
            "empty": "",
            "integer": "17",
            "negative": "-1",
            "grouped": "1000",
            "float": "1.5",
            "yes": "on",
            "no": "off",
            "pg_stat_statements.track": "all",
        }

    def test_the_case_of_a_name_does_not_matter_for_who_wins(self, config):
        loaded = config(
            """
            [parameters]
            Work_Mem = "1MB"
            [instances.main.parameters]
            work_mem = "2MB"
            """
        )
        assert loaded.definition().parameters == {"work_mem": "2MB"}

    @given(st.lists(LAYERS))
    def test_of_a_name_the_last_counts(self, layers):
        merged = parameters.merge(*layers)
        assert len({name.lower() for name in merged}) == len(merged)
        assert {name.lower() for name in merged} == {name.lower() for layer in layers for name in layer}
        for name, value in merged.items():
            givers = [layer for layer in layers if name.lower() in map(str.lower, layer)]
            assert givers[-1][name] == value


class TestRepository:
    """A template that names a registry itself, and the registries that are set beside it."""

    FIXED = 'cache_repository = "ghcr.io/owner/stages"\n'
    HERE = Overrides.parse(cache_registry="localhost:5000")

    def test_it_counts_before_a_registry_that_is_set_further_down(self, config):
        loaded = config(f"""
            cache_registry = "ghcr.io/others"
            [instances.a]
            {self.FIXED}
            [instances.b]
        """)
        assert str(loaded.definition("a").shared_repository) == "ghcr.io/owner/stages"
        assert loaded.definition("a").cache_registry is None
        assert str(loaded.definition("b").shared_repository) == "ghcr.io/others/pg-ephemeral/b"

    @pytest.mark.parametrize(
        ("text", "overrides", "place"),
        [
            (FIXED + 'cache_registry = "ghcr.io"\n[instances.main]', None, "1:20: cache_repository: "),
            (FIXED + '[instances.main]\ncache_registry = "ghcr.io"', None, "1:20: cache_repository: "),
            (FIXED + "[instances.main]", HERE, "1:20: cache_repository: "),
            (FIXED, HERE, "1:20: cache_repository: "),
            ("[instances.main]\n" + FIXED, HERE, "2:20: instances.main.cache_repository: "),
            (
                "[instances.main]\n" + FIXED + 'cache_registry = "ghcr.io"',
                None,
                "2:20: instances.main.cache_repository: ",
            ),
        ],
    )
    def test_beside_or_below_a_registry_it_is_refused_where_it_stands(self, config, text, overrides, place):
        with pytest.raises(ConfigError) as caught:
            config(text, **({} if overrides is None else {"overrides": overrides}))
        assert place in caught.value.message
        assert "has no {registry}: cache_registry" in caught.value.message

    def test_another_template_takes_the_registry_again(self, config):
        text = self.FIXED + '[instances.main]\ncache_repository = "{registry}/{instance}"'
        assert str(config(text, overrides=self.HERE).definition().shared_repository) == "localhost:5000/main"

    def test_one_that_loses_the_registry_is_refused_where_it_stands(self, config):
        text = 'cache_registry = "ghcr.io"\ncache_repository = "{registry}"\n[instances.main]'
        with pytest.raises(ConfigError, match=r"2:20: cache_repository: .* which is not in it"):
            config(text)


class TestOverrides:
    """What the command line says."""

    def test_they_count_for_every_instance(self, config):
        overrides = Overrides.parse(
            backend="embedded",
            image="18",
            cache_registry="localhost:5000",
            assignments=["work_mem=1MB", "search_path=a=b", "work_mem=2MB"],
            ssl_hostname="db.example.com",
        )
        loaded = config(
            """
            image = "17"
            [instances.a]
            cache_registry = "ghcr.io"
            [instances.b]
            image = "16"
            ssl_config = { hostname = "b.example.com" }
            """,
            overrides=overrides,
        )
        for name in ("a", "b"):
            definition = loaded.definition(name)
            assert definition.backend == BackendChoice.EMBEDDED
            assert definition.image == ImageWord.parse("18")
            assert definition.cache_registry == Registry.parse("localhost:5000")
            assert definition.parameters == {"work_mem": "2MB", "search_path": "a=b"}
            assert definition.tls == Tls(hostname="db.example.com")

    def test_they_count_without_a_file(self, here):
        overrides = Overrides.parse(image="18", assignments=["jit=off"])
        expected = Definition(image=ImageWord.parse("18"), parameters={"jit": "off"}, directory=here)
        assert load(overrides=overrides).definition() == expected
        assert Config.default(overrides=overrides).definition() == expected

    @pytest.mark.parametrize(
        ("texts", "kind"),
        [
            ({"backend": "Docker"}, "unknown-word"),
            ({"image": "LATEST"}, "upper-case"),
            ({"cache_registry": ""}, "empty"),
            ({"assignments": ["work_mem"]}, "missing-equals-sign"),
            ({"ssl_hostname": "-"}, "invalid-label"),
        ],
    )
    def test_a_malformed_text(self, texts, kind):
        with pytest.raises(InvalidValue) as caught:
            Overrides.parse(**texts)
        assert caught.value.kind == kind

    # fault: W67
    @pytest.mark.parametrize("name", ["port", "listen_addresses", "Unix_Socket_Directories", "data_directory"])
    def test_a_reserved_parameter(self, name):
        with pytest.raises(DefinitionError, match=f"parameter '{name}' is reserved"):
            Overrides.parse(assignments=[f"{name}=x"])

    def test_a_parameter_that_tls_reserves(self, config):
        with pytest.raises(DefinitionError, match="parameter 'ssl' is reserved: TLS"):
            Overrides.parse(assignments=["ssl=on"], ssl_hostname="localhost")
        overrides = Overrides.parse(assignments=["ssl=on"])
        assert config("", overrides=overrides).definition().parameters == {"ssl": "on"}
        with pytest.raises(DefinitionError, match=r"^parameter 'ssl' is reserved: TLS"):
            config('ssl_config.hostname = "localhost"\n[instances.main]', overrides=overrides)

    def test_they_are_values(self):
        overrides = Overrides.parse(assignments=["a=1"])
        assert overrides == Overrides(parameters={"a": "1"})
        with pytest.raises(TypeError):
            overrides.parameters["b"] = "2"  # type: ignore[index] # the type says so too


class TestFinding:
    """Which file is read."""

    def test_the_working_directory_first(self, here):
        (here / "a" / "b").mkdir(parents=True)
        for directory, image in ((here, "16"), (here / "a", "17")):
            (directory / FILE_NAME).write_text(f'image = "{image}"')
        assert find(here / "a") == here / "a" / FILE_NAME
        assert load(search_from=here / "a").definition().image == ImageWord.parse("17")
        assert load().definition().image == ImageWord.parse("16")

    # fault: W66
    def test_the_nearest_ancestor_otherwise(self, here, monkeypatch):
        (here / "a" / "b" / "c").mkdir(parents=True)
        for directory, image in ((here, "16"), (here / "a", "17")):
            (directory / FILE_NAME).write_text(f'image = "{image}"')
        monkeypatch.chdir(here / "a" / "b" / "c")
        loaded = load()
        assert loaded.path == here / "a" / FILE_NAME
        assert loaded.definition().directory == here / "a"
        assert loaded.definition().image == ImageWord.parse("17")

    def test_none_is_no_error(self, here):
        assert find(here) is None
        loaded = load()
        assert loaded.path is None
        assert dict(loaded.instances) == {"main": Definition(directory=here)}

    def test_a_file_is_not_read_when_none_is_wanted(self, here):
        (here / FILE_NAME).write_text("broken")
        assert dict(Config.default().instances) == {"main": Definition(directory=here)}

    def test_a_named_file_is_read_whatever_it_is_called(self, here):
        (here / FILE_NAME).write_text("broken")
        (here / "other.conf").write_text('image = "17"')
        assert load("other.conf").path == here / "other.conf"
        assert load("other.conf").definition().image == ImageWord.parse("17")

    def test_a_link_to_nowhere_does_not_lead_to_the_file_above(self, here):
        (here / "a").mkdir()
        (here / FILE_NAME).write_text("")
        (here / "a" / FILE_NAME).symlink_to(here / "gone.toml")
        with pytest.raises(ConfigError, match="there is no such file"):
            load(search_from=here / "a")

    @pytest.mark.parametrize(
        "content", [b"\xef\xbb\xbfimage = '17'", b"image = '17'\r\n[parameters]\r\njit = false\r\n"]
    )
    def test_what_editors_on_windows_write(self, here, content):
        (here / FILE_NAME).write_bytes(content)
        assert load().definition().image == ImageWord.parse("17")


class TestLookingUp:
    """The instances of a configuration."""

    def test_they_are_sorted_and_fixed(self, config):
        loaded = config("[instances.b]\n[instances.a-1]\n[instances.a]\n[instances.10]\n[instances.9]")
        assert list(loaded.instances) == ["10", "9", "a", "a-1", "b"]
        with pytest.raises(TypeError):
            loaded.instances["c"] = Definition()

    @pytest.mark.parametrize(
        ("text", "name", "message", "hint"),
        [
            (
                "[instances.main]\n[instances.reports]",
                "report",
                "database.toml: there is no instance 'report' (instances: main, reports)",
                "did you mean reports?",
            ),
            (
                "[instances.app]",
                "main",
                "database.toml: there is no instance 'main' (instances: app)",
                "declare it with [instances.main]",
            ),
            (
                "[instances]",
                "main",
                "database.toml: there is no instance 'main' (it has no instances)",
                "declare it with [instances.main]",
            ),
        ],
    )
    def test_an_unknown_one(self, config, text, name, message, hint):
        with pytest.raises(ConfigError) as caught:
            config(text).definition(name)
        assert (caught.value.message, caught.value.hint) == (message, hint)

    @pytest.mark.usefixtures("here")
    def test_an_unknown_one_without_a_file(self):
        with pytest.raises(ConfigError) as caught:
            load().definition("app")
        assert caught.value.message == "there is no instance 'app': without a database.toml there is main alone"
        assert caught.value.hint == "write a database.toml with [instances.app], or name one with --config-file"


# acceptance: 58
def test_a_seed_says_all_that_its_table_said(config):
    tables = {
        "a": {"type": "sql-file", "path": "a.sql"},
        "b": {"type": "sql-file", "path": "a.sql", "git_revision": "main"},
        "c": {"type": "sql-statement", "statement": "SELECT 1"},
        "d": {"type": "csv-file", "path": "d.csv", "table": {"schema": "s", "table": "t"}, "delimiter": ";"},
        "e": {"type": "command", "command": "x", "arguments": ["y"], "cache": {"type": "none"}},
        "f": {"type": "script", "script": "x", "cache": {"type": "command-hash"}},
        "g": {"type": "script", "script": "x", "cache": {"type": "key-script", "script": "y"}},
        "h": {"type": "script", "script": "x", "cache": {"type": "key-paths", "paths": ["y"]}},
        "i": {
            "type": "command",
            "command": "x",
            "arguments": [],
            "cache": {"type": "key-command", "command": "y", "arguments": ["z"]},
        },
        "j": {"type": "container-script", "script": "x"},
    }
    text = "[instances.main.seeds]\n" + "".join(f"{name} = {_inline(table)}\n" for name, table in tables.items())
    assert {str(seed.name): _table(seed) for seed in config(text).definition().seeds} == tables


def _inline(value):
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(member)}" for key, member in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return f"'{value}'"


_TYPES = {kind: word for word, kind in KINDS.items()}


def _table(seed):
    """The table of a seed, from its fields alone."""
    fields = {name: getattr(seed, name) for name in seed.__struct_fields__ if name != "name"}
    if "path" in fields:
        fields["path"] = str(fields["path"])
    if "arguments" in fields:
        fields["arguments"] = list(fields["arguments"])
    if "schema" in fields:
        fields["table"] = {"schema": fields.pop("schema"), "table": fields["table"]}
    if "cache" in fields:
        members = {name: getattr(seed.cache, name) for name in (*seed.cache.__struct_fields__, "type")}
        fields["cache"] = {name: list(value) if isinstance(value, tuple) else value for name, value in members.items()}
    unsaid = {"kind", "quote", "null", "encoding"}
    said = {name: value for name, value in fields.items() if name not in unsaid and value is not None}
    return {"type": _TYPES[type(seed)], **said}


@pytest.mark.needs("root")
def test_a_file_that_a_stranger_put_above_is_not_used(tmp_path: Path) -> None:
    import os

    here = tmp_path / "project"
    here.mkdir()
    planted = tmp_path / FILE_NAME
    planted.write_text("")
    os.chown(planted, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user") as caught:
        find(here)
    assert f"--config-file {planted}" in (caught.value.hint or "")
    assert find(tmp_path) == planted, "in the working directory itself it is meant"
    os.chown(here, 12345, 12345)
    assert find(here) == planted, "one owner for both is one project"
