"""Which servers' containers have this host's network, and what is remembered where that leads nowhere."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from pg_ephemeral.backends.base import ServerSpec
from pg_ephemeral.backends.engine.address import LOCAL, NATIVE, Address
from pg_ephemeral.backends.engine.network import VARIABLE, Networks

SPEC = ServerSpec(superuser="postgres", database="postgres", parameters={}, timeout=10.0)
OFFICIAL = ("docker-entrypoint.sh",)

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/net").exists(), reason="needs Linux")


def networks(directory: Path, **environment: str) -> Networks:
    return Networks(directory / "docker" / "own-network", environment=environment)


@pytest.mark.parametrize(
    ("address", "spec", "entrypoint", "shared"),
    [
        (NATIVE, SPEC, OFFICIAL, True),
        (NATIVE, replace(SPEC, files=Path("/project"), seeding=True, for_stage=True), OFFICIAL, True),
        (LOCAL, SPEC, OFFICIAL, False),
        (Address(publish="0.0.0.0", connect="192.0.2.1"), SPEC, OFFICIAL, False),
        (NATIVE, replace(SPEC, own_network=True), OFFICIAL, False),
        (NATIVE, replace(SPEC, directories=(Path("/project"),)), OFFICIAL, False),
        (NATIVE, SPEC, ("start-everything.sh",), False),
        (NATIVE, SPEC, (), False),
    ],
)
def test_only_where_nothing_but_postgresql_runs_and_the_engine_is_here(
    address: Address, spec: ServerSpec, entrypoint: tuple[str, ...], shared: bool, tmp_path: Path
) -> None:
    assert networks(tmp_path).is_shared(address, spec, entrypoint) is shared


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    assert networks(tmp_path, **{VARIABLE: "own"}).is_shared(NATIVE, SPEC, OFFICIAL) is False


def test_what_was_in_vain_is_not_tried_again_for_a_while(tmp_path: Path) -> None:
    found = networks(tmp_path)
    assert found.is_shared(NATIVE, SPEC, OFFICIAL)
    found.note_in_vain()
    assert not found.is_shared(NATIVE, SPEC, OFFICIAL)
    assert not networks(tmp_path).is_shared(NATIVE, SPEC, OFFICIAL), "the next process knows"
    note = tmp_path / "docker" / "own-network"
    long_ago = time.time() - 8 * 86_400
    os.utime(note, (long_ago, long_ago))
    assert networks(tmp_path).is_shared(NATIVE, SPEC, OFFICIAL)


def test_what_another_container_noted_is_not_true_of_us(tmp_path: Path) -> None:
    networks(tmp_path).note_in_vain()
    (tmp_path / "docker" / "own-network").write_text("7")
    assert networks(tmp_path).is_shared(NATIVE, SPEC, OFFICIAL)


def test_where_nothing_can_be_noted_this_process_remembers(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("in the way")
    found = networks(tmp_path)
    found.note_in_vain()
    assert not found.is_shared(NATIVE, SPEC, OFFICIAL)
