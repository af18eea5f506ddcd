"""The public names: what is exported, that it is there, and that importing the package is cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pg_ephemeral


def test_all_is_what_can_be_had() -> None:
    for name in pg_ephemeral.__all__:
        assert getattr(pg_ephemeral, name) is not None
    assert set(dir(pg_ephemeral)) == set(pg_ephemeral.__all__)
    assert pg_ephemeral.__all__ == sorted(pg_ephemeral.__all__, key=lambda name: name)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = pg_ephemeral.nonsense


def test_importing_the_package_imports_none_of_its_dependencies() -> None:
    program = (
        "import sys, pg_ephemeral; print(*(name for name in ('psycopg', 'msgspec', 'rich') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert pg_ephemeral.__version__ == version("pg-ephemeral")
