"""Which directories of this host a container may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.binds import check
from pg_ephemeral.errors import BackendError


# fault: W42
@pytest.mark.parametrize(
    "directory",
    [
        *("/", "/usr", "/etc", "/etc/apt", "/bin", "/lib", "/lib64", "/sbin"),
        *("/proc", "/proc/1", "/sys/fs", "/dev/shm"),
        # What is below is as much the image's: its programs, its libraries, its sockets.
        *("/usr/bin", "/usr/lib/postgresql", "/usr/local", "/usr/local/bin", "/usr/share/x", "/bin/x", "/sbin/x"),
        *("/lib/x", "/lib64/x", "/libx32", "/run/postgresql", "/run/x", "/boot", "/boot/x"),
        *("/tmp", "/var", "/var/lib", "/run", "/var/run", "/home", "/root", "/opt", "/mnt"),
        *("/var/lib/postgresql", "/var/lib/postgresql/data", "/var/lib/pg-ephemeral", "/var/run/postgresql"),
    ],
)
def test_directories_the_image_needs_are_refused_with_the_reason(directory: str) -> None:
    with pytest.raises(BackendError, match=f"directory {directory} cannot be shared .* would hide") as caught:
        check(Path(directory))
    assert "pg-ephemeral host" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "directory",
    [
        *("/home/me", "/tmp/x", "/srv/app", "/var/lib/jenkins/workspace", "/opt/app", "/root/x", "/library", "/libs/x"),
        *("/usr/src", "/usr/src/app", "/usr/local/src/app", "/usr/home/me", "/run/user/1000/x", "/run/media/me/disk"),
    ],
)
def test_directories_of_ones_own_are_not(directory: str) -> None:
    assert check(Path(directory)) == Path(directory)


# fault: W42
@pytest.mark.parametrize("name", ["a,b", "a b", 'a"b', "a'b", "a:b"])
def test_any_name_will_do(name: str) -> None:
    assert check(Path("/home") / name) == Path("/home") / name


@pytest.mark.parametrize("name", ["a\nb", "a\rb"])
def test_but_one_with_a_line_break(name: str) -> None:
    with pytest.raises(BackendError, match="line break"):
        check(Path("/home") / name)


def test_a_relative_directory_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check(Path("x")) == tmp_path / "x"


def test_a_path_with_dots_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="directory /etc cannot"):
        check(Path("/home/../etc"))
