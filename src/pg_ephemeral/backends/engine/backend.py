"""The container backend: one engine, in its own dialect, servers in containers, stages as the engine's own images.

A server's container runs in the foreground of an engine's client that is our child (``inside``). One container carries
a chain from stage to stage: its server is stopped, the container is committed, the server goes on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

from pg_ephemeral.backends.base import BackendInfo, Exchange, Handle, ServerSpec
from pg_ephemeral.backends.engine import commands
from pg_ephemeral.backends.engine.base_image import BaseImage
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.commit import commit_image
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.exchange import engine_exchange
from pg_ephemeral.backends.engine.handle import STOP_TIMEOUT, EngineHandle
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.engine.launch import Launcher
from pg_ephemeral.backends.engine.leftovers import remove_now_and_then
from pg_ephemeral.backends.engine.memory import Memory
from pg_ephemeral.backends.engine.network import Networks, NotOurNetwork
from pg_ephemeral.backends.engine.tool import image_program
from pg_ephemeral.backends.runs import sweep
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.chain import BaseIdentity
from pg_ephemeral.errors import BackendError
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.paths import cache_dir
from pg_ephemeral.postgres.binaries import OLDEST_MAJOR
from pg_ephemeral.process import Invocation

#: Changed when what initdb is told changes, for then stage 0 is another one.
_INIT = 1

#: A container whose changes have grown by this many bytes is not carried on to the next stage, whose layer would hold
#: them again.
_CARRIED = 32 << 20


class EngineBackend:
    """A container engine and one base image."""

    builds = True

    def __init__(
        self,
        dialect: Dialect,
        image: ImageWord,
        *,
        cache: Path | None = None,
        base: BaseImage | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Nothing is looked up yet.

        ``base`` is the image if it is being looked for already, ``memory`` takes what is found of its stages.
        """
        self.name = dialect.program
        self._image = image
        self._memory = memory
        self._base = base if base is not None else BaseImage(dialect, image)
        #: For what is said alike in every dialect, to an engine that may not answer.
        self._command = EngineClient(dialect=dialect)
        self._given_cache = cache

    @cached_property
    def images(self) -> EngineImages:
        """The engine's own store."""
        return EngineImages(self.client, seen=lambda: self._base.beside)

    def info(self) -> BackendInfo:
        """The engine's version, and whether it is rootless."""
        version = self.client.call(self.client.dialect.version).decode().strip()
        return BackendInfo(name=self.name, version=version, rootless=self.rootless)

    def answer(self) -> None:
        """Raise ``BackendError`` or ``ProcessError`` unless the engine answers; what it says is not asked for again."""
        self._base.present  # noqa: B018 -- the look is the point

    def identify(self) -> BaseIdentity:
        """The image's content: its layers, and what its processes are told.

        An image that is not here is pulled, unless its registry tells and stages of it may be pulled instead.
        """
        self._refuse_old(str(self._image.version or ""))
        base = self._base.facts
        self._refuse_old(base.env.get("PG_MAJOR", ""))
        return BaseIdentity(
            fields={
                "backend": "container",
                "layers": list(base.layers),
                "entrypoint": list(base.entrypoint),
                "env": dict(base.env),
                "user": base.user,
                "directory": base.directory,
                "init": _INIT,
            },
            platform=base.platform,
            version=base.env.get("PG_VERSION") or base.env.get("PG_MAJOR") or str(self._image),
        )

    def start(self, source: Reference | None, spec: ServerSpec, *, serve: bool = True) -> Handle:
        """Run a container of the stage, or of the base, whose entry point then makes a cluster."""
        self.sweep()
        handle = self._launcher.launch(source, spec, serve=serve)
        try:
            # While the server starts.
            remove_now_and_then(self._command, self._directory)
            if self._memory is not None:
                self._memory.note(self.images.known())
            if serve or source is None:
                self._await(handle, source, fresh=source is None)
        except BaseException:
            handle.close()
            raise
        return handle

    def commit(self, handle: Handle, reference: Reference, labels: Mapping[str, str]) -> None:
        """Settle the data, stop the server, and commit the container, unless the stage was made meanwhile."""
        from pg_ephemeral.oci.jobs import Jobs

        ours = _own(handle)
        with Jobs(1, "look") as jobs:
            # Another user of the engine does not know our locks.
            is_here = jobs.submit(lambda: self.images.is_here(reference))
            ours.stop(within=max(ours.spec.timeout, STOP_TIMEOUT))
            if not is_here.result():
                commit_image(self.client, ours, self.images.local_name(reference), labels)
        ours.stage = reference

    def resume(self, handle: Handle, spec: ServerSpec, *, serve: bool = True) -> None:
        """Go on where it was, or in a new container of its stage: when its own has grown, or sees other things."""
        ours = _own(handle)
        stage = ours.stage
        moves = stage is not None and self._must_move(ours, spec)
        if serve and not moves:
            # While the engine is asked how much has changed; in vain if that is much.
            ours.order_start(spec, fresh=False)
        if stage is not None and (moves or self._has_grown(ours, stage, spec)):
            ours.replace_with(self._launcher.launch(stage, spec, serve=serve))
        if serve:
            self._await(ours, stage, fresh=False)

    def _await(self, handle: EngineHandle, source: Reference | None, *, fresh: bool) -> None:
        """Wait for the server; one that is not reached in this host's network starts again in one of its own."""
        try:
            handle.await_server(fresh=fresh)
        except NotOurNetwork:
            self._networks.note_in_vain()
            handle.replace_with(self._launcher.launch(source, handle.spec, serve=True))
            handle.await_server(fresh=fresh)

    def remove(self, handle: Handle) -> None:
        """End the container, and with it everything in it."""
        _own(handle).close()

    def exchange(self) -> AbstractContextManager[Exchange]:
        """By the engine itself."""
        return engine_exchange(self.client, self.images, self._base.facts.platform)

    def sweep(self) -> list[Path]:
        """Remove the containers of processes that are gone; normally they have ended with them."""
        return sweep(self.runs, first=lambda path: self._command.remove_container(commands.container_name(path)))

    @contextmanager
    def tool(self, argv: Sequence[str], *, directory: Path) -> Iterator[Invocation]:
        """In a container of the base image, as the calling user, with our variables that start with ``PG``."""
        self._base.fetch()
        self.sweep()
        remove_now_and_then(self._command, self._directory)
        with image_program(
            self.client, self.base_name, argv, runs=self.runs, user=self.caller, directory=directory
        ) as invocation:
            yield invocation

    def lock_file(self, name: str) -> Path:
        """In this user's cache directory, for this engine."""
        return self._directory / "locks" / name

    @cached_property
    def rootless(self) -> bool:
        """Whether the engine runs containers without root's rights. Raises ``BackendError``."""
        dialect = self.client.dialect
        return dialect.says_rootless(self.client.call(dialect.rootless).decode())

    @property
    def caller(self) -> str:
        """Who inside is the calling user outside: a rootless engine takes its own user for root."""
        return "0:0" if self.rootless else f"{os.getuid()}:{os.getgid()}"

    @property
    def base_name(self) -> str:
        """The image, as the engine is asked for it."""
        return self._base.name

    @property
    def client(self) -> EngineClient:
        """The engine's command."""
        return self._base.client

    @property
    def _directory(self) -> Path:
        return (self._given_cache or cache_dir()) / self.name

    @property
    def runs(self) -> Path:
        """Where each container of ours has a locked directory; its name is the end of the container's."""
        return self._directory / "run"

    @cached_property
    def _launcher(self) -> Launcher:
        return Launcher(self._base, self.images, runs=self.runs, networks=self._networks, caller=lambda: self.caller)

    @cached_property
    def _networks(self) -> Networks:
        return Networks(self._directory / "own-network")

    def _refuse_old(self, version: str) -> None:
        """Before anything is pulled or started; what is said of the version nowhere is noticed inside."""
        found = re.match(r"\d+", version)
        if found is not None and int(found[0]) < OLDEST_MAJOR:
            raise BackendError(
                f"image {self.base_name} has PostgreSQL {version}; the oldest that works is {OLDEST_MAJOR}"
            )

    @staticmethod
    def _must_move(handle: EngineHandle, spec: ServerSpec) -> bool:
        """Whether this container will not do, whatever its size; a new cluster would be in its next layer once more."""
        mounted = (handle.mounted.directories, handle.mounted.files)
        sees_other = mounted != (spec.directories, spec.files) or (handle.reach.shares_network and spec.own_network)
        return sees_other or (spec.for_stage and handle.made_cluster)

    def _has_grown(self, handle: EngineHandle, stage: Reference, spec: ServerSpec) -> bool:
        """Whether the next layer of this container would repeat much."""
        if not spec.for_stage:
            return False
        if self.images.facts(key_of(stage)) is None:
            self.images.is_here(stage)
        made = self.images.facts(key_of(stage))
        return made is not None and handle.origin is not None and made.size - handle.origin.size > _CARRIED


def _own(handle: Handle) -> EngineHandle:
    if not isinstance(handle, EngineHandle):
        raise TypeError(f"{handle!r} is a handle of another backend")
    return handle
