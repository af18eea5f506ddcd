"""Seeds that run programs: where and with what they run, what enters their key, and how they fail."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from pg_ephemeral.errors import InvalidValue, SeedFailed, SeedLoadError
from pg_ephemeral.seeds.base import SeedName
from pg_ephemeral.seeds.command import Command, Script
from pg_ephemeral.seeds.strategies import CacheStrategy, CommandHash, KeyCommand, KeyPaths, KeyScript, NoCache
from support.processes import pid_in, wait_until_gone
from support.seed_target import FakeTarget, load, program, write

NAME = SeedName("migrate")


def command(name: str, *arguments: str, cache: CacheStrategy | None = None) -> Command:
    return Command(name=NAME, command=name, arguments=arguments, cache=cache or CommandHash())


def script(text: str, cache: CacheStrategy | None = None) -> Script:
    return Script(name=NAME, script=text, cache=cache or CommandHash())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestRunning:
    # fault: W47
    def test_in_the_config_files_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir("/")
        program(tmp_path / "bin" / "migrate", 'pwd > where; echo "$@" > given')
        load(command("bin/migrate", "a b", "c"), tmp_path).apply(FakeTarget(directory=tmp_path))
        assert (tmp_path / "where").read_text().strip() == str(tmp_path)
        assert (tmp_path / "given").read_text() == "a b c\n"
        load(script("pwd > where-script"), tmp_path).apply(FakeTarget(directory=tmp_path))
        assert (tmp_path / "where-script").read_text().strip() == str(tmp_path)

    @pytest.mark.parametrize("name", ["bin/migrate", "./bin/migrate", "./migrate"])
    def test_a_path_is_the_projects(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{tmp_path / 'elsewhere'}:{os.environ['PATH']}")
        program(tmp_path / name, "touch ours")
        program(tmp_path / "elsewhere" / "migrate", "touch theirs")
        load(command(name), tmp_path).apply(FakeTarget(directory=tmp_path))
        assert (tmp_path / "ours").exists()
        assert not (tmp_path / "theirs").exists()

    def test_a_bare_name_is_looked_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{tmp_path / 'elsewhere'}:{os.environ['PATH']}")
        program(tmp_path / "migrate", "touch ours")
        program(tmp_path / "elsewhere" / "migrate", "touch theirs")
        load(command("migrate"), tmp_path).apply(FakeTarget(directory=tmp_path))
        assert (tmp_path / "theirs").exists()
        assert not (tmp_path / "ours").exists()

    # acceptance: 76, 77
    def test_the_environment_is_the_servers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGSERVICE", "elsewhere")
        load(script("env | grep -E '^(PG|DATABASE_URL)' | cut -d= -f1 | sort > seen"), tmp_path).apply(
            FakeTarget(directory=tmp_path)
        )
        assert (tmp_path / "seen").read_text().split() == ["DATABASE_URL", "PGHOST"]

    # fault: W29
    def test_what_it_prints_is_not_ours_to_print(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        load(script("echo out; echo err >&2"), tmp_path).apply(FakeTarget(directory=tmp_path))
        captured = capfd.readouterr()
        assert captured.out == ""
        assert sorted(captured.err.split()) == ["err", "out"]

    def test_it_has_nothing_to_read(self, tmp_path: Path) -> None:
        load(script("! read -r line"), tmp_path).apply(FakeTarget(directory=tmp_path))

    @pytest.mark.parametrize(
        ("text", "problem"),
        [("false; true", "exit status 1"), ("exit 7", "exit status 7"), ("kill -TERM $$", "killed by SIGTERM")],
    )
    def test_a_script_that_fails(self, text: str, problem: str, tmp_path: Path) -> None:
        with pytest.raises(SeedFailed) as caught:
            load(script(text), tmp_path).apply(FakeTarget(directory=tmp_path))
        assert caught.value.message == f"seed 'migrate': script failed: {problem}"

    # fault: W33
    def test_a_command_that_fails_is_named_as_it_was_declared(self, tmp_path: Path) -> None:
        program(tmp_path / "bin" / "migrate", "exit 3")
        with pytest.raises(SeedFailed, match="seed 'migrate': bin/migrate failed: exit status 3"):
            load(command("bin/migrate"), tmp_path).apply(FakeTarget(directory=tmp_path))

    def test_a_command_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SeedFailed, match="seed 'migrate': cannot run no-such-program"):
            load(command("no-such-program"), tmp_path).apply(FakeTarget(directory=tmp_path))


class TestKey:
    # fault: W14
    def test_arguments_do_not_run_together(self, tmp_path: Path) -> None:
        keys = [load(command("x", *given), tmp_path).inputs for given in (("ab", "c"), ("a", "bc"), ("abc",))]
        assert keys == [
            {"argv": ["x", *given], "cache": {"type": "command-hash"}} for given in (("ab", "c"), ("a", "bc"), ("abc",))
        ]

    # fault: W15
    @pytest.mark.parametrize("name", ["bin/migrate", "./bin/migrate", "../project/bin/migrate", "{here}/bin/migrate"])
    def test_the_projects_own_program_is_part_of_it(self, name: str, tmp_path: Path) -> None:
        directory = tmp_path / "project"
        program(directory / "bin" / "migrate", "echo one")
        declared = command(name.format(here=directory))
        before = load(declared, directory).inputs
        assert before is not None
        assert before["program"] == sha256(b"#!/bin/sh\necho one\n")
        assert before["argv"] == [declared.command]
        program(directory / "bin" / "migrate", "echo two")
        assert load(declared, directory).inputs != before

    def test_a_program_of_the_system_is_not(self, tmp_path: Path) -> None:
        for name in ("sh", "/bin/sh"):
            inputs = load(command(name), tmp_path).inputs
            assert inputs is not None
            assert "program" not in inputs

    def test_the_directory_is_not(self, tmp_path: Path) -> None:
        for directory in (tmp_path / "a", tmp_path / "b"):
            program(directory / "bin" / "migrate", "true")
        one, other = (load(command("bin/migrate"), tmp_path / name).inputs for name in "ab")
        assert one == other

    # acceptance: 93, 94
    def test_a_key_script_and_the_seed_itself(self, tmp_path: Path) -> None:
        write(tmp_path, version="1.0")
        cache = KeyScript(script="cat version")
        before = [load(seed, tmp_path).inputs for seed in (command("x", cache=cache), script("x", cache))]
        assert [inputs and inputs["cache"]["key"] for inputs in before] == [sha256(b"1.0")] * 2
        changed = [load(seed, tmp_path).inputs for seed in (command("x", "y", cache=cache), script("y", cache))]
        assert all(one != other for one, other in zip(before, changed, strict=True))
        write(tmp_path, version="1.1")
        later = [load(seed, tmp_path).inputs for seed in (command("x", cache=cache), script("x", cache))]
        assert all(one != other for one, other in zip(before, later, strict=True))

    # acceptance: 92
    def test_a_key_command(self, tmp_path: Path) -> None:
        program(tmp_path / "bin" / "version", 'printf %s "$1"')
        keys = [
            load(script("x", KeyCommand(command="bin/version", arguments=(version,))), tmp_path).inputs
            for version in ("1.0", "1.1")
        ]
        assert [inputs and inputs["cache"]["key"] for inputs in keys] == [sha256(b"1.0"), sha256(b"1.1")]

    def test_strategies_that_come_to_the_same_differ(self, tmp_path: Path) -> None:
        caches: list[CacheStrategy] = [KeyCommand(command="true"), KeyScript(script="true"), CommandHash()]
        assert len({str(load(script("x", cache), tmp_path).inputs) for cache in caches}) == len(caches)

    def test_none_is_none(self, tmp_path: Path) -> None:
        assert load(script("x", NoCache()), tmp_path).inputs is None
        assert load(script("x"), tmp_path, cacheable=False).inputs is None


# fault: W51
@pytest.mark.parametrize("kind", ["command", "script"])
def test_one_that_takes_longer_than_it_may_fails(tmp_path: Path, kind: str) -> None:
    text = "sleep 300 & echo $! >pid; wait"
    slow = command("sh", "-c", text) if kind == "command" else script(text)
    with pytest.raises(SeedFailed) as caught:
        load(replace(slow, timeout=0.3), tmp_path).apply(FakeTarget(directory=tmp_path))
    assert caught.value.message == "seed 'migrate' did not end within 0.3 s, its timeout"
    wait_until_gone(pid_in(tmp_path / "pid"))
    load(replace(script("true"), timeout=20), tmp_path).apply(FakeTarget(directory=tmp_path))


class TestKeyPrograms:
    # fault: W47
    def test_they_run_in_the_config_files_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir("/")
        load(script("x", KeyScript(script="pwd > where")), tmp_path)
        assert (tmp_path / "where").read_text().strip() == str(tmp_path)

    # fault: W48
    def test_they_do_not_run_when_no_key_is_wanted(self, tmp_path: Path) -> None:
        load(script("x", KeyScript(script="touch ran")), tmp_path, cacheable=False)
        load(script("x", KeyCommand(command="touch", arguments=("ran",))), tmp_path, cacheable=False)
        assert not (tmp_path / "ran").exists()

    # fault: W36
    def test_they_see_no_server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGHOST", "production.example.com")
        monkeypatch.setenv("DATABASE_URL", "postgres://production.example.com")
        monkeypatch.setenv("PGX_VERSION", "kept")
        inputs = load(script("x", KeyScript(script="env | grep -E '^(PG|DATABASE)'")), tmp_path).inputs
        assert inputs is not None
        assert inputs["cache"]["key"] == sha256(b"PGX_VERSION=kept\n")

    def test_their_stderr_is_shown_and_is_no_key(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        inputs = load(script("x", KeyScript(script="echo careful >&2; echo 1")), tmp_path).inputs
        assert inputs is not None
        assert inputs["cache"]["key"] == sha256(b"1\n")
        assert capfd.readouterr() == ("", "careful\n")

    # fault: W25
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    def test_none_of_their_children_outlives_us(self, tmp_path: Path, number: signal.Signals) -> None:
        keyed = "sleep 300 & echo $! >pid; wait"
        loading = (
            "import sys\nfrom pathlib import Path\nfrom pg_ephemeral.seeds import KeyScript, Script\n"
            "from pg_ephemeral.cli.signals import Signals\nfrom pg_ephemeral.seeds.base import LoadContext\n"
            "Signals().install()\n"
            f"seed = Script(name='x', script='true', cache=KeyScript(script={keyed!r}))\n"
            "seed.load(LoadContext(directory=Path(sys.argv[1])))"
        )
        ours = subprocess.Popen([sys.executable, "-c", loading, str(tmp_path)], stderr=subprocess.DEVNULL)
        pid = pid_in(tmp_path / "pid")
        ours.send_signal(number)
        ours.wait(20)
        wait_until_gone(pid)

    def test_what_one_leaves_running_is_not_waited_for(self, tmp_path: Path) -> None:
        inputs = load(script("x", KeyScript(script="sleep 300 & echo $! >pid; echo 1")), tmp_path).inputs
        assert inputs is not None
        assert inputs["cache"]["key"] == sha256(b"1\n")
        wait_until_gone(pid_in(tmp_path / "pid"))

    # acceptance: 97, 98
    def test_one_that_fails_names_the_seed(self, tmp_path: Path) -> None:
        with pytest.raises(SeedLoadError) as caught:
            load(script("x", KeyScript(script="exit 1")), tmp_path)
        assert caught.value.message == "seed 'migrate': key script failed: exit status 1"
        with pytest.raises(SeedLoadError, match="seed 'migrate': key command false failed: exit status 1"):
            load(script("x", KeyCommand(command="false")), tmp_path)

    def test_one_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SeedLoadError, match="seed 'migrate': key command nope: cannot run nope"):
            load(script("x", KeyCommand(command="nope")), tmp_path)


class TestKeyPaths:
    def files(self, directory: Path, *paths: str) -> dict[str, str]:
        inputs = load(script("x", KeyPaths(paths=paths)), directory).inputs
        assert inputs is not None
        files: dict[str, str] = inputs["cache"]["files"]
        return files

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        directory = tmp_path / "project"
        write(directory, b__2_sql="2", b__1_sql="1", b__deep__3_sql="3", a_txt="a", b__4_txt="4")
        write(tmp_path, shared__s_sql="s")
        (directory / "link.sql").symlink_to("a.txt")
        (directory / "dangling.sql").symlink_to("nowhere")
        (directory / "empty").mkdir()
        return directory

    @pytest.mark.parametrize(
        ("paths", "found"),
        [
            (("a.txt",), ["a.txt"]),
            (("b/*.sql",), ["b/1.sql", "b/2.sql"]),
            (("b/**/*.sql",), ["b/1.sql", "b/2.sql", "b/deep/3.sql"]),
            (("b",), ["b/1.sql", "b/2.sql", "b/4.txt", "b/deep/3.sql"]),
            (("b/",), ["b/1.sql", "b/2.sql", "b/4.txt", "b/deep/3.sql"]),
            (("b/*.sql", "b/1.*", "a.txt"), ["a.txt", "b/1.sql", "b/2.sql"]),
            (("*.sql",), ["link.sql"]),
            (("../shared/*.sql",), ["../shared/s.sql"]),
            ((".",), ["a.txt", "b/1.sql", "b/2.sql", "b/4.txt", "b/deep/3.sql", "link.sql"]),
            (("./",), ["a.txt", "b/1.sql", "b/2.sql", "b/4.txt", "b/deep/3.sql", "link.sql"]),
        ],
    )
    def test_patterns(self, paths: tuple[str, ...], found: list[str], project: Path) -> None:
        assert list(self.files(project, *paths)) == found

    def test_each_file_counts_by_name_and_content(self, project: Path) -> None:
        assert self.files(project, "a.txt") == {"a.txt": sha256(b"a")}
        before = self.files(project, "b")
        (project / "b" / "1.sql").rename(project / "b" / "0.sql")
        renamed = self.files(project, "b")
        assert renamed != before
        assert sorted(renamed.values()) == sorted(before.values())

    @pytest.mark.parametrize("pattern", ["nope/*.sql", "empty", "dangling.sql"])
    def test_a_pattern_without_files(self, pattern: str, project: Path) -> None:
        with pytest.raises(SeedLoadError, match=r"seed 'migrate': key path '.*' matches no file") as caught:
            self.files(project, pattern)
        assert caught.value.hint is not None

    @pytest.mark.parametrize("pattern", ["/etc/*", ""])
    def test_a_pattern_is_relative(self, pattern: str) -> None:
        with pytest.raises(InvalidValue, match="is no relative pattern") as caught:
            KeyPaths(paths=(pattern,))
        assert caught.value.kind == "invalid-paths"

    def test_there_is_at_least_one(self) -> None:
        with pytest.raises(InvalidValue):
            KeyPaths(paths=())

    def test_paths_may_be_paths(self) -> None:
        assert KeyPaths(paths=(Path("b"),)) == KeyPaths(paths=("b",))
