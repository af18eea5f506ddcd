"""Share the stages of one definition through a registry: pull the newest, push what is here, or both around a build.

What a registry holds is known beforehand by one round of questions. A stage counts by its key, which its image must
carry; the registry's name is in no key.
"""

from __future__ import annotations

from pg_ephemeral.sharing.pull import pull
from pg_ephemeral.sharing.push import push
from pg_ephemeral.sharing.report import Looked, PullReport, Pushed, PushReport, SyncReport
from pg_ephemeral.sharing.sync import sync

__all__ = ["Looked", "PullReport", "PushReport", "Pushed", "SyncReport", "pull", "push", "sync"]
