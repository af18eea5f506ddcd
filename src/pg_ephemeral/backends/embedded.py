"""The embedded backend: a PostgreSQL installed on this machine, stages as sealed data directories. No engine needed.

It composes ``postgres`` (find, initialise, start, stop) with ``stages`` (keep), ``spares`` (clone ahead) and ``runs``
(own, and sweep what dead owners left).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

from pg_ephemeral.backends.base import BackendInfo, Exchange, Handle, ServerSpec
from pg_ephemeral.backends.runs import Run, new_run, sweep
from pg_ephemeral.backends.settle import settle
from pg_ephemeral.backends.spares import Spares
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.chain import BaseIdentity, CacheKey
from pg_ephemeral.errors import BackendError, CacheError, PgEphemeralError, SeedFailed, StageGone
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.paths import CACHE_VARIABLE, SYSTEM_CACHE, cache_dir, cache_override
from pg_ephemeral.pipes import Take
from pg_ephemeral.postgres import account as accounts
from pg_ephemeral.postgres import binaries, datadir
from pg_ephemeral.postgres.account import Account
from pg_ephemeral.postgres.binaries import Installation, Request
from pg_ephemeral.postgres.cluster import Cluster
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.datadir import FIRST_SEGMENT, Owner
from pg_ephemeral.postgres.environment import client_environment
from pg_ephemeral.postgres.initdb import initialise, options
from pg_ephemeral.postgres.names import INITIAL_DATABASES
from pg_ephemeral.postgres.relocate import can_enter, readable_for
from pg_ephemeral.postgres.server_settings import Settings
from pg_ephemeral.process import Invocation

NAME = "embedded"

#: Changed when the layout on disk changes; the old store is then simply not looked at.
_LAYOUT = "v1"


class EmbeddedHandle:
    """A server of this backend: its cluster, the private directory it lives in, and the stage it was cloned from."""

    contained = False

    def __init__(self, cluster: Cluster, run: Run, origin: CacheKey | None) -> None:
        self.cluster = cluster
        self.run = run
        #: The stage whose files the data directory still shares, if it was cloned from one.
        self.origin = origin

    @property
    def conninfo(self) -> Conninfo:
        """By TCP on loopback."""
        return self.cluster.conninfo

    @property
    def control(self) -> Conninfo:
        """By the unix socket."""
        return self.cluster.control

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self.cluster.running

    def ended(self, within: float) -> bool:
        """Whether it has ended, or does so in time."""
        return self.cluster.ended(within)

    def admit(self, *, seeding: bool) -> None:
        """By the unix socket, which is open for as long as seeds are applied."""
        self.cluster.admit(seeding=seeding)

    @property
    def log_file(self) -> Path | None:
        """The file the server logs to."""
        return self.cluster.log

    @property
    def programs(self) -> Path | None:
        """The directory of its client programs."""
        return self.cluster.installation.bin

    def recent_log(self) -> str:
        """The last lines of that file."""
        return self.cluster.recent_log()

    def tool(self, name: str, *arguments: str, directory: Path) -> Invocation:
        """A client program of the same installation, by the unix socket."""
        environment = client_environment(self.control, path_first=self.programs)
        return Invocation(argv=(self.cluster.installation.program(name), *arguments), env=environment, cwd=directory)

    def feed(self, name: str, *arguments: str, text: bytes, line: Take, timeout: float | None) -> int | None:  # noqa: ARG002 -- none is run
        """Never: to start a program on this host takes next to no time."""
        return None

    def program(self, argv: Sequence[str], *, directory: Path | None = None, tty: bool = False) -> Invocation:  # noqa: ARG002 -- it has our terminal
        """A program on this host, where it has been all along, with the installation's own first on its PATH."""
        environment = client_environment(self.conninfo, path_first=self.programs)
        found = shutil.which(argv[0], path=environment["PATH"]) if argv else None
        return Invocation(argv=(found or argv[0], *argv[1:]), env=environment, cwd=directory)

    def run_script(self, script: str, *, seed: str, timeout: float | None = None) -> None:  # noqa: ARG002 -- none is run
        """Never: there is no image to run it in, and this host is not to be changed."""
        raise SeedFailed(f"seed {seed!r}: the embedded backend cannot run a script of {len(script)} bytes", seed=seed)


class EmbeddedBackend:
    """One installed PostgreSQL and the stages made with it."""

    name = NAME
    builds = False

    def __init__(
        self, image: ImageWord, *, tls: bool = False, account: Account | None = None, cache: Path | None = None
    ) -> None:
        """Nothing is looked up yet. ``account`` and ``cache`` are chosen for this machine unless given."""
        self._image = image
        self._tls = tls
        self._given_account = account
        self._given_cache = cache

    @cached_property
    def images(self) -> Stages:
        """The store below the cache directory."""
        account = self._account
        root = self._given_cache or cache_override()
        if root is None:
            closed = account.foreign or account.barrier(cache_dir()) is not None
            root = SYSTEM_CACHE if closed else cache_dir()
        return Stages(root / NAME / _LAYOUT, owner=_owner(account))

    def info(self) -> BackendInfo:
        """The version of the PostgreSQL that was found."""
        return BackendInfo(name=NAME, version=self._installation.version.text, rootless=os.geteuid() != 0)

    def identify(self) -> BaseIdentity:
        """The whole version line, which tells builds apart, and the options of initdb."""
        version = self._installation.version
        return BaseIdentity(
            fields={"backend": NAME, "postgres": version.build, "initdb": options(version, superuser="")},
            platform=binaries.machine_platform(),
            version=version.text,
        )

    def start(self, source: Reference | None, spec: ServerSpec, *, serve: bool = True) -> Handle:
        """Clone the stage, or claim a spare of it; without a stage, initialise a new cluster."""
        self.sweep()
        installation = readable_for(self._account, self._installation, self.images.root / "programs")
        key = None if source is None else key_of(source)
        run = new_run(self._runs, mode=self.images.mode)
        cluster = Cluster(installation, self._account, run.path, _settings(spec))
        try:
            self._give(run.path)
            if key is None:
                initialise(installation, self._account, cluster.data, superuser=spec.superuser)
            else:
                self._check_out(key, cluster.data)
            if serve or (key is None and spec.database not in INITIAL_DATABASES):
                # Which makes the database.
                cluster.start()
        except BaseException:
            cluster.close()
            run.close()
            raise
        return EmbeddedHandle(cluster, run, key)

    def commit(self, handle: Handle, reference: Reference, labels: Mapping[str, str]) -> None:
        """Freeze, take the password out, shut down, and seal what changed beside what did not."""
        ours = _own(handle)
        cluster = ours.cluster
        # Of a stage that no server has run on since, only segments that are needed are left.
        since = None if ours.origin is None else FIRST_SEGMENT
        if cluster.running:
            since = settle(cluster.control, cluster.control_of)
            cluster.stop()
        self.images.add(reference, labels, cluster.data, wal=cluster.needed_wal(since=since), parent=ours.origin)
        ours.origin = key_of(reference)

    def resume(self, handle: Handle, spec: ServerSpec, *, serve: bool = True) -> None:
        """Start the same data directory again."""
        cluster = _own(handle).cluster
        cluster.settings = _settings(spec, before=cluster.settings)
        if serve:
            cluster.start()

    def remove(self, handle: Handle) -> None:
        """Stop at once, and turn the data directory into a spare of the stage it came from."""
        ours = _own(handle)
        ours.cluster.discard()
        if ours.origin is not None:
            self._check_in(ours.origin, ours.cluster.data)
        ours.cluster.close()
        ours.run.close()

    def exchange(self) -> AbstractContextManager[Exchange]:
        """By our own client of registries."""
        from pg_ephemeral.backends.embedded_exchange import embedded_exchange

        return embedded_exchange(self.images, binaries.machine_platform())

    def sweep(self) -> list[Path]:
        """Remove what processes that are gone left in the store."""
        return [*sweep(self._runs), *sweep(self.images.root / "ingest")]

    @contextmanager
    def tool(self, argv: Sequence[str], *, directory: Path) -> Iterator[Invocation]:
        """On this host, with the installation's programs first on its PATH."""
        path = os.pathsep.join((str(self._installation.bin), os.environ.get("PATH", os.defpath)))
        found = shutil.which(argv[0], path=path) or argv[0]
        yield Invocation(argv=(found, *argv[1:]), env={**os.environ, "PATH": path}, cwd=directory)

    def lock_file(self, name: str) -> Path:
        """Below the store, so that those who share one share its locks."""
        return self.images.root / "locks" / name

    @cached_property
    def _account(self) -> Account:
        return self._given_account if self._given_account is not None else accounts.choose()

    @cached_property
    def _installation(self) -> Installation:
        return binaries.find(_request(self._image, tls=self._tls))

    @property
    def _runs(self) -> Path:
        return self.images.root / "run"

    @cached_property
    def _spares(self) -> Spares:
        return Spares(self.images.root / "spares", mode=self.images.mode)

    def _check_out(self, key: CacheKey, target: Path) -> None:
        if self._spares.claim(key, target):
            return
        data, tree = self.images.open(key)
        try:
            datadir.clone(data, target, tree, owner=_owner(self._account))
        except CacheError as error:
            datadir.remove(target)
            if self.images.is_whole(key):
                raise
            raise StageGone(f"stage {key} was removed while it was being copied, or is damaged") from error

    def _check_in(self, key: CacheKey, working: Path) -> None:
        """A spare is a gift to the next boot: failing to leave one is no failure of this."""
        try:
            data, tree = self.images.open(key)
            datadir.restore(data, working, tree, owner=_owner(self._account))
            self._spares.keep(key, working, tree)
        except (PgEphemeralError, OSError):
            datadir.remove(working)

    def _give(self, path: Path) -> None:
        """Let the servers' user have the directory, if that is another one. Raises ``CacheError`` if it cannot."""
        owner, hint = _owner(self._account), f"set {CACHE_VARIABLE} to a directory that every user can pass through"
        if owner is None:
            if (barrier := self._account.barrier(path)) is not None:
                raise CacheError(f"{path} is out of reach for servers, as {barrier} is another user's", hint=hint)
            return
        # The directory above as well, or the keeper could not remove this one.
        for directory in (path.parent, path):
            shutil.chown(directory, owner.uid, owner.gid)
        if not can_enter(self._account, path):
            message = f"{self.images.root} is out of reach for user {self._account.name}, whom servers run as"
            raise CacheError(message, hint=hint)


def _request(image: ImageWord, *, tls: bool) -> Request:
    """What the image setting asks of an installed PostgreSQL. Raises ``BackendError`` for an image of another kind."""
    version = image.version
    if version is None:
        raise BackendError(
            f"image {str(image)!r} is a container image, and the embedded backend runs an installed PostgreSQL",
            hint="give a version, such as 18 or 17.6, or use the backend docker or podman",
        )
    prerelease = f"{version.major}{version.prerelease}" if version.prerelease else None
    return Request(text=str(image), major=version.major, minor=version.minor, prerelease=prerelease, tls=tls)


def _settings(spec: ServerSpec, *, before: Settings | None = None) -> Settings:
    """What the cluster is told; certificates that it already has for this host name are kept."""
    certificates = before.certificates if before is not None and before.hostname == spec.tls else None
    if certificates is None and spec.tls is not None:
        from pg_ephemeral.postgres.tls import Certificates

        certificates = Certificates.issue(spec.tls)
    return Settings(
        superuser=spec.superuser,
        database=spec.database,
        parameters=spec.parameters,
        timeout=spec.timeout,
        certificates=certificates,
        hostname=spec.tls,
        application_name=spec.application_name,
        seeding=spec.seeding,
    )


def _own(handle: Handle) -> EmbeddedHandle:
    if not isinstance(handle, EmbeddedHandle):
        raise TypeError(f"{handle!r} is a handle of another backend")
    return handle


def _owner(account: Account) -> Owner | None:
    if account.uid is None or account.gid is None:
        return None
    return Owner(uid=account.uid, gid=account.gid)
