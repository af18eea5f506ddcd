"""``container-script`` seeds: packages for the server, in the stage, and never in a server that runs."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral import Definition, NoCache, SeedFailed, boot
from pg_ephemeral.backends.select import select
from pg_ephemeral.cache import inspect, open_cache
from pg_ephemeral.progress import Event, Finished
from pg_ephemeral.seeds import ContainerScript
from pg_ephemeral.seeds.base import SeedName
from support import engines, machine

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]

#: An extension that the server must load when it starts.
_INSTALL = """
# {salt}
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends postgresql-$PG_MAJOR-cron
rm -rf /var/lib/apt/lists/*
"""

#: Fails while a server runs on the data directory, or none was ever made.
_NO_SERVER_RUNS = """
test -s "$PGDATA/PG_VERSION"
test ! -e "$PGDATA/postmaster.pid"
test -z "$(ls /var/run/postgresql)"
echo "as $(id -un) in $(pwd)" >>/srv/noted
"""


@pytest.fixture(params=ENGINES)
def empty(request: pytest.FixtureRequest, tmp_path: Path, warm_cache: Path) -> Iterator[Definition]:
    """Without seeds, on an engine, under a name of its own; nothing may be left of what is made of it."""
    engine, instance = request.param, f"t-{secrets.token_hex(4)}"
    definition = Definition(directory=tmp_path).with_image(machine.IMAGE).with_backend(engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
        yield definition.with_instance(instance).with_wait_available_timeout(60)
    assert engines.containers(engine) == []
    assert list((warm_cache / engine / "run").iterdir()) == []
    engines.remove_images(engine, instance)


def noted(definition: Definition) -> str:
    """What the scripts wrote into the image that a server of the definition runs in."""
    with boot(definition) as server:
        call = server.program(("cat", "/srv/noted"))
        return subprocess.run(call.argv, env=call.env, stdout=subprocess.PIPE, text=True).stdout


# fault: W51
def test_one_that_takes_longer_than_it_may_fails(empty: Definition) -> None:
    slow = ContainerScript(name=SeedName("slow"), script="sleep 300", timeout=1)
    with (
        pytest.raises(SeedFailed, match=r"^seed 'slow' did not end within 1 s, its timeout$"),
        boot(empty.add_seed(slow)),
    ):
        pass


# acceptance: 84
# fault: W20
def test_an_extension_is_installed_once_loaded_and_used(empty: Definition, capfd: pytest.CaptureFixture[str]) -> None:
    definition = (
        empty.with_parameter("shared_preload_libraries", "pg_cron")
        .with_parameter("cron.database_name", "postgres")
        .apply_container_script("install", _INSTALL.format(salt=secrets.token_hex(4)))
        .apply_sql_statement("use", "CREATE EXTENSION pg_cron; SELECT cron.schedule('nightly', '0 3 * * *', 'VACUUM')")
    )
    for built in (2, 0):
        events: list[Event] = []
        with boot(definition, progress=events.append) as server, server.connect() as connection:
            assert connection.execute("SELECT jobname FROM cron.job").fetchall() == [("nightly",)]
        (finished,) = (event for event in events if isinstance(event, Finished))
        assert finished.built == built
        shown = capfd.readouterr()
        # fault: W29
        assert shown.out == ""
        assert ("Setting up postgresql" in shown.err) is (built == 2)
    cache = open_cache(definition, select(definition))
    keys = cache.chain.keys
    told = [inspect(cache.backend, cache.reference(key)) for key in keys]
    assert [[seed.name for seed in one.seeds] for one in told] == [[], ["install"], ["install", "use"]]
    assert [one.key for one in told] == list(keys)
    assert told[1].seeds[0].kind == "container-script"
    assert {one.instance for one in told[1:]} == {definition.instance}


# fault: W21
def test_a_script_never_runs_beside_a_server_wherever_it_stands(empty: Definition) -> None:
    script = f"# {secrets.token_hex(4)}\n{_NO_SERVER_RUNS}"
    first = empty.apply_container_script("first", script)
    assert noted(first) == "as root in /\n", "as the very first seed"
    between = (
        first.apply_sql_statement("table", "CREATE TABLE t (n int)")
        .apply_container_script("second", script)
        .apply_sql_statement("row", "INSERT INTO t VALUES (1)")
    )
    broken = (
        between.apply_script("uncached", "true", cache=NoCache())
        .apply_container_script("after", script)
        .apply_sql_statement("another", "INSERT INTO t VALUES (2)")
        .apply_container_script("last", script)
    )
    for _ in range(2):
        with boot(broken) as server, server.connect() as connection:
            assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]
    assert noted(broken) == "as root in /\n" * 4
    assert noted(between) == "as root in /\n" * 2, "what was replayed is in no stage"


# fault: W26, W27
@pytest.mark.parametrize("cached", [True, False])
def test_a_script_that_fails_shows_what_it_said(
    empty: Definition, capfd: pytest.CaptureFixture[str], cached: bool
) -> None:
    before = empty if cached else empty.apply_script("uncached", "true", cache=NoCache())
    definition = before.apply_container_script("bad", "echo one; echo two >&2; cat; false; echo three")
    with pytest.raises(SeedFailed) as caught, boot(definition):
        pass
    assert caught.value.message == "seed 'bad': the script failed in the container: exit status 1"
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "one\n" in shown.err
    assert "two\n" in shown.err
    assert "three" not in shown.err


def test_a_script_that_adds_to_what_only_a_new_cluster_reads_is_refused(empty: Definition) -> None:
    script = "mkdir -p /docker-entrypoint-initdb.d; echo 'SELECT 1' >/docker-entrypoint-initdb.d/mine.sql"
    definition = empty.apply_container_script("init", script)
    with pytest.raises(SeedFailed, match=r"'init': .*/docker-entrypoint-initdb\.d") as caught, boot(definition):
        pass
    assert "a seed of its own" in (caught.value.hint or "")


# fault: W13
def test_a_script_gets_the_proxies_of_the_engine_and_its_stage_does_not(
    empty: Definition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = "http://user:ge'heim $x@proxy.example:3128"
    engines.give_proxies(str(empty.backend), proxy, tmp_path, monkeypatch)
    quoted = proxy.replace("'", "'\\''")
    definition = empty.apply_container_script("ask", f"test \"$http_proxy\" = '{quoted}' # {secrets.token_hex(4)}")
    with boot(definition) as server:
        call = server.program(("env",))
        assert "heim" not in subprocess.run(call.argv, env=call.env, stdout=subprocess.PIPE, text=True).stdout
    engine = str(empty.backend)
    for stage in engines.images(engine, definition.instance):
        told = engines.call(engine, "image", "inspect", stage) + engines.call(engine, "history", "--no-trunc", stage)
        assert "proxy.example" not in told


# fault: W20
def test_the_stage_of_a_script_alone_is_whole(empty: Definition) -> None:
    definition = empty.apply_container_script("only", f"echo {secrets.token_hex(4)} >/srv/noted")
    first = noted(definition)
    assert noted(definition) == first
    cache = open_cache(definition, select(definition))
    stage = engines.call(
        cache.backend.name, "image", "inspect", *engines.images(cache.backend.name, definition.instance)
    )
    assert {json.dumps(one["Config"]["Entrypoint"]) for one in json.loads(stage)} == {'["docker-entrypoint.sh"]'}
    assert {tuple(one["Config"]["Cmd"]) for one in json.loads(stage)} == {("postgres",)}
