"""Servers in containers that have this host's network, and those that get one of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral import Definition, Server, boot
from pg_ephemeral.backends.engine import network
from pg_ephemeral.backends.engine.handle import EngineHandle
from pg_ephemeral.backends.engine.reach import Reach
from pg_ephemeral.postgres import ports
from pg_ephemeral.process import capture
from pg_ephemeral.progress import silent
from support import engines, machine

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def seeded(engine: str) -> Iterator[Definition]:
    instance = f"t-{secrets.token_hex(4)}"
    definition = Definition().with_instance(instance).with_image(machine.IMAGE).with_backend(engine)
    yield definition.apply_sql_statement("seed", f"CREATE TABLE t AS SELECT 1 AS n -- {instance}")
    engines.remove_images(engine, instance)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is noted of the engine yet."""
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(tmp_path))


def mode(server: Server) -> str:
    """What the engine says of the container's network."""
    handle = server._handle
    assert isinstance(handle, EngineHandle)
    form = "{{.HostConfig.NetworkMode}}"
    return engines.call(handle._client.dialect.program, "container", "inspect", "--format", form, handle.name).strip()


def row(server: Server) -> tuple[object, ...] | None:
    with server.connect() as connection:
        return connection.execute("SELECT n, current_setting('listen_addresses') FROM t").fetchone()


@pytest.mark.each_engine
def test_a_server_alone_in_its_container_needs_no_network_of_its_own(seeded: Definition) -> None:
    for _ in range(2):  # the second time there is nothing to build
        with boot(seeded) as server:
            assert mode(server) == "host"
            assert row(server) == (1, "127.0.0.1")
    with boot(seeded) as one, boot(seeded) as other:
        assert one.conninfo.endpoint != other.conninfo.endpoint
        assert (row(one), row(other)) == ((1, "127.0.0.1"),) * 2
        # Programs inside find it as well, at whatever port.
        psql = one.program(("psql", "-XAtc", "SELECT n FROM t"))
        assert capture(psql).stdout == b"1\n"


def test_programs_beside_the_server_do_not_see_this_hosts_network(seeded: Definition, tmp_path: Path) -> None:
    for options in ({"own_network": True}, {"directories": [tmp_path]}):
        with boot(seeded, **options, progress=silent) as server:
            assert mode(server) != "host"
            assert row(server) == (1, "*")


def test_a_chain_with_a_script_has_a_network_of_its_own(seeded: Definition) -> None:
    with boot(seeded.apply_container_script("script", "true")) as server:
        assert mode(server) != "host"


def test_it_can_be_switched_off(seeded: Definition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(network.VARIABLE, "own")
    with boot(seeded) as server:
        assert mode(server) != "host"


def test_a_port_that_was_taken_meanwhile_is_changed_for_another(
    seeded: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = ports.free_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        offered = iter([taken.getsockname()[1]])
        monkeypatch.setattr(ports, "free_port", lambda: next(offered, None) or free_port())
        with boot(seeded) as server:
            assert server.conninfo.endpoint.port != taken.getsockname()[1]
            assert row(server) == (1, "127.0.0.1")
    assert next(offered, None) is None


def test_where_the_engine_refuses_it_there_is_another_way(
    seeded: Definition, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docker does with userns-remap; and the next boot does not even try."""
    programs, asked = tmp_path / "programs", tmp_path / "asked"
    programs.mkdir()
    refusing = programs / engine
    refusing.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *"--network host"*) echo asked >>"{asked}"\n'
        'echo "cannot share the host\'s network namespace when user namespaces are enabled" >&2; exit 125;; esac\n'
        f'exec "{shutil.which(engine)}" "$@"\n'
    )
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for _ in range(2):
        with boot(seeded) as server:
            assert mode(server) != "host"
            assert row(server) == (1, "*")
    assert asked.read_text() == "asked\n"


def test_where_the_hosts_network_is_not_ours_there_is_another_way(
    seeded: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an engine in a virtual machine: at that port of ours, somebody else answers, or nobody."""
    place = Reach._place

    def elsewhere(self: Reach) -> tuple[str, int]:
        host, port = place(self)
        return host, 1 if self.shares_network else port

    monkeypatch.setattr(Reach, "_place", elsewhere)
    for _ in range(2):
        with boot(seeded) as server:
            assert mode(server) != "host"
            assert row(server) == (1, "*")
