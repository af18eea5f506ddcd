"""Connection URLs read: what is understood, what is refused and why, and that no error shows a password."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.postgres.conninfo import ChannelBinding, Conninfo, NetworkEndpoint, SocketEndpoint, SslMode

CLOUD_SQL = SocketEndpoint(socket_path="/cloudsql/project:region:instance")


def conninfo(endpoint, **changes) -> Conninfo:
    return Conninfo(endpoint=endpoint, **{"user": "u", "database": "d", "sslmode": SslMode.VERIFY_FULL, **changes})


def network(host="h", port=None, *, host_addr=None, channel_binding=None, **changes) -> Conninfo:
    endpoint = NetworkEndpoint(host=host, port=port, host_addr=host_addr, channel_binding=channel_binding)
    return conninfo(endpoint, **changes)


def socket(path, port=None, **changes) -> Conninfo:
    return conninfo(SocketEndpoint(socket_path=path, port=port), **changes)


GOOD = [
    ("postgres://u@h/d", network()),
    ("postgresql://u@h/d", network()),
    ("postgres://u@h:5433/d", network(port=5433)),
    ("postgres://u@h:/d?", network()),
    ("postgres://u:pw@h/d", network(password="pw")),
    ("postgres://u:p%40w%2F%25%3A%23%3F@h/d", network(password="p@w/%:#?")),
    ("postgres://u:a:b+c@h/d", network(password="a:b+c")),
    ("postgres://%C3%BC%20x@h/my%2Fdb", network(user="ü x", database="my/db")),
    ("postgres://u@h/d?password=pw", network(password="pw")),
    ("postgres://u@h/d?hostaddr=127.0.0.1", network(host_addr="127.0.0.1")),
    ("postgres://u@h/d?hostaddr=%3A%3A1", network(host_addr="::1")),
    ("postgres://u@h/d?channel_binding=require", network(channel_binding=ChannelBinding.REQUIRE)),
    ("postgres://u@h/d?application_name=my%20app+1", network(application_name="my app+1")),
    *((f"postgres://u@h/d?sslmode={mode.value}", network(sslmode=mode)) for mode in SslMode),
    ("postgres://u@h/d?sslmode=require&sslrootcert=%2Fca.pem", network(sslmode=SslMode.REQUIRE, sslrootcert="/ca.pem")),
    ("postgres://u@h/d?sslrootcert=system", network(sslrootcert="system")),
    ("postgres://u@127.0.0.1:1/d", network("127.0.0.1", 1)),
    ("postgres://u@[::1]:1/d", network("::1", 1)),
    ("postgres://u@[2001:db8::1]/d", network("2001:db8::1")),
    ("postgres://u@/d?host=h&port=1", network(port=1)),
    ("postgres://?user=u&password=pw&host=h&port=1&dbname=d", network(port=1, password="pw")),
    ("postgres:///d?user=u&host=h", network()),
    ("postgres://h?user=u&dbname=d", network()),
    ("postgres://?host=%2Frun%2Fpg&dbname=d&user=u&sslmode=disable", socket("/run/pg", sslmode=SslMode.DISABLE)),
    ("postgresql://u:pw@/d?host=/run/pg", socket("/run/pg", password="pw")),
    ("postgresql://u@/d?host=%2Frun%2Fpg&port=5433", socket("/run/pg", 5433)),
    ("postgresql://u@:5433/d?host=%2Frun%2Fpg", socket("/run/pg", 5433)),
    ("postgresql://u:pw@%2Frun%2Fpg:5433/d", socket("/run/pg", 5433, password="pw")),
    ("postgresql://u@/d?host=%40name", socket("@name")),
    ("postgresql://u@%40name/d", socket("@name")),
    ("postgresql://u@/d?host=/cloudsql/project:region:instance", conninfo(CLOUD_SQL)),
    ("postgresql://?user=u&dbname=d&host=%2Fcloudsql%2Fproject%3Aregion%3Ainstance", conninfo(CLOUD_SQL)),
    ("postgresql://u:pw@%2Fcloudsql%2Fproject%3Aregion%3Ainstance/d", conninfo(CLOUD_SQL, password="pw")),
]


# acceptance: 197
@pytest.mark.parametrize(("text", "expected"), GOOD, ids=[text for text, _ in GOOD])
def test_read(text, expected):
    value = Conninfo.parse_url(text)
    assert value == expected
    assert Conninfo.parse_url(value.url) == value


@pytest.mark.parametrize("text", [text for text, _ in GOOD])
def test_libpq_reads_the_same(text):
    assert {"sslmode": "verify-full"} | conninfo_to_dict(text) == Conninfo.parse_url(text).keywords()


CLOUD_URL = "postgresql://u@%2Fcloudsql%2Fproject%3Aregion%3Ainstance/d"

BAD = [
    ("", "wrong-scheme"),
    ("mysql://u@h/d", "wrong-scheme"),
    ("POSTGRES://u@h/d", "wrong-scheme"),
    ("postgres:/u@h/d", "wrong-scheme"),
    ("host=h user=u dbname=d", "invalid-character"),
    ("postgres://u@h/d\n", "invalid-character"),
    ("postgres://h/d", "missing-user"),
    ("postgres://:pw@h/d", "missing-user"),
    ("postgres://u@h", "missing-database"),
    ("postgres://u@h/", "missing-database"),
    ("postgres://u@/d", "missing-host"),
    ("postgres://u@:5432/d", "missing-host"),
    ("postgres://u@h/d?user=", "duplicate"),
    ("postgres://?user=&dbname=d&host=h", "empty"),
    ("postgres://u@/d?host=", "empty"),
    ("postgres://u@h/d?host=h", "duplicate"),
    ("postgres://u@h/d?user=u", "duplicate"),
    ("postgres://u:pw@h/d?password=pw", "duplicate"),
    ("postgres://u@h/d?dbname=d", "duplicate"),
    ("postgres://u@h:1/d?port=1", "duplicate"),
    ("postgres://u@h/d?sslmode=require&sslmode=require", "duplicate"),
    ("postgres://u@h/d?sslmode=on", "invalid-sslmode"),
    ("postgres://u@h/d?sslmode=", "invalid-sslmode"),
    ("postgres://u@h/d?channel_binding=yes", "invalid-channel-binding"),
    ("postgres://u@h/d?hostaddr=localhost", "invalid-address"),
    ("postgres://u@h/d?sslmode=require&sslrootcert=system", "contradiction"),
    ("postgres://u@h/d?sslrootcert=", "empty"),
    ("postgres://u@h/d?application_name=", "empty"),
    ("postgres://u@[v1.fe80::a]/d", "ip-future"),
    ("postgres://u@[::1/d", "invalid-address"),
    ("postgres://u@[::1]x/d", "invalid-address"),
    ("postgres://u@[127.0.0.1]/d", "invalid-address"),
    ("postgres://u@[fe80::1%25eth0]/d", "invalid-address"),
    ("postgres://u@::1/d", "invalid-label"),
    ("postgres://u@a,b/d", "invalid-label"),
    ("postgres://u@h:http/d", "invalid-port"),
    ("postgres://u@h:65536/d", "invalid-port"),
    ("postgres://u@v@h/d", "invalid-userinfo"),
    ("postgres://u@h/d/e", "invalid-path"),
    ("postgres://u@h/d?connect_timeout=10", "unknown-parameter"),
    ("postgres://u@h/d?SSLMODE=require", "unknown-parameter"),
    ("postgres://u@h/d?sslmode", "invalid-query"),
    ("postgres://u@h/d?sslmode=require&", "invalid-query"),
    ("postgres://u@h/d#", "fragment"),
    ("postgres://u@h/d?sslmode=require#x", "fragment"),
    ("postgres://u:100%@h/d", "invalid-percent-encoding"),
    ("postgres://u:%4@h/d", "invalid-percent-encoding"),
    ("postgres://u:%FF@h/d", "not-utf-8"),
    ("postgres://u:a%00@h/d", "nul"),
    ("postgres://u:\udc80@h/d", "not-utf-8"),
    ("postgresql://?host=/run/pg&dbname=d", "missing-user"),
    ("postgresql://?host=/run/pg&user=u", "missing-database"),
    ("postgresql://u@/d?host=/run/pg&channel_binding=require", "contradiction"),
    ("postgresql://u@/d?host=/run/pg&hostaddr=127.0.0.1", "contradiction"),
    ("postgresql://u@/d?host=%40", "invalid-socket-path"),
    ("postgresql://u@/d?host=/a,/b", "invalid-socket-path"),
    (CLOUD_URL + "?host=h", "duplicate"),
    (CLOUD_URL + "?host=/cloudsql/project:region:instance", "duplicate"),
    (CLOUD_URL + "?hostaddr=127.0.0.1", "contradiction"),
    (CLOUD_URL + "?user=u", "duplicate"),
    (CLOUD_URL + "?dbname=d", "duplicate"),
    ("postgresql://u@%2Fcloudsql%2Fproject:region:instance/d", "invalid-port"),
]


# acceptance: 198
@pytest.mark.parametrize(("text", "kind"), BAD, ids=[ascii(text) for text, _ in BAD])
def test_refused(text, kind):
    with pytest.raises(InvalidValue) as caught:
        Conninfo.parse_url(text)
    assert caught.value.kind == kind
    assert caught.value.message


def test_an_unknown_parameter_is_named():
    with pytest.raises(InvalidValue, match="unknown parameter 'connect_timeout'"):
        Conninfo.parse_url("postgres://u@h/d?connect_timeout=10")


@pytest.mark.parametrize(
    "password", ["hunter2", "p#hunter2", "p?hunter2", "p/hunter2", "p@hunter2", "%hunter2", "7?hunter2"]
)
@pytest.mark.parametrize("host", ["h", "h_h", "[v1.x]"])
@pytest.mark.parametrize("query", ["sslmode=maybe", "x=y", "sslmode"])
def test_errors_do_not_show_the_password(password, host, query):
    with pytest.raises(InvalidValue) as caught:
        Conninfo.parse_url(f"postgres://u:{password}@{host}/d?{query}")
    error: BaseException | None = caught.value
    assert isinstance(error, InvalidValue)
    assert "hunter2" not in f"{error.message} {error.hint}"
    assert error.__cause__ is None


@given(st.text(max_size=40) | st.text("postgresql:/@?&=%[]# ab2F", max_size=30).map("postgres://u@".__add__))
def test_any_text_is_read_or_refused(text):
    try:
        value = Conninfo.parse_url(text)
    except InvalidValue:
        return
    assert Conninfo.parse_url(value.url) == value


# fault: W63
def test_a_common_parser_finds_the_parts_of_a_socket_url():
    value = socket("/run/my pg", 5433, user="ü@", database="a/b", password="p:w", sslmode=SslMode.DISABLE)
    parts = urlsplit(value.url)
    assert (parts.scheme, parts.hostname, parts.port) == ("postgresql", None, None)
    assert unquote(parts.username or "") == "ü@"
    assert unquote(parts.password or "") == "p:w"
    assert unquote(parts.path) == "/a/b"
    assert parse_qs(parts.query) == {"host": ["/run/my pg"], "port": ["5433"], "sslmode": ["disable"]}
