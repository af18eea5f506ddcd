"""What engines print, as they print it, is sorted into states."""

from __future__ import annotations

import pytest

from pg_ephemeral.oci.engine_errors import classify, complaint, has_insisted
from pg_ephemeral.oci.state import State

R = "ghcr.io/owner/app:tip"
N = "ghcr.io/owner/app"
HEAD = "https://ghcr.io/v2/owner/app/manifests/tip"
PODMAN = f"Error: initializing source docker://{R}: reading manifest tip in {N}"
PODMAN_4 = f"Trying to pull {R}...\nError: initializing source docker://{R}: Requesting bearer token: "

DENIED = "denied: requested access to the resource is denied"
CLASSIC = "Error response from daemon: "
PODMAN_BLOB = "Error: parsing image configuration: Error fetching blob: invalid status code from registry"
PODMAN_READING = "Error: reading blob sha256:d07106: "
CONTAINERD_BLOB = f"{CLASSIC}failed to copy: httpReadSeeker: failed open: unexpected status code https://ghcr.io/v2/b"
DOCKER_BLOB = f"{CLASSIC}error pulling image configuration: download failed after attempts="
RACE = "errors:\ndigest invalid\nmanifest blob unknown: blob unknown to registry"
PUSHED = "Getting image source signatures\nCopying blob sha256:0\nWriting manifest to image destination\n"
PULL_DENIED = f"pull access denied for {N}, repository does not exist or may require 'docker login'"

SAMPLES: dict[State, tuple[str, ...]] = {
    State.ABSENT: (
        f"{CLASSIC}manifest for {R} not found: manifest unknown: manifest unknown",
        f"{CLASSIC}manifest unknown",
        f'{CLASSIC}failed to resolve reference "{R}": {R}: not found',
        f"{PODMAN}: manifest unknown: manifest unknown",
        f"{PODMAN}: manifest unknown",
        f"{CLASSIC}repository {N} not found: name unknown: The repository with name 'app' does not exist",
        f"{CLASSIC}name unknown",
        f'{PODMAN}: name unknown: Repository "app" not found',
        f"{CLASSIC}unknown: artifact owner/app:tip not found",
        f"{CLASSIC}unknown: repository owner/app not found",
        f"{PODMAN}: unknown: artifact owner/app:tip not found",
        f"{CLASSIC}unknown: Tag tip was deleted or has expired. To pull, revive via time machine",
        f"{CLASSIC}error parsing HTTP 404 response body: invalid character '<' looking for beginning of value",
        f"{CLASSIC}unknown: <html><head><title>404 Not Found</title></head></html>",
        f'{PODMAN}: StatusCode: 404, "<html>not here</html>"',
        f"no such manifest: {R}",
    ),
    State.HIDDEN: (
        f"{CLASSIC}{PULL_DENIED}: denied: requested access to the resource is denied",
        f"{CLASSIC}{PULL_DENIED}",
        f"{PODMAN}: errors:\n{DENIED}\nunauthorized: authentication required\n",
        f"{PODMAN}: requested access to the resource is denied",
        f'{CLASSIC}Head "{HEAD}": denied',
        f"{CLASSIC}error from registry: denied",
        f"{PODMAN_4}invalid status code from registry 403 (Forbidden)",
        f"{PODMAN_4}received unexpected HTTP status: 403 Forbidden",
        f'{CLASSIC}Head "{HEAD}": denied: denied',
        f"{CLASSIC}denied",
        "denied",
        f"{CLASSIC}unexpected status from HEAD request to {HEAD}: 403 Forbidden",
        f"{CLASSIC}{PULL_DENIED}: denied: a message of its own",
        f'{CLASSIC}Head "{HEAD}": denied: access forbidden',
        f"{CLASSIC}error from registry: access forbidden",
        f"{PODMAN}: denied: a message of its own",
    ),
    State.DENIED: (
        f"{CLASSIC}{PULL_DENIED}: denied: User: arn:aws:iam::1:user/x is not authorized to perform: ecr:BatchGetImage",
        f"{CLASSIC}{PULL_DENIED}: denied: Your authorization token has expired. Reauthenticate and try again.",
        f"{CLASSIC}denied: permission_denied: read_package",
        f"{PODMAN_BLOB} 403 (Forbidden)",
        f"{PODMAN_READING}Error fetching blob: invalid status code from registry 403 (Forbidden)",
        f"{PODMAN_READING}errors:; denied: requested access to the resource is denied",
        f"{PODMAN_READING}requested access to the resource is denied",
        f"{CONTAINERD_BLOB}: 403 Forbidden",
        f"{DOCKER_BLOB}1: denied: requested access to the resource is denied",
        f"{DOCKER_BLOB}1: error parsing HTTP 403 response body: invalid character '<' looking for beginning of value",
    ),
    State.NOT_LOGGED_IN: (
        f'{CLASSIC}Head "{HEAD}": unauthorized',
        f"{CLASSIC}error from registry: unauthorized",
        f'{CLASSIC}Head "{HEAD}": no basic auth credentials',
        (
            f"{CLASSIC}pull access denied, repository does not exist or may require authorization: "
            "authorization failed: no basic auth credentials"
        ),
        f"{PODMAN}: unauthorized: authentication required",
        f"{PODMAN}: authentication required",
        f"{CLASSIC}unauthorized: authentication required",
        f"{CLASSIC}unexpected status from HEAD request to {HEAD}: 401 Unauthorized",
        (
            f'{CLASSIC}failed to resolve reference "{R}": failed to authorize: failed to fetch oauth token: '
            "unexpected status from POST request to https://ghcr.io/token"
        ),
        "Error: Cannot perform an interactive login from a non TTY device",
        "Login prior to pull:\nLog in with your Docker ID",
        f"{PODMAN_BLOB} 401 (Unauthorized)",
        f"{CONTAINERD_BLOB}: 401 Unauthorized",
    ),
    State.BAD_CREDENTIALS: (
        f"{PODMAN}: unable to retrieve auth token: invalid username/password: unauthorized",
        f'{CLASSIC}Get "https://registry-1.docker.io/v2/": unauthorized: incorrect username or password',
        f"{PODMAN_READING}unable to retrieve auth token: invalid username/password: unauthorized: members only",
    ),
    State.RATE_LIMITED: (
        f"{CLASSIC}toomanyrequests: You have reached your pull rate limit.",
        f"{CLASSIC}error parsing HTTP 429 response body: invalid character 'Y' looking for beginning of value",
        f"{CLASSIC}unexpected status from HEAD request to {HEAD}: 429 Too Many Requests",
        f"{PODMAN}: StatusCode: 429, slow down",
        f"{PODMAN}: too many requests to registry",
        f"{PODMAN_BLOB} 429 (Too Many Requests)",
        f"{CONTAINERD_BLOB}: 429 Too Many Requests",
        "Error: parsing image configuration: too many requests to registry",
        f"{DOCKER_BLOB}6: toomanyrequests: slow down",
        f"{DOCKER_BLOB}6: error parsing HTTP 429 response body: invalid character 's' looking for beginning of value",
    ),
    State.DOWN: (
        f"{CLASSIC}received unexpected HTTP status: 503 Service Unavailable",
        f"{CLASSIC}unexpected status from HEAD request to {HEAD}: 502 Bad Gateway",
        f'{CLASSIC}Get "http://localhost:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
        f'{CLASSIC}failed to do request: Head "{HEAD}": dial tcp: lookup nowhere.invalid: no such host',
        'Error: pinging container registry localhost:1: Get "http://localhost:1/v2/": read: connection reset by peer',
        f'{CLASSIC}Get "https://ghcr.io/v2/": net/http: TLS handshake timeout',
        f'{CLASSIC}Get "http://localhost:1/v2/": EOF',
        f'{CLASSIC}Get "https://ghcr.io/v2/": context deadline exceeded (Client.Timeout exceeded)',
        f"{PODMAN_BLOB} 503 (Service Unavailable)",
        f"{PODMAN_READING}Error fetching blob: invalid status code from registry 503 (Service Unavailable)",
        f"{CONTAINERD_BLOB}: 503 Service Unavailable",
        f"{PODMAN_BLOB} 500 (Internal Server Error)",
        f"{PODMAN_BLOB} 522",
        f"{DOCKER_BLOB}6: received unexpected HTTP status: 503 Service Unavailable",
        f"{CLASSIC}error parsing HTTP 520 response body: invalid character '<' looking for beginning of value",
    ),
    State.TLS: (
        f'{CLASSIC}Get "https://ghcr.io/v2/": http: server gave HTTP response to HTTPS client',
        f'{CLASSIC}Get "https://ghcr.io/v2/": x509: certificate signed by unknown authority',
        f'{CLASSIC}Get "https://ghcr.io/v2/": tls: failed to verify certificate: x509: unknown authority',
    ),
    State.CORRUPT: (
        f"{CLASSIC}unknown blob",
        f"{CLASSIC}failed to copy: httpReadSeeker: failed open: content at {HEAD} not found: not found",
        "Error: copying system image from manifest list: Error fetching blob: invalid status code from registry 404",
        f"{PODMAN_BLOB} 404 (Not Found)",
        f"{PODMAN_READING}Error fetching blob: invalid status code from registry 404 (Not Found)",
        f"{PODMAN_READING}something that nobody has seen yet",
        f"{DOCKER_BLOB}1: unknown blob",
        "no matching manifest for linux/amd64 in the manifest list entries",
        f"{CLASSIC}no match for platform in manifest: not found",
        f"Error: choosing an image from manifest list docker://{R}: no image found in image index for architecture x",
        f"Error: reading manifest sha256:{'0' * 64} in {N}: manifest unknown",
    ),
    State.UNKNOWN: (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "something else entirely",
        "",
    ),
}


# acceptance: 106, 107, 108
# fault: W3
@pytest.mark.parametrize(("state", "text"), [(state, text) for state, texts in SAMPLES.items() for text in texts])
def test_every_known_wording_has_its_state(state: State, text: str) -> None:
    assert classify(text) is state


PUSHING: dict[State, tuple[str, ...]] = {
    State.CORRUPT: (
        RACE,
        f"{PUSHED}Error: writing manifest: uploading manifest tip to {N}: {RACE}",
        "digest invalid: provided digest did not match uploaded content",
        "manifest invalid: manifest invalid",
        f"{PUSHED}Error: writing manifest: uploading manifest tip to {N}: manifest invalid: no reason",
    ),
    State.DOWN: (
        "received unexpected HTTP status: 500 Internal Server Error",
        "blob upload unknown: blob upload unknown to registry",
        f"{PUSHED}Error: writing blob: uploading layer chunked: blob upload invalid: blob upload invalid",
    ),
    State.ABSENT: (f"{CLASSIC}name unknown: The repository with name 'app' does not exist in the registry",),
    State.DENIED: (DENIED, f"{PUSHED}Error: writing blob: initiating layer upload: {DENIED}"),
    State.NOT_LOGGED_IN: ("no basic auth credentials", f"{PUSHED}Error: unauthorized: authentication required"),
    State.RATE_LIMITED: ("toomanyrequests: slow down",),
}


# fault: W4
@pytest.mark.parametrize(("state", "text"), [(state, text) for state, texts in PUSHING.items() for text in texts])
def test_every_known_wording_of_a_push_has_its_state(state: State, text: str) -> None:
    assert classify(text, pushing=True) is state


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RACE, "errors: digest invalid; manifest blob unknown: blob unknown to registry"),
        (
            f"{PUSHED}Error: writing manifest: errors:\ndigest invalid\nmanifest blob unknown",
            "Error: writing manifest: errors: digest invalid; manifest blob unknown",
        ),
        (
            f'time="now" level=warning msg="Error: no"\nWARN[0000] cgroups\n{PODMAN}: {DENIED}\nunauthorized: who?\n',
            f"{PODMAN}: {DENIED}; unauthorized: who?",
        ),
        (f"Trying to pull {R}...\n  {CLASSIC}manifest unknown  \n\n", f"{CLASSIC}manifest unknown"),
        ("", ""),
    ],
)
def test_a_complaint_is_quoted_whole_and_on_one_line(text: str, said: str) -> None:
    assert complaint(text) == said


def test_an_engine_that_has_insisted_says_so() -> None:
    assert has_insisted(f"{DOCKER_BLOB}6: unknown: slow down")
    assert has_insisted('time="now" level=warning msg="failed, retrying in 1s ... (1/3). Error: no"\nError: no')
    assert not has_insisted(f"{DOCKER_BLOB}1: unknown blob")
    assert not has_insisted(f"{CLASSIC}received unexpected HTTP status: 503 Service Unavailable")


def test_a_long_complaint_is_cut() -> None:
    assert complaint("Error: " + "x" * 10_000).endswith("x…")
    assert len(complaint("Error: " + "x" * 10_000)) < 1000


def test_warnings_around_the_error_do_not_matter() -> None:
    noise = "WARN[0000] Using cgroups-v1 which is deprecated\nTrying to pull…\n"
    assert classify(f"{noise}{PODMAN}: manifest unknown\nsee the log\n") is State.ABSENT


def test_a_missing_blob_is_not_a_missing_image() -> None:
    assert not classify(f"{CLASSIC}failed to copy: content at {HEAD} not found: not found").is_miss


def test_what_cannot_be_told_from_absence_is_a_denial_when_pushing() -> None:
    text = "denied: requested access to the resource is denied"
    assert (classify(text), classify(text, pushing=True)) == (State.HIDDEN, State.DENIED)
