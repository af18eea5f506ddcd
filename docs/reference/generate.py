"""Write the references that follow from the code: cli.md from every command's help, config.md from the file's shape.

``generate.py`` writes them, ``generate.py --check`` only says whether they are as they would be written.
"""
# ruff: noqa: INP001, T201 -- a script, and it prints

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pg_ephemeral.cli.tree import PROGRAM, program
from pg_ephemeral.config_model import FILE
from pg_ephemeral.config_shape import Choice, Items, Key, Named, Scalar, Shape, Switch, Table, Text, Variants

HERE = Path(__file__).parent
WIDTH = 100

CLI_HEAD = f"""\
# Command line

Written from `--help` by `make docs`. Data goes to stdout, everything else to stderr; see also
[exit codes](exit-codes.md) and [environment](environment.md). Without a command, `{PROGRAM}` is `{PROGRAM} psql`.
"""

CONFIG_HEAD = """\
# database.toml

Written from the loader's own table by `make docs`. The file is TOML 1.0 in UTF-8. It is the one `--config-file` names,
or the nearest `database.toml` of the working directory and those above it; without any, there is one instance, `main`,
with the defaults. An unknown key is an error anywhere in it, with its line and, if there is one, the word you meant.

**Who wins.** For each instance: the command line, then the instance, then the top level, then the default. Parameters
are merged one by one; every other setting is replaced as a whole. Without `[instances]` there is one instance, `main`.

**Paths** that are relative start at the file's directory, and programs run there, wherever `pg-ephemeral` was started.

**Durations** are whole numbers with units, which add up: `30s`, `500ms`, `1m 30s`.
"""


def cli() -> str:
    """The reference of the command line."""
    with click.Context(program, info_name=PROGRAM, terminal_width=WIDTH) as context:
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
    """The reference of the configuration file."""
    sections: dict[str, str] = {}
    _section(sections, "Top level", FILE)
    return "\n".join([CONFIG_HEAD, *sections.values()])


def _section(sections: dict[str, str], title: str, shape: Shape) -> None:
    """Describe a table and those in it, each once."""
    if title in sections:
        return
    match shape:
        case Table():
            sections[title] = _table(title, shape)
            for name, key in shape.keys.items():
                _section(sections, f"`{name}`", key.shape)
        case Named() if isinstance(shape.shape, (Table, Variants)):
            _section(sections, f"{title}: each", shape.shape)
        case Variants():
            listing = ", ".join(f"`{kind}`" for kind in shape.tables)
            sections[title] = f"## {title}\n\nA table whose `type` is one of {listing}.\n"
            for kind, table in shape.tables.items():
                _section(sections, f'`type = "{kind}"`', table)
        case _:
            pass


def _table(title: str, table: Table) -> str:
    rows = ["| key | value | default | |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{name}` | {_value(key.shape)} | {_default(key)} | {_cell(key.description)} |"
        for name, key in table.keys.items()
    ]
    description = f"{table.description}\n\n" if table.description else ""
    body = "\n".join(rows) if table.keys else "No other keys."
    return f"## {title}\n\n{description}{body}\n"


def _value(shape: Shape) -> str:
    match shape:
        case Text():
            examples = f", as in {', '.join(f'`{example}`' for example in shape.examples)}" if shape.examples else ""
            return _cell(f"{shape.expected}{examples}")
        case Choice():
            return "one of " + ", ".join(f"`{word}`" for word in shape.words)
        case Switch():
            return "`true` or `false`"
        case Scalar():
            return "a string, number or boolean"
        case Items():
            return "a list of strings" + (", not empty" if shape.least else "")
        case Table():
            return "a table"
        case Named():
            return f"a table: name to {_value(shape.shape)}"
        case Variants():
            return "a table with `type`"


def _default(key: Key) -> str:
    if key.required:
        return "required"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    return f"`{key.default}`" if key.default is not None else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write both, or compare."""
    stale = []
    for name, text in (("cli.md", cli()), ("config.md", config())):
        path = HERE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {', '.join(stale)}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
