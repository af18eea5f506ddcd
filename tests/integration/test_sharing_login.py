"""A registry for one user, over TLS with an authority of its own, on every backend: who may in, what others hear."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.state import State
from support import engines
from support import registry as support
from support.registry import PASSWORD, USER, Registry
from support.sites import KINDS, SCHEMA, Site, open_directory, site

pytestmark = pytest.mark.needs("registry", "root")

_SEEDS = (SCHEMA, ("rows", "INSERT INTO t SELECT n, '' FROM generate_series(1, 10) n"))
_CERTIFICATES = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with support.running(tmp_path_factory.mktemp("registry") / "guarded", tls=True, login=True) as running:
        yield running


@contextmanager
def trusted(registry: Registry) -> Iterator[None]:
    """Its authority is known to the engines and to us, as an administrator makes it known."""
    assert registry.authority is not None
    with ExitStack() as stack:
        for place in _CERTIFICATES:
            (place / registry.host).mkdir(parents=True)
            stack.callback(shutil.rmtree, place / registry.host)
            shutil.copy(registry.authority, place / registry.host / "ca.crt")
        yield


@pytest.fixture(scope="module", params=KINDS)
def builder(
    request: pytest.FixtureRequest, guarded: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = open_directory(tmp_path_factory.mktemp(request.param))
    with site(request.param, directory, _SEEDS) as alone:
        made = alone.at(f"{guarded.host}/owner/{request.param}")
        made.populate()
        yield made


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials are known, whoever runs the tests; the file is where podman and docker look for some."""
    home = tmp_path / "login"
    home.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "config.json"))
    (home / "config.json").write_text("{}")
    return home / "config.json"


def log_in(file: Path, registry: Registry, password: str = PASSWORD) -> None:
    secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {registry.host: {"auth": secret}}}))


def elsewhere(builder: Site, directory: Path) -> Site:
    """A machine that has none of it, of the same kind."""
    made = replace(builder, directory=open_directory(directory / "elsewhere"), events=[])
    if made.kind != "embedded":
        engines.remove_images(made.kind, made.definition.instance)
    return made


def wanting(builder: Site) -> Site:
    """The same machine, with a stage to look for in the registry."""
    return replace(builder, definition=builder.definition.apply_sql_statement("last", "DELETE FROM t"), events=[])


def refused(act: Callable[[], object], state: State) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        act()
    error = caught.value
    assert error.state == state, error.message
    for text in (error.message, error.hint or "", error.detail or ""):
        assert PASSWORD not in text
        assert "\n" not in text
        assert base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() not in text
    return error


# fault: W4
def test_who_is_not_logged_in_is_told_to(builder: Site, guarded: Registry, nobody: Path) -> None:
    with trusted(guarded):
        pulling = refused(wanting(builder).pull, State.NOT_LOGGED_IN)
        pushing = refused(builder.push, State.NOT_LOGGED_IN)
    for error in (pulling, pushing):
        assert guarded.host in error.message
        assert f"login {guarded.host}" in (error.hint or "")
    assert "stage 'the empty cluster' was not pushed" in pushing.message


# fault: W4
def test_wrong_credentials_are_called_so(builder: Site, guarded: Registry, nobody: Path) -> None:
    log_in(nobody, guarded, "not-the-password")
    with trusted(guarded):
        pulling = refused(wanting(builder).pull, State.BAD_CREDENTIALS)
        pushing = refused(builder.push, State.BAD_CREDENTIALS)
    for error in (pulling, pushing):
        assert guarded.host in error.message
        assert "not-the-password" not in error.message
        assert f"login {guarded.host}" in (error.hint or "")


# fault: W4
def test_an_unknown_authority_is_not_trusted(builder: Site, guarded: Registry, nobody: Path) -> None:
    """Nor are the credentials sent to it, even though it is on this machine."""
    log_in(nobody, guarded)
    before = len(guarded.requests())
    pulling = refused(wanting(builder).pull, State.TLS)
    pushing = refused(builder.push, State.TLS)
    for error in (pulling, pushing):
        assert guarded.host in error.message
        assert "certificate" in f"{error.message} {error.hint}"
    assert guarded.requests()[before:] == []


# fault: W13
def test_with_the_authority_and_a_login_it_is_a_registry_like_any(
    builder: Site, guarded: Registry, nobody: Path, tmp_path: Path
) -> None:
    log_in(nobody, guarded)
    with trusted(guarded):
        assert {stage.status for stage in builder.push().stages} == {"pushed"}
        assert {stage.status for stage in builder.push().stages} == {"present"}
        fresh = elsewhere(builder, tmp_path)
        assert fresh.present() == []
        assert fresh.pull().pulled == builder.tip
        assert fresh.rows() == (10, 10)
        assert fresh.applied() == []
        assert fresh.present() == [2]
