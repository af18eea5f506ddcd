"""Broken files: one message with file, line, column, key and what was expected, a hint, and the line itself."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pg_ephemeral.config import FILE_NAME, Config, find, load
from pg_ephemeral.config.file import parse_document
from pg_ephemeral.errors import ConfigError, InvalidValue

TOP = (
    "backend, image, cache_registry, cache_repository, parameters, ssl_config, wait_available_timeout, database, "
    "superuser, test_profile, instances"
)
INSTANCE = (
    "image, cache_registry, cache_repository, parameters, ssl_config, wait_available_timeout, database, superuser, "
    "test_profile, seeds"
)
KINDS = "sql-file, sql-statement, csv-file, command, script, container-script"
STRATEGIES = "command-hash, key-command, key-script, key-paths, none"
CACHE = "type, command, arguments, script, paths"
_NOBODY = 65_534
NAME_HINT = "use lower-case letters, digits and dashes, as in create-users"


@pytest.fixture
def refuse(tmp_path, monkeypatch):
    """The error of a text, as the ``database.toml`` of the working directory."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text):
        Path(FILE_NAME).write_text(text)
        with pytest.raises(ConfigError) as caught:
            load()
        assert caught.value.exit_code == 78
        assert "\n" not in caught.value.message
        return caught.value

    return write_and_load


@pytest.fixture
def somebody():
    """A block that is run without the superuser's rights."""

    @contextmanager
    def without_rights():
        user = os.geteuid()
        if user == 0:
            os.seteuid(_NOBODY)
        try:
            yield
        finally:
            os.seteuid(user)

    return without_rights()


CSV = 'type = "csv-file"\npath = "x"\ntable = { schema = "s", table = "t" }'


def seed(table):
    return f"[instances.main.seeds.load]\n{table}"


# fault: W66
UNKNOWN_KEYS = [
    ('imag = "17"', f"1:1: unknown key 'imag' (expected one of: {TOP})", "did you mean image?"),
    ('x-y = "17"', f"1:1: unknown key 'x-y' (expected one of: {TOP})", None),
    (
        'image = "17"\n[instances.main]\nimages = "17"',
        f"3:1: instances.main: unknown key 'images' (expected one of: {INSTANCE})",
        "did you mean image?",
    ),
    (
        'ssl_config = { hostname = "localhost", port = 1 }',
        "1:40: ssl_config: unknown key 'port' (expected one of: hostname)",
        None,
    ),
    (
        seed('type = "sql-file"\npath = "x.sql"\n  revision = "main"'),
        "4:3: instances.main.seeds.load: unknown key 'revision' (expected one of: type, path, git_revision, timeout)",
        "did you mean git_revision?",
    ),
    (
        seed('type = "script"\nscript = "x"\ncache = { type = "key-command", command = "x", argument = [] }'),
        "4:48: instances.main.seeds.load.cache: unknown key 'argument' (expected one of: type, command, arguments)",
        "did you mean arguments?",
    ),
    (
        seed('type = "script"\nscript = "x"\n[instances.main.seeds.load.cache]\ntyp = "none"'),
        f"5:1: instances.main.seeds.load.cache: unknown key 'typ' (expected one of: {CACHE})",
        "did you mean type?",
    ),
    (
        seed('type = "script"\nscript = "x"\ncache = { type = "none", command = "x" }'),
        "4:26: instances.main.seeds.load.cache: unknown key 'command' (expected one of: type)",
        None,
    ),
    (
        seed('type = "csv-file"\npath = "x"\ntable = { schema = "s", table = "t", column = "c" }'),
        "4:38: instances.main.seeds.load.table: unknown key 'column' (expected one of: schema, table)",
        None,
    ),
    (
        seed('type = "csv-file"\npath = "x"\ntable = { schema = "s", name = "t" }'),
        "4:25: instances.main.seeds.load.table: unknown key 'name' (expected one of: schema, table)",
        "did you mean table?",
    ),
    (
        seed('type = "sql-file"\npath = "x"\ncache = { type = "none" }'),
        "4:1: instances.main.seeds.load: unknown key 'cache' (expected one of: type, path, git_revision, timeout)",
        "only command and script seeds have a cache setting; this one is keyed by its content",
    ),
    (
        '[instances.main]\nbackend = "docker"',
        f"2:1: instances.main: unknown key 'backend' (expected one of: {INSTANCE})",
        "the backend is one for all: set it at the top of the file, before the first [table]",
    ),
    (
        '[seeds.load]\ntype = "script"',
        f"1:2: unknown key 'seeds' (expected one of: {TOP})",
        "seeds belong to an instance: write [instances.main.seeds.NAME]",
    ),
]

MISSING_KEYS = [
    (
        "image = '17'\n[ssl_config]",
        "2:2: ssl_config: missing key 'hostname' (a host name, such as \"localhost\")",
        None,
    ),
    (seed('type = "sql-file"'), "1:23: instances.main.seeds.load: missing key 'path' (the path of a file)", None),
    (seed('type = "sql-statement"'), "1:23: instances.main.seeds.load: missing key 'statement' (SQL text)", None),
    (
        seed('type = "csv-file"\npath = "x"'),
        "1:23: instances.main.seeds.load: missing key 'table' (a table with schema, table)",
        None,
    ),
    (
        seed('type = "csv-file"\npath = "x"\ntable.schema = "s"'),
        "4:1: instances.main.seeds.load.table: missing key 'table' (a name)",
        None,
    ),
    (
        seed('type = "command"'),
        "1:23: instances.main.seeds.load: missing key 'command' (the name or path of a program)",
        None,
    ),
    (
        seed('type = "script"\nscript = "x"\ncache = { type = "key-paths" }'),
        "4:1: instances.main.seeds.load.cache: missing key 'paths' (a list of strings)",
        None,
    ),
    (
        seed('path = "x"'),
        f"1:23: instances.main.seeds.load: missing key 'type' (one of: {KINDS})",
        'with these keys it is type = "sql-file" or "csv-file"',
    ),
    (
        seed('type = "script"\nscript = "x"\ncache = { paths = ["x"] }'),
        f"4:1: instances.main.seeds.load.cache: missing key 'type' (one of: {STRATEGIES})",
        'with these keys it is type = "key-paths"',
    ),
    (
        "[instances.main.seeds.load]",
        f"1:23: instances.main.seeds.load: missing key 'type' (one of: {KINDS})",
        None,
    ),
]

WRONG_TYPES = [
    (
        "image = 17.10",
        '1:9: image: expected a PostgreSQL version or an image, such as "17"; found the float 17.10',
        'write image = "17.10"',
    ),
    (
        "image = true",
        '1:9: image: expected a PostgreSQL version or an image, such as "17"; found the boolean true',
        None,
    ),
    (
        "wait_available_timeout = 30",
        '1:26: wait_available_timeout: expected a duration, such as "30s"; found the integer 30',
        'write wait_available_timeout = "30s"',
    ),
    (
        'test_profile = "off"',
        '1:16: test_profile: expected true or false; found the string "off"',
        "write the word alone, without quotes",
    ),
    ("superuser = 1979-05-27", "1:13: superuser: expected a string; found a date", None),
    ("superuser = 07:32:00", "1:13: superuser: expected a string; found a time", None),
    ("superuser = []", "1:13: superuser: expected a string; found a list", None),
    ("superuser = {}", "1:13: superuser: expected a string; found a table", None),
    ("parameters = 1", "1:14: parameters: expected a table; found the integer 1", None),
    ('ssl_config = "localhost"', '1:14: ssl_config: expected a table; found the string "localhost"', None),
    ("[[instances]]", "1:3: instances: expected a table; found a list", None),
    ("instances.main = 1", "1:18: instances.main: expected a table; found the integer 1", None),
    (
        'instances.main.seeds.load = "db/schema.sql"',
        '1:29: instances.main.seeds.load: expected a table; found the string "db/schema.sql"',
        None,
    ),
    (
        f"superuser = ['''{'x' * 30}''']\n",
        "1:13: superuser: expected a string; found a list",
        None,
    ),
    (
        f'instances = "{"x" * 60}"',
        f'1:13: instances: expected a table; found the string "{"x" * 39}…',
        None,
    ),
    (
        seed('type = "command"\ncommand = "x"\narguments = "y"'),
        '4:13: instances.main.seeds.load.arguments: expected a list of strings; found the string "y"',
        'write arguments = ["y"]',
    ),
    (
        seed('type = "command"\ncommand = "x"\narguments = [\n  "y",\n  5,\n]'),
        "6:3: instances.main.seeds.load.arguments[1]: expected a string; found the integer 5",
        None,
    ),
    (
        seed('type = "script"\nscript = "x"\ncache = "none"'),
        '4:9: instances.main.seeds.load.cache: expected a table; found the string "none"',
        'write cache = { type = "none" }',
    ),
    (
        seed('type = "script"\nscript = "x"\ncache = { type = "key-paths", paths = [] }'),
        "4:39: instances.main.seeds.load.cache.paths: expected a list of strings; found an empty one",
        None,
    ),
    (
        "[parameters]\npg_stat_statements.track = 'all'",
        "2:1: parameters.pg_stat_statements: expected a string, a number, true or false; found a table",
        'quote a name that has a dot: "pg_stat_statements.track" = "all"',
    ),
    (
        "parameters.search_path = ['a', 'b']",
        "1:26: parameters.search_path: expected a string, a number, true or false; found a list",
        None,
    ),
]

WRONG_WORDS = [
    (
        'backend = "dokcer"',
        '1:11: backend: expected one of: auto, docker, podman, embedded; found the string "dokcer"',
        "did you mean docker?",
    ),
    (
        'backend = "Docker"',
        '1:11: backend: expected one of: auto, docker, podman, embedded; found the string "Docker"',
        "did you mean docker?",
    ),
    (
        "backend = 1",
        "1:11: backend: expected one of: auto, docker, podman, embedded; found the integer 1",
        None,
    ),
    (
        seed('type = "sql"'),
        f'2:8: instances.main.seeds.load.type: expected one of: {KINDS}; found the string "sql"',
        "did you mean sql-file or sql-statement?",
    ),
    (
        seed("type = ['sql-file']"),
        f"2:8: instances.main.seeds.load.type: expected one of: {KINDS}; found a list",
        None,
    ),
    (
        seed('type = "script"\nscript = "x"\ncache.type = "key_script"'),
        f'4:14: instances.main.seeds.load.cache.type: expected one of: {STRATEGIES}; found the string "key_script"',
        "did you mean key-script?",
    ),
]

WRONG_VALUES = [
    (
        'wait_available_timeout = "10"',
        "1:26: wait_available_timeout: duration '10': 10 has no unit",
        "write 10s for seconds, 10ms for milliseconds",
    ),
    ('wait_available_timeout = "0s"', "1:26: wait_available_timeout: duration '0s' is not more than 0 s", None),
    ('database = ""', "1:12: database: database is empty", None),
    (
        'superuser = "pg_admin"',
        "1:13: superuser: superuser 'pg_admin' is a name that PostgreSQL keeps for itself",
        "names of roles that begin with pg_ are its own, and so are public and none",
    ),
    (f'superuser = "{"é" * 32}"', "1:13: superuser: superuser has 64 bytes, and 63 are the most allowed", None),
    (
        '[instances.main.ssl_config]\nhostname = "-x"',
        "2:12: instances.main.ssl_config.hostname: host name '-x' has the label '-x'",
        "between its dots a host name has 1 to 63 letters, digits and inner dashes",
    ),
    (
        '["instances"."my app"]',
        "1:14: instances.\"my app\": instance name 'my app' must not contain ' '",
        NAME_HINT,
    ),
    (
        f"[instances.main.seeds.{'a' * 64}]",
        f"1:23: instances.main.seeds.{'a' * 64}: seed name '{'a' * 64}' is longer than 63 characters",
        None,
    ),
    (
        seed('type = "sql-file"\npath = ""'),
        "3:8: instances.main.seeds.load.path: the path is empty",
        None,
    ),
    (
        seed('type = "sql-statement"\nstatement = "SELECT \\u0000"'),
        "3:13: instances.main.seeds.load.statement: the statement contains a NUL byte",
        None,
    ),
    (
        seed('type = "csv-file"\npath = "x"\ntable = { schema = "s", table = "" }'),
        "4:33: instances.main.seeds.load.table.table: identifier is empty",
        None,
    ),
    (
        '[parameters]\n"9x" = 1',
        "2:1: parameters.9x: parameter name '9x' starts with '9'",
        "the first character is a letter or an underscore",
    ),
    (
        "[parameters]\nx = inf",
        "2:1: parameters.x: x cannot have the value inf",
        "give it a string, a finite number, true or false",
    ),
    (
        "[parameters]\nwork_mem = 1\nWork_Mem = 2",
        "1:2: parameters: parameter 'Work_Mem' is also given as 'work_mem'",
        "PostgreSQL ignores the case of parameter names; keep one of the two",
    ),
]


@pytest.mark.parametrize(
    ("text", "message", "hint"), UNKNOWN_KEYS + MISSING_KEYS + WRONG_TYPES + WRONG_WORDS + WRONG_VALUES
)
def test_what_is_wrong_and_where(refuse, text, message, hint):
    error = refuse(text)
    assert error.message == f"database.toml:{message}"
    assert error.hint == hint


@pytest.mark.parametrize(
    ("table", "place"),
    [
        (f'{CSV}\ndelimiter = ";;"', "5:13: instances.main.seeds.load.delimiter: delimiter ';;'"),
        (f'{CSV}\n\nquote = ""', "6:9: instances.main.seeds.load.quote: quote ''"),
        (f'{CSV}\nquote = ","', "1:23: instances.main.seeds.load: delimiter and quote"),
        (f'{CSV}\nnull = "\\n"', "5:8: instances.main.seeds.load.null: null '\\n'"),
        (f'{CSV}\nencoding = "utf-9"', "5:12: instances.main.seeds.load.encoding: there is no encoding 'utf-9'"),
        (
            'type = "sql-file"\npath = "x"\ngit_revision = "--all"',
            "4:16: instances.main.seeds.load.git_revision: git_revision '--all' is no revision",
        ),
    ],
)
def test_what_a_kind_of_seed_refuses(refuse, table, place):
    assert refuse(seed(table)).message.startswith(f"database.toml:{place}")


# acceptance: 35
@pytest.mark.parametrize(
    ("image", "message", "hint"),
    [
        (
            "17.6@sha256:tooshort",
            "no 64 hex digits in 'tooshort' at character 13",
            "a digest is @sha256: and 64 hex digits",
        ),
        (
            "INVALID",
            "no version and no operating system name (lower case) in 'INVALID' at character 1",
            "write invalid",
        ),
    ],
)
def test_an_image_that_cannot_be_read(refuse, image, message, hint):
    error = refuse(f'\nimage = "{image}"')
    assert error.message == f"database.toml:2:9: image: image '{image}': {message}"
    assert error.hint == hint
    assert error.detail == f'2 | image = "{image}"\n  |         {"^" * (len(image) + 2)}'
    assert isinstance(error.__cause__, InvalidValue)


# acceptance: 46
def test_a_table_declared_twice(refuse):
    error = refuse(
        dedent(
            """\
            image = "17.1"

            [instances.main.seeds.schema]
            type = "sql-file"
            path = "a.sql"

            # once more
            [instances.main.seeds.schema]
            type = "sql-file"
            path = "b.sql"
            """
        )
    )
    assert error.message == "database.toml:8:23: instances.main.seeds.schema: declared twice, first in line 3"
    assert error.hint == "keep one of the two, or give one another name"
    assert error.detail == "8 | [instances.main.seeds.schema]\n  |                       ^^^^^^"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = 2\n'a' = 3", "3:1: a: declared twice, first in line 1"),
        ("a = 1\na = '''\n\n'''", "2:1: a: declared twice, first in line 1"),
        ("t = { a = 1, b = 2, a = 3 }", "1:21: t.a: declared twice, first in line 1"),
        ("t.a = 1\nt.b = 2\nt.a = 3", "3:3: t.a: declared twice, first in line 1"),
        ("[t]\na.b = 1\n[u]\n[t]", "4:2: t: declared twice, first in line 1"),
        ('image = "17', "1:12: unterminated string"),
        ("image = 17\n[parameters", "2:12: expected ']' at the end of a table declaration"),
        ("image = 17\nimage", "2:6: expected '=' after a key in a key/value pair"),
    ],
)
def test_what_is_no_toml(refuse, text, message):
    assert refuse(text).message == f"database.toml:{message}"


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        (
            "image = latest",
            "1:9",
            "put text in quotes; besides that there are numbers, true, false, [lists] and {tables}",
        ),
        ('a = [\n"x"\n"y"]', "3:1", "separate the elements of a list with commas and end it with ]"),
        ("a = { b = 1,\nc = 2 }", "1:13", "an inline table {…} stands on one line, without a trailing comma"),
        (
            "a = { b = 1 }\n[a.c]",
            "2:5",
            "an inline table {…} cannot be added to, and a key is either a value or a table",
        ),
    ],
)
def test_what_is_no_toml_with_a_hint(refuse, text, place, hint):
    error = refuse(text)
    assert error.message.startswith(f"database.toml:{place}: ")
    assert error.hint == hint


def test_values_nested_too_deeply(refuse):
    assert refuse("a = " + "[" * 100_000).message == "database.toml: its values are nested too deeply"


def test_a_number_with_too_many_digits(refuse):
    assert refuse("a = " + "1" * 5_000).message == "database.toml: a number in it has too many digits"


# fault: W67
@pytest.mark.parametrize(
    "name",
    [
        "port",
        "listen_addresses",
        "unix_socket_directories",
        "data_directory",
        "hba_file",
        "config_file",
        "Log_Destination",
    ],
)
def test_reserved_parameters_are_refused_where_they_stand(refuse, name):
    error = refuse(f'[parameters]\njit = false\n{name} = "x"')
    assert error.message.startswith(f"database.toml:3:1: parameters.{name}: parameter {name!r} is reserved: ")
    assert error.hint.startswith("remove it")
    error = refuse(f'[instances.main]\nparameters = {{ jit = false, {name} = "x" }}')
    assert error.message.startswith(f"database.toml:2:29: instances.main.parameters.{name}: parameter {name!r} is res")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[parameters]\nssl = true\n[ssl_config]\nhostname = "x"', "2:1: parameters.ssl"),
        ('[parameters]\nssl = true\n[instances.a]\n[instances.b.ssl_config]\nhostname = "x"', "2:1: parameters.ssl"),
        (
            '[ssl_config]\nhostname = "x"\n[instances.a.parameters]\nssl_key_file = "x"',
            "4:1: instances.a.parameters.ssl_key_file",
        ),
    ],
)
def test_parameters_that_tls_reserves(refuse, text, place):
    name = place.rsplit(".", 1)[1]
    expected = f"database.toml:{place}: parameter {name!r} is reserved: TLS is enabled"
    assert refuse(text).message.startswith(expected)


class TestTheLineItself:
    """What is shown below the message."""

    def test_tabs_stay_tabs(self, refuse):
        assert refuse("\timag\t=\t1").detail == "1 | \timag\t=\t1\n  | \t^^^^"

    def test_of_a_long_line_what_is_near(self, refuse):
        error = refuse(f"[instances.main.ssl_config]\n{'x' * 10} = '{'y' * 300}'")
        assert error.detail == f"2 | {'x' * 10} = '{'y' * 86}\n  | {'^' * 10}"
        error = refuse(f"[instances]\nmain = {{ database = '{'y' * 300}', imag = 1, image = '{'z' * 300}' }}")
        assert error.detail == f"2 | {'y' * 47}', imag = 1, image = '{'z' * 31}\n  | {' ' * 50}^^^^"

    def test_of_a_value_of_many_lines_the_first(self, refuse):
        assert refuse("superuser = [\n'x',\n]").detail == "1 | superuser = [\n  |             ^"

    def test_what_a_terminal_would_obey_is_not_shown(self, refuse):
        error = refuse("superuser = 1 # \x85 \u202e")
        assert (
            error.detail == "1 | superuser = 1 # \N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}\n  |             ^"
        )

    def test_line_numbers_are_aligned(self, refuse):
        assert refuse("\n" * 99 + "imag = 1").detail == "100 | imag = 1\n    | ^^^^"


class TestFiles:
    """Files that cannot be read."""

    def test_a_named_file_that_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path(FILE_NAME).write_text("")
        with pytest.raises(ConfigError) as caught:
            load("./gone/other.toml")
        assert caught.value.message == "./gone/other.toml: there is no such file"
        assert isinstance(caught.value.__cause__, FileNotFoundError)

    def test_a_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path(FILE_NAME).mkdir()
        for path, shown in ((None, "database.toml"), (tmp_path, str(tmp_path)), ("", "")):
            with pytest.raises(ConfigError) as caught:
                load(path)
            assert caught.value.message == f"{shown}: this is a directory"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"image = '17'\nsuperuser = 'gr\xf6\xdfe'", "2:16: byte 0xf6 is not UTF-8"),
            ("image = '17'".encode("utf-16"), "1:1: byte 0xff is not UTF-8"),
            ("superuser = 'größe \xff'".encode()[:-2], "1:20: byte 0xc3 is not UTF-8"),
        ],
    )
    def test_what_is_not_utf8(self, tmp_path, monkeypatch, content, message):
        monkeypatch.chdir(tmp_path)
        Path(FILE_NAME).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load()
        assert caught.value.message == f"database.toml:{message}"
        assert caught.value.hint == "save the file as UTF-8"

    def test_a_file_without_permission(self, tmp_path, somebody):
        path = tmp_path / "secret.toml"
        path.write_text("")
        path.chmod(0)
        with somebody, pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.message == f"{path}: it cannot be read: Permission denied"

    def test_directories_that_may_not_be_searched_are_passed_over(self, tmp_path, somebody):
        closed = tmp_path / "closed"
        (closed / "project").mkdir(parents=True)
        (closed / FILE_NAME).write_text("")
        closed.chmod(0)
        try:
            with somebody:
                assert find(closed / "project") is None
        finally:
            closed.chmod(0o700)

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("file.toml/database.toml", "Not a directory"),
            ("loop.toml", "Too many levels of symbolic links"),
            ("a\0b", "embedded null byte"),
        ],
    )
    def test_a_path_that_leads_nowhere(self, tmp_path, monkeypatch, path, reason):
        monkeypatch.chdir(tmp_path)
        Path("file.toml").write_text("")
        Path("loop.toml").symlink_to("loop.toml")
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.message == f"{path}: it cannot be read: {reason}"

    def test_a_file_found_above_is_named_in_full(self, tmp_path, monkeypatch):
        (tmp_path / FILE_NAME).write_text("imag = 1")
        (tmp_path / "below").mkdir()
        monkeypatch.chdir(tmp_path / "below")
        with pytest.raises(ConfigError) as caught:
            load()
        assert caught.value.message.startswith(f"{tmp_path.resolve()}/database.toml:1:1: unknown key 'imag'")

    def test_a_working_directory_that_is_gone(self, tmp_path, monkeypatch):
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        for attempt in (load, Config.default):
            with pytest.raises(ConfigError, match="the working directory does not exist any more"):
                attempt()


@given(st.text(alphabet="ab.=[]{}\"'#\n ,1\\\r\t\x00é", max_size=60))
def test_any_text_is_a_document_or_one_error(text):
    try:
        document = parse_document(text, shown="x.toml")
    except ConfigError as error:
        refused = error.message
    else:
        assert isinstance(document.values, dict)
        return
    assert refused.startswith("x.toml:")
    assert "\n" not in refused


WORDS = st.sampled_from(
    [
        "image",
        "parameters",
        "instances",
        "main",
        "seeds",
        "a",
        "type",
        "path",
        "cache",
        "script",
        "ssl_config",
        "hostname",
    ]
)
VALUES = st.recursive(
    st.sampled_from(["'17'", "'script'", "'none'", "'x'", "1", "true", "1.5", "1979-05-27", "'10s'", "''"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(WORDS, inner, max_size=3).map(
            lambda items: "{ " + ", ".join(f"{key} = {value}" for key, value in items.items()) + " }"
        ),
    ),
    max_leaves=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.lists(WORDS, min_size=1, max_size=5).map(".".join), VALUES, max_size=3))
def test_any_document_is_a_configuration_or_one_error_with_its_place(tmp_path, members):
    path = tmp_path / FILE_NAME
    path.write_text("".join(f"{key} = {value}\n" for key, value in members.items()))
    try:
        config = load(path)
    except ConfigError as error:
        refused = error
    else:
        assert config.path == path.resolve()
        return
    file, line, column, *_ = refused.message.split(":")
    assert file == str(path)
    assert 1 <= int(line) <= len(members)
    assert int(column) >= 1
    assert refused.detail
