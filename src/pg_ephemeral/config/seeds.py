"""The tables of seeds in ``database.toml``, by ``type``, and of their ``cache``. Shapes alone, no reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from pg_ephemeral.config.duration import TIMEOUT
from pg_ephemeral.config.shape import Items, Key, Named, Table, Text, Variants
from pg_ephemeral.postgres import names
from pg_ephemeral.seeds import (
    Command,
    CommandHash,
    ContainerScript,
    CsvFile,
    KeyCommand,
    KeyPaths,
    KeyScript,
    NoCache,
    Script,
    Seed,
    SqlFile,
    SqlStatement,
)
from pg_ephemeral.seeds.base import SeedName

__all__ = ["SEEDS"]

_FILLED = r"^[^\u0000]+$"
_NO_NUL = r"^[^\u0000]*$"


def _filled(what: str, expected: str, *examples: str, make: Callable[[str], Any] = str) -> Text:
    """A text that must not be empty, as ``make`` wants it."""
    return Text(
        parse=lambda text: make(names.bounded(text, what=what, least=1)),
        expected=expected,
        pattern=_FILLED,
        examples=examples,
    )


_PATH = _filled("the path", "the path of a file", "db/structure.sql", make=Path)
_PATTERN = _filled("the pattern", "a glob pattern", "migrations/**/*.sql")
_PROGRAM = _filled("the program", "the name or path of a program")
_SCRIPT = _filled("the script", "the text of a shell script")
_STATEMENT = _filled("the statement", "SQL text")
_IDENTIFIER = Text(parse=names.identifier, expected="a name", pattern=_FILLED, longest=63)
_CHARACTER = Text(expected="one ASCII character", pattern=r"^[\u0001-\u0009\u000b\u000c\u000e-\u007f]$")
_NULL = Text(pattern=r"^[^\u0000\r\n]*$")
_ENCODING = Text(expected="an encoding", examples=("utf-8", "latin1"))
_REVISION = Text(
    parse=partial(names.bounded, what="the revision"),
    expected="a git revision",
    pattern=r"^[^-\u0000][^\u0000]*$",
    examples=("main", "v1.0"),
)
_ARGUMENT = Text(parse=partial(names.bounded, what="the argument"), pattern=_NO_NUL)

_ARGUMENTS = Key(shape=Items(element=_ARGUMENT), description="Its arguments, as they are: no shell is involved.")

_CACHE = Variants(
    tables={
        "command-hash": Table(
            description="Cached for as long as the command or script itself is the same.", keys={}, build=CommandHash
        ),
        "key-command": Table(
            description="Cached for as long as this host program prints the same.",
            keys={
                "command": Key(shape=_PROGRAM, required=True, description="The program whose output is the key."),
                "arguments": _ARGUMENTS,
            },
            build=KeyCommand,
        ),
        "key-script": Table(
            description="Cached for as long as this host shell script prints the same.",
            keys={"script": Key(shape=_SCRIPT, required=True, description="The script whose output is the key.")},
            build=KeyScript,
        ),
        "key-paths": Table(
            description="Cached for as long as these files are the same.",
            keys={
                "paths": Key(
                    shape=Items(element=_PATTERN, least=1),
                    required=True,
                    description="Glob patterns of files below the directory of this file, such as migrations/**/*.sql.",
                )
            },
            build=KeyPaths,
        ),
        "none": Table(
            description="Never cached: this seed and all after it are applied at each start.", keys={}, build=NoCache
        ),
    }
)
_CACHE_KEY = Key(shape=_CACHE, description="When the result may be used again; its own text, unless set.")

_TIMEOUT_KEY = Key(shape=TIMEOUT, description="How long it may take; then it fails. As long as it takes, unless set.")

_NOT_CACHEABLE = {"cache": "only command and script seeds have a cache setting; this one is keyed by its content"}


def _seed(kind: Callable[..., Seed], description: str, keys: Mapping[str, Key]) -> Table:
    """A table that makes a seed once its name is known."""
    misplaced = {} if "cache" in keys else _NOT_CACHEABLE
    return Table(
        description=description,
        keys={**keys, "timeout": _TIMEOUT_KEY},
        build=partial(partial, kind),
        misplaced=misplaced,
    )


def _csv_file(*, table: Mapping[str, str], **values: Any) -> CsvFile:
    return CsvFile(schema=table["schema"], table=table["table"], **values)


_CSV_TABLE = Table(
    keys={
        "schema": Key(shape=_IDENTIFIER, required=True, description="The schema of the table, such as public."),
        "table": Key(shape=_IDENTIFIER, required=True, description="The table itself."),
    },
    build=dict,
    misplaced={"name": "did you mean table?"},
)

_KINDS = Variants(
    tables={
        "sql-file": _seed(
            SqlFile,
            "An SQL file, applied as psql would.",
            {
                "path": Key(shape=_PATH, required=True, description="The file, from the directory of this one."),
                "git_revision": Key(
                    shape=_REVISION,
                    description="Take the file as it is at this branch, tag or commit.",
                ),
            },
        ),
        "sql-statement": _seed(
            SqlStatement,
            "SQL text.",
            {"statement": Key(shape=_STATEMENT, required=True, description="One or more statements.")},
        ),
        "csv-file": _seed(
            _csv_file,
            "The rows of a CSV file whose first line names the columns, in any order.",
            {
                "path": Key(shape=_PATH, required=True, description="The file, from the directory of this one."),
                "table": Key(shape=_CSV_TABLE, required=True, description="Where the rows go."),
                "delimiter": Key(shape=_CHARACTER, default=",", description="What stands between values."),
                "quote": Key(shape=_CHARACTER, default='"', description="What stands around quoted values."),
                "null": Key(
                    shape=_NULL,
                    default="",
                    description="The unquoted text that means NULL.",
                ),
                "encoding": Key(
                    shape=_ENCODING,
                    default="utf-8",
                    description="The encoding of the file, as Python or PostgreSQL calls it.",
                ),
            },
        ),
        "command": _seed(
            Command,
            "A program on this machine, told by its environment how to connect.",
            {
                "command": Key(
                    shape=_PROGRAM,
                    required=True,
                    description="A name to look up on PATH, or a path from the directory of this file.",
                ),
                "arguments": _ARGUMENTS,
                "cache": _CACHE_KEY,
            },
        ),
        "script": _seed(
            Script,
            "A shell script on this machine, told by its environment how to connect.",
            {"script": Key(shape=_SCRIPT, required=True, description="Run by sh -e."), "cache": _CACHE_KEY},
        ),
        "container-script": _seed(
            ContainerScript,
            "A shell script inside the image while PostgreSQL is down; needs a container engine.",
            {"script": Key(shape=_SCRIPT, required=True, description="Run by sh -e, as root.")},
        ),
    }
)

#: The seeds of an instance by name, in the order of declaration: a tuple of ``Seed``.
SEEDS: Final = Named(
    name=Text(parse=SeedName, pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
    shape=_KINDS,
    make=lambda name, seed: seed(name=name),
    build=lambda seeds: tuple(seeds.values()),
)
