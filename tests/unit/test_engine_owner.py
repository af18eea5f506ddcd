"""Whose a container is, told from its labels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pg_ephemeral.backends.engine import owner


def test_labels_name_this_process_and_this_user() -> None:
    labels = owner.labels()
    assert labels[owner.OWNER_LABEL] == owner.owner()
    assert owner.owner().endswith(f".{os.getuid()}")
    number, _, started = labels[owner.PROCESS_LABEL].partition(".")
    assert int(number) == os.getpid()
    assert started


def test_we_are_not_gone() -> None:
    assert not owner.is_gone(owner.labels()[owner.PROCESS_LABEL])


def test_a_process_that_ended_is_gone_and_so_is_one_whose_number_another_has() -> None:
    program = "from pg_ephemeral.backends.engine import owner; print(owner.labels()[owner.PROCESS_LABEL])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert owner.is_gone(done.stdout.strip())
    assert owner.is_gone(f"{os.getpid()}.0")


@pytest.mark.parametrize("text", ["", "x", ".", "-1.5", "1"])
def test_what_is_no_process_is_gone(text: str) -> None:
    assert owner.is_gone(text)


def test_an_image_is_nobodys() -> None:
    assert dict(owner.NOBODYS) == {owner.OWNER_LABEL: "", owner.PROCESS_LABEL: ""}
    assert set(owner.labels()) == set(owner.NOBODYS)
