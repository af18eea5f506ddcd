"""Where a published port is reached: loopback, a remote engine's host, or the container beside ours."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from pg_ephemeral.backends.engine.address import VARIABLE, Address, docker_address, podman_address
from pg_ephemeral.errors import BackendError

LOCAL = Address(publish="127.0.0.1", connect="127.0.0.1")
#: Only on Linux do containers share a kernel with us, and may share a network.
NATIVE = replace(LOCAL, shares_networks=sys.platform == "linux")
BESIDE = replace(NATIVE, beside=True)


def remote(address: str) -> Address:
    return Address(publish="::" if ":" in address else "0.0.0.0", connect=address)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def context(directory: Path, name: str, host: str | None, *, current: bool = True) -> None:
    """Write what ``docker context create`` and ``docker context use`` write."""
    docker = directory / ".docker"
    meta = docker / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoint = {} if host is None else {"Host": host, "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    if current:
        (docker / "config.json").write_text(json.dumps({"currentContext": name}))


# fault: W60
@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("", LOCAL),
        ("unix:///var/run/docker.sock", LOCAL),
        ("unix:///home/me/.docker/desktop/docker.sock", LOCAL),
        ("fd://", LOCAL),
        ("tcp://", LOCAL),
        ("tcp://127.0.0.1:2375", LOCAL),
        ("tcp://localhost:2375", LOCAL),
        ("tcp://[::1]:2375", LOCAL),
        ("tcp://192.0.2.7:2376", remote("192.0.2.7")),
        ("tcp://[2001:db8::7]:2376", remote("2001:db8::7")),
        ("http://192.0.2.7:2375", remote("192.0.2.7")),
        ("https://192.0.2.7:2376", remote("192.0.2.7")),
        ("ssh://me@192.0.2.7", remote("192.0.2.7")),
        ("ssh://me@192.0.2.7:2222/run/podman/podman.sock", remote("192.0.2.7")),
    ],
)
class TestTheEnginesAddress:
    """On this very system are the engines that are where they are by default."""

    def test_of_docker(self, home: Path, endpoint: str, expected: Address) -> None:
        native = endpoint in {"", "unix:///var/run/docker.sock"}
        found = docker_address({"HOME": str(home), "DOCKER_HOST": endpoint}, inside=False)
        assert found == (NATIVE if native else expected)

    def test_of_podman(self, home: Path, endpoint: str, expected: Address) -> None:
        found = podman_address({"HOME": str(home), "CONTAINER_HOST": endpoint}, inside=False)
        assert found == (expected if endpoint else NATIVE)

    def test_of_a_context(self, home: Path, endpoint: str, expected: Address) -> None:
        context(home, "elsewhere", endpoint)
        native = endpoint in {"", "unix:///var/run/docker.sock"}
        assert docker_address({"HOME": str(home)}, inside=False) == (NATIVE if native else expected)


# fault: W60
def test_which_context_counts(home: Path) -> None:
    context(home, "one", "tcp://192.0.2.1:1")
    context(home, "two", "tcp://192.0.2.2:1", current=False)
    context(home, "nowhere", None, current=False)
    variables = {"HOME": str(home)}
    assert docker_address(variables, inside=False) == remote("192.0.2.1")
    assert docker_address({**variables, "DOCKER_CONTEXT": "two"}, inside=False) == remote("192.0.2.2")
    assert docker_address({**variables, "DOCKER_CONTEXT": "default"}, inside=False) == NATIVE
    assert docker_address({**variables, "DOCKER_CONTEXT": "nowhere"}, inside=False) == NATIVE
    assert docker_address({**variables, "DOCKER_CONTEXT": "unknown"}, inside=False) == NATIVE, "docker itself complains"
    above = {**variables, "DOCKER_CONTEXT": "two", "DOCKER_HOST": "tcp://192.0.2.3:1"}
    assert docker_address(above, inside=False) == remote("192.0.2.3")
    elsewhere = {"HOME": "/nowhere", "DOCKER_CONFIG": str(home / ".docker")}
    assert docker_address(elsewhere, inside=False) == remote("192.0.2.1")
    assert podman_address(variables, inside=False) == NATIVE, "podman has none of them"


@pytest.mark.parametrize("text", ["", "[", "[]", "null", '{"currentContext": 7}', '{"currentContext": "lost"}'])
def test_an_unusable_configuration_of_docker_is_its_own_affair(home: Path, text: str) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(text)
    assert docker_address({"HOME": str(home)}, inside=False) == NATIVE


# fault: W60
def test_what_we_are_told_counts_before_anything_else(home: Path) -> None:
    variables = {"HOME": str(home), "DOCKER_HOST": "tcp://192.0.2.1:1", "CONTAINER_HOST": "tcp://192.0.2.1:1"}
    for address in (docker_address, podman_address):
        assert address({**variables, VARIABLE: "192.0.2.9"}, inside=True) == remote("192.0.2.9")
        assert address({**variables, VARIABLE: "127.0.0.1"}, inside=True) == LOCAL
        assert address({**variables, VARIABLE: ""}, inside=False) == remote("192.0.2.1")


# fault: W60
def test_inside_a_container_the_ports_of_a_daemon_may_be_elsewhere(home: Path) -> None:
    variables = {"HOME": str(home)}
    assert docker_address(variables, inside=True) == BESIDE
    assert docker_address({**variables, "DOCKER_HOST": "unix:///var/run/docker.sock"}, inside=True) == BESIDE
    assert docker_address({**variables, "DOCKER_HOST": "tcp://192.0.2.1:2375"}, inside=True) == remote("192.0.2.1")
    assert podman_address(variables, inside=True) == NATIVE, "its containers are children of ours"
    assert podman_address({**variables, "CONTAINER_HOST": "unix:///run/podman.sock"}, inside=True) == replace(
        BESIDE, shares_networks=False
    )


# fault: W60
def test_of_a_hosts_addresses_the_one_that_engines_publish_on_is_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::7", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    variables = {"HOME": str(home), "DOCKER_HOST": "tcp://engine.example:2376"}
    assert docker_address(variables, inside=False) == remote("192.0.2.7")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"DOCKER_HOST": "tcp://no-such-host.invalid:2375"}, "tcp://no-such-host.invalid"),
        ({VARIABLE: "no-such-host.invalid"}, VARIABLE),
    ],
)
def test_a_host_without_an_address_is_named(home: Path, variables: dict[str, str], named: str) -> None:
    with pytest.raises(BackendError, match=r"'no-such-host\.invalid' has no address") as caught:
        docker_address({"HOME": str(home), **variables}, inside=False)
    assert named in caught.value.message
    assert VARIABLE in (caught.value.hint or "")


def test_an_address_that_cannot_be_read_is_one_error(home: Path) -> None:
    with pytest.raises(BackendError, match="cannot be read"):
        docker_address({"HOME": str(home), "DOCKER_HOST": "tcp://[::1:2375"}, inside=False)
