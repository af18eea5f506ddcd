"""The syntax of connection URLs: text to libpq keywords and back. What the keywords mean is said in ``conninfo``.

Read and written as in the PostgreSQL manual, 34.1.1.2 "Connection URIs", on the grammar of RFC 3986, but strictly:
whatever libpq would resolve silently (the same thing given twice, a fragment) is refused. A URL holds a password, and a
mistyped one anywhere, so that no error shows a part of it beyond a keyword or a host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote_to_bytes

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.postgres.names import host_address

#: The keywords a URL may carry; those of its authority and path come first.
KEYWORDS = (
    "user",
    "password",
    "host",
    "port",
    "dbname",
    "hostaddr",
    "channel_binding",
    "application_name",
    "sslmode",
    "sslrootcert",
)
SCHEMES = ("postgres", "postgresql")

_URL = r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(\?(?P<query>[^#]*))?(?P<fragment>#.*)?"
_BRACKETED = r"\[(?P<host>[^\]]*)\](:(?P<port>.*))?"
_SPACE_OR_CONTROL = r"[\x00-\x20\x7f]"
_BROKEN_ESCAPE = r"%(?![0-9A-Fa-f]{2})"
_KEYWORD_LIKE = r"[a-z_]{1,40}"

#: What is before a password that was written here, and the password, in which every "@", ":" and "/" is encoded.
_HIDDEN = r"^(?P<before>[a-z]+://[^:@/]*:)[^@/]*(?=@)"

_ESCAPE_HINT = "percent-encode '@', ':', '/', '?', '#' and '%' where they belong to a user, password or database"


class ConnectionUrl(str):
    """A URL with its password, for which ``repr`` shows ``***``, and so do debuggers and pytest's reports."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(re.sub(_HIDDEN, r"\g<before>***", self))


def read(text: str) -> dict[str, str]:
    """Take a URL apart into libpq keywords, decoded; those absent from the URL are absent here.

    Raises ``InvalidValue`` of kind ``invalid-character``, ``wrong-scheme``, ``fragment``, ``invalid-userinfo``,
    ``ip-future``, ``invalid-address``, ``invalid-path``, ``invalid-query``, ``unknown-parameter``, ``duplicate``,
    ``invalid-percent-encoding`` or ``not-utf-8``.
    """
    if re.search(_SPACE_OR_CONTROL, text):
        raise InvalidValue(
            "the connection URL contains a space or control character", kind="invalid-character", hint=_ESCAPE_HINT
        )
    match = re.fullmatch(_URL, text)
    if match is None or match["scheme"] not in SCHEMES:
        raise InvalidValue(
            "the connection URL does not start with postgres:// or postgresql://",
            kind="wrong-scheme",
        )
    if match["fragment"] is not None:
        raise InvalidValue("the connection URL has a fragment, the part after '#'", kind="fragment", hint=_ESCAPE_HINT)
    keywords: dict[str, str] = {}
    parts = (_read_authority(match["authority"]), _read_path(match["path"]), _read_query(match["query"] or ""))
    for keyword, value in (pair for part in parts for pair in part):
        if keyword in keywords:
            raise InvalidValue(
                f"the connection URL gives {keyword} twice", kind="duplicate", hint="keep one of the two"
            )
        keywords[keyword] = _decode(value, keyword)
    return keywords


def write(scheme: str, keywords: Mapping[str, str]) -> ConnectionUrl:
    """A URL of these keywords: user, password, host, port and dbname in their places, the others as its query.

    A host that is a socket directory goes to the query, and so does its port: after ``@`` there is then nothing. Every
    component is percent-encoded. The query keeps the order of the mapping.
    """
    rest = dict(keywords)
    userinfo = quote(rest.pop("user"), safe="")
    if "password" in rest:
        userinfo += ":" + quote(rest.pop("password"), safe="")
    path = quote(rest.pop("dbname"), safe="")
    authority = ""
    if not is_socket(rest["host"]):
        host = rest.pop("host")
        authority = f"[{host}]" if ":" in host else host
        if "port" in rest:
            authority += ":" + rest.pop("port")
    query = "&".join(f"{keyword}={quote(value, safe='')}" for keyword, value in rest.items())
    return ConnectionUrl(f"{scheme}://{userinfo}@{authority}/{path}?{query}")


def is_socket(host: str) -> bool:
    """Whether libpq takes this host for a unix socket: a directory, or ``@name`` in Linux's abstract namespace."""
    return host.startswith(("/", "@"))


def _read_authority(authority: str) -> Iterator[tuple[str, str]]:
    userinfo, at, address = authority.rpartition("@")
    if "@" in userinfo:
        raise InvalidValue(
            "the connection URL has more than one '@' before its path", kind="invalid-userinfo", hint=_ESCAPE_HINT
        )
    if at:
        user, colon, password = userinfo.partition(":")
        if user:
            yield "user", user
        if colon:
            yield "password", password
    yield from _read_address(address)


def _read_address(address: str) -> Iterator[tuple[str, str]]:
    if address.startswith("["):
        match = re.fullmatch(_BRACKETED, address)
        if match is None:
            raise InvalidValue("the brackets of the connection URL's host do not match", kind="invalid-address")
        host, port = match["host"], match["port"] or ""
        if host[:1] in {"v", "V"}:
            raise InvalidValue("the connection URL's host is of a future IP version", kind="ip-future")
        if ":" not in host_address(host):
            raise InvalidValue("only an IPv6 address stands in brackets", kind="invalid-address")
    else:
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
    if host:
        yield "host", host
    if port:
        yield "port", port


def _read_path(path: str) -> Iterator[tuple[str, str]]:
    database = path.removeprefix("/")
    if "/" in database:
        raise InvalidValue(
            "the connection URL's path has more than one part", kind="invalid-path", hint="write '/' in a name as %2F"
        )
    if database:
        yield "dbname", database


def _read_query(query: str) -> Iterator[tuple[str, str]]:
    for parameter in query.split("&") if query else ():
        keyword, equals, value = parameter.partition("=")
        if not equals:
            raise InvalidValue(
                "the connection URL's query has a part without '='", kind="invalid-query", hint=_ESCAPE_HINT
            )
        if keyword not in KEYWORDS:
            shown = f" {keyword!r}" if re.fullmatch(_KEYWORD_LIKE, keyword) else ""
            raise InvalidValue(
                f"the connection URL has an unknown parameter{shown}",
                kind="unknown-parameter",
                hint="known are " + ", ".join(KEYWORDS),
            )
        yield keyword, value


def _decode(value: str, keyword: str) -> str:
    if re.search(_BROKEN_ESCAPE, value):
        raise InvalidValue(
            f"the connection URL's {keyword} has a '%' without two hexadecimal digits",
            kind="invalid-percent-encoding",
            hint=_ESCAPE_HINT,
        )
    try:
        # A plus sign stays one, as with libpq: this is no HTML form.
        return unquote_to_bytes(value).decode()
    except UnicodeError:
        # The original error carries the bytes.
        raise InvalidValue(f"the connection URL's {keyword} is not valid UTF-8", kind="not-utf-8") from None
