"""Other processes: whether they run, and waiting for what they do."""

from __future__ import annotations

from pathlib import Path

from support.project import eventually


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody reaps yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_in(path: Path) -> int:
    """The process id that a program writes to this file, as soon as it is there."""
    eventually(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def wait_until_gone(pid: int) -> None:
    eventually(lambda: not alive(pid))
