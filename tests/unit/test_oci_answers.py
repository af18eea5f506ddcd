"""What registries answer, row by row, and what it means; challenges, Retry-After, where a registry is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pg_ephemeral.oci.answers import Answer, Purpose, classify, error_for, retry_seconds, said
from pg_ephemeral.oci.challenge import choose, parse
from pg_ephemeral.oci.endpoint import api_host, credential_keys, helper_key, is_loopback, origin, registry_of, served_as
from pg_ephemeral.oci.reference import Name
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.tokens import trusted_realm

BEARER = choose(['Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull"'])
BASIC = choose(['Basic realm="a registry"'])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a registry"', [("basic", {"realm": "a registry"})]),
        (
            (
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
                'scope="repository:a/b:pull,push",error="insufficient_scope"'
            ),
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                        "error": "insufficient_scope",
                    },
                )
            ],
        ),
        (
            r'BEARER Realm = "a \"quoted\" realm" , service=plain, Basic realm="x"',
            [("bearer", {"realm": 'a "quoted" realm', "service": "plain"}), ("basic", {"realm": "x"})],
        ),
        ("Negotiate, Basic", [("negotiate", {}), ("basic", {})]),
        ("Negotiate YWJj==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Basic realm="open', [("basic", {})]),
        ('realm="nobody\'s"', []),
        ("", []),
    ],
)
def test_challenges_are_read(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, dict(one.parameters)) for one in parse(header)][: len(expected)] == expected


def test_the_challenge_that_tells_more_is_answered() -> None:
    chosen = choose(['Basic realm="x"', 'Bearer realm="https://a/token",scope="repository:a:pull repository:b:pull"'])
    assert chosen is not None
    assert (chosen.scheme, chosen.scopes) == ("bearer", ("repository:a:pull", "repository:b:pull"))
    assert choose(["Bearer service=x", "Digest realm=x"]) is None


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5),
        (" 120 ", 120),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 00:00:30 -0000", 30),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("-1", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_seconds(header, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"errors":[{"code":"DENIED","message":"requested access"}]}', ("DENIED", "requested access")),
        (b'{"details":"incorrect username or password"}', ("", "incorrect username or password")),
        (b'{"error":"invalid_token","error_description":"a reason"}', ("", "a reason")),
        (b'{"errors":[{"code":404}]}', ("404", "")),
        (b"Not found\n", ("", "Not found")),
        (b"<html>404</html>", ("", "")),
        (b'{"errors":["x"]}', ("", "")),
        (b"[]", ("", "")),
        (b"\xff\x1b[31m", ("", "\ufffd [31m")),
        (b"", ("", "")),
    ],
)
def test_errors_are_read_in_every_form(body: bytes, expected: tuple[str, str]) -> None:
    assert said(body) == expected


def _read(status: int, code: str = "", message: str = "", *, logged_in: bool = False, basic: bool = False) -> Answer:
    return Answer(
        status=status,
        purpose=Purpose.READ,
        logged_in=logged_in,
        challenge=(BASIC if basic else BEARER) if status == 401 else None,
        code=code,
        message=message,
    )


def _token(status: int, code: str = "", message: str = "", *, logged_in: bool = False) -> Answer:
    return Answer(status=status, purpose=Purpose.TOKEN, logged_in=logged_in, code=code, message=message)


REQUESTED = "requested access to the resource is denied"

# The registries in the order of their rows: distribution, Docker Hub, ghcr.io, ECR, Artifact Registry, Harbor, Quay,
# GitLab, zot, registry.redhat.io, all in the words they use.
ANSWERS = [
    (_read(404, "MANIFEST_UNKNOWN", "manifest unknown"), State.ABSENT),
    (_read(404), State.ABSENT),
    (_read(401, "UNAUTHORIZED", "authentication required", basic=True), State.NOT_LOGGED_IN),
    (_read(401, "UNAUTHORIZED", "authentication required", basic=True, logged_in=True), State.BAD_CREDENTIALS),
    (_read(401, "UNAUTHORIZED", "authentication required"), State.HIDDEN),
    (_token(401, "", "incorrect username or password", logged_in=True), State.BAD_CREDENTIALS),
    (_token(403, "DENIED", REQUESTED), State.HIDDEN),
    (_token(401, "UNAUTHORIZED", "authentication required"), State.NOT_LOGGED_IN),
    (_token(403, "DENIED", "denied", logged_in=True), State.HIDDEN),
    (_read(404, "NAME_UNKNOWN", "repository name not known to registry", logged_in=True), State.ABSENT),
    (_read(403, "DENIED", REQUESTED, logged_in=True), State.HIDDEN),
    (_read(403, "DENIED", "permission_denied: read_package", logged_in=True), State.DENIED),
    (_read(404, "MANIFEST_UNKNOWN", "Requested image not found"), State.ABSENT),
    (_read(404, "NAME_UNKNOWN", "The repository with name 'x' does not exist in the registry"), State.ABSENT),
    (_read(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."), State.DENIED),
    (_read(403, "DENIED", "User: x is not authorized to perform: ecr:BatchGetImage", logged_in=True), State.DENIED),
    (_read(404, "MANIFEST_UNKNOWN", 'Failed to fetch "tag"'), State.ABSENT),
    (_read(404, "NAME_UNKNOWN", 'Repository "x" not found'), State.ABSENT),
    (_read(403, "DENIED", 'Permission "downloadArtifacts" denied on resource "x" (or it may not exist)'), State.HIDDEN),
    (_read(404, "NOT_FOUND", "artifact p/r:tag not found"), State.ABSENT),
    (_read(404, "NOT_FOUND", "repository p/r not found"), State.ABSENT),
    (_read(401, "UNAUTHORIZED", "unauthorized to access repository: p/r, action: pull"), State.HIDDEN),
    (_read(404, "TAG_EXPIRED", "Tag t was deleted or has expired"), State.ABSENT),
    (_read(401, "UNAUTHORIZED", "access to the requested resource is not authorized"), State.HIDDEN),
    (_token(403, "DENIED", "access forbidden"), State.HIDDEN),
    (_token(403, "DENIED", "access forbidden", logged_in=True), State.HIDDEN),
    (_read(404, "404", "Not Found"), State.ABSENT),
    (_read(429, "TOOMANYREQUESTS", "You have reached your pull rate limit."), State.RATE_LIMITED),
    (_read(429, "", "slow down"), State.RATE_LIMITED),
    (_token(429, "TOOMANYREQUESTS"), State.RATE_LIMITED),
    (_read(403, "TOOMANYREQUESTS"), State.RATE_LIMITED),
    (_read(500), State.DOWN),
    (_read(502), State.DOWN),
    (_read(503), State.DOWN),
    (_read(522), State.DOWN),
    (_read(408), State.DOWN),
    (_token(500), State.DOWN),
    (_token(404), State.UNKNOWN),
    (_read(418), State.UNKNOWN),
    (_read(400, "TAG_INVALID"), State.UNKNOWN),
]


@pytest.mark.parametrize(("answer", "state"), ANSWERS)
# fault: W3
def test_every_known_answer_has_its_state(answer: Answer, state: State) -> None:
    assert classify(answer) is state


@pytest.mark.parametrize(
    ("status", "code", "logged_in", "state"),
    [
        (401, "UNAUTHORIZED", False, State.NOT_LOGGED_IN),
        (401, "UNAUTHORIZED", True, State.DENIED),
        (403, "DENIED", False, State.NOT_LOGGED_IN),
        (403, "DENIED", True, State.DENIED),
        (404, "NAME_UNKNOWN", True, State.ABSENT),
        (400, "DIGEST_INVALID", True, State.CORRUPT),
        (404, "MANIFEST_BLOB_UNKNOWN", True, State.CORRUPT),
        (404, "BLOB_UPLOAD_UNKNOWN", True, State.DOWN),
        (500, "", True, State.DOWN),
    ],
)
def test_a_refusal_to_write_is_no_miss(status: int, code: str, logged_in: bool, state: State) -> None:
    answer = Answer(
        status=status, purpose=Purpose.WRITE, writing=True, logged_in=logged_in, challenge=BEARER, code=code
    )
    assert classify(answer) is state


@pytest.mark.parametrize("state", [one for one in State if one not in (State.PRESENT, State.TLS)])
def test_every_state_an_answer_can_have_is_put_into_words(state: State) -> None:
    known = [answer for answer, its_state in ANSWERS if its_state is state]
    known += [Answer(status=400, purpose=Purpose.WRITE, writing=True, code="DIGEST_INVALID")]
    error = error_for(known[0], "ghcr.io/a/b:c", "ghcr.io")
    assert error.message.startswith("ghcr.io/a/b:c: ")
    assert "\n" not in error.message
    assert error.exit_code == 76


@pytest.mark.parametrize(
    ("name", "registry", "host", "path", "helper"),
    [
        ("alpine", "docker.io", "registry-1.docker.io", "library/alpine", "https://index.docker.io/v1/"),
        ("owner/app", "docker.io", "registry-1.docker.io", "owner/app", "https://index.docker.io/v1/"),
        ("docker.io/owner/app", "docker.io", "registry-1.docker.io", "owner/app", "https://index.docker.io/v1/"),
        ("index.docker.io/app", "docker.io", "registry-1.docker.io", "library/app", "https://index.docker.io/v1/"),
        ("ghcr.io/owner/app", "ghcr.io", "ghcr.io", "owner/app", "ghcr.io"),
        ("localhost:5000/app", "localhost:5000", "localhost:5000", "app", "localhost:5000"),
    ],
)
def test_where_a_repository_is(name: str, registry: str, host: str, path: str, helper: str) -> None:
    one = Name.parse(name)
    assert (registry_of(one), api_host(registry_of(one)), served_as(one)) == (registry, host, path)
    assert helper_key(registry_of(one)) == helper


def test_credentials_are_looked_for_from_the_most_specific_key() -> None:
    assert credential_keys(Name.parse("ghcr.io/a/b")) == ("ghcr.io/a/b", "ghcr.io/a", "ghcr.io")
    assert credential_keys(Name.parse("b"))[-3:] == ("docker.io", "index.docker.io", "registry-1.docker.io")


@pytest.mark.parametrize(
    ("registry", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("registry.localhost", True),
        ("127.0.0.1:5000", True),
        ("127.8.8.8", True),
        ("[::1]:5000", True),
        ("localhost.example.com", False),
        ("10.0.0.1:5000", False),
        ("0.0.0.0:5000", False),
        ("ghcr.io", False),
    ],
)
def test_plain_http_is_for_this_machine_alone(registry: str, loopback: bool) -> None:
    assert is_loopback(registry) is loopback


def test_an_origin_includes_the_port() -> None:
    assert origin("https://Host/a?b") == ("https", "host", 443) == origin("https://host:443/c")
    assert origin("https://host:444/") != origin("https://host/")


@pytest.mark.parametrize(
    ("realm", "base", "trusted"),
    [
        ("https://auth.docker.io/token", "https://registry-1.docker.io", True),
        ("http://auth.docker.io/token", "https://registry-1.docker.io", False),
        ("https://127.0.0.1/token", "https://ghcr.io", False),
        ("https://169.254.169.254/latest", "https://ghcr.io", False),
        ("https://localhost/token", "https://ghcr.io", False),
        ("file:///etc/passwd", "https://ghcr.io", False),
        ("/token", "https://ghcr.io", False),
        ("http://127.0.0.1:1/token", "http://127.0.0.1:2", True),
        ("https://10.0.0.1/token", "https://10.0.0.1", True),
    ],
)
def test_credentials_go_only_where_they_may(realm: str, base: str, trusted: bool) -> None:
    assert trusted_realm(realm, base) is trusted
