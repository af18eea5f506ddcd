"""Nothing is left behind, whatever ends us: SIGKILL at any moment, a dead server, a full disk, an unusable cache."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import servers_below
from pg_ephemeral import CacheError, Definition, SeedFailed, boot
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.backends.runs import new_run, sweep
from pg_ephemeral.cache import open_cache
from pg_ephemeral.populate import populate_only
from pg_ephemeral.postgres import account
from support import machine

PROGRAM = """
import sys
from pathlib import Path
from pg_ephemeral import Definition, boot
definition = Definition(directory=Path(sys.argv[1]))
for number in range(4):
    definition = definition.apply_sql_statement(
        f"seed-{number}", f"CREATE TABLE t{number} AS SELECT n FROM generate_series(1, 2000) n"
    )
print("begun", flush=True)
with boot(definition) as server:
    print("up", flush=True)
    print(server.connect().execute("SELECT count(*) FROM t3").fetchone(), flush=True)
    if "wait" in sys.argv:
        sys.stdin.read()
print("done", flush=True)
"""


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_(condition: Callable[[], object], what: str, within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime directory of the test's own, with a name short enough for sockets; nothing may be left in it."""
    with tempfile.TemporaryDirectory(prefix="pge", dir="/tmp") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)
        await_(lambda: not list(Path(directory).iterdir()), "a socket's directory was left")


def runs(cache: Path) -> list[Path]:
    store = cache / "embedded" / "v1"
    return [*(store / "run").glob("*"), *(store / "ingest").glob("*")]


def test_a_killed_owner_takes_its_server_and_files_along(cache_directory: Path, tmp_path: Path) -> None:
    owner = start(tmp_path, "wait")
    assert owner.stdout is not None
    for _ in range(3):
        owner.stdout.readline()
    assert servers_below(cache_directory)
    owner.kill()
    owner.communicate()
    await_(lambda: not servers_below(cache_directory), "the server outlived its owner")
    await_(lambda: not runs(cache_directory), "the server's directory outlived its owner")


def test_kills_at_random_moments_of_a_populate_and_a_boot_leave_a_whole_cache(
    cache_directory: Path, tmp_path: Path
) -> None:
    """Each run gets a little further than the one before, or is lucky; then one is let through."""
    moments = random.Random(20)
    for attempt in range(10):
        owner = start(tmp_path)
        assert owner.stdout is not None
        assert owner.stdout.readline() == "begun\n"
        with suppress(subprocess.TimeoutExpired):
            owner.wait(timeout=moments.uniform(0.05, 0.3 + 0.15 * attempt))
        owner.kill()
        owner.communicate()
        await_(lambda: not servers_below(cache_directory), "a server outlived its owner")
    last = start(tmp_path)
    said, _ = last.communicate()
    assert said == "begun\nup\n(2000,)\ndone\n", "without a word of complaint"
    assert last.returncode == 0
    assert runs(cache_directory) == []


def test_a_server_whose_keeper_was_killed_too_is_stopped_by_the_next_run(cache_directory: Path, tmp_path: Path) -> None:
    owner = start(tmp_path, "wait")
    assert owner.stdout is not None
    for _ in range(3):
        owner.stdout.readline()
    keepers = [
        int(process.parent.name)
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if b"pg-ephemeral-keeper" in _read(process) and str(cache_directory).encode() in _read(process)
    ]
    assert len(keepers) == 2, "the keeper, and its reader of orders"
    for keeper in keepers:
        os.kill(keeper, signal.SIGKILL)
    owner.kill()
    owner.communicate()
    assert servers_below(cache_directory), "nobody is left to stop it"
    next_run = start(tmp_path)
    said, _ = next_run.communicate()
    assert "done" in said
    await_(lambda: not servers_below(cache_directory), "the sweep did not stop it")
    assert runs(cache_directory) == []


FORKS = """
import os, sys
from pg_ephemeral import Definition, boot
with boot(Definition()) as server:
    with server.database():
        child = os.fork()
        if child == 0:
            sys.exit(server.connect().execute("SELECT 7").fetchone()[0])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(server.connect().execute("SELECT 8").fetchone()[0])
"""
FORKS_ASYNCHRONOUSLY = """
import asyncio, os, sys
from pg_ephemeral import Definition, aboot
async def main():
    async with aboot(Definition()) as server:
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            print(server.connect().execute("SELECT 8").fetchone()[0])
        else:
            answer = server.connect().execute("SELECT 7").fetchone()[0]
    if not child:
        os._exit(answer)  # the loop, whose descriptors it shares, is not its to close
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [FORKS, FORKS_ASYNCHRONOUSLY], ids=["boot", "aboot"])
def test_a_forked_child_that_leaves_the_block_ends_nothing(cache_directory: Path, program: str) -> None:
    argv = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("7\n8\n", 0), done.stderr
    assert runs(cache_directory) == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_two_processes_on_one_cold_chain_build_it_once(cache_directory: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from pg_ephemeral import Definition, boot
        definition = Definition(directory=Path({str(tmp_path)!r}))
        for name in ("one", "two", "three"):
            definition = definition.apply_script(name, "echo $PG_NOTHING " + name + " >> {log}")
        with boot(definition) as server:
            server.connect().close()
        """
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        _, said = one.communicate()
        assert one.returncode == 0, said
    assert log.read_text().split() == ["one", "two", "three"]


# fault: W26
@pytest.mark.parametrize("cache", [True, False])
def test_a_failing_seed_leaves_nothing_and_keeps_what_came_before(
    cache_directory: Path, tmp_path: Path, cache: bool
) -> None:
    from pg_ephemeral import CommandHash, NoCache

    definition = (
        Definition(directory=tmp_path)
        .apply_sql_statement("good", "CREATE TABLE t (x int)")
        .apply_script("bad", "exit 3", cache=CommandHash() if cache else NoCache())
    )
    with pytest.raises(SeedFailed, match="seed 'bad': script failed: exit status 3"), boot(definition):
        pass
    assert runs(cache_directory) == []
    opened = open_cache(definition, EmbeddedBackend(definition.image))
    assert opened.chain.keys[1] in opened.present()


# fault: W31
def test_a_server_that_dies_under_a_seed_is_noticed(cache_directory: Path, tmp_path: Path) -> None:
    murder = """
        data=$(psql -AtXc 'SHOW data_directory')
        kill -9 "$(head -1 "$data/postmaster.pid")"
    """
    definition = Definition(directory=tmp_path).apply_script("murder", murder)
    with pytest.raises(Exception, match="died while seed 'murder'"), boot(definition):
        pass
    assert runs(cache_directory) == []


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path) -> None:
    """The cache lies on a file system of 100 MB, in a mount namespace of its own."""
    cache = tmp_path / "small"
    cache.mkdir()
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from pg_ephemeral import Definition, PgEphemeralError, boot
        definition = Definition(directory=Path("/"))
        for number in range(30):
            definition = definition.apply_sql_statement(
                f"big-{number}", f"CREATE TABLE t{number} AS SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n"
            )
        try:
            with boot(definition):
                print("it fitted")
        except PgEphemeralError as error:
            print(type(error).__name__, error.message, error.hint, sep="|")
        store = Path(sys.argv[1]) / "embedded" / "v1"
        print("left:", *(store / "run").glob("*"), *(store / "ingest").glob("*"))
        """
    )
    mount = 'mount -t tmpfs -o size=100m tmpfs "$1" && exec "$2" -c "$3" "$1"'
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*namespace, "sh", "-c", mount, "sh", str(cache), sys.executable, program],
        capture_output=True,
        text=True,
        env={**os.environ, "PG_EPHEMERAL_CACHE_DIR": str(cache)},
    )
    if done.stderr.startswith(("mount:", "unshare:")):
        pytest.skip(f"no private mounts here: {done.stderr.strip()}")
    said = done.stdout.splitlines()
    assert len(said) == 2, done.stdout + done.stderr
    assert "No space left on device" in said[0]
    assert said[1] == "left:"


# fault: W23, W34
def test_an_unusable_cache_directory_is_named_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(in_the_way / "cache"))
    with pytest.raises(CacheError, match=str(in_the_way)) as caught, boot(Definition()):
        pass
    assert "PG_EPHEMERAL_CACHE_DIR" in (caught.value.hint or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_cache_directory_is_named(cache_directory: Path) -> None:
    cache_directory.mkdir()
    cache_directory.chmod(0)
    try:
        with pytest.raises(CacheError, match="Permission denied"), boot(Definition()):
            pass
    finally:
        cache_directory.chmod(0o700)


@pytest.mark.parametrize("harm", ["stage.json", "tree.json", "data/PG_VERSION", "data/base/1/PG_VERSION"])
def test_a_damaged_stage_is_built_again_without_a_word(harm: str, cache_directory: Path, tmp_path: Path) -> None:
    """A power cut may empty what was just written, and there are programs that tidy up caches."""
    definition = Definition(directory=tmp_path).apply_sql_statement("one", "CREATE TABLE one AS SELECT 1 AS n")
    opened = open_cache(definition, EmbeddedBackend(definition.image))
    populate_only(opened)
    store = cache_directory / "embedded" / "v1"
    shutil.rmtree(store / "spares")
    harmed = store / "stages" / opened.chain.keys[-1] / harm
    if harm.endswith(".json"):
        harmed.write_bytes(b"")
    else:
        harmed.unlink()
    with boot(definition) as server, server.connect() as connection:
        assert connection.execute("SELECT n FROM one").fetchone() == (1,)
    assert harmed.stat().st_size > 0
    assert list((store / "ingest").iterdir()) == []


def test_a_run_is_removed_with_its_lock_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever is killed at it leaves what the next sweep takes at once."""
    run = new_run(tmp_path / "run")
    for name in ("data", "a", "m", "z"):
        (run.path / name).mkdir()
        (run.path / name / "file").write_text("")
    (run.path / "log").write_text("")
    removed: list[str] = []
    unlink = os.unlink

    def noting(path: str | Path, **keywords: int | None) -> None:
        removed.append(Path(path).name)
        unlink(path, **keywords)

    monkeypatch.setattr(os, "unlink", noting)
    run.close()
    assert removed[-1] == "lock"
    assert sorted(removed) == ["file", "file", "file", "file", "lock", "log"]
    assert not run.path.exists()


def test_a_run_whose_lock_was_removed_first_is_swept_when_it_is_old(tmp_path: Path) -> None:
    half_removed = tmp_path / "run" / "0123"
    (half_removed / "data").mkdir(parents=True)
    assert sweep(tmp_path / "run") == [], "somebody may be at it"
    os.utime(half_removed, (1, 1))
    assert sweep(tmp_path / "run") == [half_removed]
    assert not half_removed.exists()


def test_another_users_leftovers_are_not_ours_to_sweep(cache_directory: Path, tmp_path: Path) -> None:
    """Directories below ``run`` without a lock are somebody's who is just making them."""
    strange = cache_directory / "embedded" / "v1" / "run" / ".new-strange"
    strange.mkdir(parents=True)
    with boot(Definition(directory=tmp_path)):
        assert strange.exists()
    strange.rmdir()


def test_a_tablespace_elsewhere_is_refused_by_the_name_of_its_seed(cache_directory: Path, tmp_path: Path) -> None:
    """The stage would be the data directory without what lies elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if machine.servers_are_foreign():
        owner = account.choose()
        os.chown(elsewhere, owner.uid or 0, owner.gid or 0)
    definition = Definition(directory=tmp_path).apply_sql_statement(
        "space", f"CREATE TABLESPACE elsewhere LOCATION '{elsewhere}'"
    )
    with (
        pytest.raises(CacheError, match=r"seed 'space': its stage cannot be kept: .*pg_tblspc") as caught,
        boot(definition),
    ):
        pass
    assert "tablespace" in (caught.value.hint or "")
    assert runs(cache_directory) == []


@pytest.mark.needs("root")
def test_a_cache_out_of_reach_of_the_servers_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(closed / "cache"))
    monkeypatch.setenv(account.VARIABLE, "nobody")
    with pytest.raises(CacheError, match="out of reach for user nobody") as caught, boot(Definition()):
        pass
    assert "PG_EPHEMERAL_CACHE_DIR" in (caught.value.hint or "")
