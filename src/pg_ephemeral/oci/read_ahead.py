"""Reading an image's blobs one after the other, while the next small ones are already on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from io import BytesIO
from typing import TypeAlias

from pg_ephemeral.oci.jobs import Jobs
from pg_ephemeral.oci.model import Descriptor
from pg_ephemeral.oci.reference import Name
from pg_ephemeral.oci.store import ContentStore, Readable, read_all

__all__ = ["InOrder", "reading_ahead"]

#: So many blobs travel at a time, each of at most so many bytes; a larger one is read as it is used.
_JOBS = 4
_SMALL = 4 << 20


#: Opens the blob of that number; to be called for each in its order.
InOrder: TypeAlias = Callable[[int], AbstractContextManager[Readable]]


@contextmanager
def reading_ahead(source: ContentStore, repository: Name, blobs: Sequence[Descriptor]) -> Iterator[InOrder]:
    """Read ``blobs``, most of whose time may be a registry's answer time. Opening one raises what fetching it did."""
    waiting: dict[int, Future[bytes]] = {}

    def fetch(blob: Descriptor) -> bytes:
        with source.open_blob(repository, blob) as readable:
            return read_all(readable)

    def opened(index: int) -> AbstractContextManager[Readable]:
        for ahead in range(index, min(index + _JOBS, len(blobs))):
            if ahead not in waiting and blobs[ahead].size <= _SMALL:
                waiting[ahead] = pool.submit(partial(fetch, blobs[ahead]))
        if index in waiting:
            return nullcontext(BytesIO(waiting.pop(index).result()))
        return source.open_blob(repository, blobs[index])

    with Jobs(_JOBS, "read-ahead") as pool:
        yield opened
