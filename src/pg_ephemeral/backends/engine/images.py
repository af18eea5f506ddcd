"""The stages of a container engine: images in its own store, found by the key in their tag and their label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from pg_ephemeral.backends.base import Image
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.commands import ImageFacts, is_absent
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import CacheError, InvalidValue
from pg_ephemeral.labels import KEY_LABEL, PLATFORM_LABEL
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.reference import Name, Reference, Tag

#: What Podman says, and lists nothing, when an image is removed by somebody else while it lists them all.
_VANISHED = re.compile(r"retrieving size of image|(?:image|layer) not known")
_LOOKS = 10

#: What engines take for Docker Hub, and write in one way.
_HUB = ("docker.io", "index.docker.io")


class EngineImages:
    """An ``ImageStore`` on a container engine. Holds nothing but what it last saw."""

    def __init__(self, client: EngineClient, *, seen: Callable[[], tuple[ImageFacts, ...]] = tuple) -> None:
        """``seen`` says what was looked at a moment ago, which spares the first look if that is all that is wanted."""
        self._client = client
        self._seen = seen
        self._facts: dict[CacheKey, ImageFacts] = {}

    def get(self, references: Iterable[Reference]) -> Mapping[Reference, Image]:
        """One call when all are there under their own names; one or two more for those under other names."""
        wanted = {reference: key_of(reference) for reference in references}
        # Once: it is true of that moment alone.
        seen, self._seen = self._seen(), tuple
        self._see(seen, wanted.values())
        if set(wanted.values()) - self._facts.keys():
            names = tuple(self.local_name(reference) for reference in wanted)
            self._see(self._client.images(names), wanted.values())
        missing = set(wanted.values()) - self._facts.keys()
        if missing:
            names = tuple(name for name in self._all_names() if name.rpartition(":")[2] in missing)
            self._see(self._client.images(names), missing, forget=False)
        return {
            reference: self._image(reference, self._facts[key])
            for reference, key in wanted.items()
            if key in self._facts
        }

    def is_here(self, reference: Reference) -> bool:
        """Whether the stage has this very name, by one call."""
        self._see(self._client.images((self.local_name(reference),)), [key_of(reference)])
        return key_of(reference) in self._facts

    def tag(self, reference: Reference) -> None:
        """Another name for an image that is there; none at all when it has that name."""
        facts = self._facts.get(key_of(reference))
        if facts is None:
            self.get([reference])
            facts = self._facts.get(key_of(reference))
        if facts is None or self.local_name(reference) in facts.names:
            return
        done = self._client.try_call(("tag", facts.id, self.local_name(reference)))
        if done.status != 0 and not is_absent(done.message):
            raise CacheError(f"{reference} cannot be named: {done.message}")
        self._facts.pop(key_of(reference))

    def list(self, repository: Name | None) -> tuple[Image, ...]:
        """Oldest first."""
        references = {name: self._reference(name, repository) for name in self._all_names()}
        wanted = tuple(name for name, reference in references.items() if reference is not None)
        listed = [
            self._image(reference, facts)
            for facts in self._client.images(wanted)
            for name in facts.names
            if (reference := references.get(name)) is not None
        ]
        return tuple(sorted(listed, key=lambda image: (image.created, str(image.reference))))

    def remove(self, reference: Reference, *, force: bool) -> bool:
        """Take the name away, and the image if it was the last and nothing runs on it."""
        name = self.local_name(reference)
        self._facts.pop(key_of(reference), None)
        done = self._client.try_call(("image", "inspect", "--format", "{{.Id}}", name))
        if done.status != 0 and is_absent(done.message):
            return False
        if done.status == 0:
            arguments = (*self._client.dialect.forget, name) if force else ("image", "rm", name)
            identity = done.stdout.decode().strip()
            done = self._client.try_call(arguments)
        if done.status != 0 and not is_absent(done.message):
            reason = done.message.splitlines()[-1] if done.message else f"status {done.status}"
            raise CacheError(
                f"{reference} cannot be removed: {reason}",
                hint="a server runs on it: stop that first, or use --force" if not force else None,
            )
        if force and self._client.dialect.forget[0] == "untag" and not self._names_of(identity):
            # In use or not: the name is gone, and prune takes what is left.
            self._client.try_call(("image", "rm", identity))
        return True

    def known(self) -> tuple[str, ...]:
        """What was seen and is there, by name."""
        return tuple(dict.fromkeys(name for facts in self._facts.values() for name in facts.names[:1]))

    def facts(self, key: CacheKey) -> ImageFacts | None:
        """What was seen of this stage when it was last looked for."""
        return self._facts.get(key)

    def forget(self, key: CacheKey) -> None:
        """Look again the next time."""
        self._facts.pop(key, None)

    def local_id(self, reference: Reference) -> str:
        """The stage itself where it was seen, whatever it is called there; else what it would be called."""
        facts = self._facts.get(key_of(reference))
        return self.local_name(reference) if facts is None else facts.id

    def local_name(self, reference: Reference) -> str:
        """What the engine calls the stage."""
        return self._local(str(reference))

    def _local(self, text: str) -> str:
        """As the engine itself writes the name, for that is how it lists it."""
        first, slash, rest = text.partition("/")
        if slash and first in _HUB:
            return self._on_hub(rest)
        has_domain = slash and ("." in first or ":" in first or first == "localhost")
        return text if has_domain else self._client.dialect.local_prefix + text

    def _on_hub(self, rest: str) -> str:
        """One part alone lies below ``library``, which is left out by the engine that leaves out the registry."""
        within = rest.removeprefix("library/") if rest.count("/") == 1 else rest
        if self._client.dialect.implied_domain:
            return within
        return f"docker.io/{within if '/' in within else f'library/{within}'}"

    def _reference(self, name: str, repository: Name | None) -> Reference | None:
        """What a name of the engine's means to us, if it is a stage's in ``repository``."""
        local, _, tag = name.rpartition(":")
        if repository is not None and local != self._local(str(repository)):
            return None
        with suppress(InvalidValue):
            known = repository or Name.parse(local.removeprefix(self._client.dialect.local_prefix))
            return Reference(name=known, tag=Tag.parse(CacheKey(tag)))
        return None

    def _all_names(self) -> tuple[str, ...]:
        """The names of every image that says it is a stage."""
        arguments = ("image", "ls", "--filter", f"label={KEY_LABEL}", "--format", "{{.Repository}}:{{.Tag}}")
        for _ in range(_LOOKS):
            done = self._client.try_call(arguments)
            if done.status == 0:
                return tuple(line for line in done.stdout.decode().split() if "<none>" not in line)
            if not _VANISHED.search(done.message):
                break
        raise self._client.error(arguments, done.message)

    def _names_of(self, identity: str) -> tuple[str, ...]:
        return tuple(name for facts in self._client.images((identity,)) for name in facts.names)

    def _see(self, found: Iterable[ImageFacts], keys: Iterable[CacheKey], *, forget: bool = True) -> None:
        """Remember these images by their key. One that does not say what its tag does, or is for another platform than
        its stage, is none of ours.
        """
        if forget:
            for key in keys:
                self._facts.pop(key, None)
        for facts in found:
            said = facts.labels.get(KEY_LABEL)
            if said is not None and any(name.endswith(f":{said}") for name in facts.names) and _runs(facts):
                self._facts[CacheKey(said)] = facts

    def _image(self, reference: Reference, facts: ImageFacts) -> Image:
        return Image(reference=reference, labels=facts.labels, created=facts.created, size=facts.size)


def _runs(facts: ImageFacts) -> bool:
    """Whether the image is for the platform its stage names, which is part of the key: engines keep any."""
    said = facts.labels.get(PLATFORM_LABEL)
    try:
        return said is None or Platform.parse(said).runs(Platform.parse(facts.platform))
    except InvalidValue:
        return False
