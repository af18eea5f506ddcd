"""A tour of the shop: a cold boot, a warm one, then one changed file. Commands and their output are shown as they are,
but for `--backend embedded`, which keeps the tour the same on every machine.

It works on a copy of this directory with a cache of its own, both of which are removed at the end. Usage: demo.py
"""
# ruff: noqa: INP001, T201 -- a script, and it prints

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
QUERY = "SELECT month, orders, revenue FROM monthly_revenue ORDER BY month LIMIT 3"
COUNT = "SELECT count(*) AS customers, (SELECT count(*) FROM order_line) AS order_lines FROM customer"


class Tour:
    """Runs commands in the copy, shows them, and remembers what those took that are to be compared."""

    def __init__(self, shop: Path, cache: Path) -> None:
        self.shop = shop
        self.environment = {**os.environ, "PG_EPHEMERAL_CACHE_DIR": str(cache)}
        self.times: list[tuple[str, float]] = []

    def run(self, *arguments: str, timed: str | None = None) -> None:
        """Run the command line with these arguments; ``timed`` is the name its time goes by in the last table."""
        argv = ["pg-ephemeral", "--backend", "embedded", *arguments]
        print(f"\n$ pg-ephemeral {shlex.join(arguments)}", flush=True)
        began = time.perf_counter()
        status = subprocess.run(
            argv, cwd=self.shop, env=self.environment, stdin=subprocess.DEVNULL, check=False
        ).returncode
        if timed is not None:
            self.times.append((timed, time.perf_counter() - began))
        if status != 0:
            sys.exit(f"demo: that command ended with status {status}")

    def query(self, sql: str, *, timed: str) -> None:
        """Boot the shop, and run psql against it."""
        self.run("run-env", "--", "psql", "--no-psqlrc", "-c", sql, timed=timed)

    def raise_price(self) -> None:
        """Change one line of one seed's file: the chef's knife gets dearer."""
        products = self.shop / "data" / "products.csv"
        text = products.read_text(encoding="utf-8")
        changed = text.replace("89.00", "95.00")
        assert changed != text  # noqa: S101 -- else there is nothing to show
        products.write_text(changed, encoding="utf-8")


def say(text: str) -> None:
    """Print a line of narration."""
    print(f"\n== {text}", flush=True)


def tour(shop: Path, cache: Path) -> None:
    """Walk through it."""
    visit = Tour(shop, cache)

    say("Cold: nothing is cached. The cluster is made, and every seed is applied and kept as a stage.")
    visit.run("cache", "status")
    visit.query(COUNT, timed="cold: the cluster and all 8 seeds made")
    visit.run("cache", "status")

    say("Warm: the last stage is cloned and started, and the query runs against all the shop's rows.")
    visit.query(QUERY, timed="warm: everything from the cache")

    say("Changed: one price in data/products.csv. That seed and those after it are misses; those before it are not.")
    visit.raise_price()
    visit.run("cache", "status")
    visit.query(QUERY, timed="after the change: 5 of 8 seeds made again")
    visit.query(QUERY, timed="warm again")

    say("What it took, from the start of each command to its end, the server's stop and the clean-up included:\n")
    for name, seconds in visit.times:
        print(f"  {name:<44}{seconds:>8.2f} s")


def main() -> None:
    """Make the copy and the cache, and remove them afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pg-ephemeral-demo-"))
    # A root whose servers run as another user must let that user pass through.
    home.chmod(0o711)
    try:
        tour(Path(shutil.copytree(HERE, home / "shop")), home / "cache")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
