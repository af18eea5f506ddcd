"""Server parameters: grammar, reservation, the test profile and what gives way to the user."""

from __future__ import annotations

import pytest

from pg_ephemeral.errors import DefinitionError, InvalidValue
from pg_ephemeral.postgres import parameters


# acceptance: 61, 62, 63, 64
@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("work_mem=16MB", "work_mem", "16MB"),
        ("log_line_prefix=%m [%p] db=%d", "log_line_prefix", "%m [%p] db=%d"),
        ("pg_stat_statements.track=all", "pg_stat_statements.track", "all"),
        ("shared_preload_libraries=", "shared_preload_libraries", ""),
        ("_x1=a", "_x1", "a"),
    ],
)
def test_assignment(text, name, value):
    assert parameters.parse_assignment(text) == (name, value)
    assert "=".join(parameters.parse_assignment(text)) == text


# acceptance: 65
def test_assignment_without_a_value():
    with pytest.raises(InvalidValue, match="'work_mem' is no assignment: NAME=VALUE is expected") as caught:
        parameters.parse_assignment("work_mem")
    assert caught.value.kind == "missing-equals-sign"


# acceptance: 66
@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("9invalid=x", "invalid-first-character", "parameter name '9invalid' starts with '9'"),
        (".a=x", "invalid-first-character", "parameter name '.a' starts with '.'"),
        ("é=x", "invalid-first-character", "parameter name 'é' starts with 'é'"),
        ("=x", "empty", "the parameter name is empty"),
        ("work mem=x", "invalid-character", "parameter name 'work mem' must not contain ' '"),
        ("work-mem=x", "invalid-character", "parameter name 'work-mem' must not contain '-'"),
        ("work_mem\n=x", "invalid-character", "parameter name 'work_mem\\n' must not contain '\\n'"),
        ("a=x\0", "nul", "the value of a contains a NUL byte"),
        ("a=" + "x" * 4097, "too-long", "the value of a has 4097 bytes, and 4096 are the most allowed"),
    ],
)
def test_malformed_assignment(text, kind, message):
    with pytest.raises(InvalidValue) as caught:
        parameters.parse_assignment(text)
    assert caught.value.kind == kind
    assert caught.value.message == message


def test_the_longest_value():
    assert parameters.parameter_value("é" * 2048) == "é" * 2048


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("16MB", "16MB"),
        ("", ""),
        (True, "on"),
        (False, "off"),
        (0, "0"),
        (-1, "-1"),
        (100, "100"),
        (0.5, "0.5"),
        (1e-5, "1e-05"),
    ],
)
def test_value_text(value, text):
    assert parameters.value_text(value) == text


@pytest.mark.parametrize("value", [None, [], {}, b"x", float("inf"), float("nan")])
def test_value_text_refuses_other_types(value):
    with pytest.raises(InvalidValue, match=r"^work_mem cannot have the value") as caught:
        parameters.value_text(value, name="work_mem")
    assert caught.value.kind == "invalid-type"


# fault: W67
@pytest.mark.parametrize(
    "name",
    [
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "log_destination",
        "log_directory",
        "log_filename",
        "logging_collector",
        "port",
        "unix_socket_directories",
        "unix_socket_group",
        "unix_socket_permissions",
        "Port",
        "HBA_FILE",
    ],
)
@pytest.mark.parametrize("tls", [True, False])
def test_reserved_parameters(name, tls):
    with pytest.raises(DefinitionError) as caught:
        parameters.check({"work_mem": "1MB", name: "x"}, tls=tls)
    reservation = parameters.RESERVED[name.lower()]
    assert caught.value.message == f"parameter {name!r} is reserved: {reservation.reason}"
    assert caught.value.hint == reservation.hint


# acceptance: 68
@pytest.mark.parametrize("name", ["ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file", "SSL"])
def test_parameters_reserved_by_tls(name):
    parameters.check({name: "x"}, tls=False)
    with pytest.raises(DefinitionError, match=f"^parameter '{name}' is reserved: TLS is enabled") as caught:
        parameters.check({name: "x"}, tls=True)
    assert caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "autovacuum",
        "fsync",
        "jit",
        "log_line_prefix",
        "log_min_messages",
        "log_statement",
        "max_connections",
        "max_wal_senders",
        "pg_stat_statements.track",
        "restart_after_crash",
        "shared_buffers",
        "shared_preload_libraries",
        "ssl_min_protocol_version",
        "TimeZone",
        "wal_level",
    ],
)
def test_everything_else_is_free_to_set(name):
    parameters.check({name: "x"}, tls=True)


def test_one_parameter_in_two_spellings():
    with pytest.raises(DefinitionError, match=r"^parameter 'Work_Mem' is also given as 'work_mem'$"):
        parameters.check({"work_mem": "1MB", "Work_Mem": "2MB"}, tls=False)


@pytest.mark.parametrize(
    ("given", "kind"), [({"9a": "x"}, "invalid-first-character"), ({"a": "\0"}, "nul"), ({"": "x"}, "empty")]
)
def test_check_covers_the_grammar(given, kind):
    with pytest.raises(InvalidValue) as caught:
        parameters.check(given, tls=False)
    assert caught.value.kind == kind


# fault: W56
def test_profile_gives_up_durability_and_nothing_else():
    profile = parameters.effective({}, test_profile=True)
    assert profile == dict(parameters.TEST_PROFILE)
    for name, value in {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
    }.items():
        assert profile[name] == value
    assert "autovacuum" not in profile
    parameters.check(profile, tls=True)


def test_without_the_profile_only_the_users_values_hold():
    assert parameters.effective({"work_mem": "1MB"}, test_profile=False) == {"work_mem": "1MB"}
    assert parameters.effective({"wal_level": "logical"}, test_profile=False) == {"wal_level": "logical"}


def test_the_users_values_win_whatever_their_case():
    effective = parameters.effective({"Fsync": "on", "work_mem": "1MB"}, test_profile=True)
    assert effective == {**parameters.TEST_PROFILE, "fsync": "on", "work_mem": "1MB"}
    assert list(effective) == sorted(effective)


@pytest.mark.parametrize(
    "given",
    [
        {"wal_level": "replica"},
        {"wal_level": "Logical"},
        {"max_wal_senders": "5"},
        {"archive_mode": "on"},
        {"archive_mode": "always"},
        {"summarize_wal": "on"},
        {"WAL_LEVEL": "logical", "max_wal_senders": "0"},
    ],
)
def test_the_profile_gives_way_to_a_fuller_log(given):
    effective = parameters.effective(given, test_profile=True)
    rest = {
        name: value for name, value in parameters.TEST_PROFILE.items() if name not in {"wal_level", "max_wal_senders"}
    }
    assert effective == rest | {name.lower(): value for name, value in given.items()}


@pytest.mark.parametrize(
    "given",
    [
        {"wal_level": "minimal"},
        {"wal_level": " Minimal "},
        {"max_wal_senders": "0"},
        {"archive_mode": "off"},
        {"summarize_wal": "f"},
        {"summarize_wal": "No"},
        {"summarize_wal": "0"},
        {"max_replication_slots": "3"},
    ],
)
def test_the_profile_keeps_the_log_minimal(given):
    assert parameters.effective(given, test_profile=True) == {**parameters.TEST_PROFILE, **given}
