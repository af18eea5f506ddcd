"""Rules of texts used everywhere: identifiers, passwords, hosts, ports, environment variables; and how SQL quotes them.

Each function returns the text it was given if it keeps the rule, and raises ``InvalidValue`` if not. Lengths are in
bytes of UTF-8, as PostgreSQL counts. Server parameters have their own module, and so have OCI references.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import string
from collections.abc import Callable

from pg_ephemeral.errors import InvalidValue

#: The databases of a new cluster that take connections (PostgreSQL manual, "Template Databases").
INITIAL_DATABASES = frozenset({"postgres", "template1"})

_IDENTIFIER_BYTES = 63
_PASSWORD_BYTES = 4096
_HOST_NAME_CHARACTERS = 253
_ENVIRONMENT_VALUE_BYTES = 65_535
_LAST_PORT = 65_535
_GENERATED_PASSWORD_CHARACTERS = 32

_ALPHANUMERICS = string.ascii_letters + string.digits
_HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = r"[0-9]{1,5}"


def bounded(text: str, *, what: str, least: int = 0, most: int | None = None) -> str:
    """``text`` if it has ``least`` to ``most`` bytes and no NUL.

    The message speaks of ``what`` and never shows the text, which may be a secret. Kinds: ``empty``, ``too-long``,
    ``nul``, ``not-utf-8``.
    """
    if len(text) < least:
        raise InvalidValue(f"{what} is empty", kind="empty")
    if "\0" in text:
        raise InvalidValue(f"{what} contains a NUL byte", kind="nul")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        # The original error carries the text.
        raise InvalidValue(f"{what} is not valid UTF-8", kind="not-utf-8") from None
    if most is not None and size > most:
        raise InvalidValue(f"{what} has {size} bytes, and {most} are the most allowed", kind="too-long")
    return text


def identifier(text: str, *, what: str = "identifier") -> str:
    """A name of a database, role, schema, table or column: 1 to 63 bytes without NUL, used as it is written.

    PostgreSQL manual, 4.1.1 "Identifiers and Key Words". Kinds: those of ``bounded``.
    """
    return bounded(text, what=what, least=1, most=_IDENTIFIER_BYTES)


def role_name(text: str, *, what: str = "role") -> str:
    """The name of a role: an identifier that PostgreSQL does not keep for itself.

    PostgreSQL manual, CREATE ROLE. Kinds: ``reserved`` and those of ``bounded``.
    """
    if identifier(text, what=what).startswith("pg_") or text in ("public", "none"):
        raise InvalidValue(
            f"{what} {text!r} is a name that PostgreSQL keeps for itself",
            kind="reserved",
            hint="names of roles that begin with pg_ are its own, and so are public and none",
        )
    return text


def application_name(text: str) -> str:
    """The ``application_name`` of a connection: 1 to 63 bytes without NUL. Kinds: those of ``bounded``."""
    return bounded(text, what="application name", least=1, most=_IDENTIFIER_BYTES)


def password(text: str) -> str:
    """A password of at most 4096 bytes without NUL; it may be empty. Kinds: those of ``bounded``."""
    return bounded(text, what="password", most=_PASSWORD_BYTES)


def host_name(text: str) -> str:
    """A DNS name of at most 253 characters: labels of 1 to 63 letters, digits and inner dashes (RFC 1123, 2.1).

    Kinds: ``invalid-label`` and those of ``bounded``.
    """
    bounded(text, what="host name", least=1, most=_HOST_NAME_CHARACTERS)
    for label in text.split("."):
        if not re.fullmatch(_HOST_LABEL, label):
            raise InvalidValue(
                f"host name {text!r} has the label {label!r}",
                kind="invalid-label",
                hint="between its dots a host name has 1 to 63 letters, digits and inner dashes",
            )
    return text


def host_address(text: str) -> str:
    """An IPv4 or IPv6 address without a zone. Kind: ``invalid-address``."""
    if not _is_address(text):
        raise InvalidValue(
            f"{text!r} is not an IP address",
            kind="invalid-address",
            hint="write it like 127.0.0.1 or ::1; a name is no address",
        )
    return text


def host(text: str) -> str:
    """An IP address, otherwise a host name. Kinds: those of ``host_name``."""
    return text if _is_address(text) else host_name(text)


def port(number: int) -> int:
    """A TCP port, 0 to 65535. Kind: ``invalid-port``."""
    if not 0 <= number <= _LAST_PORT:
        raise _not_a_port()
    return number


def parse_port(text: str) -> int:
    """The port written in ``text`` in decimal digits with nothing around them. Kind: ``invalid-port``."""
    if not re.fullmatch(_PORT, text):
        raise _not_a_port()
    return port(int(text))


def environment_name(text: str) -> str:
    """The name of an environment variable: not empty, without ``=`` and NUL (environ(7)).

    Kinds: ``empty``, ``nul``, ``not-utf-8``, ``invalid-character``.
    """
    bounded(text, what="environment variable name", least=1)
    if "=" in text:
        raise InvalidValue(f"environment variable name {text!r} must not contain '='", kind="invalid-character")
    return text


def environment_value(text: str) -> str:
    """The value of an environment variable: at most 65535 bytes without NUL. Kinds: those of ``bounded``."""
    return bounded(text, what="environment variable value", most=_ENVIRONMENT_VALUE_BYTES)


def quote_identifier(text: str) -> str:
    """``text`` as a quoted identifier of SQL, case kept. Kinds: those of ``identifier``."""
    return '"' + identifier(text).replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """``text`` as a string constant of SQL; one with a backslash is written as ``E'…'``.

    That reads the same whether ``standard_conforming_strings`` is on or off, as with the server's own
    ``quote_literal``. Kinds: ``nul``, ``not-utf-8``.
    """
    quoted = "'" + bounded(text, what="string constant").replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


def random_password(*, choose: Callable[[str], str] = secrets.choice) -> str:
    """A fresh password of 32 letters and digits (190 bits). ``choose`` picks one character of a text."""
    return "".join(choose(_ALPHANUMERICS) for _ in range(_GENERATED_PASSWORD_CHARACTERS))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _not_a_port() -> InvalidValue:
    # What stands in a port's place may be a password with an unescaped character: it is not shown.
    return InvalidValue(f"the port is not a number from 0 to {_LAST_PORT}", kind="invalid-port")
