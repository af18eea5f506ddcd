"""One server for several processes of one test run: whoever comes first starts it, and it ends with the last of them.

A *holder*, a process of its own, boots the server and listens on a unix socket in a directory that only its user can
enter. Each *member* keeps one connection to it for as long as it needs the server. The kernel closes that connection
however the member ends, and when the last one is closed the holder stops the server and removes its directory.
"""

from __future__ import annotations

from pg_ephemeral.shared_server.facts import Boot, BootRecord, Facts, Kept, described
from pg_ephemeral.shared_server.member import Member, join, visit

__all__ = ["Boot", "BootRecord", "Facts", "Kept", "Member", "described", "join", "visit"]
