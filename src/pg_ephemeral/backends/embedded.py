"""The embedded backend: a PostgreSQL installed on this machine, stages as sealed data directories. No engine needed.

It composes ``postgres`` (find, initialise, start, stop) with ``stages`` (keep), ``spares`` (clone ahead) and ``runs``
(own, and sweep what dead owners left).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from pg_ephemeral.backends.base import BackendInfo, Handle, ServerSpec
from pg_ephemeral.backends.runs import Run, new_run, sweep
from pg_ephemeral.backends.spares import Spares
from pg_ephemeral.backends.stages import Stages, key_of
from pg_ephemeral.chain import BaseIdentity, CacheKey
from pg_ephemeral.errors import BackendError, CacheError, PgEphemeralError, StageGone
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.paths import CACHE_VARIABLE, SYSTEM_CACHE, cache_dir
from pg_ephemeral.postgres import account as accounts
from pg_ephemeral.postgres import binaries, client, datadir
from pg_ephemeral.postgres.account import Account
from pg_ephemeral.postgres.binaries import Installation, Request
from pg_ephemeral.postgres.cluster import Cluster
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.datadir import Owner
from pg_ephemeral.postgres.initdb import initialise, options
from pg_ephemeral.postgres.names import quote_identifier
from pg_ephemeral.postgres.relocate import can_enter, readable_for
from pg_ephemeral.postgres.server_settings import Settings
from pg_ephemeral.postgres.tls import Certificates
from pg_ephemeral.process import Invocation

NAME = "embedded"

#: Changed when the layout on disk changes; the old store is then simply not looked at.
_LAYOUT = "v1"


class EmbeddedHandle:
    """A server of this backend: its cluster, the private directory it lives in, and the stage it was cloned from."""

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

    def tool(self, name: str, *arguments: str) -> Invocation:
        """A client program of the same installation; its environment, which holds the password, is the caller's."""
        return Invocation(argv=(self.cluster.installation.program(name), *arguments))


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
        root = self._given_cache or (
            SYSTEM_CACHE if account.foreign and CACHE_VARIABLE not in os.environ else cache_dir()
        )
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

    def start(self, source: Reference | None, spec: ServerSpec) -> Handle:
        """Clone the stage, or claim a spare of it; without a stage, initialise a new cluster."""
        sweep(self._runs)
        sweep(self.images.root / "ingest")
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
        _settle(cluster)
        cluster.stop()
        self.images.add(reference, labels, cluster.data, wal_file=cluster.redo_wal_file(), parent=ours.origin)
        ours.origin = key_of(reference)

    def resume(self, handle: Handle, spec: ServerSpec) -> None:
        """Start the same data directory again."""
        cluster = _own(handle).cluster
        cluster.settings = _settings(spec, before=cluster.settings)
        cluster.start()

    def remove(self, handle: Handle) -> None:
        """Stop at once, and turn the data directory into a spare of the stage it came from."""
        ours = _own(handle)
        ours.cluster.discard()
        if ours.origin is not None:
            self._check_in(ours.origin, ours.cluster.data)
        ours.cluster.close()
        ours.run.close()

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
            if data.exists():
                raise
            raise StageGone(f"stage {key} was removed while it was being copied") from error

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
        owner = _owner(self._account)
        if owner is None:
            return
        # The directory above as well, or the keeper could not remove this one.
        for directory in (path.parent, path):
            shutil.chown(directory, owner.uid, owner.gid)
        if not can_enter(self._account, path):
            raise CacheError(
                f"{self.images.root} is out of reach for user {self._account.name}, whom servers run as",
                hint=f"set {CACHE_VARIABLE} to a directory that every user can pass through",
            )


def _request(image: ImageWord, *, tls: bool) -> Request:
    """What the image setting asks of an installed PostgreSQL. Raises ``BackendError`` for an image of another kind."""
    version = image.version
    if version is None:
        raise BackendError(
            f"image {str(image)!r} is a container image, and the embedded backend runs an installed PostgreSQL",
            hint="give a version, such as 18 or 17.6; images are for the backends docker and podman of a later release",
        )
    prerelease = f"{version.major}{version.prerelease}" if version.prerelease else None
    return Request(text=str(image), major=version.major, minor=version.minor, prerelease=prerelease, tls=tls)


def _settings(spec: ServerSpec, *, before: Settings | None = None) -> Settings:
    """What the cluster is told; certificates that it already has for this host name are kept."""
    certificates = before.certificates if before is not None and before.hostname == spec.tls else None
    if certificates is None and spec.tls is not None:
        certificates = Certificates.issue(spec.tls)
    return Settings(
        superuser=spec.superuser,
        database=spec.database,
        parameters=spec.parameters,
        timeout=spec.timeout,
        certificates=certificates,
        hostname=spec.tls,
        application_name=spec.application_name,
    )


def _settle(cluster: Cluster) -> None:
    """Leave the data as the next reader should find it: nobody connected, rows frozen, no password of ours."""
    with client.connect(cluster.control) as connection:
        client.terminate_clients(connection)
        for database in client.databases(connection):
            if database == cluster.settings.database:
                client.freeze(connection)
            else:
                with client.connect(cluster.control_of(database)) as other:
                    client.freeze(other)
        connection.execute(f"ALTER ROLE {quote_identifier(cluster.settings.superuser)} PASSWORD NULL")
        # The shutdown's checkpoint then stands at the start of a segment that is otherwise a hole.
        connection.execute("SELECT pg_switch_wal()")


def _own(handle: Handle) -> EmbeddedHandle:
    if not isinstance(handle, EmbeddedHandle):
        raise TypeError(f"{handle!r} is a handle of another backend")
    return handle


def _owner(account: Account) -> Owner | None:
    if account.uid is None or account.gid is None:
        return None
    return Owner(uid=account.uid, gid=account.gid)
