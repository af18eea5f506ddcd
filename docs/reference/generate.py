"""Write what follows from the code: cli.md from every command's help, config.md and a schema from the file's shape.

``generate.py`` writes them, ``generate.py --check`` only says whether they are as they would be written.
"""
# ruff: noqa: INP001, T201 -- a script, and it prints

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from pg_ephemeral.cli.tree import PROGRAM, program
from pg_ephemeral.config.model import FILE
from pg_ephemeral.config.schema import SCHEMA_FILE, schema_text
from pg_ephemeral.config.shape import Choice, Items, Key, Named, Scalar, Shape, Switch, Table, Text, Variants
from pg_ephemeral.postgres.parameters import RESERVED, RESERVED_BY_TLS, TEST_PROFILE

HERE = Path(__file__).parent
WIDTH = 100

CLI_HEAD = f"""\
# Command line

Written from `--help` by `make docs`. Data goes to stdout, everything else to stderr; see also
[exit codes](exit-codes.md), [environment](environment.md) and [JSON documents](json.md). Without a command,
`{PROGRAM}` is `{PROGRAM} psql`.
"""

CONFIG_HEAD = """\
# database.toml

Written from the loader's own table by `make docs`. The file is TOML 1.0 in UTF-8. It is the one `--config-file` names,
or the nearest `database.toml` of the working directory and those above it (one of somebody else's above is refused);
without any, there is one instance, `main`, with the defaults. An unknown key is an error anywhere in it, with its line
and, if there is one, the word you meant.

**Who wins.** For each instance: the command line, then the instance, then the top level, then the default. Parameters
are merged one by one; every other setting is replaced as a whole. Without `[instances]` there is one instance, `main`.

**Paths** that are relative start at the file's directory, and programs run there, wherever `pg-ephemeral` was started.

`container-script` seeds require the backend `docker` or `podman`.

**Durations** are whole numbers with units, which add up: `30s`, `500ms`, `1m 30s`.
"""


def cli() -> str:
    """The reference of the command line."""
    with click.Context(program, info_name=PROGRAM, terminal_width=WIDTH, **program.context_settings) as context:
        return "\n".join([CLI_HEAD, *_commands(context)])


def _commands(context: click.Context) -> Iterator[str]:
    """The help of this command, then that of those below it."""
    command = context.command
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None and name != "help":
            with click.Context(below, info_name=name, parent=context, terminal_width=WIDTH) as inner:
                yield from _commands(inner)


def config() -> str:
    """The reference of the configuration file: its tables, outer ones first, each once."""
    sections: dict[str, str] = {}
    pending: list[tuple[str, Table | Variants]] = [("", FILE)]
    while pending:
        path, shape = pending.pop(0)
        sections.setdefault(path, f"## {f'`{path}`' if path else 'Top level'}\n\n{_section(shape)}")
        for table in shape.tables.values() if isinstance(shape, Variants) else (shape,):
            pending += _below(path, table)
    return "\n".join([CONFIG_HEAD, *sections.values(), _parameters()])


def _parameters() -> str:
    """Which server parameters are not the user's, and what the test profile sets."""
    profile = _words(f"{name}={value}" for name, value in TEST_PROFILE.items())
    return f"""\
## Parameters

Reserved, and refused when the file is read: {_words(RESERVED)}; with `ssl_config` also {_words(RESERVED_BY_TLS)}.

`test_profile` sets {profile}. What `parameters` says of one of these counts more; `wal_level` and `max_wal_senders`
are left alone if you ask for replication or archiving.
"""


def _section(shape: Table | Variants) -> str:
    if isinstance(shape, Table):
        return _table(shape)
    kinds = [f'### `type = "{kind}"`\n\n{_table(table)}' for kind, table in shape.tables.items()]
    return "\n".join([f"A table whose `type` is one of {_words(shape.tables)}.\n", *kinds])


def _below(path: str, table: Table) -> Iterator[tuple[str, Table | Variants]]:
    """The tables within a table, and their paths in the file; names of the user's are in capitals."""
    for name in _own(table):
        inner, place = table.keys[name].shape, f"{path}.{name}".lstrip(".")
        if isinstance(inner, Named):
            inner, place = inner.shape, f"{place}.{name.removesuffix('s').upper()}"
        if isinstance(inner, (Table, Variants)):
            yield place, inner


def _own(table: Table) -> list[str]:
    return [name for name in table.keys if name not in _shared(table)]


def _shared(table: Table) -> list[str]:
    """The keys of an inner table that the top level has as well."""
    return [name for name, key in table.keys.items() if table is not FILE and FILE.keys.get(name) is key]


def _table(table: Table) -> str:
    shared = _shared(table)
    rows = [
        f"| `{name}` | {_value(key.shape)} | {_default(key)} | {_cell(key.description)} |"
        for name, key in table.keys.items()
        if name not in shared
    ]
    if shared:
        rows.append(f"| {_words(shared)} | as at the top level | the top level's | |")
    body = "\n".join(["| key | value | default | |", "| --- | --- | --- | --- |", *rows]) if rows else "No other keys."
    return f"{table.description}\n\n{body}\n" if table.description else f"{body}\n"


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _value(shape: Shape) -> str:
    match shape:
        case Text():
            what = shape.expected.partition(", such as")[0]
            return _cell(f"{what}: {_words(shape.examples)}" if shape.examples else what)
        case Choice():
            return f"one of {_words(shape.words)}"
        case Switch():
            return "`true` or `false`"
        case Scalar():
            return "a string, number or boolean"
        case Items():
            return "a list of strings" + (", not empty" if shape.least else "")
        case Table():
            return "a table"
        case Named():
            return f"a table: names to {'tables' if isinstance(shape.shape, (Table, Variants)) else 'values'}"
        case Variants():
            return "a table with `type`"


def _default(key: Key) -> str:
    if key.required:
        return "required"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    if key.default == "":
        return "empty"
    return f"`{key.default}`" if key.default is not None else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write them, or compare."""
    stale = []
    for path, text in ((HERE / "cli.md", cli()), (HERE / "config.md", config()), (SCHEMA_FILE, schema_text())):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {', '.join(stale)}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
