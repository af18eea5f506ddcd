"""Sync: pull what the registry has, build what is missing, push what is new."""

from __future__ import annotations

from pg_ephemeral.cache import Cache
from pg_ephemeral.errors import RegistryError, StageGone
from pg_ephemeral.populate import populate_only
from pg_ephemeral.progress import Note, Progress, silent
from pg_ephemeral.sharing.pull import pull
from pg_ephemeral.sharing.push import push
from pg_ephemeral.sharing.report import PushReport, SyncReport
from pg_ephemeral.sharing.transfer import instead, require_registry


def sync(cache: Cache, *, strict: bool = False, progress: Progress = silent) -> SyncReport:
    """Pull, populate, push. A registry's trouble is a warning, and the stages are built here, unless ``strict``.

    Raises what ``populate`` raises, and with ``strict`` what ``pull`` and ``push`` do.
    """
    require_registry(cache)
    warnings: list[str] = []

    def tolerate(error: RegistryError, what: str) -> None:
        if strict:
            raise error
        text = instead(error, what)
        warnings.append(text)
        progress(Note(text=text, warning=True))

    pulled = pushed = None
    try:
        pulled = pull(cache, strict=strict, progress=progress)
    except RegistryError as error:
        tolerate(error, "building here instead")
    try:
        pushed = _build_and_push(cache, progress)
    except RegistryError as error:
        tolerate(error, "what is missing there was not pushed")
    return SyncReport(pulled=pulled, pushed=pushed, warnings=tuple(warnings))


def _build_and_push(cache: Cache, progress: Progress) -> PushReport:
    """Once more when somebody removes a stage in between."""
    cache = populate_only(cache, progress=progress)
    try:
        return push(cache, progress=progress)
    except StageGone:
        return push(populate_only(cache, progress=progress), progress=progress)
