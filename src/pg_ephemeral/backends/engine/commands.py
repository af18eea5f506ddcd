"""What we say to a container engine and what it answers, as data: argument lists, and readers of its output. Pure.

Every list lacks the engine's own name, which the dialect puts first. What docker and podman spell alike is here; where
they differ, see ``docker`` and ``podman``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from pg_ephemeral.errors import BackendError

Arguments = tuple[str, ...]

#: The data directory: outside every volume that images declare, so that a commit holds it.
DATA = "/var/lib/pg-ephemeral"

#: The port PostgreSQL listens on inside.
PORT = "5432/tcp"

#: Of shared memory, which is a limit and costs nothing: the engines' own 64 MB end a parallel query.
_SHARED = "1g"

#: What both engines say, in several wordings, of an image that is not there; a host or a socket that is not there must
#: not look like one.
_ABSENT = re.compile(
    r"no such image|no such object|image not known|unable to find image .* locally|unrecognized image ID"
    r"|reference does not exist",
    re.IGNORECASE,
)
#: What they say beside the matter, on the same stream.
_NOISE = re.compile(r'time="[^"]*" level=(?:debug|info|warning) |WARN(?:ING:|\[)|Emulate Docker CLI using podman')
#: What they say of a directory to mount that is not on their machine, or, of a virtual one, not shared with it.
_UNSEEN = re.compile(
    r"(?:bind |bind mount )source path does not exist|statfs .*no such file|error checking path|mounts denied",
    re.IGNORECASE,
)
_NO_CONTAINER = re.compile(r"no such container|no container with name or id", re.IGNORECASE)
_BEING_REMOVED = re.compile(r"removal of container \S+ is already in progress", re.IGNORECASE)
#: Engines say to the nanosecond what datetime reads to the microsecond.
_BELOW_MICROSECONDS = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A directory of this host that is visible inside: at the same path, or read-only at ``target``."""

    directory: Path
    target: str | None = None

    def render(self) -> str:
        """The value of ``--mount``, which is a line of CSV (RFC 4180)."""
        fields = ["type=bind", f"source={self.directory}", f"target={self.target or self.directory}"]
        if self.target is not None:
            fields.append("readonly")
        return ",".join(_csv_field(field) for field in fields)


def _csv_field(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(c in text for c in ',"') else text


class Publish(Struct, frozen=True, kw_only=True):
    """Port 5432 inside, reachable at a port of the engine's choice on this address of the engine's host."""

    address: str

    def render(self) -> str:
        """The value of ``--publish``."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}::{PORT}"


def container_name(run: Path) -> str:
    """What the container of a run directory is called."""
    return f"pg-ephemeral-{run.name}"


def run(
    image: str,
    command: Sequence[str],
    *,
    name: str,
    entrypoint: str,
    labels: Mapping[str, str],
    env: Mapping[str, str],
    publish: Publish | None,
    binds: Iterable[Bind] = (),
    extra: Arguments = (),
) -> Arguments:
    """Run a server's container in the foreground, its standard streams ours, and remove it when it ends.

    With nothing to ``publish`` it has the network of the engine's host.

    Its image must be there. As root inside, because an image's own user could not make its data directory.
    """
    words = ["run", "--rm", "--interactive", "--pull=never", "--name", name, "--user", "0:0"]
    words += ["--log-driver=none", f"--shm-size={_SHARED}"]
    for key, value in sorted(env.items()):
        words += ["--env", f"{key}={value}"]
    for key, value in sorted(labels.items()):
        words += ["--label", f"{key}={value}"]
    network = ["--network", "host"] if publish is None else ["--publish", publish.render()]
    words += [*extra, *network, *_mounted(binds)]
    return (*words, "--entrypoint", entrypoint, image, *command)


def _mounted(binds: Iterable[Bind]) -> list[str]:
    """The options that make directories visible, under SELinux too: it would have them labelled for good instead."""
    words = [word for bind in binds for word in ("--mount", bind.render())]
    return ["--security-opt", "label=disable", *words] if words else []


def run_tool(
    image: str,
    command: Sequence[str],
    *,
    name: str,
    labels: Mapping[str, str],
    passed: Iterable[str],
    user: str,
    directory: Path,
    tty: bool,
) -> Arguments:
    """Run one program of an image on the caller's terminal, in ``directory``; ``passed`` are the variables it gets."""
    words = ["run", "--rm", "--interactive", *(["--tty"] if tty else []), "--name", name, "--user", user]
    for key, value in sorted(labels.items()):
        words += ["--label", f"{key}={value}"]
    for variable in sorted(passed):
        words += ["--env", variable]
    words += [*_mounted([Bind(directory=directory)]), "--workdir", str(directory)]
    return (*words, "--entrypoint", command[0], image, *command[1:])


def inspect_images(names: Sequence[str]) -> Arguments:
    """Describe these images, in this order; the status is not 0 unless all are there."""
    return ("image", "inspect", *names)


def execute(
    container: str,
    command: Sequence[str],
    *,
    passed: Iterable[str] = (),
    user: str | None = None,
    directory: Path | None = None,
    tty: bool = False,
) -> Arguments:
    """Run a program in a container; ``passed`` are the variables it gets from the engine's own environment."""
    words = ["exec", "--interactive", *(["--tty"] if tty else [])]
    for variable in sorted(passed):
        words += ["--env", variable]
    if user is not None:
        words += ["--user", user]
    if directory is not None:
        words += ["--workdir", str(directory)]
    return (*words, container, *command)


def changes(labels: Mapping[str, str], base: ImageFacts, *, quote: Callable[[str], str]) -> Arguments:
    """The ``--change`` options that turn a server's container into a stage, in the words of a Dockerfile.

    What the base says of its programs is what the stage says, and not what we ran in the container.
    """
    words = [f"LABEL {key}={quote(value)}" for key, value in sorted(labels.items())]
    words += [f"ENTRYPOINT {json.dumps(list(base.entrypoint))}", f"CMD {json.dumps(list(base.command))}"]
    # Without a user in the image, root is meant.
    words.append(f"USER {base.user or '0'}")
    if base.directory:
        words.append(f"WORKDIR {quote(base.directory)}")
    return tuple(word for change in words for word in ("--change", change))


def commit(container: str, image: str, change: Arguments, *, extra: Arguments = ()) -> Arguments:
    """Make an image of a container's files."""
    return ("commit", *extra, *change, container, image)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What ``image inspect`` says. ``layers`` are the digests of uncompressed layers, ``size`` is in bytes.

    ``user`` and ``directory`` are whose its programs are and where they run, if that is not root's and not at the root.
    """

    id: str
    names: tuple[str, ...]
    labels: Mapping[str, str]
    env: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str
    directory: str
    layers: tuple[str, ...]
    platform: str
    created: float
    size: int


def read_images(output: bytes) -> tuple[ImageFacts, ...]:
    """Read the output of ``image inspect``. Raises ``BackendError`` for what is no such thing."""
    try:
        return tuple(read_description(document) for document in json.loads(output or b"[]"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(f"the engine's description of an image cannot be read: {error!r}") from error


def is_podmans(output: bytes) -> bool:
    """Whether a description of images is Podman's, which says identifiers without their algorithm.

    Raises ``BackendError``, as ``read_images`` does.
    """
    read_images(output)
    return any(not document["Id"].startswith("sha256:") for document in json.loads(output or b"[]"))


def is_podmans_version(output: bytes) -> bool:
    """Whether ``--version`` was answered by Podman, which goes by the name it is called; Docker's has a capital."""
    return re.match(rb"(?:podman|docker) version \d", output) is not None


def read_description(document: dict[str, Any]) -> ImageFacts:
    """Read one image's description. Raises ``KeyError``, ``TypeError`` and ``ValueError`` for what is no such thing."""
    config = document.get("Config") or {}
    created = _BELOW_MICROSECONDS.sub(r"\1", document.get("Created") or "1970-01-01T00:00:00Z")
    variables = (text.partition("=") for text in config.get("Env") or ())
    return ImageFacts(
        id=document["Id"].removeprefix("sha256:"),
        names=tuple(document.get("RepoTags") or ()),
        labels=config.get("Labels") or {},
        env={name: value for name, _, value in variables},
        entrypoint=_words(config.get("Entrypoint")),
        command=_words(config.get("Cmd")),
        user=config.get("User") or "",
        directory=(config.get("WorkingDir") or "").rstrip("/"),
        layers=tuple((document.get("RootFS") or {}).get("Layers") or ()),
        platform=_platform(document["Os"], document["Architecture"], document.get("Variant")),
        created=datetime.fromisoformat(created).timestamp(),
        size=int(document.get("Size") or 0),
    )


def _platform(system: str, architecture: str, variant: str | None) -> str:
    """In OCI words. There is one 64-bit ARM, whose variant some engines name and others do not."""
    return "/".join(filter(None, (system, architecture, None if architecture == "arm64" else variant)))


def _words(value: str | list[str] | None) -> tuple[str, ...]:
    """An entry point or a command, which some builders write as one text for a shell."""
    return ("/bin/sh", "-c", value) if isinstance(value, str) else tuple(value or ())


def is_absent(message: str) -> bool:
    """Whether every line of an engine's complaint, warnings aside, is about an image that is not there."""
    lines = [line for line in message.splitlines() if line.strip() and not _NOISE.match(line)]
    return bool(lines) and all(_ABSENT.search(line) for line in lines)


def is_no_container(message: str) -> bool:
    """Whether an engine complains of a container that is not there."""
    return bool(_NO_CONTAINER.search(message))


def is_being_removed(message: str) -> bool:
    """Whether an engine says that it is about to remove the container anyway."""
    return bool(_BEING_REMOVED.search(message))


def is_unseen(message: str) -> bool:
    """Whether an engine complains of a directory of this host that it does not see."""
    return bool(_UNSEEN.search(message))


def remove(container: str) -> Arguments:
    """Remove a container, running or not, and its anonymous volumes; one that is not there is no failure."""
    return ("rm", "--force", "--volumes", container)


def read_port(output: bytes) -> int | None:
    """The first host port in the output of ``port``, if there is one."""
    found = re.search(rb":(\d+)\s*$", output, re.MULTILINE)
    return None if found is None else int(found[1])


def environment_changes(base: ImageFacts, *, quote: Callable[[str], str]) -> Arguments:
    """The ``--change`` options that give an imported image the environment of its base, and our data directory."""
    env = {**base.env, "PGDATA": DATA}
    return tuple(word for key, value in sorted(env.items()) for word in ("--change", f"ENV {key}={quote(value)}"))
