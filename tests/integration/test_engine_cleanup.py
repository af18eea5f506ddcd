"""No container, volume or directory is left, whatever ends us or the engine's command, and however a seed fails."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pg_ephemeral import CacheError, Definition, NoCache, SeedFailed, ServerError, boot
from pg_ephemeral.backends.engine import commands, owner
from pg_ephemeral.backends.engine.handle import EngineHandle
from pg_ephemeral.backends.select import select
from pg_ephemeral.cache import open_cache
from support import engines, machine
from support.project import Project, eventually

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]

_PROGRAM = """
import sys
from pathlib import Path
from pg_ephemeral import Definition, boot
engine, image, instance = sys.argv[1:]
definition = Definition(directory=Path.cwd()).with_backend(engine).with_image(image).with_instance(instance)
definition = definition.with_wait_available_timeout(60)
for number in range(2):
    definition = definition.apply_sql_statement(
        f"seed-{number}", f"CREATE TABLE t{number} AS SELECT n FROM generate_series(1, 2000) n -- {instance}"
    )
print("begun", flush=True)
with boot(definition) as server:
    print(server.connect().execute("SELECT count(*) FROM t1").fetchone(), flush=True)
"""


@dataclass(kw_only=True)
class Watch:
    """One test's own instance and cache directory on an engine, and what is left of them."""

    engine: str
    instance: str
    cache: Path
    processes: list[int] = field(default_factory=lambda: [os.getpid()])

    def definition(self, directory: Path) -> Definition:
        definition = Definition(directory=directory).with_image(machine.IMAGE).with_backend(self.engine)
        return definition.with_instance(self.instance).with_wait_available_timeout(60)

    def containers(self) -> list[str]:
        return [name for process in self.processes for name in engines.containers(self.engine, process=process)]

    def directories(self) -> list[Path]:
        return list((self.cache / self.engine / "run").glob("*"))

    def dangling(self) -> set[str]:
        """The volumes that no container uses."""
        return set(engines.call(self.engine, "volume", "ls", "--quiet", "--filter", "dangling=true").split())


@pytest.fixture(params=ENGINES)
def watch(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Nothing is left when the test is over; images aside, which are taken away."""
    watch = Watch(engine=request.param, instance=f"t-{secrets.token_hex(4)}", cache=tmp_path / "cache")
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(watch.cache))
    volumes = watch.dangling()
    yield watch
    assert watch.containers() == []
    assert watch.directories() == []
    # fault: W59
    # Those of other tests' containers come and go.
    eventually(lambda: watch.dangling() <= volumes)
    engines.remove_images(watch.engine, watch.instance)


# fault: W25, W26
def test_kills_at_random_moments_of_a_populate_and_a_boot_leave_a_whole_cache(watch: Watch, tmp_path: Path) -> None:
    """Each run gets a little further than the one before, or is lucky; then one is let through."""

    def start() -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, watch.engine, machine.IMAGE, watch.instance],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watch.processes.append(started.pid)
        return started

    moments = random.Random(30)
    for attempt in range(6):
        owner = start()
        assert owner.stdout is not None
        assert owner.stdout.readline() == "begun\n"
        with suppress(subprocess.TimeoutExpired):
            owner.wait(timeout=moments.uniform(0.1, 0.4 + 0.5 * attempt))
        owner.kill()
        owner.communicate()
    last = start()
    said, _ = last.communicate(timeout=300)
    assert (said, last.returncode) == ("begun\n(2000,)\n", 0), "without a word of complaint"
    eventually(lambda: not watch.containers())
    again = start()
    said, _ = again.communicate(timeout=300)
    assert said == "begun\n(2000,)\n"
    assert watch.directories() == []


# fault: W25
def test_a_killed_owner_takes_its_container_along(watch: Watch, tmp_path: Path) -> None:
    program = _PROGRAM + "    sys.stdin.read()\n"
    killed = subprocess.Popen(
        [sys.executable, "-c", program, watch.engine, machine.IMAGE, watch.instance],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watch.processes.append(killed.pid)
    assert killed.stdout is not None
    assert [killed.stdout.readline() for _ in range(2)] == ["begun\n", "(2000,)\n"]
    assert len(watch.containers()) == 1
    killed.kill()
    killed.communicate()
    eventually(lambda: not watch.containers())
    with boot(watch.definition(tmp_path)):
        assert len(watch.directories()) == 1, "what the killed one had is swept"


# fault: W25, W31
def test_a_killed_client_of_the_engine_takes_the_server_along(watch: Watch, tmp_path: Path) -> None:
    with boot(watch.definition(tmp_path)) as server:
        (container,) = watch.containers()
        os.kill(_client_of(container), signal.SIGKILL)
        eventually(lambda: not server.running)
    eventually(lambda: not watch.containers())


def _client_of(container: str) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parts = (process / "cmdline").read_bytes().split(b"\0")
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if container.encode() in parts and b"run" in parts and int(parent) == os.getpid():
                return int(process.name)
    raise AssertionError(f"no process of ours runs {container}")


# fault: W25
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_signals_end_everything(watch: Watch, tmp_path: Path, number: signal.Signals) -> None:
    project = Project(directory=tmp_path, cache=watch.cache)
    project.write(
        database_toml=f"""
            backend = "{watch.engine}"
            image = "{machine.IMAGE}"
            wait_available_timeout = "60s"
            [instances.{watch.instance}.seeds.slow]
            type = "script"
            script = "touch seeding; sleep 600"
        """
    )
    seeding = project.start("--quiet", "run-env", "--instance", watch.instance, "true")
    watch.processes.append(seeding.pid)
    eventually((tmp_path / "seeding").exists, within=120)
    assert len(watch.containers()) == 1
    seeding.send_signal(number)
    _, said = seeding.communicate(timeout=60)
    assert seeding.returncode == 128 + number, said
    assert watch.containers() == []
    assert watch.directories() == []


# fault: W25, W28
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_to_the_program_beside_the_server_is_told_by_the_exit_code(
    watch: Watch, tmp_path: Path, number: signal.Signals
) -> None:
    """The terminal tells the whole group; what engines make of it is their affair."""
    project = Project(directory=tmp_path, cache=watch.cache)
    project.write(
        database_toml=f"""
            backend = "{watch.engine}"
            image = "{machine.IMAGE}"
            wait_available_timeout = "60s"
            [instances.{watch.instance}]
        """
    )
    running = project.start(
        *("--quiet", "run-env", "--instance", watch.instance, "sh", "-c", "echo up; exec sleep 600"),
        start_new_session=True,
    )
    watch.processes.append(running.pid)
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    os.killpg(running.pid, number)
    running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert watch.containers() == []


# fault: W26
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
def test_a_failing_seed_leaves_nothing_and_keeps_what_came_before(watch: Watch, tmp_path: Path, cached: bool) -> None:
    definition = watch.definition(tmp_path).apply_sql_statement("good", f"CREATE TABLE t (x int) -- {watch.instance}")
    if not cached:
        definition = definition.apply_script("uncached", "true", cache=NoCache())
    definition = definition.apply_sql_statement("bad", "SELEC 1")
    with pytest.raises(SeedFailed, match=r"seed 'bad': .*SELEC"), boot(definition):
        pass
    assert watch.containers() == []
    cache = open_cache(definition, select(definition))
    assert cache.chain.keys[1] in cache.present()


# fault: W31
def test_a_server_that_dies_under_a_seed_is_noticed(watch: Watch, tmp_path: Path) -> None:
    murder = "COPY (SELECT 1) TO PROGRAM 'kill -9 $(head -n 1 $PGDATA/postmaster.pid)'; SELECT pg_sleep(600)"
    definition = watch.definition(tmp_path).apply_sql_statement("murder", murder)
    with pytest.raises(ServerError, match="died while seed 'murder'"), boot(definition):
        pass


# fault: W26
def test_a_commit_that_fails_leaves_nothing(watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = 'case $1 in commit) echo "write /layer.tar: no space left on device" >&2; exit 1 ;; esac'
    engines.wrap(watch.engine, tmp_path, full, monkeypatch)
    # Of a cluster of its own, so that there is something to commit.
    definition = watch.definition(tmp_path).with_superuser(watch.instance)
    with pytest.raises(CacheError, match="no space left on device") as caught, boot(definition):
        pass
    assert watch.engine in caught.value.message


# fault: W69
def test_a_host_that_cannot_pause_containers_commits_all_the_same(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a Docker whose option for that has another name, as from version 29 on."""
    script = {
        "docker": """
            if [ "$1" = commit ]; then
                case $2 in
                    --pause=false) echo "unknown flag: --pause" >&2; exit 125 ;;
                    --no-pause) shift 2; set -- commit --pause=false "$@" ;;
                    *) echo "Error response from daemon: OCI runtime pause failed" >&2; exit 1 ;;
                esac
            fi
        """,
        "podman": """
            if [ "$1" = commit ] && ! [ -e "$0.asked" ]; then
                touch "$0.asked"; echo "Error: cannot pause: freezer not supported" >&2; exit 125
            fi
        """,
    }
    engines.wrap(watch.engine, tmp_path, script[watch.engine], monkeypatch)
    definition = watch.definition(tmp_path).apply_sql_statement("one", f"CREATE TABLE t (x int) -- {watch.instance}")
    with boot(definition) as server:
        assert server.running
    cache = open_cache(definition, select(definition))
    assert cache.present() == set(cache.chain.keys)


# fault: W52, W54
def test_a_warm_boot_makes_few_calls(watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines.wrap(watch.engine, tmp_path, f'echo "$1 $2" >>{tmp_path}/calls', monkeypatch)
    calls = tmp_path / "calls"
    definition = watch.definition(tmp_path).apply_sql_statement("one", f"CREATE TABLE t (x int) -- {watch.instance}")
    with boot(definition):
        pass
    calls.unlink()
    with boot(definition):
        pass
    made = calls.read_text().splitlines()
    assert made == ["image inspect", "image inspect", "run --rm"]
    calls.unlink()
    # What there was to look for is known from the last time.
    with boot(definition):
        pass
    assert calls.read_text().splitlines() == ["image inspect", "run --rm"]
    calls.unlink()
    with boot(definition, own_network=True):
        pass
    made = calls.read_text().splitlines()
    assert made == ["image inspect", "run --rm", made[2]]
    assert made[2].startswith("port pg-ephemeral-")


def test_a_stage_that_is_gone_since_the_last_time_is_made_again(watch: Watch, tmp_path: Path) -> None:
    definition = watch.definition(tmp_path).apply_sql_statement("one", f"CREATE TABLE t (x int) -- {watch.instance}")
    for _ in range(2):
        with boot(definition):
            pass
    engines.remove_images(watch.engine, watch.instance)
    with boot(definition) as server, server.connect() as connection:
        assert connection.execute("SELECT FROM t").fetchall() == []


class TestWhatTheEngineDoesNotRemove:
    """It is known of until it is gone."""

    #: As an engine says it whose storage is stuck.
    _STUCK = 'if [ "$1" = rm ]; then echo "Error: removal of container x is already in progress" >&2; exit 1; fi'

    def abandoned(self, watch: Watch) -> tuple[Path, str]:
        """The run directory of a process that was killed, and its container."""
        runs = watch.cache / watch.engine / "run"
        program = (
            "import os, sys; from pathlib import Path; from pg_ephemeral.backends.runs import new_run; "
            "print(new_run(Path(sys.argv[1])).path, flush=True); os.kill(os.getpid(), 9)"
        )
        done = subprocess.run([sys.executable, "-c", program, str(runs)], capture_output=True, text=True)
        directory = Path(done.stdout.strip())
        name = commands.container_name(directory)
        engines.call(watch.engine, "create", "--name", name, machine.IMAGE_REFERENCE, "true")
        return directory, name

    def test_a_sweep_forgets_nothing_that_is_still_there(self, watch: Watch, tmp_path: Path) -> None:
        directory, name = self.abandoned(watch)
        backend = select(watch.definition(tmp_path))
        with pytest.MonkeyPatch.context() as patch:
            engines.wrap(watch.engine, tmp_path, self._STUCK, patch)
            assert backend.sweep() == []
        assert directory.exists()
        assert backend.sweep() == [directory]
        assert not directory.exists()
        assert name not in engines.call(watch.engine, "ps", "--all", "--format", "{{.Names}}").split()

    def test_a_directory_whose_container_is_gone_goes_too(self, watch: Watch, tmp_path: Path) -> None:
        directory, name = self.abandoned(watch)
        engines.call(watch.engine, "rm", "--force", "--volumes", name)
        assert select(watch.definition(tmp_path)).sweep() == [directory]

    # fault: W25
    @pytest.mark.parametrize("stuck", [False, True])
    def test_a_client_that_does_not_end_is_not_waited_for_forever(
        self, watch: Watch, tmp_path: Path, stuck: bool
    ) -> None:
        definition = watch.definition(tmp_path)
        with boot(definition):
            pass
        backend = select(definition)
        cache = open_cache(definition, backend)
        hangs = 'if [ "$1" = run ]; then $real "$@"; exec sleep 600; fi'
        with pytest.MonkeyPatch.context() as patch:
            engines.wrap(watch.engine, tmp_path, f"{hangs}\n{self._STUCK if stuck else ''}", patch)
            handle = backend.start(cache.reference(cache.chain.cluster), cache.spec())
            assert isinstance(handle, EngineHandle)
            began = time.monotonic()
            handle.close(within=0.5)
            assert time.monotonic() - began < 30
            handle.close(within=0.5)
        assert len(watch.directories()) == stuck
        eventually(lambda: not watch.containers())
        assert len(backend.sweep()) == stuck


class TestLabels:
    """A container whose run directory is not known here is found by its labels, now and then."""

    def left(self, watch: Watch) -> str:
        name = f"t-{secrets.token_hex(4)}"
        dead = subprocess.Popen(["true"])
        dead.wait()
        labels = {owner.OWNER_LABEL: owner.owner(), owner.PROCESS_LABEL: f"{dead.pid}.1"}
        words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        engines.call(watch.engine, "create", "--name", name, *words, machine.IMAGE_REFERENCE, "true")
        return name

    def names(self, watch: Watch) -> list[str]:
        return engines.call(watch.engine, "ps", "--all", "--format", "{{.Names}}").split()

    # fault: W25
    def test_the_first_run_of_a_cache_directory_removes_it(self, watch: Watch, tmp_path: Path) -> None:
        name = self.left(watch)
        with boot(watch.definition(tmp_path)):
            assert name not in self.names(watch)

    # fault: W54
    def test_one_look_is_enough_for_a_day(self, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        engines.wrap(watch.engine, tmp_path, f'echo "$1" >>{tmp_path}/calls', monkeypatch)
        counts = []
        for age in (0, 0, 2 * 24 * 3600):
            mark = watch.cache / watch.engine / "looked"
            if mark.exists():
                os.utime(mark, (time.time() - age,) * 2)
            with boot(watch.definition(tmp_path)):
                pass
            counts.append((tmp_path / "calls").read_text().splitlines().count("ps"))
        assert counts == [1, 1, 2]


class TestPrune:
    """``pg-ephemeral prune``: what is known by its labels alone, of another cache directory."""

    @pytest.fixture
    def project(self, watch: Watch, tmp_path: Path) -> Project:
        return Project(directory=tmp_path, cache=watch.cache)

    def container(self, watch: Watch, **labels: str) -> str:
        name = f"t-{secrets.token_hex(4)}"
        words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        engines.call(watch.engine, "create", "--name", name, *words, machine.IMAGE_REFERENCE, "true")
        return name

    def test_only_containers_whose_process_is_gone_are_removed(self, watch: Watch, project: Project) -> None:
        mine = {owner.OWNER_LABEL: owner.owner()}
        dead = subprocess.Popen(["true"])
        dead.wait()
        gone = self.container(watch, **mine, **{owner.PROCESS_LABEL: f"{dead.pid}.1"})
        reused = self.container(watch, **mine, **{owner.PROCESS_LABEL: f"{os.getpid()}.1"})
        live = self.container(watch, **owner.labels())
        anothers = self.container(watch, **{owner.OWNER_LABEL: "0000.1", owner.PROCESS_LABEL: f"{dead.pid}.1"})
        foreign = self.container(watch, app="something")
        try:
            removed = project.json("prune", "--json")["removed"]
            names = {one["name"] for one in removed if (one["backend"], one["kind"]) == (watch.engine, "container")}
            assert names.isdisjoint({live, anothers, foreign})
            listed = engines.call(watch.engine, "ps", "--all", "--format", "{{.Names}}").split()
            assert {live, anothers, foreign} <= set(listed)
            assert {gone, reused}.isdisjoint(listed)
            assert gone not in project.ok("prune"), "once is enough"
        finally:
            engines.call(watch.engine, "rm", "--force", "--volumes", live, anothers, foreign)

    # fault: W25
    def test_a_container_created_and_never_started_is_found(
        self, watch: Watch, project: Project, tmp_path: Path
    ) -> None:
        """As if the owner and the engine's client had been killed between the two."""
        script = 'if [ "$1" = run ]; then shift; touch "$0.reached"; set -- create "$@"; fi'
        with pytest.MonkeyPatch.context() as patch:
            engines.wrap(watch.engine, tmp_path, script, patch)
            started = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, watch.engine, machine.IMAGE, watch.instance],
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            watch.processes.append(started.pid)
            eventually(watch.containers, within=60)
            started.kill()
            started.wait()
        project.cache = tmp_path / "another"
        assert "error" not in project.ok("prune")
        # By this, or by another test's that came first.
        assert watch.containers() == []
        with boot(watch.definition(tmp_path)):
            pass

    def test_a_server_that_runs_is_left_alone(self, watch: Watch, project: Project, tmp_path: Path) -> None:
        with boot(watch.definition(tmp_path)) as server:
            (container,) = watch.containers()
            assert container not in project.ok("prune")
            assert server.running

    def test_an_engine_that_does_not_answer_is_passed_over(
        self, watch: Watch, project: Project, tmp_path: Path
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            engines.wrap(watch.engine, tmp_path, 'echo "no such host" >&2; exit 1', patch)
            assert f"{watch.engine} " not in project.ok("prune")
