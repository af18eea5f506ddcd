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
from pg_ephemeral.backends.engine import binds, commands, owner
from pg_ephemeral.backends.engine.address import Address
from pg_ephemeral.backends.engine.beside import from_beside
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.commands import Bind, ImageFacts, Publish
from pg_ephemeral.backends.engine.commit import commit_image
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.exchange import engine_exchange
from pg_ephemeral.backends.engine.handle import FILES, STOP_TIMEOUT, EngineHandle
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.engine.inside import SCRIPT, Ended, Inside
from pg_ephemeral.backends.engine.remote_base import remote_facts
from pg_ephemeral.backends.engine.tool import image_program
from pg_ephemeral.backends.runs import Run, new_run, sweep
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.chain import BaseIdentity
from pg_ephemeral.errors import BackendError, ServerError, StageGone
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.paths import cache_dir
from pg_ephemeral.postgres.binaries import OLDEST_MAJOR, machine_platform
from pg_ephemeral.postgres.client import prepare
from pg_ephemeral.process import Invocation

#: Changed when what initdb is told changes, for then stage 0 is another one.
_INIT = 1

#: A container whose changes have grown by this many bytes is not carried on to the next stage, whose layer would hold
#: them again.
_CARRIED = 32 << 20

#: Beside the server, what an engine may need to start a container on a busy machine, in seconds.
_START_TIMEOUT = 120.0


class EngineBackend:
    """A container engine and one base image."""

    builds = True

    def __init__(self, dialect: Dialect, image: ImageWord, *, cache: Path | None = None) -> None:
        """Nothing is looked up yet."""
        self.name = dialect.program
        self._dialect = dialect
        self._image = image
        self._client = EngineClient(dialect=dialect)
        self._given_cache = cache

    @cached_property
    def images(self) -> EngineImages:
        """The engine's own store."""
        return EngineImages(self._client)

    def info(self) -> BackendInfo:
        """The engine's version, and whether it is rootless."""
        version = self._client.call(self._dialect.version).decode().strip()
        return BackendInfo(name=self.name, version=version, rootless=self.rootless)

    def answer(self) -> None:
        """Raise ``BackendError`` or ``ProcessError`` unless the engine answers; what it says is not asked for again."""
        self._present_base  # noqa: B018 -- the look is the point

    def identify(self) -> BaseIdentity:
        """The image's content: its layers, and what its processes are told.

        Of an image that is not here its registry tells; where that cannot be asked, it is pulled.
        """
        self._refuse_old(str(self._image.version or ""))
        base = self._base
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
        run = new_run(self.runs)
        handle = None
        try:
            handle = self._launch(run, source, spec, serve=serve)
            if serve:
                handle.await_server(fresh=source is None)
        except BaseException:
            if handle is not None:
                handle.close()
            run.close()
            raise
        return handle

    def commit(self, handle: Handle, reference: Reference, labels: Mapping[str, str]) -> None:
        """Settle the data, stop the server, and commit the container, unless the stage was made meanwhile."""
        ours = _own(handle)
        ours.stop(within=max(ours.spec.timeout, STOP_TIMEOUT))
        if not self.images.is_here(reference):
            commit_image(self._client, ours, self.images.local_name(reference), labels)
        ours.stage = reference

    def resume(self, handle: Handle, spec: ServerSpec, *, serve: bool = True) -> None:
        """Go on where it was, or in a new container of its stage: when its own has grown, or sees other directories."""
        ours = _own(handle)
        if ours.stage is not None and (self._sees_other(ours, spec) or self._has_grown(ours, ours.stage, spec)):
            run = new_run(self.runs)
            try:
                ours.replace_with(self._launch(run, ours.stage, spec, serve=False))
            except BaseException:
                run.close()
                raise
        if serve:
            ours.order_start(spec, fresh=False)
            ours.await_server(fresh=False)

    def remove(self, handle: Handle) -> None:
        """End the container, and with it everything in it."""
        _own(handle).close()

    def exchange(self) -> AbstractContextManager[Exchange]:
        """By the engine itself."""
        return engine_exchange(self._client, self.images, self._base.platform)

    def sweep(self) -> list[Path]:
        """Remove the containers of processes that are gone; normally they have ended with them."""

        def remove(path: Path) -> None:
            self._client.try_call(commands.remove(commands.container_name(path)))

        return sweep(self.runs, first=remove)

    @contextmanager
    def tool(self, argv: Sequence[str], *, directory: Path) -> Iterator[Invocation]:
        """In a container of the base image, as the calling user, with our variables that start with ``PG``."""
        self._fetched_base()
        self.sweep()
        with image_program(
            self._client, self.base_name, argv, runs=self.runs, user=self.caller, directory=directory
        ) as invocation:
            yield invocation

    def lock_file(self, name: str) -> Path:
        """In this user's cache directory, for this engine."""
        return self._directory / "locks" / name

    @cached_property
    def rootless(self) -> bool:
        """Whether the engine runs containers without root's rights. Raises ``BackendError``."""
        return self._dialect.says_rootless(self._client.call(self._dialect.rootless).decode())

    @property
    def caller(self) -> str:
        """Who inside is the calling user outside: a rootless engine takes its own user for root."""
        return "0:0" if self.rootless else f"{os.getuid()}:{os.getgid()}"

    @cached_property
    def base_name(self) -> str:
        """The image, as the engine is asked for it."""
        return str(self._image.reference)

    @property
    def client(self) -> EngineClient:
        """The engine's command."""
        return self._client

    @property
    def _directory(self) -> Path:
        return (self._given_cache or cache_dir()) / self.name

    @property
    def runs(self) -> Path:
        """Where each container of ours has a locked directory; its name is the end of the container's."""
        return self._directory / "run"

    @cached_property
    def _present_base(self) -> ImageFacts | None:
        return next(iter(self._client.images((self.base_name,))), None)

    @cached_property
    def _base(self) -> ImageFacts:
        return self._present_base or self._remote_base or self._pulled_base

    @cached_property
    def _remote_base(self) -> ImageFacts | None:
        platform = Platform.parse(machine_platform())
        return remote_facts(self._image.reference, platform, program=self.name)

    @cached_property
    def _pulled_base(self) -> ImageFacts:
        self._client.pull(self.base_name)
        found = self._client.images((self.base_name,))
        if not found:
            raise BackendError(f"image {self.base_name} was pulled but is not there")
        return found[0]

    def _fetched_base(self) -> None:
        """Have the base itself, and not only what its registry says of it."""
        if self._present_base is None and self._pulled_base.layers != self._base.layers:
            raise BackendError(f"image {self.base_name} changed while it was pulled", hint="run the command again")

    @cached_property
    def _address(self) -> Address:
        return self._dialect.address(os.environ)

    def _refuse_old(self, version: str) -> None:
        """Before anything is pulled or started; what is said of the version nowhere is noticed inside."""
        found = re.match(r"\d+", version)
        if found is not None and int(found[0]) < OLDEST_MAJOR:
            raise BackendError(
                f"image {self.base_name} has PostgreSQL {version}; the oldest that works is {OLDEST_MAJOR}"
            )

    def _launch(self, run: Run, source: Reference | None, spec: ServerSpec, *, serve: bool) -> EngineHandle:
        """Run a container, and return when it is up; to ``serve``, its server is told to start by then."""
        handle = self._run(run, source, spec, serve=serve)
        if not self._address.beside:
            return handle
        # The first container shows what is true of all.
        try:
            self._address = from_beside(handle.published_port(), handle.own_address)
        except BaseException:
            handle.inside.close()
            raise
        if self._address.publish == handle.address.publish:
            handle.address = self._address
            return handle
        handle.inside.close()
        return self._run(run, source, spec, serve=serve)

    def _run(self, run: Run, source: Reference | None, spec: ServerSpec, *, serve: bool) -> EngineHandle:
        if source is None:
            self._fetched_base()
        name = commands.container_name(run.path)
        call = commands.run(
            self.base_name if source is None else self.images.local_id(source),
            ("-c", SCRIPT),
            name=name,
            entrypoint="sh",
            labels=owner.labels(),
            env={"PGDATA": commands.DATA},
            publish=Publish(address=self._address.publish),
            binds=_binds(spec),
            extra=self._dialect.without_proxies(os.environ, self._base.env),
        )
        inside = Inside(self._client.invocation(call), log=run.path / "log")
        handle = EngineHandle(
            client=self._client,
            address=self._address,
            name=name,
            run=run,
            inside=inside,
            base=self._base,
            origin=self._base if source is None else self.images.facts(key_of(source)),
            spec=spec,
            caller=lambda: self.caller,
        )
        try:
            if serve:
                handle.order_start(spec, fresh=source is None)
            prepare()
            inside.expect("up", within=_START_TIMEOUT)
        except Ended as error:
            status, said = inside.status, inside.recent_log()
            inside.close()
            raise self._not_run(source, status, said) from error
        except BaseException:
            inside.close()
            raise
        return handle

    def _not_run(self, source: Reference | None, status: int | None, said: str) -> Exception:
        """What the engine means that would not run a container."""
        last = next((line for line in reversed(said.splitlines()) if "--help" not in line and line.strip()), "")
        if source is not None and commands.is_absent(last):
            self.images.forget(key_of(source))
            return StageGone(f"stage {source} is gone from {self.name}", hint="run the command again")
        if "executable file not found" in said or "not found in $PATH" in said:
            return BackendError(
                f"image {self.base_name} cannot be used: it has no shell",
                hint="use an image made like the official one",
            )
        if commands.is_unseen(last):
            return BackendError(
                f"{self.name} cannot show this directory to a container: {last}",
                hint="the engine does not see this directory, for it runs elsewhere: "
                "use the host context (pg-ephemeral host ...)",
            )
        return ServerError(
            f"{self.name} did not run a container: {last or f'status {status}'}",
            hint=self._address.advice if "assign requested address" in last else self._dialect.start_hint,
        )

    def _has_grown(self, handle: EngineHandle, stage: Reference, spec: ServerSpec) -> bool:
        """Whether the next layer of this container would repeat much; a cluster just made always is much."""
        if not spec.for_stage or handle.made_cluster:
            return spec.for_stage
        if self.images.facts(key_of(stage)) is None:
            self.images.is_here(stage)
        made = self.images.facts(key_of(stage))
        return made is not None and handle.origin is not None and made.size - handle.origin.size > _CARRIED

    @staticmethod
    def _sees_other(handle: EngineHandle, spec: ServerSpec) -> bool:
        return (handle.mounted.directories, handle.mounted.files) != (spec.directories, spec.files)


def _binds(spec: ServerSpec) -> list[Bind]:
    """What of this host is seen inside. Raises ``BackendError`` for what must not be."""
    same = [Bind(directory=binds.check(directory)) for directory in spec.directories]
    return same if spec.files is None else [*same, Bind(directory=spec.files.absolute(), target=FILES)]


def _own(handle: Handle) -> EngineHandle:
    if not isinstance(handle, EngineHandle):
        raise TypeError(f"{handle!r} is a handle of another backend")
    return handle
