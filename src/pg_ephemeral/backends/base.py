"""The protocols every backend speaks, in the words of PostgreSQL and OCI. Values in, values out; no base classes.

A backend object is bound to one base (an image, or an installed PostgreSQL). ``tests/contract`` holds every
implementation to what is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from pg_ephemeral.chain import BaseIdentity
from pg_ephemeral.oci.reference import Name, Reference
from pg_ephemeral.pipes import Take
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.process import Invocation

if TYPE_CHECKING:
    from pg_ephemeral.oci.probe import Finding


class Image(Struct, frozen=True, kw_only=True):
    """A stage in a store. ``size`` is in bytes; ``created`` in seconds since the epoch."""

    reference: Reference
    labels: Mapping[str, str]
    created: float
    size: int


class ServerSpec(Struct, frozen=True, kw_only=True):
    """How to run a server, whatever it starts from.

    ``parameters`` are complete: the test profile is already in them. ``tls`` is the host name to serve TLS for.
    ``timeout`` is in seconds until the server must answer.
    """

    superuser: str
    database: str
    parameters: Mapping[str, str]
    timeout: float
    tls: str | None = None
    application_name: str | None = None
    #: Directories of this host that programs beside the server see at the same path, and may write to.
    directories: tuple[Path, ...] = ()
    #: The config file's directory, if the client programs that apply seeds read files in it.
    files: Path | None = None
    #: Whether a server that has a container is to have a network of its own: other programs are going to run beside it.
    own_network: bool = False
    #: Whether a stage is to be made of what this start of the server writes.
    for_stage: bool = False
    #: Whether seeds are to be applied: until ``admit`` ends that, ``control`` needs no password where it is a socket of
    #: ours alone, and neither do the programs of ``tool``.
    seeding: bool = False


class BackendInfo(Struct, frozen=True, kw_only=True):
    """What ``meta info`` shows: the backend's name and version, and whether it works without root's rights."""

    name: str
    version: str
    rootless: bool


class ImageStore(Protocol):
    """Where a backend keeps stages. A stage is found by its key, which is the tag of its reference."""

    def get(self, references: Iterable[Reference]) -> Mapping[Reference, Image]:
        """Those of ``references`` that are present, in one look. Raises ``CacheError``."""
        ...

    def tag(self, reference: Reference) -> None:
        """Know a present stage by this name as well; does nothing for one that is absent. Raises ``CacheError``."""
        ...

    def list(self, repository: Name | None) -> tuple[Image, ...]:
        """The stages kept under this repository, oldest first; None is all of them. Raises ``CacheError``."""
        ...

    def remove(self, reference: Reference, *, force: bool) -> bool:
        """Forget this stage; False when it was absent.

        Without ``force`` one that a running server was started from is refused with ``CacheError``.
        """
        ...


class Handle(Protocol):
    """A server that a backend started. It is in one of two states: running, or stopped by ``commit``."""

    @property
    def conninfo(self) -> Conninfo:
        """The superuser's connection for callers on this host, by TCP on loopback."""
        ...

    @property
    def control(self) -> Conninfo:
        """The superuser's connection for us, by the fastest way there is."""
        ...

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        ...

    def ended(self, within: float) -> bool:
        """Whether the server has ended, or does so within that many seconds."""
        ...

    def admit(self, *, seeding: bool) -> None:
        """Give the superuser of the running server its password again, whatever a seed did to it.

        Unless ``seeding`` goes on, nobody gets in from here without it any more. Raises ``ClientError`` when that role
        is not let in, and ``ServerError`` when the server is gone.
        """
        ...

    @property
    def log_file(self) -> Path | None:
        """Where the server logs to, if that is a file here."""
        ...

    def recent_log(self) -> str:
        """The last lines the server logged."""
        ...

    @property
    def contained(self) -> bool:
        """Whether programs beside the server run elsewhere than on this host."""
        ...

    def tool(self, name: str, *arguments: str, directory: Path) -> Invocation:
        """A PostgreSQL client program that applies a seed, ready to run against this server as its superuser.

        It runs in ``directory``, the config file's, whose files it finds if they are ``ServerSpec.files``.
        """
        ...

    def feed(self, name: str, *arguments: str, text: bytes, line: Take, timeout: float | None) -> int | None:
        """Run such a program on a short text of SQL alone, where that is faster than by ``tool``; return its status.

        None where it is not: then nothing was run. ``line`` gets each line of its stderr. Raises ``Overdue`` when it
        has not ended after ``timeout`` seconds, and ``ServerError`` when it is gone with the server.
        """
        ...

    def program(self, argv: Sequence[str], *, directory: Path | None = None, tty: bool = False) -> Invocation:
        """A program where the server is: in its container, or on this host if there is none, ready to connect.

        With ``directory``, one of ``ServerSpec.directories``, it runs there and as the calling user; else where and as
        whom the image says. ``tty`` gives it a terminal of its own inside.
        """
        ...

    def run_script(self, script: str, *, seed: str, timeout: float | None = None) -> None:
        """Run the script of a seed as root where the server's files are, with the server stopped.

        What it prints goes to our stderr. Only a backend that ``builds`` can. Raises ``SeedFailed``, and ``Overdue``
        when it has not ended after ``timeout`` seconds.
        """
        ...

    @property
    def programs(self) -> Path | None:
        """The directory of the server's own client programs on this host, if they are on this host."""
        ...


#: Told how many bytes of how many have moved; the total is 0 while it is not known.
Transferred: TypeAlias = Callable[[int, int], None]


class Exchange(Protocol):
    """Moves stages between a backend's store and registries, with the credentials that the backend's engine uses."""

    def probe(self, references: Collection[Reference]) -> Mapping[Reference, Finding]:
        """How the registry stands to each, in one round with an end. Never raises for what a registry says."""
        ...

    def may_reach(self, reference: Reference, finding: Finding) -> bool:
        """Whether a pull or a push may succeed although our question did not: an engine has ways of its own."""
        ...

    def pull(self, reference: Reference, *, progress: Transferred) -> bool:
        """Fetch a stage; False when the registry has no such image.

        It counts only if it carries the key of its tag and is for this platform. Raises ``RegistryError``, with the
        state ``corrupt`` when it does not, and ``hidden`` when the registry does not say whether it has it; then
        nothing of it is in the store. Raises ``CacheError``.
        """
        ...

    def push(self, reference: Reference, *, progress: Transferred) -> int | None:
        """Send a present stage under this name; return how many bytes of layers travelled, None if that is unknown.

        What the registry has is not sent again. Raises ``RegistryError``, ``StageGone`` and ``CacheError``.
        """
        ...


class Backend(Protocol):
    """Can start, commit, resume and remove servers of one base, and keeps stages."""

    @property
    def name(self) -> str:
        """``docker``, ``podman`` or ``embedded``."""
        ...

    @property
    def images(self) -> ImageStore:
        """Its store of stages."""
        ...

    @property
    def builds(self) -> bool:
        """Whether it can run a script inside an image, which ``container-script`` seeds need."""
        ...

    def info(self) -> BackendInfo:
        """Name and version, for people. Raises ``BackendError``."""
        ...

    def identify(self) -> BaseIdentity:
        """The base as it enters the cache key. Raises ``BackendError`` when the base cannot be had."""
        ...

    def start(self, source: Reference | None, spec: ServerSpec, *, serve: bool = True) -> Handle:
        """Start a server from a stage, or from a new cluster, and return when it answers queries.

        Without ``serve`` everything is made ready but the server: the stage for a script to be run in it, the new
        cluster to be kept as it is, with the database in it. Then it runs only if that is how it was made.
        Raises ``ServerError``, and ``StageGone`` when the stage is not there any more; then nothing is left running
        or on disk.
        """
        ...

    def commit(self, handle: Handle, reference: Reference, labels: Mapping[str, str]) -> None:
        """Stop the server cleanly and keep its data as a stage; the first to commit a key wins.

        No client is connected, nor any password of ours in the data. The handle is stopped afterwards, and can be
        resumed or removed. Raises ``CacheError`` or ``ServerError``; then no part of a stage is left.
        """
        ...

    def resume(self, handle: Handle, spec: ServerSpec, *, serve: bool = True) -> None:
        """Start a stopped server again, with a new password and maybe a new port. Raises ``ServerError``.

        Without ``serve``, as for ``start``: make ready for another stage, and leave the server stopped.
        """
        ...

    def remove(self, handle: Handle) -> None:
        """Stop the server, if it runs, and remove every trace of it. Never raises for one that is gone."""
        ...

    def tool(self, argv: Sequence[str], *, directory: Path) -> AbstractContextManager[Invocation]:
        """A program of the base without any server, to run on our terminal in ``directory``, as the calling user.

        It gets our variables, at least those that start with ``PG``. Raises ``BackendError``.
        """
        ...

    def exchange(self) -> AbstractContextManager[Exchange]:
        """A way to registries; it keeps connections, and what was packed, until its end."""
        ...

    def sweep(self) -> list[Path]:
        """Remove what processes that are gone left behind; return the directories that were theirs."""
        ...

    def lock_file(self, name: str) -> Path:
        """A file on this host to lock while making the stage ``name``."""
        ...
