"""The references say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys

import pg_ephemeral
from pg_ephemeral import errors
from support.documents import ROOT

REFERENCE = ROOT / "docs" / "reference"


def _rows(document: str) -> list[list[str]]:
    """The cells of a document's table rows, without heads and rules."""
    lines = (REFERENCE / document).read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if not set(row[0]) <= set("- ")]


def test_generated_references_are_current():
    script = REFERENCE / "generate.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}; make docs writes them anew"


def test_exit_codes_are_those_of_the_errors():
    documented = {name.strip("`"): status for status, name, *_ in _rows("exit-codes.md") if name.startswith("`")}
    real = {
        name: str(error.exit_code)
        for name in errors.__all__
        if issubclass(error := getattr(errors, name), errors.PgEphemeralError)
    }
    real["Interrupted"] = "128 + n"
    # The class between never ends a run itself: both its kinds have a status of their own.
    del real["SeedError"]
    assert documented == real
    assert errors.Interrupted(15, "SIGTERM").exit_code == 128 + 15


def test_the_tree_of_errors_is_drawn_as_it_is():
    drawn: dict[str, tuple[str, str]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.fullmatch(r" {4}([│ ]*)([├└]── )?([A-Z]\w+)(?: +(128 \+ n|\d+)?(?: .*)?)?", line):
            bars, branch, name, status = found.groups()
            depth = len(bars) // 4 + 1 if branch else 0
            path[depth:] = [name]
            drawn[name] = (path[depth - 1] if depth else "", status or "")
    del drawn["KeyboardInterrupt"]
    real = {}
    for name in errors.__all__:
        error = getattr(errors, name)
        real[name] = (error.__bases__[0].__name__, str(getattr(error, "exit_code", "128 + n")))
    real["PgEphemeralError"] = ("", "1")
    real["SeedError"] = ("PgEphemeralError", "")
    assert drawn == real


def test_every_environment_variable_is_documented():
    files = [*(ROOT / "src").rglob("*.py"), ROOT / "tests" / "support" / "machine.py"]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    read = set(re.findall(r'"(_?PG_EPHEMERAL_[A-Z_]+)"', source))
    documented = {row[0].strip("`") for row in _rows("environment.md") if "PG_EPHEMERAL_" in row[0]}
    assert documented == read


def test_every_public_name_is_documented():
    text = (REFERENCE / "library.md").read_text(encoding="utf-8")
    assert [name for name in pg_ephemeral.__all__ if f"`{name}" not in text] == []


def test_the_architecture_shows_the_layers_that_are_checked():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    shown = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[1]
    drawn = [re.split(r"\s{2,}", line)[0] for line in shown.splitlines() if line]
    assert drawn == layers


def _keys(section: str) -> list[str]:
    """The first column of the tables of a section of ``json.md``, in order."""
    text = (REFERENCE / "json.md").read_text(encoding="utf-8")
    body = text.split(f"\n## `{section}`\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)


def test_the_documents_of_the_cache_have_the_keys_that_are_documented(tmp_path):
    from pg_ephemeral import cache, sharing
    from pg_ephemeral.oci.reference import Registry
    from support.memory import MemoryBackend
    from support.seeds import words

    def definition(text: str) -> pg_ephemeral.Definition:
        return pg_ephemeral.Definition(
            seeds=words(text), directory=tmp_path, cache_registry=Registry.parse("ghcr.io"), tls=None
        )

    backend = MemoryBackend(tmp_path)
    opened = cache.open_cache(definition("a b! c"), backend)
    synced = sharing.sync(opened)
    status = cache.status(opened).to_json()
    cached, broken = status["seeds"][0], status["seeds"][2]
    assert _keys("cache status") == [*status, *cached, *(key for key in broken if key not in cached)]
    pulled, pushed = synced.pulled, synced.pushed
    assert pulled is not None
    assert pushed is not None
    assert _keys("cache pull") == [*pulled.to_json(), *pulled.to_json()["looked"][0]]
    assert _keys("cache push") == [*pushed.to_json(), *pushed.to_json()["stages"][0]]
    assert _keys("cache sync") == [*synced.to_json()]
    inspected = cache.inspect(backend, opened.reference(opened.chain.keys[-1])).to_json()
    assert [key for key in _keys("cache inspect") if key != "ssl"] == [*inspected]


def test_every_command_that_prints_json_is_documented():
    """By its ``--json``; the two that print nothing else are beside them."""
    import click

    from pg_ephemeral.cli.tree import PROGRAM, program

    def commands(context: click.Context, path: str) -> list[str]:
        command, found = context.command, []
        if any("--json" in parameter.opts for parameter in command.params):
            found.append(path)
        if not isinstance(command, click.Group):
            return found
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                found += commands(click.Context(below, info_name=name, parent=context), f"{path} {name}".strip())
        return found

    real = commands(click.Context(program, info_name=PROGRAM), "")
    text = (REFERENCE / "json.md").read_text(encoding="utf-8")
    documented = re.findall(r"^## `(.+)`$", text, re.MULTILINE)
    # It prints the document of status.
    assert "Also of `cache populate`" in text
    assert sorted([*real, "cache inspect", "cache credentials"]) == sorted([*documented, "cache populate"])
