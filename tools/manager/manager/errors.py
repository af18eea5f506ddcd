"""What a check can end in, each with its own exit code, so that a CI log tells them apart.

::

    ManagerError
    ├── BinaryMissing      10   there is no pg-ephemeral to check
    ├── ScratchFailed      11   the scratch directory cannot be made, written or removed
    ├── SubprocessFailed   12   pg-ephemeral cannot be started, fails, or does not end
    ├── UnexpectedShape    13   what it printed is not JSON, or not of the shape we know
    ├── StatusMismatch     14   a stage is not where it should be: a hit, a miss, pushed, pulled
    └── RowsMismatch       15   the database does not hold the rows, or holds rows made anew

Usage errors are click's (2); an interrupt is 128 and the signal's number.
"""

from __future__ import annotations


class ManagerError(Exception):
    """Base of every failure. Its text is one line; ``detail`` holds further lines, for under it."""

    exit_code: int = 1

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class BinaryMissing(ManagerError):
    """There is no ``pg-ephemeral`` on PATH, nor where we were told to look."""

    exit_code = 10


class ScratchFailed(ManagerError):
    """The scratch directory cannot be made, written or removed."""

    exit_code = 11


class SubprocessFailed(ManagerError):
    """``pg-ephemeral`` could not be started, ended with a failure, or did not end in time."""

    exit_code = 12


class UnexpectedShape(ManagerError):
    """``pg-ephemeral`` printed something that is not JSON, or JSON of another shape."""

    exit_code = 13


class StatusMismatch(ManagerError):
    """A stage is not where it should be at this step."""

    exit_code = 14


class RowsMismatch(ManagerError):
    """A booted server does not hold the rows that the seeds made, or holds rows that were made anew."""

    exit_code = 15
