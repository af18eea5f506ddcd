"""An engine's pull and push seen from here: which complaints are tried again, what they become. Played by a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pg_ephemeral.backends.base import Exchange
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.exchange import engine_exchange
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.patience import Patience
from pg_ephemeral.oci.probe import Finding
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State

DIALECTS = [pytest.param(DOCKER, id="docker"), pytest.param(PODMAN, id="podman")]
KEY = "ab" * 32
FAR = Reference.parse(f"registry.test/owner/app:{KEY}")
NEAR = Reference.parse(f"127.0.0.1:9/owner/app:{KEY}")
RACE = "errors:\\ndigest invalid\\nmanifest blob unknown: blob unknown to registry"


def described(name: str, **changes: object) -> str:
    labels = {"pg-ephemeral.key": KEY, "pg-ephemeral.platform": "linux/amd64"}
    image = {"Id": "1", "Os": "linux", "Architecture": "amd64", "RepoTags": [name], "Config": {"Labels": labels}}
    return json.dumps([{**image, **changes}])


class Engine:
    """``moves`` are what pulls and pushes do, one after the other, in shell; the last again and again."""

    def __init__(self, directory: Path, dialect: Dialect, stack: ExitStack) -> None:
        self._directory = directory
        self._dialect = dialect
        self._stack = stack
        self.pauses: list[float] = []

    def play(self, *moves: str, image: str | None = None, **options: float) -> Exchange:
        numbered = " ".join(f"{number}) {move} ;;" for number, move in enumerate(moves[:-1], 1))
        client = EngineClient(dialect=self._dialect)
        images = EngineImages(client)
        (self._directory / "image.json").write_text(image or described(images.local_name(FAR)))
        program = self._directory / self._dialect.program
        program.write_text(f"""#!/bin/sh
            case $1 in
                image) exec cat {self._directory}/image.json ;;
                pull | push)
                    echo "$*" >>{self._directory}/calls
                    case $(wc -l <{self._directory}/calls) in {numbered} *) {moves[-1]} ;; esac ;;
            esac
        """)
        program.chmod(0o755)
        patience = Patience(tries=4, sleep=self.pauses.append)
        return self._stack.enter_context(engine_exchange(client, images, "linux/amd64", patience=patience, **options))

    @property
    def calls(self) -> list[str]:
        return (self._directory / "calls").read_text().splitlines()


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture
def engine(dialect: Dialect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    with ExitStack() as stack:
        yield Engine(directory, dialect, stack)


def fail(complaint: str) -> str:
    return f"printf '{complaint}\\n' >&2; exit 1"


def silent(_done: int, _total: int) -> None:
    pass


def refused(work: Callable[[], object]) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        work()
    return caught.value


# fault: W4
@pytest.mark.parametrize("complaint", [RACE, "received unexpected HTTP status: 500", "blob upload unknown: unknown"])
def test_a_push_among_many_is_tried_again(engine: Engine, complaint: str) -> None:
    engine.play(fail(complaint), fail(complaint), "exit 0").push(FAR, progress=silent)
    assert len(engine.calls) == 3
    assert len(engine.pauses) == 2


def test_a_push_that_stays_wrong_is_corrupt(engine: Engine) -> None:
    error = refused(lambda: engine.play(fail(RACE)).push(FAR, progress=silent))
    assert error.state == State.CORRUPT
    assert "errors: digest invalid; manifest blob unknown: blob unknown to registry" in error.message
    assert len(engine.calls) == 4


def test_a_pull_of_something_damaged_is_not_tried_again(engine: Engine) -> None:
    error = refused(lambda: engine.play(fail("unknown blob")).pull(FAR, progress=silent))
    assert error.state == State.CORRUPT
    assert len(engine.calls) == 1


@pytest.mark.parametrize(
    "complaint",
    [
        "download failed after attempts=6: received unexpected HTTP status: 503 Service Unavailable",
        'time="x" level=warning msg="failed, retrying in 1s (1/3)"\nError: unexpected HTTP status: 503',
    ],
)
def test_what_the_engine_has_tried_long_enough_is_not_tried_again(engine: Engine, complaint: str) -> None:
    error = refused(lambda: engine.play(fail(complaint)).pull(FAR, progress=silent))
    assert error.state == State.DOWN
    assert len(engine.calls) == 1


def test_a_pull_of_nothing_is_no_error(engine: Engine) -> None:
    assert engine.play(fail("manifest unknown")).pull(FAR, progress=silent) is False


def test_what_is_not_shown_is_said_to_be_so(engine: Engine, dialect: Dialect) -> None:
    error = refused(lambda: engine.play(fail("denied: requested access is denied")).pull(FAR, progress=silent))
    assert error.state == State.HIDDEN
    assert error.hint == f"nothing was pushed there yet, or it wants a login: {dialect.program} login registry.test"


def test_a_repository_that_must_be_made_first_is_hinted_at(engine: Engine) -> None:
    error = refused(lambda: engine.play(fail("name unknown: no such repository")).push(FAR, progress=silent))
    assert error.state == State.ABSENT
    assert "made before the first push" in (error.hint or "")


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_a_client_that_asks_for_a_login_is_ended(engine: Engine, dialect: Dialect, verb: str) -> None:
    exchange = engine.play("trap '' TERM; printf 'Login prior to pull:\\nUsername: '; exec sleep 600")
    error = refused(lambda: getattr(exchange, verb)(FAR, progress=silent))
    assert error.state == State.NOT_LOGGED_IN
    assert error.hint == f"log in first: {dialect.program} login registry.test"
    assert len(engine.calls) == 1


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_all_tries_together_have_an_end(engine: Engine, verb: str) -> None:
    exchange = engine.play("exec sleep 600", limit=0.5)
    error = refused(lambda: getattr(exchange, verb)(FAR, progress=silent))
    assert error.state == State.DOWN
    assert "not transferred within 0.5 s" in error.message
    assert len(engine.calls) == 1


def test_a_signed_address_is_not_repeated(engine: Engine) -> None:
    complaint = 'Error: Get "https://user:password@storage.test/blob?X-Amz-Signature=signed": EOF'
    error = refused(lambda: engine.play(fail(complaint)).pull(FAR, progress=silent))
    assert 'Get "https://storage.test/blob?…": EOF' in error.message
    assert "signed" not in error.message.replace("?…", "")
    assert "password" not in error.message


@pytest.mark.parametrize(
    ("complaint", "state"),
    [
        ("x509: certificate signed by unknown authority", State.TLS),
        ("tls: failed to verify certificate: x509: unknown", State.TLS),
        ("remote error: tls: internal error", State.TLS),
    ],
)
def test_a_certificate_is_never_left_unchecked(engine: Engine, complaint: str, state: State) -> None:
    """Not even on this machine, where plain HTTP is permitted."""
    assert refused(lambda: engine.play(fail(complaint)).push(NEAR, progress=silent)).state == state
    assert [call for call in engine.calls if "tls-verify" in call] == []


@pytest.mark.parametrize(
    "complaint",
    ["http: server gave HTTP response to HTTPS client", "tls: first record does not look like a TLS handshake"],
)
def test_plain_http_is_spoken_where_it_is_permitted_and_nobody_speaks_tls(
    engine: Engine, dialect: Dialect, complaint: str
) -> None:
    plain = fail(complaint)
    options = list(dialect.plain_http)
    exchange = engine.play(plain, "exit 0" if options else plain)
    if options:
        exchange.push(NEAR, progress=silent)
        assert [call.split()[1:-1] for call in engine.calls] == [[], options]
    else:
        assert refused(lambda: exchange.push(NEAR, progress=silent)).state == State.TLS
    before = len(engine.calls)
    assert refused(lambda: engine.play(plain).push(FAR, progress=silent)).state == State.TLS
    assert len(engine.calls) == before + 1, "elsewhere it is not permitted"


@pytest.mark.parametrize(
    ("reference", "state", "may"),
    [
        (FAR, State.DOWN, True),
        (FAR, State.TLS, True),
        (FAR, State.UNKNOWN, True),
        (NEAR, State.DOWN, True),
        (NEAR, State.TLS, False),
        *((FAR, state, False) for state in State if state not in (State.DOWN, State.TLS, State.UNKNOWN)),
    ],
)
def test_where_our_question_does_not_lead_the_engine_may_have_a_way(
    engine: Engine, reference: Reference, state: State, may: bool
) -> None:
    assert engine.play("exit 0").may_reach(reference, Finding(state=state)) is may


def test_an_engine_that_is_let_try_tries_once(engine: Engine) -> None:
    exchange = engine.play(fail("dial tcp: connection refused"))
    assert exchange.probe([NEAR])[NEAR].state is State.DOWN
    assert refused(lambda: exchange.pull(NEAR, progress=silent)).state == State.DOWN
    assert len(engine.calls) == 1
