"""The embedded backend's store: one sealed data directory per stage, ready to be cloned, found by its key.

::

    <root>/stages/<key>/      data/, stage.json, tree.json: complete, for it was renamed into place
    <root>/stages/<key>/image.json       what it is as an image, once it was pushed or pulled; see ``stage_images``
    <root>/names/<repository>/<key>      an empty file: this repository knows the stage by its own name
    <root>/ingest/…           stages being made
    <root>/run/…, spares/…    see ``runs`` and ``spares``

A stage that several repositories name is kept until the last of them forgets it. One that is damaged, by a power cut or
by somebody who tidies up, counts as absent, and is replaced by the next that is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import msgspec

from pg_ephemeral.backends.base import Image
from pg_ephemeral.backends.runs import new_run
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import CacheError, InvalidValue, StageGone
from pg_ephemeral.oci.reference import Name, Reference, Tag
from pg_ephemeral.oci.reference import Path as RepositoryPath
from pg_ephemeral.paths import ensure_directory, unusable
from pg_ephemeral.postgres.datadir import Owner, Tree, WalSegments, remove, seal


class _About(msgspec.Struct):
    """What ``stage.json`` holds; ``size`` is in bytes, before sharing. ``parent`` is the stage it was made from."""

    labels: dict[str, str]
    size: int
    parent: str | None = None


class Stages:
    """Sealed stages below ``root``. Safe for use by any number of processes at once."""

    def __init__(self, root: Path, *, owner: Owner | None = None) -> None:
        self.root = root
        #: Whom the files of stages belong to, if that is not us.
        self.owner = owner
        #: Others must be able to pass through when the servers run as another user.
        self.mode = 0o700 if owner is None else 0o711

    def get(self, references: Iterable[Reference]) -> Mapping[Reference, Image]:
        """Those that are present, by their key alone."""
        found = {}
        for reference in references:
            image = self._image(reference)
            if image is not None:
                found[reference] = image
        return found

    def tag(self, reference: Reference) -> None:
        """Let this repository name the stage, too, which is kept until the last of those who name it forgets it."""
        key = key_of(reference)
        name = self._names(reference.name) / key
        if name.exists() or not self.directory(key).exists():
            return
        ensure_directory(name.parent, mode=self.mode)
        try:
            name.touch(exist_ok=True)
        except OSError as error:
            raise unusable(self.root, error) from error

    def list(self, repository: Name | None) -> tuple[Image, ...]:
        """What this repository names, oldest first; None is every repository, and what none names."""
        references = self._named(repository) if repository is not None else self._everything()
        images = [self._image(one) or Image(reference=one, labels={}, created=0.0, size=0) for one in references]
        return tuple(sorted(images, key=lambda image: (image.created, str(image.reference))))

    def named(self, reference: Reference) -> tuple[Name, ...]:
        """The other repositories of the same registry that name this stage, and so may have been sent it."""
        domain = reference.name.domain
        if domain is None:
            return ()
        above = self._below_names(str(domain))
        paths = sorted(found.parent.relative_to(above).as_posix() for found in above.rglob(str(key_of(reference))))
        names = []
        for path in paths:
            with suppress(InvalidValue):
                names.append(Name(domain=domain, path=RepositoryPath.parse(path)))
        return tuple(name for name in names if name != reference.name)

    def remove(self, reference: Reference, *, force: bool) -> bool:  # noqa: ARG002 -- clones do not need their origin
        """Forget the name; remove the stage if it was the last. Servers started from it go on undisturbed."""
        key = key_of(reference)
        named = True
        try:
            (self._names(reference.name) / key).unlink()
        except FileNotFoundError:
            named = False
        except OSError as error:
            raise unusable(self.root, error) from error
        if any((self.root / "names").rglob(str(key))):
            return named
        return self._delete(key) or named

    def open(self, key: CacheKey) -> tuple[Path, Tree]:
        """The sealed data directory of a stage and what it holds. Raises ``StageGone``, also for a damaged one."""
        stage = self.directory(key)
        try:
            files, directories = msgspec.json.decode(
                (stage / "tree.json").read_bytes(), type=tuple[dict[str, tuple[int, int]], tuple[str, ...]]
            )
        except (FileNotFoundError, msgspec.DecodeError) as error:
            self._bury(key)
            raise StageGone(f"stage {key} is gone from the cache", hint="run the command again") from error
        except OSError as error:
            raise unusable(self.root, error) from error
        return stage / "data", Tree(directories=directories, files=files)

    def is_whole(self, key: CacheKey) -> bool:
        """Whether the stage is there with all its files; one that is not is taken away."""
        try:
            data, tree = self.open(key)
            if all((data / path).stat().st_size == size for path, (size, _) in tree.files.items()):
                return True
        except (StageGone, FileNotFoundError):
            pass
        except OSError as error:
            raise unusable(self.root, error) from error
        self._bury(key)
        return False

    def add(
        self,
        reference: Reference,
        labels: Mapping[str, str],
        working: Path,
        *,
        wal: WalSegments,
        parent: CacheKey | None,
    ) -> None:
        """Seal a stopped server's data directory as a stage. The first to add a key wins; names add up."""
        with self.place(reference) as stage:
            tree = seal(working, stage / "data", wal=wal, parent=self._parent(parent), owner=self.owner)
            self.describe(stage, labels, tree, parent=parent)

    @contextmanager
    def place(self, reference: Reference) -> Iterator[Path]:
        """A new directory that is the stage when the block ends, unless somebody was first; gone if it fails."""
        ingest = new_run(self.root / "ingest", mode=self.mode)
        try:
            stage = ingest.path / "stage"
            stage.mkdir(mode=self.mode)
            yield stage
            self._move_into_place(stage, key_of(reference))
        except OSError as error:
            raise unusable(self.root, error) from error
        finally:
            ingest.close()
        self.tag(reference)

    def _move_into_place(self, stage: Path, key: CacheKey) -> None:
        target = self.directory(key)
        ensure_directory(target.parent, mode=self.mode)
        try:
            stage.rename(target)
        except OSError:
            # ENOTEMPTY and EEXIST are how rename(2) says that somebody else was first, or left something damaged.
            if not target.is_dir():
                raise
            if self._about(key) is None or not self.is_whole(key):
                self._bury(key)
                stage.rename(target)

    def describe(self, stage: Path, labels: Mapping[str, str], tree: Tree, *, parent: CacheKey | None) -> None:
        """Write what goes beside the data of a stage in the making, whose files may be shared with ``parent``."""
        about = _About(labels=dict(labels), size=tree.size, parent=None if parent is None else str(parent))
        (stage / "stage.json").write_bytes(msgspec.json.encode(about))
        (stage / "tree.json").write_bytes(msgspec.json.encode((tree.files, tree.directories)))

    def present(self) -> tuple[CacheKey, ...]:
        """Of every stage there is, whoever names it."""
        try:
            return tuple(CacheKey(entry.name) for entry in os.scandir(self.root / "stages") if _is_key(entry.name))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise unusable(self.root, error) from error

    def labels(self, key: CacheKey) -> Mapping[str, str] | None:
        """What the stage says of itself; None when it is not there."""
        about = self._about(key)
        return None if about is None else about.labels

    def parent(self, key: CacheKey) -> CacheKey | None:
        """The stage that this one was made from; it may be gone. None for a first one, and for one that is gone."""
        about = self._about(key)
        return None if about is None or about.parent is None else CacheKey(about.parent)

    def directory(self, key: CacheKey) -> Path:
        """Where the stage of this key is, if there is one."""
        return self.root / "stages" / key

    def _parent(self, key: CacheKey | None) -> tuple[Path, Tree] | None:
        """The stage to share files with; one that a reset took away meanwhile is no loss but of space."""
        if key is None:
            return None
        try:
            return self.open(key)
        except CacheError:
            return None

    def _image(self, reference: Reference) -> Image | None:
        key = key_of(reference)
        about = self._about(key)
        try:
            created = (self.directory(key) / "stage.json").stat().st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(self.root, error) from error
        if about is None:
            return None
        return Image(reference=reference, labels=about.labels, created=created, size=about.size)

    def _about(self, key: CacheKey) -> _About | None:
        stage = self.directory(key)
        try:
            return msgspec.json.decode((stage / "stage.json").read_bytes(), type=_About)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return None
        except OSError as error:
            raise unusable(self.root, error) from error

    def _delete(self, key: CacheKey) -> bool:
        """Remove a stage and its spares; False when it was not there."""
        there = self._bury(key)
        remove(self.root / "spares" / key)
        return there

    def _bury(self, key: CacheKey) -> bool:
        """Take a stage out of sight in one step, then remove it; False when it was not there."""
        grave = new_run(self.root / "ingest", mode=self.mode)
        try:
            self.directory(key).rename(grave.path / "stage")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unusable(self.root, error) from error
        finally:
            grave.close()
        return True

    def _named(self, repository: Name) -> tuple[Reference, ...]:
        """The references below one repository's directory; strangers' files are none of ours."""
        try:
            entries = [entry.name for entry in os.scandir(self._names(repository)) if entry.is_file()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise unusable(self.root, error) from error
        return tuple(Reference(name=repository, tag=Tag.parse(entry)) for entry in entries if _is_key(entry))

    def _everything(self) -> tuple[Reference, ...]:
        names = self.root / "names"
        directories = sorted({path.parent for path in names.rglob("*") if _is_key(path.name)})
        repositories = [_repository(directory.relative_to(names).as_posix()) for directory in directories]
        named = tuple(chain.from_iterable(self._named(one) for one in repositories if one is not None))
        keys = {key_of(reference) for reference in named}
        nameless = (Reference(name=_NAMELESS, tag=Tag.parse(key)) for key in self.present() if key not in keys)
        return (*named, *nameless)

    def _names(self, repository: Name) -> Path:
        return self._below_names(str(repository))

    def _below_names(self, text: str) -> Path:
        return self.root / "names" / text.replace(":", "_")


#: Where a stage is listed that lost its last name, or whose maker was killed before it had one.
_NAMELESS = Name.parse("pg-ephemeral")

_PORT = r"^([^/]+)_(\d+)/"


def _repository(directory: str) -> Name | None:
    """The repository whose names are in this directory; None for a stranger's."""
    with suppress(InvalidValue):
        return Name.parse(re.sub(_PORT, r"\1:\2/", directory))
    return None


def _is_key(text: str) -> bool:
    """Whether this is a key, and not the name of a stranger's file."""
    with suppress(InvalidValue):
        return bool(CacheKey(text))
    return False
