"""Server parameters: the grammar of names and values, which of them are ours alone, and the test profile.

A *parameter* is what PostgreSQL's manual calls a configuration parameter or setting (chapter 19). Nothing here asks a
server: whether a parameter exists and takes a value is the server's to say. Names compare without regard to case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from pg_ephemeral.errors import DefinitionError, InvalidValue
from pg_ephemeral.postgres.names import bounded

_VALUE_BYTES = 4096
_FIRST_CHARACTER = re.compile(r"[A-Za-z_]")
_WRONG_CHARACTER = re.compile(r"[^A-Za-z0-9_.]")


def parameter_name(text: str) -> str:
    """``text`` if it is a letter or underscore, then letters, digits, underscores and dots.

    Raises ``InvalidValue`` of kind ``empty``, ``invalid-first-character`` or ``invalid-character``.
    """
    if not text:
        raise InvalidValue("the parameter name is empty", kind="empty")
    if not _FIRST_CHARACTER.match(text):
        raise InvalidValue(
            f"parameter name {text!r} starts with {text[0]!r}",
            kind="invalid-first-character",
            hint="the first character is a letter or an underscore",
        )
    wrong = _WRONG_CHARACTER.search(text)
    if wrong:
        raise InvalidValue(
            f"parameter name {text!r} must not contain {wrong[0]!r}",
            kind="invalid-character",
            hint="use letters, digits, underscores and dots",
        )
    return text


def parameter_value(text: str, *, name: str = "a parameter") -> str:
    """``text`` if it has at most 4096 bytes and no NUL; it may be empty. ``name`` is for the message.

    Raises ``InvalidValue`` of kind ``too-long``, ``nul`` or ``not-utf-8``.
    """
    return bounded(text, what=f"the value of {name}", most=_VALUE_BYTES)


def value_text(value: object, *, name: str = "a parameter") -> str:
    """A string, integer, float or boolean of TOML as the text PostgreSQL reads: true is ``on``, false is ``off``.

    Raises ``InvalidValue`` of kind ``invalid-type`` for anything else, infinity and NaN included, and of those of
    ``parameter_value``.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return parameter_value(value, name=name)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return parameter_value(repr(value), name=name)
    raise InvalidValue(
        f"{name} cannot have the value {value!r}",
        kind="invalid-type",
        hint="give it a string, a finite number, true or false",
    )


def parse_assignment(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``, split at the first ``=``.

    Raises ``InvalidValue`` of kind ``missing-equals-sign``, and of those of ``parameter_name`` and ``parameter_value``.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidValue(
            f"{text!r} is no assignment: NAME=VALUE is expected", kind="missing-equals-sign", hint="as in work_mem=16MB"
        )
    return parameter_name(name), parameter_value(value, name=name)


class Reservation(Struct, frozen=True, kw_only=True):
    """Why a parameter is not the user's to set, and what to do instead."""

    reason: str
    hint: str


_PLACE = Reservation(
    reason="where a server keeps its files is chosen anew at each start",
    hint="remove it; to change access rules, edit the file from a seed that runs inside the server",
)
_ADDRESS = Reservation(
    reason="every server gets an address of its own, which clients are told",
    hint="remove it; clients find the address in DATABASE_URL and the PG* variables",
)
_LOG = Reservation(
    reason="the server's log is read from its standard error, to show why it failed",
    hint="remove it; log_statement, log_min_messages and log_line_prefix are free to set",
)
_CERTIFICATE = Reservation(
    reason="TLS is enabled, and its throwaway certificate is made at each start",
    hint="remove it, or turn off TLS in the definition and bring your own certificate",
)

#: Parameters no definition may set. Those of a file's place, an address or the log would make a server we cannot
#: reach, stop or explain; everything else, harmful as it may be, the server itself refuses or the user means.
RESERVED: Final[Mapping[str, Reservation]] = MappingProxyType(
    {
        "config_file": _PLACE,
        "data_directory": _PLACE,
        "external_pid_file": _PLACE,
        "hba_file": _PLACE,
        "ident_file": _PLACE,
        "listen_addresses": _ADDRESS,
        "log_destination": _LOG,
        "log_directory": _LOG,
        "log_filename": _LOG,
        "logging_collector": _LOG,
        "port": _ADDRESS,
        "unix_socket_directories": _ADDRESS,
        "unix_socket_group": _ADDRESS,
        "unix_socket_permissions": _ADDRESS,
    }
)

#: Parameters a definition with TLS may not set, beside ``RESERVED``.
RESERVED_BY_TLS: Final[Mapping[str, Reservation]] = MappingProxyType(
    {
        "ssl": _CERTIFICATE,
        "ssl_ca_file": _CERTIFICATE,
        "ssl_cert_file": _CERTIFICATE,
        "ssl_key_file": _CERTIFICATE,
    }
)

#: What a server starts with unless told otherwise: nothing here must survive a power cut. Every one is known to
#: PostgreSQL 13 to 18. Autovacuum stays on, since without it plans and table sizes drift from production's.
TEST_PROFILE: Final[Mapping[str, str]] = MappingProxyType(
    {
        # No write waits for the disk: only a crash of the machine could lose it, and the data is then made again.
        "fsync": "off",
        # A commit does not wait for its log record to be written.
        "synchronous_commit": "off",
        # No page images in the log: they repair pages torn by a power cut.
        "full_page_writes": "off",
        # The log holds what crash recovery needs and no more; bulk loads into new tables bypass it.
        "wal_level": "minimal",
        # Required by wal_level=minimal: without streaming there is nothing to send.
        "max_wal_senders": "0",
        # New log segments are not filled with zeros, which only guards against a full disk later on.
        "wal_init_zero": "off",
        # Old log segments are deleted and not kept for reuse: a data directory that is copied has no use for them.
        "wal_recycle": "off",
        # No checkpoint by the clock in the middle of a test run; those by volume, on request and at the stop remain.
        "checkpoint_timeout": "1h",
    }
)

#: What in the profile gives way as soon as the user wants more in the log than crash recovery needs.
_MINIMAL_LOG = ("wal_level", "max_wal_senders")


def check(parameters: Mapping[str, str], *, tls: bool) -> None:
    """Refuse what would break the server's management, and the same parameter under two spellings.

    Raises ``DefinitionError`` naming the parameter, the reason and what to do; ``InvalidValue`` for a malformed name or
    value.
    """
    reserved = {**RESERVED, **RESERVED_BY_TLS} if tls else RESERVED
    spellings: dict[str, str] = {}
    for name, value in parameters.items():
        folded = parameter_name(name).lower()
        parameter_value(value, name=name)
        if folded in reserved:
            reservation = reserved[folded]
            raise DefinitionError(f"parameter {name!r} is reserved: {reservation.reason}", hint=reservation.hint)
        if folded in spellings:
            raise DefinitionError(
                f"parameter {name!r} is also given as {spellings[folded]!r}",
                hint="PostgreSQL ignores the case of parameter names; keep one of the two",
            )
        spellings[folded] = name


def merge(*layers: Mapping[str, str]) -> dict[str, str]:
    """The parameters of all ``layers``; of a name in several the last, whatever its case: PostgreSQL ignores it."""
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        merged |= {name.lower(): (name, value) for name, value in layer.items()}
    return dict(merged.values())


def effective(user: Mapping[str, str], *, test_profile: bool) -> dict[str, str]:
    """What the server is started with: ``user``'s values over those of the test profile, if that is on.

    Where the user asks for replication, archiving or summaries, the profile says nothing about the log's level and
    senders, and the server's defaults hold. Names come in lower case and in order.
    """
    chosen = {name.lower(): value for name, value in user.items()}
    profile = dict(TEST_PROFILE) if test_profile else {}
    if _wants_full_log(chosen):
        for name in _MINIMAL_LOG:
            profile.pop(name, None)
    return dict(sorted((profile | chosen).items()))


def _wants_full_log(chosen: Mapping[str, str]) -> bool:
    """Whether PostgreSQL would refuse to start with these values and a minimal log."""
    return (
        chosen.get("wal_level", "minimal").strip().lower() != "minimal"
        or chosen.get("max_wal_senders", "0").strip() != "0"
        or not _is_off(chosen.get("archive_mode", "off"))
        or not _is_off(chosen.get("summarize_wal", "off"))
    )


def _is_off(value: str) -> bool:
    """Whether PostgreSQL reads ``value`` as false: any of its words for it may be cut short (manual, 19.1.1)."""
    folded = value.strip().lower()
    return bool(folded) and (folded in {"0", "of", "off"} or "false".startswith(folded) or "no".startswith(folded))
