"""``container-script``: shell text run inside the image while PostgreSQL is down, for example to install packages.

It is a build step of container engines, never run beside a live server; a backend without images refuses a definition
that has one.
"""

from __future__ import annotations

from msgspec import Struct

from pg_ephemeral.process import Overdue
from pg_ephemeral.seeds.base import Inputs, LoadContext, LoadedSeed, SeedName, Target, check_timeout, overdue


class ContainerScript(Struct, frozen=True, kw_only=True):
    """Shell text, run as ``sh -e`` by root inside the image."""

    name: SeedName
    script: str
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Check the timeout."""
        check_timeout(self.timeout)

    @property
    def kind(self) -> str:
        """``container-script``."""
        return "container-script"

    def load(self, context: LoadContext) -> LoadedSeed:
        """Hash the text."""
        return LoadedContainerScript(seed=self, inputs={"script": self.script} if context.cacheable else None)


class LoadedContainerScript(Struct, frozen=True, kw_only=True):
    """The script a backend builds with."""

    seed: ContainerScript
    inputs: Inputs | None
    key_kind: str = "container-script"
    needs_build: bool = True
    reads_files: bool = False

    def apply(self, target: Target) -> None:
        """Run it where the server's files are. What it installs takes effect at the server's next start."""
        try:
            target.run_script(self.seed.script, seed=self.seed.name, timeout=self.seed.timeout)
        except Overdue as error:
            raise overdue(self.seed) from error
