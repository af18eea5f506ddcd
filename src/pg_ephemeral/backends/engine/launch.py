"""Running servers' containers, and what it means when the engine will not."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from pg_ephemeral.backends.base import ServerSpec
from pg_ephemeral.backends.engine import binds, commands, owner
from pg_ephemeral.backends.engine.address import Address
from pg_ephemeral.backends.engine.base_image import BaseImage
from pg_ephemeral.backends.engine.beside import from_beside
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.commands import Bind, ImageFacts, Publish
from pg_ephemeral.backends.engine.handle import FILES, EngineHandle
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.engine.inside import SCRIPT, Ended, Inside
from pg_ephemeral.backends.engine.network import Networks
from pg_ephemeral.backends.engine.reach import Reach
from pg_ephemeral.backends.runs import Run, new_run
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.errors import BackendError, ServerError, StageGone
from pg_ephemeral.oci.reference import Reference

#: Beside the server, what an engine may need to start a container on a busy machine, in seconds.
_START_TIMEOUT = 120.0


class Launcher:
    """Runs containers of one base and its stages, each with a run directory below ``runs``.

    ``caller`` says who inside is the calling user.
    """

    def __init__(
        self, base: BaseImage, images: EngineImages, *, runs: Path, networks: Networks, caller: Callable[[], str]
    ) -> None:
        self._base = base
        self._images = images
        self._runs = runs
        self._networks = networks
        self._caller = caller

    def launch(self, source: Reference | None, spec: ServerSpec, *, serve: bool) -> EngineHandle:
        """Run a container of this stage, or of the base, and return when it is up.

        To ``serve``, its server is told to start by then; of the base, to make a cluster. Raises ``BackendError``,
        ``ServerError`` and ``StageGone``; then nothing is left of it.
        """
        handle = self._run(source, spec, serve=serve)
        if not self._address.beside or handle.reach.shares_network:
            return handle
        # The first container shows what is true of all.
        try:
            self._address = from_beside(handle.reach.published_port(), handle.reach.own_address)
        except BaseException:
            handle.close()
            raise
        if self._address.publish == handle.reach.address.publish:
            handle.reach.address = self._address
            return handle
        handle.close()
        return self._run(source, spec, serve=serve)

    @property
    def _client(self) -> EngineClient:
        return self._base.client

    @cached_property
    def _address(self) -> Address:
        return self._client.dialect.address(os.environ)

    def _run(self, source: Reference | None, spec: ServerSpec, *, serve: bool) -> EngineHandle:
        if source is None:
            self._base.fetch_as_described()
        # To make a cluster an image of somebody's may run whatever it likes.
        alone = source is not None or self._base.official
        if alone and self._networks.is_shared(self._address, spec, self._base.facts.entrypoint):
            try:
                return self._run_with(source, spec, serve=serve, shares_network=True)
            except ServerError as error:
                # As with user namespaces for all containers (docker's userns-remap).
                if "network" not in error.message:
                    raise
                self._networks.note_in_vain()
        return self._run_with(source, spec, serve=serve, shares_network=False)

    def _run_with(
        self, source: Reference | None, spec: ServerSpec, *, serve: bool, shares_network: bool
    ) -> EngineHandle:
        run = new_run(self._runs)
        try:
            handle = self._started(run, source, spec, shares_network=shares_network)
        except BaseException:
            run.close()
            raise
        try:
            if serve or source is None:
                handle.order_start(spec, fresh=source is None, serve=serve)
            handle.inside.expect("up", within=_START_TIMEOUT)
        except Ended as error:
            status, said = handle.inside.status, handle.inside.recent_log()
            handle.close()
            raise self._not_run(source, status, said) from error
        except BaseException:
            handle.close()
            raise
        return handle

    def _started(self, run: Run, source: Reference | None, spec: ServerSpec, *, shares_network: bool) -> EngineHandle:
        """A container that is about to be, unless the engine refuses."""
        base, name = self._base.facts, commands.container_name(run.path)
        call = commands.run(
            self._base.name if source is None else self._images.local_id(source),
            ("-c", SCRIPT),
            name=name,
            entrypoint="sh",
            labels=owner.labels(),
            env={"PGDATA": commands.DATA},
            publish=None if shares_network else Publish(address=self._address.publish),
            binds=_binds(spec),
            extra=self._client.dialect.without_proxies(os.environ, base.env),
        )
        return EngineHandle(
            client=self._client,
            name=name,
            reach=Reach(self._client, name, self._address, shares_network=shares_network),
            run=run,
            inside=Inside(self._client.invocation(call), log=run.path / "log"),
            base=base,
            plain=self._base.official,
            origin=base if source is None else self._seen(source),
            spec=spec,
            caller=self._caller,
        )

    def _seen(self, source: Reference) -> ImageFacts | None:
        """What is known of a stage, which may have been made a moment ago."""
        if self._images.facts(key_of(source)) is None:
            self._images.is_here(source)
        return self._images.facts(key_of(source))

    def _not_run(self, source: Reference | None, status: int | None, said: str) -> Exception:
        """What the engine means that would not run a container."""
        program = self._client.dialect.program
        last = next((line for line in reversed(said.splitlines()) if "--help" not in line and line.strip()), "")
        if source is not None and commands.is_absent(last):
            self._images.forget(key_of(source))
            return StageGone(f"stage {source} is gone from {program}", hint="run the command again")
        if "executable file not found" in said or "not found in $PATH" in said:
            return BackendError(
                f"image {self._base.name} cannot be used: it has no shell",
                hint="use an image made like the official one",
            )
        if commands.is_unseen(last):
            return BackendError(
                f"{program} cannot show this directory to a container: {last}",
                hint="the engine does not see this directory, for it runs elsewhere: "
                "use the host context (pg-ephemeral host ...)",
            )
        return ServerError(
            f"{program} did not run a container: {last or f'status {status}'}",
            hint=self._address.advice if "assign requested address" in last else self._client.dialect.start_hint,
        )


def _binds(spec: ServerSpec) -> list[Bind]:
    """What of this host is seen inside. Raises ``BackendError`` for what must not be."""
    same = [Bind(directory=binds.check(directory)) for directory in spec.directories]
    return same if spec.files is None else [*same, Bind(directory=spec.files.absolute(), target=FILES)]
