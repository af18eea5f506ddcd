"""How fast a stage becomes an image and a stage again, how much memory that takes, and how ``skopeo copy`` compares.

    python benchmarks/layers.py [--megabytes N] [--rounds N]

Everything happens between directories, so that neither a network nor a registry is measured. The image is the same one
for both, and each program is a process of its own, whose peak memory is shown.

* **copy**: an image from one layout to another, compressed as it is. Against ``skopeo copy oci: oci:``.
* **push**: a stage that was never pushed, packed and copied to a layout. Against skopeo compressing the same image.
* **push again**: the same stage once more; nothing has to be done.
* **pull**: a layout's image unpacked into a sealed stage. Against skopeo decompressing the same image.

At the end the bytes that small seeds take as layers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.backends.stage_images import StageImages
from pg_ephemeral.backends.stage_intake import receive
from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.cache import open_cache
from pg_ephemeral.definition import Definition
from pg_ephemeral.oci.layout import Layout
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.store import copy, find_image
from pg_ephemeral.populate import populate_only
from pg_ephemeral.postgres.binaries import machine_platform

SMALL = (
    ("schema", "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, since date)"),
    ("rows", "INSERT INTO customers SELECT n, 'customer ' || n, date '2020-01-01' FROM generate_series(1, 1000) n"),
    ("index", "CREATE INDEX ON customers (since)"),
)
#: A row takes about 200 bytes, half of which no compression can do anything about.
BIG = (
    "CREATE TABLE big AS SELECT n, md5(n::text) || md5((-n)::text) || repeat('x', 90) AS t "
    "FROM generate_series(1, {}) n"
)
ROW = 200


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--megabytes", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.child:
        CHILDREN[chosen.child[0]](*chosen.child[1:])
        return
    if shutil.which("skopeo") is None:
        sys.exit("skopeo is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        big(Path(scratch), chosen.megabytes, chosen.rounds)
        small(Path(scratch))


def big(scratch: Path, megabytes: int, rounds: int) -> None:
    definition = Definition(directory=scratch).apply_sql_statement("big", BIG.format(megabytes * 1_000_000 // ROW))
    root, reference = populated(scratch / "cache", definition)
    size = Stages(root).get([reference])[reference].size
    image = scratch / "image"
    ours("push", root, image, reference)
    compressed = sum(path.stat().st_size for path in image.rglob("*") if path.is_file())
    print(f"a stage of {size / 1e6:.0f} MB, {compressed / 1e6:.0f} MB as an image")
    print(f"{'':24} {'seconds':>8} {'MB/s':>7} {'peak MB':>8}   against skopeo")
    oci, plain, target = f"oci:{image}:{reference.tag}", f"dir:{scratch / 'plain'}", scratch / "target"
    run(skopeo(oci, plain, "--dest-decompress"))

    def measure(name: str, megabytes_: float, work: Callable[[], Cost], theirs: list[str] | None) -> None:
        pairs = []
        for _ in range(rounds):
            mine = fresh(target, work)
            pairs.append((mine, fresh(target, lambda: run(theirs or [])) if theirs else None))
        report(f"pg-ephemeral {name}", megabytes_, [mine for mine, _ in pairs], [other for _, other in pairs if other])
        if theirs:
            report("skopeo", megabytes_, [other for _, other in pairs if other], [])

    def push() -> Cost:
        for record in root.glob("stages/*/image.json"):
            record.unlink()
        return ours("push", root, target, reference)

    again = f"oci:{target}:{reference.tag}"
    measure("copy", compressed / 1e6, lambda: ours("copy", image, target, reference), skopeo(oci, again))
    measure("push", size / 1e6, push, skopeo(plain, again, "--dest-compress"))
    measure("push again", size / 1e6, lambda: ours("push", root, image, reference), None)
    decompressed = skopeo(oci, f"dir:{target}", "--dest-decompress")
    measure("pull", size / 1e6, lambda: ours("pull", image, target, reference), decompressed)


def small(scratch: Path) -> None:
    definition = Definition(directory=scratch)
    for name, statement in SMALL:
        definition = definition.apply_sql_statement(name, statement)
    root, tip = populated(scratch / "small", definition)
    with StageImages(Stages(root)) as images:
        content = find_image(images, tip, Platform.parse(machine_platform()))
        assert content is not None
        names = ("the empty cluster", *(name for name, _ in SMALL))
        for name, layer in zip(names, content.manifest.layers, strict=True):
            print(f"layer of {name:20} {layer.size / 1e6:8.2f} MB")


def populated(cache: Path, definition: Definition) -> tuple[Path, Reference]:
    backend = EmbeddedBackend(definition.image, cache=cache)
    opened = open_cache(definition, backend)
    populate_only(opened)
    return backend.images.root, opened.reference(opened.chain.keys[-1])


def child_push(root: str, layout: str, reference: str) -> None:
    with StageImages(Stages(Path(root))) as images:
        images.push(Reference.parse(reference), Layout(Path(layout)))


def child_copy(source: str, target: str, reference: str) -> None:
    found = find_image(Layout(Path(source)), Reference.parse(reference), Platform.parse(machine_platform()))
    assert found is not None
    copy(found, Layout(Path(source)), Layout(Path(target)))


def child_pull(layout: str, root: str, reference: str) -> None:
    platform = Platform.parse(machine_platform())
    found = find_image(Layout(Path(layout)), Reference.parse(reference), platform)
    assert found is not None
    receive(Stages(Path(root)), Layout(Path(layout)), found, found.reference, platform=platform)


CHILDREN: dict[str, Callable[..., None]] = {"push": child_push, "copy": child_copy, "pull": child_pull}

#: Seconds, and the most memory that the process had, in bytes.
Cost = tuple[float, int]


def ours(what: str, *arguments: object) -> Cost:
    return run([sys.executable, __file__, "--child", what, *map(str, arguments)])


def skopeo(source: str, target: str, *options: str) -> list[str]:
    return ["skopeo", "copy", "--quiet", "--insecure-policy", *options, source, target]


def run(argv: list[str]) -> Cost:
    began = time.perf_counter()
    process = subprocess.Popen(argv)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, argv
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def fresh(target: Path, work: Callable[[], Cost]) -> Cost:
    """Do it with an empty target, and nothing left to write from what was before."""
    shutil.rmtree(target, ignore_errors=True)
    os.sync()
    return work()


def report(name: str, megabytes: float, costs: list[Cost], others: list[Cost]) -> None:
    seconds = statistics.median(cost[0] for cost in costs)
    peak = max(cost[1] for cost in costs) / 1e6
    line = f"{name:24} {seconds:8.2f} {megabytes / seconds:7.0f} {peak:8.0f}"
    if others:
        line += f"   {statistics.median(other[0] for other in others) / seconds:.2f}x"
    print(line)


if __name__ == "__main__":
    main()
