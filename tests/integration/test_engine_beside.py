"""Boots from within containers that have the engine's socket: on the engine's own network, and on another."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import engines, machine

pytestmark = pytest.mark.needs("docker", "root")

_PROGRAM = """
import os, sys
from dataclasses import replace
from pathlib import Path
from pg_ephemeral import Definition, PgEphemeralError, boot
from pg_ephemeral.backends.engine.address import docker_address
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.docker import DOCKER

image, instance, timeout = sys.argv[1:]
definition = Definition().with_image(image).with_instance(instance).with_wait_available_timeout(float(timeout))
definition = definition.apply_sql_statement("seed", f"CREATE TABLE t AS SELECT 1 AS n -- {instance}")
dialect = replace(DOCKER, address=lambda environment: docker_address(environment, inside=True))
try:
    with boot(definition, backend=EngineBackend(dialect, definition.image)) as server, server.connect() as connection:
        print(server.env()["PGHOST"], server.env()["PGPORT"], connection.execute("SELECT n FROM t").fetchone()[0])
except PgEphemeralError as error:
    print(error.message, error.hint)
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if shutil.which("nsenter") is None:
        pytest.skip("needs nsenter")
    # What is noted of the engine is true of it from there.
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(tmp_path))
    instance = f"t-{secrets.token_hex(4)}"
    yield instance
    engines.remove_images("docker", instance)


@pytest.fixture
def network(instance: str) -> Iterator[str]:
    """One that docker was asked for, as compose does."""
    engines.call("docker", "network", "create", instance)
    yield instance
    engines.call("docker", "network", "rm", instance)


def inside(network: str, instance: str, *, timeout: float = 60) -> str:
    """What the program says in a container's place on this network."""
    words = ("--network", network, "--name", f"{instance}-us", "--entrypoint", "sleep", machine.IMAGE_REFERENCE, "600")
    us = engines.call("docker", "run", "--detach", "--rm", *words).strip()
    try:
        process = engines.call("docker", "container", "inspect", "--format", "{{.State.Pid}}", us).strip()
        there = ("nsenter", f"--net=/proc/{process}/ns/net", "--", sys.executable, "-c", _PROGRAM)
        done = subprocess.run(
            [*there, machine.IMAGE, instance, str(timeout)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
    finally:
        engines.call("docker", "rm", "--force", "--volumes", us)


# fault: W60
def test_on_the_engines_own_network_servers_are_neighbours(instance: str) -> None:
    host, port, found = inside("bridge", instance).split()
    assert (port, found) == ("5432", "1")
    assert host != "127.0.0.1"


# fault: W60
def test_on_another_network_servers_are_behind_the_gateway(network: str, instance: str) -> None:
    form = "{{(index .IPAM.Config 0).Gateway}}"
    gateway = engines.call("docker", "network", "inspect", "--format", form, network).strip()
    for _ in range(2):
        host, port, found = inside(network, instance).split()
        assert (host, found) == (gateway, "1")
        assert port != "5432"


# fault: W60
def test_where_no_way_leads_to_a_server_the_error_says_what_to_do(instance: str) -> None:
    said = inside("none", instance, timeout=1)
    assert "the server answers in its container, but not at " in said
    assert "PG_EPHEMERAL_ENGINE_HOST" in said
