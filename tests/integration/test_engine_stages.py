"""Stages as images of an engine: what makes two of them the same, what takes one away, and what is none of ours."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pg_ephemeral import BackendError, CacheError, Definition, ServerError, boot
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.commit import MOST_LAYERS, commit_image
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.handle import EngineHandle
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.backends.select import select
from pg_ephemeral.cache import Cache, open_cache, reset
from pg_ephemeral.labels import KEY_LABEL
from pg_ephemeral.oci.model import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from pg_ephemeral.oci.reference import Reference, Registry
from pg_ephemeral.populate import populate_only
from pg_ephemeral.postgres import client
from pg_ephemeral.progress import Event, Note
from support import bad_registry, engines, machine

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]
_DIALECTS = {"docker": DOCKER, "podman": PODMAN}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty(engine: str, tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Definition]:
    """Without seeds, on the engine, under a name of its own."""
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    instance = f"t-{secrets.token_hex(4)}"
    definition = Definition(directory=tmp_path).with_image(machine.IMAGE).with_backend(engine)
    yield definition.with_instance(instance).with_wait_available_timeout(60)
    assert engines.containers(engine) == []
    engines.remove_images(engine, instance)


def opened(definition: Definition) -> Cache:
    return open_cache(definition, select(definition))


def two_seeds(empty: Definition) -> Definition:
    salt = secrets.token_hex(4)
    return empty.apply_sql_statement("one", f"CREATE TABLE one_{salt} ()").apply_sql_statement(
        "two", f"CREATE TABLE two_{salt} ()"
    )


@dataclass(kw_only=True)
class Bench:
    """Makes images of the engine and takes them away again."""

    engine: str
    names: list[str]

    def changed(self, name: str, script: str, *changes: str, base: str = machine.IMAGE_REFERENCE) -> str:
        """An image in which a script was run; it says of its programs what the official one does, if not changed."""
        container = engines.call(
            self.engine, "create", "--entrypoint", "sh", "--user", "0:0", base, "-c", script
        ).strip()
        engines.call(self.engine, "start", "--attach", container)
        said = ('ENTRYPOINT ["docker-entrypoint.sh"]', 'CMD ["postgres"]', *changes)
        options = (word for change in said for word in ("--change", change))
        engines.call(self.engine, "commit", *options, container, name)
        engines.call(self.engine, "rm", "--volumes", container)
        self.names.append(name)
        return name

    def deep(self, name: str, directory: Path, *, layers: int) -> str:
        """The image for tests with so many layers, all but the first few of which hold one empty file."""
        saved, made = directory / "saved.tar", directory / "deep.tar"
        engines.call(self.engine, "save", "--output", str(saved), machine.IMAGE_REFERENCE)
        with tarfile.open(saved) as source, tarfile.open(made, "w") as target:
            (about,) = json.loads(_content(source, "manifest.json"))
            config = json.loads(_content(source, about["Config"]))
            config.pop("history", None)
            for layer in about["Layers"]:
                _add(target, layer, _content(source, layer))
            for number in range(layers - len(about["Layers"])):
                with io.BytesIO() as content:
                    with tarfile.open(fileobj=content, mode="w") as layer:
                        layer.addfile(tarfile.TarInfo(f"srv/{number}"))
                    _add(target, f"{number}.tar", content.getvalue())
                    config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(content.getvalue()).hexdigest()}")
                about["Layers"].append(f"{number}.tar")
            _add(target, "config.json", json.dumps(config).encode())
            described = {"Config": "config.json", "RepoTags": [name], "Layers": about["Layers"]}
            _add(target, "manifest.json", json.dumps([described]).encode())
        self.names.append(name)
        engines.call(self.engine, "load", "--input", str(made))
        saved.unlink()
        made.unlink()
        return name

    def of_nothing(self, name: str, directory: Path) -> str:
        """An image with one small file and no program."""
        with tarfile.open(directory / "root.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("file"), io.BytesIO())
        engines.call(self.engine, "import", str(directory / "root.tar"), name)
        self.names.append(name)
        return name

    def tag(self, image: str, name: str) -> None:
        engines.call(self.engine, "tag", image, name)
        self.names.append(name)


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    opened = archive.extractfile(name)
    assert opened is not None
    return opened.read()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    archive.addfile(about, io.BytesIO(content))


@pytest.fixture
def bench(engine: str) -> Iterator[Bench]:
    bench = Bench(engine=engine, names=[])
    yield bench
    for name in dict.fromkeys(bench.names):
        subprocess.run([engine, "image", "rm", name], capture_output=True, timeout=120)


# fault: W6
def test_two_images_under_one_name_have_stages_of_their_own(empty: Definition, bench: Bench) -> None:
    name = f"localhost/{empty.instance}/postgres"
    first = bench.changed(f"{name}:first", "echo first >/srv/which")
    second = bench.changed(f"{name}:second", "echo second >/srv/which")
    definition = empty.apply_sql_statement("one", "CREATE TABLE one ()").with_image(f"{name}:current")
    keys, seen = [], []
    for image in (first, second, first):
        bench.tag(image, f"{name}:current")
        cache = opened(definition)
        keys.append(cache.chain.keys)
        assert len(cache.present()) == (2 if image == first and len(keys) == 3 else 0)
        with boot(definition) as server:
            call = server.program(("cat", "/srv/which"))
            seen.append(subprocess.run(call.argv, env=call.env, capture_output=True, text=True).stdout)
    assert seen == ["first\n", "second\n", "first\n"]
    assert keys[0] == keys[2]
    assert set(keys[0]).isdisjoint(keys[1])


# fault: W6
def test_an_image_of_other_settings_is_another_base(empty: Definition, bench: Bench) -> None:
    name = f"localhost/{empty.instance}/postgres"
    bench.changed(f"{name}:plain", "true")
    bench.changed(f"{name}:env", "true", "ENV LANG=C.UTF-8")
    bench.tag(f"{name}:plain", f"{name}:same")
    plain, other, same = (opened(empty.with_image(f"{name}:{tag}")).chain.cluster for tag in ("plain", "env", "same"))
    assert plain == same
    assert plain != other


# fault: W6
def test_a_mirror_that_lags_behind_the_registry_costs_a_second_plan(
    empty: Definition, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry tells of an image that the engine, asking elsewhere, does not get."""
    with bad_registry.running() as registry:
        layer = {"mediaType": OCI_LAYER_GZIP, "digest": registry.keep_blob(b"newer"), "size": 5}
        platform = engines.call(
            str(empty.backend), "image", "inspect", "--format", "{{.Os}} {{.Architecture}}", machine.IMAGE_REFERENCE
        )
        members = dict(zip(("os", "architecture"), platform.split(), strict=True))
        config = json.dumps({**members, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}).encode()
        described = {"mediaType": OCI_CONFIG, "digest": registry.keep_blob(config), "size": len(config)}
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": [layer]}
        registry.keep_manifest(f"{empty.instance}/postgres", "15", OCI_MANIFEST, json.dumps(manifest).encode())
        image = f"{registry.host}/{empty.instance}/postgres:15"
        bench.names.append(image)
        engines.wrap(
            str(empty.backend),
            tmp_path,
            f'if [ "$1" = pull ]; then set -- tag {machine.IMAGE_REFERENCE} "$2"; fi',
            monkeypatch,
        )
        shared = Registry.parse(f"{registry.host}/{empty.instance}")
        definition = two_seeds(replace(empty.with_image(image), cache_registry=shared))
        first = opened(definition)
        events: list[Event] = []
        with boot(definition, backend=first.backend, progress=events.append) as server, server.connect() as connection:
            assert connection.execute("SELECT true").fetchone() == (True,)
        assert [event.text for event in events if isinstance(event, Note)] == [
            f"image {image} is another where {empty.backend} pulls it than in its registry; planning again"
        ]
        assert opened(definition).present() == set(opened(definition).chain.keys)
        assert set(opened(definition).chain.keys).isdisjoint(first.chain.keys)
        engines.remove_images(str(empty.backend), empty.instance)


# fault: W24
def test_where_layers_run_out_a_stage_is_one_layer_and_as_good(empty: Definition) -> None:
    definition = two_seeds(empty)
    cache = opened(definition)
    backend = cache.backend
    assert isinstance(backend, EngineBackend)
    cluster, _, last = cache.chain.keys
    populate_only(opened(empty))
    assert cluster in cache.present()
    handle = backend.start(cache.reference(cluster), cache.spec())
    assert isinstance(handle, EngineHandle)
    try:
        with client.connect(handle.control) as connection:
            connection.execute("CREATE TABLE flat (word text)")
            connection.execute("INSERT INTO flat VALUES ('kept')")
        handle.stop(within=60)
        labels = {KEY_LABEL: str(last), "odd": 'a "b" $c \\ d'}
        commit_image(backend.client, handle, backend.images.local_name(cache.reference(last)), labels, most=2)
        backend.images.forget(last)
    finally:
        backend.remove(handle)
    (deep, flat) = json.loads(
        engines.call(
            backend.name,
            *("image", "inspect"),
            *(backend.images.local_name(cache.reference(key)) for key in (cluster, last)),
        )
    )
    assert len(deep["RootFS"]["Layers"]) == 2
    assert len(flat["RootFS"]["Layers"]) == 1
    assert flat["Config"]["Labels"].items() >= labels.items()
    base = set(backend.client.images((machine.IMAGE_REFERENCE,))[0].env) - {"PGDATA"}
    assert {text for text in deep["Config"]["Env"] if text.partition("=")[0] in base} <= set(flat["Config"]["Env"])
    assert "PGDATA=/var/lib/pg-ephemeral" in flat["Config"]["Env"]
    for member in ("Entrypoint", "Cmd"):
        assert flat["Config"][member] == deep["Config"][member]
    handle = backend.start(cache.reference(last), cache.spec())
    try:
        with client.connect(handle.conninfo) as connection:
            assert connection.rows("SELECT word FROM flat") == [("kept",)]
    finally:
        backend.remove(handle)


# fault: W24
def test_a_chain_goes_on_where_the_engines_would_have_no_more_layers(
    empty: Definition, bench: Bench, tmp_path: Path
) -> None:
    """Grown by one seed a run, each on top of the stage before, as a project's does."""
    definition = empty.with_image(bench.deep(f"localhost/{empty.instance}/deep:1", tmp_path, layers=MOST_LAYERS - 1))
    layers = []
    for number in range(2):
        definition = definition.apply_sql_statement(f"seed-{number}", f"CREATE TABLE t{number} AS SELECT {number} AS n")
        with boot(definition) as server, server.connect() as connection:
            found = [connection.execute(f"SELECT n FROM t{one}").fetchone() for one in range(number + 1)]
            assert found == [(one,) for one in range(number + 1)]
        cache = opened(definition)
        assert isinstance(cache.backend, EngineBackend)
        cache.present()
        stage = cache.backend.images.facts(cache.chain.keys[-1])
        assert stage is not None
        layers.append(len(stage.layers))
    # The empty cluster took the last that there was room for.
    assert layers == [1, 2]


def test_what_only_looks_like_a_stage_is_none(empty: Definition, bench: Bench) -> None:
    definition = two_seeds(empty)
    cache = opened(definition)
    backend = cache.backend
    assert isinstance(backend, EngineBackend)
    _, one, two = cache.chain.keys
    populate_only(opened(empty))
    # fault: W10
    # Without a label, and with the label of another stage.
    bench.tag(machine.IMAGE_REFERENCE, backend.images.local_name(cache.reference(one)))
    bench.tag(
        backend.images.local_name(cache.reference(cache.chain.cluster)), backend.images.local_name(cache.reference(two))
    )
    assert opened(definition).present() == {cache.chain.cluster}
    with boot(definition) as server, server.connect() as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert found == (2,)
    assert opened(definition).present() == set(cache.chain.keys)


# fault: W27
def test_a_stage_in_use_is_not_removed_unless_by_force(empty: Definition) -> None:
    # All of its stages are made here, the empty cluster's included.
    definition = two_seeds(empty.with_superuser(str(empty.instance)))
    populate_only(opened(definition))
    with boot(definition) as server:
        cache = opened(definition)
        images, last = cache.backend.images, cache.reference(cache.chain.keys[-1])
        with pytest.raises(CacheError, match=rf"{last} cannot be removed: .*us(e|ing)") as caught:
            images.remove(last, force=False)
        assert "\n" not in caught.value.message
        assert "--force" in (caught.value.hint or "")
        removed: list[Reference] = []
        with pytest.raises(CacheError, match="cannot be removed"):
            removed.extend(reset(definition, cache.backend))
        assert last not in removed
        here = opened(definition).present()
        assert cache.chain.keys[-1] in here
        assert cache.chain.keys[1] not in here, "what could be removed was, and was told of"
        assert cache.reference(cache.chain.keys[1]) in removed
        assert last in set(reset(definition, cache.backend, force=True))
        assert engines.images(str(empty.backend), empty.instance) == []
        with server.connect() as connection:
            assert connection.execute("SELECT true").fetchone() == (True,)
    assert not list(reset(definition, cache.backend)), "there is nothing left to forget"


# fault: W22
def test_two_processes_on_one_cold_chain_build_it_once(empty: Definition, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from pg_ephemeral import Definition, boot
        definition = Definition(directory=Path({str(tmp_path)!r})).with_image({machine.IMAGE!r})
        definition = definition.with_instance({str(empty.instance)!r}).with_backend({str(empty.backend)!r})
        definition = definition.with_wait_available_timeout(60)
        for name in ("one", "two"):
            definition = definition.apply_script(name, "echo " + name + " >> {log}")
        with boot(definition) as server:
            server.connect().close()
        """
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said
    assert log.read_text().split() == ["one", "two"]


class TestImagesThatCannotBeUsed:
    """One clear line, and nothing left."""

    # fault: W68
    def test_without_a_shell(self, empty: Definition, bench: Bench, tmp_path: Path) -> None:
        image = bench.of_nothing(f"localhost/{empty.instance}/nothing:1", tmp_path)
        reason = f"image {image} cannot be used: it has no shell"
        with pytest.raises(BackendError, match=reason) as caught, boot(empty.with_image(image)):
            pass
        assert "official" in (caught.value.hint or "")

    # fault: W68
    @pytest.mark.parametrize("program", ["postgres", "psql"])
    def test_without_a_program(self, empty: Definition, bench: Bench, program: str) -> None:
        image = f"localhost/{empty.instance}/without:{program}"
        bench.changed(image, f"while found=$(command -v {program}); do rm $found; hash -r; done")
        reason = f"the image has no program {program} on its PATH"
        with pytest.raises(ServerError, match=reason), boot(empty.with_image(image)):
            pass

    # fault: W68
    def test_whose_entry_point_makes_no_cluster(self, empty: Definition, bench: Bench) -> None:
        image = bench.changed(f"localhost/{empty.instance}/entry:1", "true", "ENTRYPOINT []")
        with pytest.raises(ServerError) as caught, boot(empty.with_image(image)):
            pass
        assert caught.value.detail

    def test_of_a_version_that_is_too_old(self, empty: Definition, bench: Bench) -> None:
        old = "printf '#!/bin/sh\\necho postgres 12.22\\n' >postgres; chmod 755 postgres"
        image = bench.changed(
            f"localhost/{empty.instance}/old:12",
            f'cd "$(dirname "$(command -v postgres)")"; rm postgres; {old}',
            "ENV PG_MAJOR=",
        )
        reason = "the image has PostgreSQL 12; the oldest that works is 13"
        with pytest.raises(ServerError, match=reason) as caught, boot(empty.with_image(image)):
            pass
        assert caught.value.hint is None


class TestImagesOfOnesOwn:
    """What differs from the official image without being wrong."""

    def test_an_entry_point_that_waits_for_the_server_as_its_child(self, empty: Definition, bench: Bench) -> None:
        wrapper = "printf '#!/bin/sh\\ndocker-entrypoint.sh \"$@\"\\nexit $?\\n' >/wrapper; chmod 755 /wrapper"
        image = bench.changed(f"localhost/{empty.instance}/wrapped:1", wrapper, 'ENTRYPOINT ["/wrapper"]')
        definition = two_seeds(empty).with_image(image)
        for _ in range(2):
            with boot(definition) as server, server.connect() as connection:
                assert connection.execute("SELECT true").fetchone() == (True,)
        assert opened(definition).present() == set(opened(definition).chain.keys)

    def test_programs_run_where_and_as_whom_the_image_says(self, empty: Definition, bench: Bench) -> None:
        name, told = f"localhost/{empty.instance}/user", ("USER postgres", "WORKDIR /srv")
        plain, image = bench.changed(f"{name}:plain", "true"), bench.changed(f"{name}:1", "true", *told)
        bench.changed(f"{name}:2", "true", told[0])
        keys = {opened(empty.with_image(one)).chain.cluster for one in (plain, image, f"{name}:2")}
        assert len(keys) == 3, "each is another base"
        definition = two_seeds(empty.with_image(image))
        for _ in range(2):
            with boot(definition, directories=[empty.directory]) as server:
                asked = []
                for directory in (None, empty.directory):
                    call = server.program(("sh", "-c", "id -u; pwd"), directory=directory)
                    done = subprocess.run(call.argv, env=call.env, capture_output=True, text=True)
                    asked.append(done.stdout)
            assert asked == ["999\n/srv\n", f"{engines.inside(str(empty.backend))}\n{empty.directory}\n"]
        stages = engines.call(str(empty.backend), "image", "inspect", *engines.images(empty.backend, empty.instance))
        said = {(one["Config"]["User"], one["Config"]["WorkingDir"]) for one in json.loads(stages)}
        assert said == {("postgres", "/srv")}

    def test_only_the_programs_that_are_named_are_needed(self, empty: Definition, bench: Bench) -> None:
        image = bench.changed(
            f"localhost/{empty.instance}/bare:1",
            "while found=$(command -v pg_isready); do rm $found; hash -r; done",
        )
        with boot(two_seeds(empty).with_image(image)) as server, server.connect() as connection:
            assert connection.execute("SELECT true").fetchone() == (True,)
