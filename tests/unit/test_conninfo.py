"""A connection in libpq's environment, as keywords, as URL and as JSON."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.postgres.conninfo import ChannelBinding, Conninfo, NetworkEndpoint, SocketEndpoint, SslMode

NETWORK = NetworkEndpoint(host="db.example.com", port=5433)
SOCKET = SocketEndpoint(socket_path="/var/run/postgresql")
FULL_NETWORK = NetworkEndpoint(
    host="db.example.com", port=5433, host_addr="127.0.0.1", channel_binding=ChannelBinding.REQUIRE
)


def conninfo(endpoint=NETWORK, **changes) -> Conninfo:
    given = {"user": "ann", "database": "shop", "sslmode": SslMode.VERIFY_FULL, **changes}
    return Conninfo(endpoint=endpoint, **given)


FULL = conninfo(FULL_NETWORK, password="s3cr:t/", application_name="my app", sslrootcert="/some.pem")


# acceptance: 189
@pytest.mark.parametrize(
    ("value", "document"),
    [
        pytest.param(
            conninfo(NetworkEndpoint(host="127.0.0.1", port=34557), sslmode=SslMode.DISABLE, password="pw"),
            {
                "database": "shop",
                "endpoint": {"host": "127.0.0.1", "port": 34557},
                "password": "pw",
                "ssl_mode": "disable",
                "user": "ann",
                "url": "postgres://ann:pw@127.0.0.1:34557/shop?sslmode=disable",
            },
            id="with a port and a password",
        ),
        pytest.param(
            conninfo(NetworkEndpoint(host="db")),
            {
                "database": "shop",
                "endpoint": {"host": "db"},
                "ssl_mode": "verify-full",
                "user": "ann",
                "url": "postgres://ann@db/shop?sslmode=verify-full",
            },
            id="without any optional part",
        ),
        pytest.param(
            FULL,
            {
                "application_name": "my app",
                "database": "shop",
                "endpoint": {
                    "host": "db.example.com",
                    "channel_binding": "require",
                    "host_addr": "127.0.0.1",
                    "port": 5433,
                },
                "password": "s3cr:t/",
                "ssl_mode": "verify-full",
                "ssl_root_cert": {"file": "/some.pem"},
                "user": "ann",
                "url": "postgres://ann:s3cr%3At%2F@db.example.com:5433/shop?hostaddr=127.0.0.1&channel_binding=require"
                "&application_name=my%20app&sslmode=verify-full&sslrootcert=%2Fsome.pem",
            },
            id="with every optional part",
        ),
        pytest.param(
            conninfo(sslrootcert="system"),
            {
                "database": "shop",
                "endpoint": {"host": "db.example.com", "port": 5433},
                "ssl_mode": "verify-full",
                "ssl_root_cert": "system",
                "user": "ann",
                "url": "postgres://ann@db.example.com:5433/shop?sslmode=verify-full&sslrootcert=system",
            },
            id="with the system's certificates",
        ),
    ],
)
def test_json_of_a_network_endpoint(value, document):
    shown = value.to_json()
    assert shown == document
    assert list(shown) == list(document)
    assert list(shown["endpoint"]) == list(document["endpoint"])


# acceptance: 190
# fault: W63
@pytest.mark.parametrize(
    ("value", "document"),
    [
        pytest.param(
            conninfo(SOCKET, sslmode=SslMode.DISABLE),
            {
                "database": "shop",
                "endpoint": {"socket_path": "/var/run/postgresql"},
                "ssl_mode": "disable",
                "user": "ann",
                "url": "postgresql://ann@/shop?host=%2Fvar%2Frun%2Fpostgresql&sslmode=disable",
            },
            id="without any optional part",
        ),
        pytest.param(
            conninfo(
                SocketEndpoint(socket_path="/run/pg", port=5433),
                sslmode=SslMode.DISABLE,
                password="p@w",
                application_name="my app",
                sslrootcert="/some.pem",
            ),
            {
                "application_name": "my app",
                "database": "shop",
                "endpoint": {"socket_path": "/run/pg", "port": 5433},
                "password": "p@w",
                "ssl_mode": "disable",
                "ssl_root_cert": {"file": "/some.pem"},
                "user": "ann",
                "url": "postgresql://ann:p%40w@/shop?host=%2Frun%2Fpg&port=5433&application_name=my%20app&sslmode=disable"
                "&sslrootcert=%2Fsome.pem",
            },
            id="with every optional part",
        ),
    ],
)
def test_json_of_a_socket_endpoint(value, document):
    shown = value.to_json()
    assert shown == document
    assert list(shown) == list(document)
    assert list(shown["endpoint"]) == list(document["endpoint"])


# acceptance: 191
@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("::1", "[::1]:5432"),
        ("2001:db8::1", "[2001:db8::1]:5432"),
        ("127.0.0.1", "127.0.0.1:5432"),
        ("localhost", "localhost:5432"),
    ],
)
def test_only_ipv6_is_bracketed(host, authority):
    value = conninfo(NetworkEndpoint(host=host, port=5432))
    assert value.url == f"postgres://ann@{authority}/shop?sslmode=verify-full"


# acceptance: 192
@pytest.mark.parametrize(
    ("value", "variables"),
    [
        (
            conninfo(NetworkEndpoint(host="db")),
            {"PGHOST": "db", "PGSSLMODE": "verify-full", "PGUSER": "ann", "PGDATABASE": "shop"},
        ),
        (
            FULL,
            {
                "PGHOST": "db.example.com",
                "PGPORT": "5433",
                "PGCHANNELBINDING": "require",
                "PGHOSTADDR": "127.0.0.1",
                "PGSSLMODE": "verify-full",
                "PGUSER": "ann",
                "PGDATABASE": "shop",
                "PGAPPNAME": "my app",
                "PGPASSWORD": "s3cr:t/",
                "PGSSLROOTCERT": "/some.pem",
            },
        ),
        (
            conninfo(SOCKET, sslmode=SslMode.DISABLE),
            {"PGHOST": "/var/run/postgresql", "PGSSLMODE": "disable", "PGUSER": "ann", "PGDATABASE": "shop"},
        ),
        (
            conninfo(SocketEndpoint(socket_path="@pg", port=1), sslrootcert="system", password=""),
            {
                "PGHOST": "@pg",
                "PGPORT": "1",
                "PGSSLMODE": "verify-full",
                "PGUSER": "ann",
                "PGDATABASE": "shop",
                "PGPASSWORD": "",
                "PGSSLROOTCERT": "system",
            },
        ),
    ],
)
def test_environment(value, variables):
    assert value.env() == variables
    assert list(value.env()) == list(variables)


def test_keywords_leave_out_what_is_absent():
    assert conninfo(NetworkEndpoint(host="db")).keywords() == {
        "user": "ann",
        "host": "db",
        "dbname": "shop",
        "sslmode": "verify-full",
    }


def test_connection_string_quotes_only_what_needs_it():
    value = conninfo(NetworkEndpoint(host="db"), password="it's\\ ", application_name="my app")
    assert value.connection_string == (
        r"user=ann password='it\'s\\ ' host=db dbname=shop application_name='my app' sslmode=verify-full"
    )


def test_repr_does_not_show_the_password():
    assert "s3cr" not in repr(FULL)
    assert "s3cr" not in str(FULL)
    assert "ann" in repr(FULL)


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        FULL.user = "bob"  # type: ignore[misc]
    assert replace(FULL, user="bob").user == "bob"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"user": ""}, "empty"),
        ({"user": "a" * 64}, "too-long"),
        ({"database": "a\0"}, "nul"),
        ({"password": "a" * 4097}, "too-long"),
        ({"application_name": ""}, "empty"),
        ({"sslrootcert": ""}, "empty"),
        ({"sslrootcert": "system", "sslmode": SslMode.REQUIRE}, "contradiction"),
    ],
)
def test_parts_are_checked_when_made(changes, kind):
    with pytest.raises(InvalidValue) as caught:
        conninfo(**changes)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"host": "a b"}, "invalid-label"),
        ({"host": "a,b"}, "invalid-label"),
        ({"host": "db", "port": 65536}, "invalid-port"),
        ({"host": "db", "host_addr": "localhost"}, "invalid-address"),
    ],
)
def test_network_endpoints_are_checked_when_made(parts, kind):
    with pytest.raises(InvalidValue) as caught:
        NetworkEndpoint(**parts)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "invalid-socket-path"),
        ("run/pg", "invalid-socket-path"),
        ("@", "invalid-socket-path"),
        ("/run/a,b", "invalid-socket-path"),
        ("/run/\0", "nul"),
    ],
)
def test_socket_paths_are_checked_when_made(path, kind):
    with pytest.raises(InvalidValue) as caught:
        SocketEndpoint(socket_path=path)
    assert caught.value.kind == kind


identifiers = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=15)
ports = st.none() | st.integers(0, 65535)
addresses = st.ip_addresses().filter(lambda address: "%" not in str(address)).map(str)
network_endpoints = st.builds(
    NetworkEndpoint,
    host=addresses | st.sampled_from(["localhost", "db-1.example.com"]),
    port=ports,
    host_addr=st.none() | addresses,
    channel_binding=st.none() | st.sampled_from(ChannelBinding),
)
socket_endpoints = st.builds(
    SocketEndpoint,
    socket_path=st.builds(
        str.__add__, st.sampled_from(["/", "@x"]), identifiers.map(lambda text: text.replace(",", ""))
    ),
    port=ports,
)
connections = st.builds(
    Conninfo,
    endpoint=network_endpoints | socket_endpoints,
    user=identifiers,
    database=identifiers,
    sslmode=st.sampled_from(SslMode),
    password=st.none() | identifiers,
    application_name=st.none() | identifiers,
    sslrootcert=st.none() | identifiers.filter(lambda path: path != "system"),
)


# acceptance: 197
@given(connections)
def test_url_read_back_is_the_same_connection(value):
    assert Conninfo.parse_url(value.url) == value


@given(connections)
def test_libpq_understands_url_and_connection_string_as_we_do(value):
    assert conninfo_to_dict(value.url) == value.keywords()
    assert conninfo_to_dict(value.connection_string) == value.keywords()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgres://ann:s3cr%3At%2F%40@db:5433/shop?sslmode=disable",
            "postgres://ann:***@db:5433/shop?sslmode=disable",
        ),
        ("postgresql://ann:pw@/shop?host=%2Frun", "postgresql://ann:***@/shop?host=%2Frun&sslmode=verify-full"),
        ("postgres://ann:pw@[::1]/shop", "postgres://ann:***@[::1]/shop?sslmode=verify-full"),
        ("postgres://ann@db/shop", "postgres://ann@db/shop?sslmode=verify-full"),
    ],
)
def test_a_url_does_not_show_its_password_and_is_a_text_all_the_same(url, shown):
    made = Conninfo.parse_url(url).url
    assert repr(made) == repr(shown)
    assert isinstance(made, str)
    assert made == str(made) == f"{made}"
    assert made.startswith(url)
    assert pickle.loads(pickle.dumps(made)) == made
    assert json.loads(json.dumps({"url": made})) == {"url": str(made)}
    assert {str(made): 1}[made] == 1
    assert type(Conninfo.parse_url(url).to_json()["url"]) is str


@given(connections)
def test_no_url_shows_a_password(value):
    unknown = replace(value, password=None)
    shown = repr(value.url)
    assert shown == repr(unknown.url) or shown.replace(":***@", "@", 1) == repr(str(unknown.url))
