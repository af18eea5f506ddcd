"""How fast a stage travels to a registry and back, how much memory that takes, and how ``skopeo copy`` compares.

    python benchmarks/sharing.py [--megabytes N] [--rounds N]

The registry is distribution's ``docker-registry``, on this machine and over plain HTTP; each push goes to a new one, so
that nothing is there and nobody remembers anything. Ours is the command line, a process of its own as skopeo is, whose
peak memory is shown. Both move the same image.

* **push**: a stage that was never pushed: packed, compressed and sent. Against skopeo, which compresses and sends the
  image's layers.
* **push again**: everything is there.
* **push elsewhere**: to another repository of the same registry, which has the layers.
* **pull**: fetched, unpacked and sealed, by a machine that has nothing. Against skopeo, which fetches and decompresses.
* **copy to**, **copy from**: the image between a layout and the registry, compressed as it is, by our client alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.definition import Definition
from pg_ephemeral.oci.credentials import anonymous
from pg_ephemeral.oci.layout import Layout
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.registry import RegistryOptions, RegistryStore
from pg_ephemeral.oci.store import copy, find_image
from pg_ephemeral.postgres.binaries import machine_platform
from support import registry as registries
from support.registry import Registry

#: A row takes about 200 bytes, half of which no compression can do anything about.
CONFIGURATION = """
backend = "embedded"

[instances.main.seeds.big]
type = "sql-statement"
statement = '''
CREATE TABLE big AS SELECT n, md5(n::text) || md5((-n)::text) || repeat('x', 90) AS t FROM generate_series(1, {}) n
'''
"""
ROW = 200
PROGRAM = Path(sys.executable).with_name("pg-ephemeral")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--megabytes", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.child:
        child_copy(*chosen.child)
        return
    for missing in filter(lambda name: shutil.which(name) is None, ("skopeo", registries.PROGRAM)):
        sys.exit(f"{missing} is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        Bench(Path(scratch), chosen.rounds).run(chosen.megabytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process took: seconds, and the most memory that it had, in bytes. ``out`` is what it printed."""

    seconds: float
    peak: int
    out: bytes


class Bench:
    """A project in ``scratch``, and what is done with its last stage."""

    def __init__(self, scratch: Path, rounds: int) -> None:
        self._scratch = scratch
        self._rounds = rounds
        self._registries = 0

    def run(self, megabytes: int) -> None:
        (self._scratch / "database.toml").write_text(CONFIGURATION.format(megabytes * 1_000_000 // ROW))
        self._ours("populate")
        images = EmbeddedBackend(Definition().image, cache=self._cache).images
        with self._registry() as registry:
            pushed = document(self._ours("push", "--json", registry=registry))
            tip = Reference.parse(pushed["stages"][-1]["cache_image"])
            size = images.get([tip])[tip].size / 1e6
            layout = self._scratch / "layout"
            run(child("copy-from", tip.name, tip.tag, layout))
            compressed = sum(path.stat().st_size for path in layout.rglob("*") if path.is_file()) / 1e6
            plain = self._scratch / "plain"
            run(skopeo(remote(tip), f"dir:{plain}", "--dest-decompress"))
            print(f"a stage of {size:.0f} MB, {compressed:.0f} MB as an image")
            print(f"{'':28} {'seconds':>8} {'MB/s':>7} {'peak MB':>8}   against skopeo")
            self._again(registry)
            self._from(registry, tip, size, compressed)
        self._to(tip, size, compressed, plain)

    def _again(self, registry: Registry) -> None:
        """Nothing, or next to nothing, is left to send."""
        for name, path in (("push again", "bench"), ("push elsewhere", "elsewhere")):
            cost = self._ours("push", "--json", registry=registry, path=path)
            stages = document(cost)["stages"]
            sent = sum(stage["sent_bytes"] or 0 for stage in stages)
            states = ", ".join(sorted({stage["status"] for stage in stages}))
            measured = f"{f'pg-ephemeral {name}':28} {cost.seconds:8.2f} {'':7} {cost.peak / 1e6:8.0f}"
            print(f"{measured}   {sent} bytes sent, {states}")

    def _from(self, registry: Registry, tip: Reference, size: float, compressed: float) -> None:
        target = self._scratch / "target"

        def pull() -> Cost:
            return self._ours("pull", registry=registry, cache=target)

        decompressed = skopeo(remote(tip), f"dir:{target}", "--dest-decompress")
        self._compare("pull", size, fresh(target, pull), fresh(target, lambda: run(decompressed)))
        as_it_is = skopeo(remote(tip), f"oci:{target}:{tip.tag}")
        mine = child("copy-from", tip.name, tip.tag, target)
        self._compare("copy from", compressed, fresh(target, lambda: run(mine)), fresh(target, lambda: run(as_it_is)))

    def _to(self, tip: Reference, size: float, compressed: float, plain: Path) -> None:
        def to_a_new_registry(work: Callable[[Registry, Reference], Cost]) -> Callable[[], Cost]:
            def do() -> Cost:
                for record in self._cache.glob("embedded/*/stages/*/image.json"):
                    record.unlink()
                with self._registry() as registry:
                    return work(registry, Reference(name=registry.repository("bench/pg-ephemeral/main"), tag=tip.tag))

            return do

        mine = to_a_new_registry(lambda registry, _: self._ours("push", registry=registry))
        theirs = to_a_new_registry(lambda _, to: run(skopeo(f"dir:{plain}", remote(to), "--dest-compress")))
        self._compare("push", size, mine, theirs)
        layout = self._scratch / "layout"
        mine = to_a_new_registry(lambda _, to: run(child("copy-to", to.name, to.tag, layout)))
        theirs = to_a_new_registry(lambda _, to: run(skopeo(f"oci:{layout}:{tip.tag}", remote(to))))
        self._compare("copy to", compressed, mine, theirs)

    def _compare(self, name: str, megabytes: float, mine: Callable[[], Cost], theirs: Callable[[], Cost]) -> None:
        """One after the other, so that what else the machine does befalls both."""
        pairs = [(mine(), theirs()) for _ in range(self._rounds)]
        others = [other for _, other in pairs]
        report(f"pg-ephemeral {name}", megabytes, [one for one, _ in pairs], others)
        report("skopeo", megabytes, others, [])

    @property
    def _cache(self) -> Path:
        return self._scratch / "cache"

    def _ours(
        self, *arguments: str, registry: Registry | None = None, path: str = "bench", cache: Path | None = None
    ) -> Cost:
        where = [] if registry is None else ["--cache-registry", f"{registry.host}/{path}"]
        environment = {**os.environ, "PG_EPHEMERAL_CACHE_DIR": str(cache or self._cache)}
        argv = [str(PROGRAM), "--quiet", *where, "cache", *arguments]
        return run(argv, cwd=self._scratch, env=environment)

    @contextmanager
    def _registry(self) -> Iterator[Registry]:
        self._registries += 1
        directory = self._scratch / f"registry-{self._registries}"
        with registries.running(directory) as running:
            yield running
        shutil.rmtree(directory)


def child_copy(direction: str, repository: str, tag: str, layout: str) -> None:
    """Between a layout and a registry."""
    reference = Reference.parse(f"{repository}:{tag}")
    with RegistryStore(RegistryOptions(keychain=anonymous)) as store:
        source, target = (store, Layout(Path(layout))) if direction == "copy-from" else (Layout(Path(layout)), store)
        local = Reference.parse(f"bench:{tag}")
        named, to = (reference, local) if direction == "copy-from" else (local, reference)
        found = find_image(source, named, Platform.parse(machine_platform()))
        assert found is not None
        copy(found, source, target, to=to)


def child(direction: str, *arguments: object) -> list[str]:
    return [sys.executable, __file__, "--child", direction, *map(str, arguments)]


def remote(reference: Reference) -> str:
    return f"docker://{reference}"


def skopeo(source: str, target: str, *options: str) -> list[str]:
    plain = [f"--{end}-tls-verify=false" for end, place in (("src", source), ("dest", target)) if "docker://" in place]
    return ["skopeo", "copy", "--quiet", "--insecure-policy", *plain, *options, source, target]


def run(argv: list[str], **options: Any) -> Cost:
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, stdout=out, **options)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        assert process.returncode == 0, argv
        out.seek(0)
        return Cost(seconds=seconds, peak=usage.ru_maxrss * 1024, out=out.read())


def document(cost: Cost) -> Any:
    return json.loads(cost.out)


def fresh(target: Path, work: Callable[[], Cost]) -> Callable[[], Cost]:
    """Do it with an empty target, and nothing left to write from what was before."""

    def do() -> Cost:
        shutil.rmtree(target, ignore_errors=True)
        os.sync()
        return work()

    return do


def report(name: str, megabytes: float, costs: list[Cost], others: list[Cost]) -> None:
    seconds = statistics.median(cost.seconds for cost in costs)
    peak = max(cost.peak for cost in costs) / 1e6
    line = f"{name:28} {seconds:8.2f} {megabytes / seconds:7.0f} {peak:8.0f}"
    if others:
        line += f"   {statistics.median(other.seconds for other in others) / seconds:.2f}x"
    print(line)


if __name__ == "__main__":
    main()
