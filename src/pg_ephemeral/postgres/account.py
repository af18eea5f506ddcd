"""As whom a local PostgreSQL runs. PostgreSQL refuses to run as root, so root needs one of two ways round.

* A user namespace (user_namespaces(7)) in which root's own id is shown as another one: files stay root's, and nothing
  has to be readable for anybody else. The way wherever the kernel permits it.
* An unprivileged user of the system: its files are given to it, and the programs must be where it can read them.

Anybody else runs PostgreSQL as themselves.
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from msgspec import Struct

from pg_ephemeral.errors import BackendError, ProcessError
from pg_ephemeral.paths import barrier
from pg_ephemeral.process import Invocation, capture

#: Names the user that servers run as when we are root, instead of a user namespace.
VARIABLE = "PG_EPHEMERAL_RUN_AS"

# Inside a namespace the id must be one that the system knows, for initdb looks its name up.
_SHOWN_AS = ("postgres", "daemon", "nobody")
_UNPRIVILEGED = ("postgres", "nobody")


class Account(Struct, frozen=True, kw_only=True):
    """How to run a server program: ``prefix`` goes before its argv; ``uid`` and ``gid`` own its files, if not we."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    name: str | None = None

    @property
    def foreign(self) -> bool:
        """Whether it is another user than ourselves, who must be given files and able to read programs."""
        return self.uid is not None

    def barrier(self, path: Path) -> Path | None:
        """The directory on the way into ``path`` that servers cannot pass through; None if there is none.

        In a user namespace root has its own rights alone: it cannot even look into what is closed and another's.
        """
        if self.uid is not None and self.gid is not None:
            return barrier(path, uid=self.uid, gid=self.gid)
        return barrier(path, uid=os.geteuid(), gid=os.getegid()) if self.prefix else None


def choose() -> Account:
    """The account for servers of this process. Raises ``BackendError`` when root has no way to run one."""
    if os.geteuid() != 0:
        return Account()
    wanted = os.environ.get(VARIABLE)
    if wanted:
        return unprivileged((wanted,))
    return namespace() or unprivileged(_UNPRIVILEGED)


def namespace() -> Account | None:
    """The user namespace way, if util-linux's unshare(1) is here and the kernel permits it."""
    entry = _known(_SHOWN_AS)
    unshare = shutil.which("unshare")
    if entry is None or unshare is None:
        return None
    prefix = (unshare, "--user", f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}", "--")
    try:
        permitted = capture(Invocation(argv=(*prefix, "true"))).status == 0
    except ProcessError:
        return None
    return Account(prefix=prefix) if permitted else None


def unprivileged(candidates: tuple[str, ...]) -> Account:
    """The first of these users that exists and is not root. Raises ``BackendError``."""
    entry = _known(candidates)
    if entry is None or entry.pw_uid == 0:
        raise BackendError(
            f"PostgreSQL does not run as root, and there is no user {' or '.join(candidates)} to run it as",
            hint=f"run pg-ephemeral as an ordinary user, or set {VARIABLE} to one",
        )
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def _known(candidates: tuple[str, ...]) -> pwd.struct_passwd | None:
    for name in candidates:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
