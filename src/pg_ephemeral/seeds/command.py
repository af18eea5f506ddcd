"""Seeds that run a program of the host: ``command`` (an argv) and ``script`` (shell text).

They run in the config file's directory, with the server's libpq variables and ``DATABASE_URL`` in place of whatever the
caller has set. What they print goes to our stderr.
"""

from __future__ import annotations

from msgspec import Struct, field

from pg_ephemeral.errors import ProcessError, SeedFailed
from pg_ephemeral.process import Invocation, Overdue, guarded, status_text
from pg_ephemeral.seeds.base import Inputs, LoadContext, LoadedSeed, Seed, SeedName, Target, check_timeout, overdue
from pg_ephemeral.seeds.strategies import CacheStrategy, CommandHash, file_digest, project_file, resolve_program


class Command(Struct, frozen=True, kw_only=True):
    """A program with its arguments. A relative path of several parts is a file of the project; a bare name is looked
    up on ``PATH``.
    """

    name: SeedName
    command: str
    arguments: tuple[str, ...] = ()
    cache: CacheStrategy = field(default_factory=CommandHash)
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Check the timeout."""
        check_timeout(self.timeout)

    @property
    def kind(self) -> str:
        """``command``."""
        return "command"

    def load(self, context: LoadContext) -> LoadedSeed:
        """Hash argv as declared, the program itself if it is the project's, and what the strategy adds."""
        argv = (resolve_program(self.command, context.directory), *self.arguments)
        inputs: dict[str, object] = {"argv": [self.command, *self.arguments]}
        program = project_file(self.command, context.directory)
        if program is not None:
            inputs["program"] = file_digest(program, seed=self.name)
        inputs_and_key = _with_strategy(inputs, self, self.cache, context)
        return LoadedProgram(seed=self, what=self.command, argv=argv, inputs=inputs_and_key)


class Script(Struct, frozen=True, kw_only=True):
    """Shell text, run as ``sh -e -c``."""

    name: SeedName
    script: str
    cache: CacheStrategy = field(default_factory=CommandHash)
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Check the timeout."""
        check_timeout(self.timeout)

    @property
    def kind(self) -> str:
        """``script``."""
        return "script"

    def load(self, context: LoadContext) -> LoadedSeed:
        """Hash the text and what the strategy adds."""
        inputs = _with_strategy({"script": self.script}, self, self.cache, context)
        argv = ("sh", "-e", "-c", self.script)
        return LoadedProgram(seed=self, what="script", argv=argv, inputs=inputs)


class LoadedProgram(Struct, frozen=True, kw_only=True):
    """An argv to run; ``what`` is how errors call it."""

    seed: Seed
    what: str
    argv: tuple[str, ...]
    inputs: Inputs | None
    needs_build: bool = False
    reads_files: bool = False

    @property
    def key_kind(self) -> str:
        """``command`` or ``script``."""
        return self.seed.kind

    def apply(self, target: Target) -> None:
        """Run it to its end; anything but success fails the seed."""
        name = self.seed.name
        invocation = Invocation(argv=self.argv, env=target.client_environment(), cwd=target.directory)
        try:
            status = guarded(invocation, timeout=self.seed.timeout)
        except Overdue as error:
            raise overdue(self.seed) from error
        except ProcessError as error:
            raise SeedFailed(f"seed {name!r}: {error.message}", seed=name, hint=error.hint) from error
        if status != 0:
            raise SeedFailed(f"seed {name!r}: {self.what} failed: {status_text(status)}", seed=name)


def _with_strategy(
    inputs: dict[str, object], seed: Seed, strategy: CacheStrategy, context: LoadContext
) -> Inputs | None:
    """The inputs with the strategy's; None when it has none, or none is wanted any more."""
    if not context.cacheable:
        return None
    more = strategy.key_inputs(seed.name, context)
    return None if more is None else {**inputs, "cache": {"type": strategy.type, **more}}
