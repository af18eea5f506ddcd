"""What a user reads: data on stdout, everything else on stderr. The only module that writes to either.

Programs that we start write to their own descriptors; they are not our output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from pg_ephemeral.errors import PgEphemeralError

_RED = "1;31"
_CYAN = "36"
_DIM = "2"


def data(content: bytes) -> None:
    """Write bytes to stdout. Raises ``BrokenPipeError``, and ``PgEphemeralError`` when it cannot take them."""
    if sys.stdout is None:
        raise PgEphemeralError("stdout is closed")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_stdout()
        raise PgEphemeralError(f"cannot write to stdout: {error.strerror or error}") from error


def text(content: str) -> None:
    """Write text to stdout, with one newline after it."""
    data(f"{content}\n".encode(errors="surrogateescape"))


def document(value: object) -> None:
    """Write a JSON document to stdout, indented by two."""
    import json

    text(json.dumps(value, indent=2))


def table(rows: Sequence[Sequence[str]]) -> None:
    """Write rows as columns to stdout, without borders; every cell has one space before it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        text("".join(f" {cell:<{width}} " for cell, width in zip(row, widths, strict=True)).rstrip())


def failure(message: str, *, detail: str | None = None, hint: str | None = None) -> None:
    """Write an error to stderr: its line, what belongs under it, and a hint."""
    lines = message.splitlines() or [""]
    diagnostic(f"{styled('error:', _RED)} {lines[0]}")
    diagnostic(*(f"  {line}" for line in (*lines[1:], *(detail or "").splitlines())))
    if hint:
        diagnostic(f"{styled('hint:', _CYAN)} {hint}")


def progress(line: str) -> None:
    """Write a line about long work to stderr."""
    diagnostic(styled(line, _DIM))


def diagnostic(*lines: str) -> None:
    """Write lines to stderr, if there is one that takes them."""
    to_stderr("".join(f"{line}\n" for line in lines))


def to_stderr(content: str) -> None:
    """Write to stderr as it stands: in one piece, for other programs write there too."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(content)
        sys.stderr.flush()
    except (OSError, ValueError):
        # It does not take anything any more. What it still holds would make the interpreter's last flush fail, and
        # with it our exit code.
        sys.stderr = None


def on_terminal() -> bool:
    """Whether stderr is a terminal that understands control sequences."""
    try:
        return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:
        return False


def terminal_size() -> os.terminal_size:
    """Columns and rows of the terminal on stderr."""
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        import shutil

        return shutil.get_terminal_size()


def styled(content: str, style: str) -> str:
    """The text in a colour on a terminal, unless ``NO_COLOR`` is set (https://no-color.org)."""
    if not on_terminal() or os.environ.get("NO_COLOR"):
        return content
    return f"\x1b[{style}m{content}\x1b[0m"


def counted(parts: Iterable[tuple[int, str]]) -> str:
    """``2 built, 3 reused``: the parts that are not zero."""
    return ", ".join(f"{number} {what}" for number, what in parts if number)


def size(count: int) -> str:
    """Bytes for people: ``812 B``, ``3.5 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def duration(seconds: float) -> str:
    """``0.21 s``, ``12.3 s``, ``2 min 05 s``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def forget_stdout() -> None:
    """Point our stdout elsewhere, so that the interpreter's last flush does not complain as well."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
