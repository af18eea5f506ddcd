"""Command groups that import a command only when it is used: help costs no more than names and summaries.

A group's table is explicit. Every group has a ``help`` command that the table does not name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from pg_ephemeral.cli import output

_HELP = "help"


class Entry(NamedTuple):
    """A command that is not imported yet: its module, its name there, and its line in the help of its group."""

    module: str
    attribute: str
    summary: str

    def load(self) -> click.Command:
        """Import it."""
        command: click.Command = getattr(importlib.import_module(self.module), self.attribute)
        return command


class LazyGroup(click.Group):
    """A group whose commands are the entries of ``table``, listed in its order, and ``help``."""

    def __init__(self, *arguments: Any, table: Mapping[str, Entry], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Their names."""
        return [*self.table, _HELP]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- as above
        """Import the command; None when there is none of this name."""
        if cmd_name == _HELP:
            return help_command
        entry = self.table.get(cmd_name)
        return None if entry is None else entry.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with. Raises ``click.UsageError`` with a guess at what was meant."""
        word = args[0]
        if word not in self.list_commands(ctx) and not word.startswith("-"):
            raise _unknown(ctx, self, word)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- as above
        """Write names and summaries, importing nothing."""
        rows = [(name, entry.summary) for name, entry in self.table.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*rows, (_HELP, help_command.get_short_help_str())])


@click.command(_HELP)
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(context: click.Context, words: tuple[str, ...]) -> None:
    """Show this help, or that of a command."""
    shown = context.parent or context
    for word in words:
        group = shown.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{shown.command_path} has no commands", ctx=shown)
        command = group.get_command(shown, word)
        if command is None:
            raise _unknown(shown, group, word)
        shown = click.Context(command, info_name=word, parent=shown)
    output.text(shown.get_help())


def _unknown(context: click.Context, group: click.Group, word: str) -> click.UsageError:
    import difflib

    close = difflib.get_close_matches(word, group.list_commands(context), n=1)
    guess = f", did you mean {close[0]!r}?" if close else ""
    return click.UsageError(f"there is no command {word!r}{guess}", ctx=context)
