"""The tree of commands, its help, and what it refuses. Nothing here starts a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from pg_ephemeral.cli import run
from pg_ephemeral.cli.lazy import LazyGroup
from pg_ephemeral.cli.options import chosen_instance
from pg_ephemeral.cli.programs import separated
from pg_ephemeral.cli.tree import PROGRAM, program
from pg_ephemeral.version import VERSION

_HEAVY = (
    "asyncio",
    "cryptography",
    "msgspec",
    "pg_ephemeral.backends",
    "pg_ephemeral.config",
    "pg_ephemeral.lifecycle",
    "psycopg",
    "rich",
    "subprocess",
    "tomllib",
    "trustme",
)


def _walk(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, click.Command]]:
    for name, entry in group.table.items():
        command = entry.load()
        yield (*path, name), entry.summary, command
        if isinstance(command, LazyGroup):
            yield from _walk(command, (*path, name))


assert isinstance(program, LazyGroup)
_COMMANDS = tuple(_walk(program))
_GROUPS = tuple((*path,) for path, _, command in _COMMANDS if isinstance(command, LazyGroup))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["-h"],
        ["help"],
        ["--version"],
        ["cache", "--help"],
        ["cache", "status", "-h"],
        ["platform", "support"],
    ],
)
def test_help_is_cheap(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom pg_ephemeral.cli import run\nrun({arguments!r})\nsys.stderr.write('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not set(done.stderr.splitlines()) & set(_HEAVY)


@pytest.mark.parametrize(("path", "summary", "command"), _COMMANDS, ids=[" ".join(path) for path, *_ in _COMMANDS])
def test_every_command_has_help_and_the_summary_its_group_shows(
    path: tuple[str, ...], summary: str, command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.name == path[-1]
    assert run([*path, "--help"]) == 0
    long = capsys.readouterr()
    assert run([*path, "-h"]) == 0
    short = capsys.readouterr()
    assert run(["help", *path]) == 0
    by_word = capsys.readouterr()
    assert long == short == by_word
    assert long.out.startswith(f"Usage: {PROGRAM} {' '.join(path)}")
    assert long.err == ""
    assert summary.endswith(".")
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter


@pytest.mark.parametrize("group", [(), *_GROUPS], ids=" ".join)
def test_every_group_has_a_help_command(group: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*group, "help"]) == 0
    by_word = capsys.readouterr()
    assert run([*group, "--help"]) == 0
    assert capsys.readouterr() == by_word
    assert "help" in by_word.out


def test_help_lists_the_commands_in_order_and_says_where_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    listed = [line.split()[0] for line in text.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert listed == [
        *("bin", "cache", "container", "host", "integration-server", "list", "meta", "platform", "prune"),
        *("pgbench", "psql", "run-env", "schema-dump", "shell", "help"),
    ]
    assert "Where programs run" in text
    assert "main unless --instance" in text


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version_is_what_wrappers_parse(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    # acceptance: 215
    assert run([option]) == 0
    assert capsys.readouterr() == (f"pg-ephemeral {VERSION}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--bogus"], "no such option '--bogus'", "pg-ephemeral --help"),
        (["bogus"], "there is no command 'bogus'", "pg-ephemeral --help"),
        (["lst"], "there is no command 'lst', did you mean 'list'?", "pg-ephemeral --help"),
        (["cache"], "missing command", "pg-ephemeral cache --help"),
        (["cache", "statu"], "there is no command 'statu', did you mean 'status'?", "pg-ephemeral cache --help"),
        (["help", "nope"], "there is no command 'nope'", "pg-ephemeral --help"),
        (["help", "list", "x"], "pg-ephemeral list has no commands", "pg-ephemeral list --help"),
        (["list", "x"], "got unexpected extra argument (x)", "pg-ephemeral list --help"),
        (["run-env"], "missing argument 'COMMAND'", "pg-ephemeral run-env --help"),
        (["run-env", "--bogus", "true"], "no such option '--bogus'", "pg-ephemeral run-env --help"),
        (["host", "run-env"], "missing argument 'COMMAND'", "pg-ephemeral host run-env --help"),
        (["cache", "inspect"], "missing argument 'REFERENCE'", "pg-ephemeral cache inspect --help"),
        (["integration-server"], "missing option '--result-fd'", "pg-ephemeral integration-server --help"),
        (
            ["--config-file", "x", "--no-config-file", "list"],
            "--config-file and --no-config-file contradict each other",
            "pg-ephemeral --help",
        ),
        (
            ["--backend", "nspawn", "list"],
            "invalid value for '--backend': 'nspawn' is not one of 'auto', 'docker', 'podman', 'embedded'",
            "pg-ephemeral --help",
        ),
        (
            ["integration-server", "--result-fd", "77", "--control-fd", "0"],
            "--result-fd 77: Bad file descriptor",
            "pg-ephemeral integration-server --help",
        ),
    ],
)
def test_usage_errors(arguments: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr() == ("", f"error: {message}\nhint: {hint}\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["--"]),
        (["-c", "SELECT 1"], ["--", "-c", "SELECT 1"]),
        (["--", "-c", "SELECT 1"], ["--", "-c", "SELECT 1"]),
        (["--instance", "app", "-At"], ["--instance", "app", "--", "-At"]),
        (["--instance=app", "-h"], ["--instance=app", "-h", "--"]),
        (["-At", "--instance", "app"], ["--", "-At", "--instance", "app"]),
        (["-At", "--", "x"], ["--", "-At", "--", "x"]),
    ],
)
def test_where_the_arguments_of_the_program_begin(arguments: list[str], expected: list[str]) -> None:
    assert separated(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "instance"),
    [
        ([], None),
        (["--instance", "a"], "a"),
        (["cache", "--instance", "a", "status"], "a"),
        (["cache", "status", "--instance", "a"], "a"),
        (["--instance", "a", "cache", "--instance", "b", "status", "--instance", "c"], "c"),
        (["--instance", "a", "cache", "--instance", "b", "status"], "b"),
        (["--instance", "a", "cache", "status"], "a"),
        (["cache", "status", "--instance", "a", "--instance", "b"], "b"),
        (["host", "psql", "--instance=a", "-c", "x"], "a"),
        (["host", "--instance", "a", "pgbench", "--instance=b", "--instance", "c", "-i", "--instance", "d"], "c"),
        (["run-env", "--instance", "a", "env", "--instance", "b"], "a"),
    ],
)
def test_the_innermost_instance_wins(arguments: list[str], instance: str | None) -> None:
    # fault: W66
    with program.make_context(PROGRAM, list(arguments)) as context:
        innermost = context
        while isinstance(innermost.command, click.Group) and innermost._protected_args:
            words = [*innermost._protected_args, *innermost.args]
            name, command, rest = innermost.command.resolve_command(innermost, words)
            assert command is not None
            innermost = command.make_context(name, rest, parent=innermost)
        assert chosen_instance(innermost) == instance
