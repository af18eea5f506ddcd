"""Whose a container is: labels that name the process that started it, so that another may tell it is gone."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.process import Invocation, capture

#: The user on this machine; and the process, which may be told from a later one with its number.
OWNER_LABEL = "pg-ephemeral.owner"
PROCESS_LABEL = "pg-ephemeral.process"

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


def owner() -> str:
    """This user in this machine's present life, and in this container if we run in one."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts += [_BOOT.read_text().strip(), str(_NAMESPACE.readlink())]
    return f"{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}.{os.getuid()}"


def labels() -> dict[str, str]:
    """The labels of a container that we start."""
    return {OWNER_LABEL: owner(), PROCESS_LABEL: f"{os.getpid()}.{_started(os.getpid())}"}


#: On an image these would be wrong, and labels cannot be taken from one: so there they are empty.
NOBODYS: Mapping[str, str] = {OWNER_LABEL: "", PROCESS_LABEL: ""}


def is_gone(process: str) -> bool:
    """Whether the process that a label names, one of ``owner``, does not run any more."""
    number, _, started = process.partition(".")
    return not number.isdigit() or _started(int(number)) != started


def _started(pid: int) -> str:
    """When a process began, in whatever unit the system has; empty when there is no such process."""
    try:
        # Its name, in parentheses, may contain anything; the time is the 22nd field (proc(5)).
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self").exists():
            return ""
    done = capture(Invocation(argv=("ps", "-o", "lstart=", "-p", str(pid))))
    return "-".join(done.stdout.decode(errors="replace").split())
