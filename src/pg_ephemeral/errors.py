"""The error tree: every failure a caller can meet, its exit code and its hint.

::

    PgEphemeralError                  1   anything this package raises on purpose
    ├── InvalidValue                 64   a name, parameter, reference or URL that breaks its grammar
    ├── ConfigError                  78   database.toml is missing, unreadable or wrong
    ├── DefinitionError              78   a definition that contradicts itself (duplicate seed, reserved parameter)
    ├── SeedError                         names the seed
    │   ├── SeedLoadError            66   its inputs cannot be read (file, git revision, key command)
    │   └── SeedFailed               65   applying it failed
    ├── BackendError                 69   no backend fits, or this one cannot do what was asked
    │   ├── BaseMoved                69   the base is another than it seemed when the keys were made of it
    │   └── PostgresNotFound         69   no PostgreSQL installation fits
    ├── ServerError                  71   a server did not start, or died
    ├── ClientError                  69   the server refused a connection or a statement of ours
    ├── CacheError                   74   the stage store cannot be read or written
    │   ├── StageGone                74   a stage was removed by somebody else between our look and our use
    │   └── RegistryError            76   a registry said no, is not to be had, or sent what it should not have
    └── ProcessError                 71   a program could not be started, or failed

    KeyboardInterrupt
    └── Interrupted             128 + n   signal n ended the run; no failure, so that nothing that tries again sees it

The numbers follow sysexits(3). Usage errors of the command line are click's (2). A wrapped program's own exit code
is passed through and is no error of ours. Absence is ``None`` or ``False``, never one of these.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BaseMoved",
    "CacheError",
    "ClientError",
    "ConfigError",
    "DefinitionError",
    "Interrupted",
    "InvalidValue",
    "PgEphemeralError",
    "PostgresNotFound",
    "ProcessError",
    "RegistryError",
    "SeedError",
    "SeedFailed",
    "SeedLoadError",
    "ServerError",
    "StageGone",
]


class PgEphemeralError(Exception):
    """Base of every error raised on purpose.

    ``message`` is one line that names the thing at fault (file, line, seed, reference). ``hint``, when there is one,
    is what to do about it. ``exit_code`` is the status the command line ends with. ``detail`` holds further lines
    (a server's last log lines, a statement) that belong under the message.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None, detail: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return self.message


class InvalidValue(PgEphemeralError, ValueError):
    """A text that does not fit the grammar of its type. ``kind`` is a short stable word for the rule it broke."""

    exit_code = 64

    def __init__(self, message: str, *, kind: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


class ConfigError(PgEphemeralError):
    """The configuration file is missing, unreadable, or says something it must not."""

    exit_code = 78


class DefinitionError(PgEphemeralError):
    """A definition that contradicts itself: a duplicate seed, a parameter that is reserved."""

    exit_code = 78


class SeedError(PgEphemeralError):
    """Something is wrong with one seed; ``seed`` is its name."""

    def __init__(self, message: str, *, seed: str, hint: str | None = None, detail: str | None = None) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.seed = seed


class SeedLoadError(SeedError):
    """A seed's inputs cannot be read: its file, its git revision, its key command."""

    exit_code = 66


class SeedFailed(SeedError):
    """A seed was applied and failed: the server, or the program it runs, said no."""

    exit_code = 65


class BackendError(PgEphemeralError):
    """No backend fits, or the chosen one cannot do what was asked."""

    exit_code = 69


class BaseMoved(BackendError):
    """The base is another than it seemed when the keys were made of it; opening the cache again settles it."""


class PostgresNotFound(BackendError):
    """No PostgreSQL installation fits; the message lists what was found."""


class ServerError(PgEphemeralError):
    """A server did not start, did not answer in time, or died. ``detail`` holds its last log lines."""

    exit_code = 71


class ClientError(PgEphemeralError):
    """The server refused a connection or one of our own statements. ``sqlstate`` is its five-character code."""

    exit_code = 69

    def __init__(
        self, message: str, *, sqlstate: str | None = None, hint: str | None = None, detail: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.sqlstate = sqlstate


class CacheError(PgEphemeralError):
    """The stage store cannot be read or written: permissions, a full disk, a damaged entry."""

    exit_code = 74


class StageGone(CacheError):
    """A stage was removed by somebody else between our look and our use; looking again settles it."""


class RegistryError(CacheError):
    """A registry said no, cannot be had, or sent what it should not have; also: an image that is damaged where it is.

    ``state`` is the word for it, of ``oci.state.State``. ``retry_after`` is the number of seconds after which the
    registry would like to be asked again, when it says so.
    """

    exit_code = 76

    def __init__(
        self,
        message: str,
        *,
        state: str,
        retry_after: float | None = None,
        hint: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.state = state
        self.retry_after = retry_after


class ProcessError(PgEphemeralError):
    """A program could not be started, or ended with a failure. ``status`` is its exit status, when it ran at all."""

    exit_code = 71

    def __init__(
        self, message: str, *, status: int | None = None, hint: str | None = None, detail: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.status = status


class Interrupted(KeyboardInterrupt):
    """A signal asked us to end: for those who handle interrupts, and for nobody who handles failures.

    ``signum`` is its number; the exit code is 128 more, as shells report it. ``message``, ``hint`` and ``detail`` are
    as those of a ``PgEphemeralError``.
    """

    hint: str | None = None
    detail: str | None = None

    def __init__(self, signum: int, name: str) -> None:
        message = f"interrupted by {name}"
        super().__init__(message)
        self.message = message
        self.signum = signum
        self.exit_code = 128 + signum
