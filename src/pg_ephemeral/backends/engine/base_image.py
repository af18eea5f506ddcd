"""The image that servers are made of: whether the engine has it, what it is, and how to have it fetched."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from pg_ephemeral.backends.engine import commands
from pg_ephemeral.backends.engine.client import LOOK_TIMEOUT, EngineClient
from pg_ephemeral.backends.engine.commands import ImageFacts
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.errors import BackendError, BaseMoved
from pg_ephemeral.image import ImageWord
from pg_ephemeral.process import Begun

if TYPE_CHECKING:
    from pg_ephemeral.oci.model import Platform


class BaseImage:
    """One image on one engine. Nothing is looked up before it is asked for, and nothing twice.

    ``described``: of an image that is not here its registry tells, so that stages of it can be pulled without it.
    ``guess`` says what else is going to be looked for, and is looked for by the same call.
    """

    def __init__(
        self,
        dialect: Dialect,
        word: ImageWord,
        *,
        described: bool = False,
        guess: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._dialect = dialect
        self._guess = guess
        self._reference = word.reference
        #: Whether it is an official one, with nothing in it that somebody added.
        self.official = word.official
        self._described = described
        self._look: tuple[tuple[str, ...], Begun] | None = None

    def begin(self) -> None:
        """Begin to look, and do not wait for the answer. Raises ``ProcessError``."""
        guess = self._guess()
        self._look = guess, EngineClient(dialect=self._dialect).begin(commands.inspect_images((self.name, *guess)))

    @property
    def name(self) -> str:
        """As the engine is asked for it."""
        return str(self._reference)

    @cached_property
    def client(self) -> EngineClient:
        """The engine's command, in the dialect of whoever answers to its name. Raises as ``present`` does."""
        given, stand_in = EngineClient(dialect=self._dialect), self._dialect.stand_in
        if stand_in is None:
            return given
        # The description of an image shows it; where there is none it takes a call.
        if self.present is not None:
            other = commands.is_podmans(self._description)
        else:
            other = commands.is_podmans_version(given.try_call(("--version",)).stdout)
        return EngineClient(dialect=stand_in) if other else given

    @cached_property
    def present(self) -> ImageFacts | None:
        """What it is, if it is here. Raises ``BackendError`` or ``ProcessError`` unless the engine answers."""
        return next(iter(commands.read_images(self._description)), None)

    @cached_property
    def beside(self) -> tuple[ImageFacts, ...]:
        """What was guessed and is here, if all of it is. Raises as ``present`` does."""
        return commands.read_images(self._description)[1:]

    @cached_property
    def facts(self) -> ImageFacts:
        """What it is, wherever it is. Raises ``BackendError``."""
        return self.present or self._remote or self._pulled

    def fetch(self) -> None:
        """Have it here. Raises ``BackendError``."""
        if self.present is None:
            self._pulled  # noqa: B018 -- the pull is the point

    def fetch_as_described(self) -> None:
        """Have it here, and be what ``facts`` says.

        Raises ``BackendError``, and ``BaseMoved`` when the engine's source, a mirror perhaps, has another than the
        registry told of; ``facts`` are those of that one from then on.
        """
        self.fetch()
        if self.present is None and self._pulled.layers != self.facts.layers:
            self.facts = self._pulled
            raise BaseMoved(f"image {self.name} is another where {self._dialect.program} pulls it than in its registry")

    @cached_property
    def _description(self) -> bytes:
        if self._look is None:
            self.begin()
        assert self._look is not None  # noqa: S101 -- it has begun
        client, (guess, begun) = EngineClient(dialect=self._dialect), self._look
        done = begun.completed(timeout=LOOK_TIMEOUT)
        if not guess:
            return client.described((self.name,), done)
        # Which of them are absent is told in prose: then the image is looked for alone.
        return done.stdout if done.status == 0 else client.describe((self.name,))

    @cached_property
    def _remote(self) -> ImageFacts | None:
        if not self._described:
            return None
        from pg_ephemeral.backends.engine.remote_base import remote_facts

        return remote_facts(self._reference, self._platform(), credentials=self.client.dialect.credentials)

    def _platform(self) -> Platform:
        """What the engine runs, or is told to pull; which need not be what we run on."""
        from pg_ephemeral.oci.model import Platform

        dialect = self.client.dialect
        chosen = os.environ.get(dialect.platform_variable) if dialect.platform_variable else None
        return Platform.parse(chosen or self.client.call(dialect.platform).decode().strip())

    @cached_property
    def _pulled(self) -> ImageFacts:
        of_no_registry = self._reference.name.domain is None
        self.client.pull(f"{self.client.dialect.fetched_from}{self.name}" if of_no_registry else self.name)
        found = self.client.images((self.name,))
        if not found:
            raise BackendError(f"image {self.name} was pulled but is not there")
        return found[0]
