"""Which backend is taken, and why not the others. The engines are scripts on PATH."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pg_ephemeral import Definition
from pg_ephemeral.backends.select import select
from pg_ephemeral.cli.signals import Signals
from pg_ephemeral.errors import BackendError, ConfigError, Interrupted, PostgresNotFound
from support import machine

ABSENT = 'echo "[]"; echo "No such image: $3" >&2; exit 1'
DOWN = 'echo "Cannot connect to the Docker daemon. Is the docker daemon running?" >&2; exit 1'
BROKEN = 'echo "Error: cannot set up namespace" >&2; exit 125'
#: A version nobody has.
NOWHERE = Definition().with_image("13.1")

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make these the only programs there are; each notes in ``calls`` that it was asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(tmp_path / "cache"))

    def install(**scripts: str) -> None:
        for name, script in scripts.items():
            (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\n{script}\n')
            (programs / name).chmod(0o755)

    return install


@pytest.fixture
def handled_signals() -> Iterator[Signals]:
    """The signals handled as the command line does it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signals = Signals()
    signals.install()
    yield signals
    for number, handler in before.items():
        signal.signal(number, handler)


def configure(home: Path, text: str | bytes) -> Path:
    path = home / ".config" / "ociman.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def calls(home: Path) -> list[str]:
    return (home / "calls").read_text().splitlines() if (home / "calls").exists() else []


def installed() -> Definition:
    """Of a PostgreSQL this machine has, wherever it is."""
    return Definition().with_image(machine.installations()[0].version.text)


# acceptance: 160
# fault: W54
def test_docker_first_with_one_question(install: Install, tmp_path: Path) -> None:
    install(docker=ABSENT, podman=ABSENT)
    assert select(NOWHERE, environment={"HOME": str(tmp_path)}).name == "docker"
    assert calls(tmp_path) == ["docker image inspect docker.io/library/postgres:13.1"]


# fault: W64
@pytest.mark.parametrize(
    ("word", "asked"),
    [
        ("17", "docker.io/library/postgres:17"),
        ("postgres:17", "docker.io/library/postgres:17"),
        ("latest-alpine", "docker.io/library/postgres:alpine"),
        ("ghcr.io/owner/postgres:17", "ghcr.io/owner/postgres:17"),
    ],
)
def test_official_images_are_asked_for_by_their_usual_name(
    install: Install, tmp_path: Path, word: str, asked: str
) -> None:
    install(docker=ABSENT)
    select(Definition().with_image(word), environment={"HOME": str(tmp_path)})
    assert calls(tmp_path) == [f"docker image inspect {asked}"]


@pytest.mark.parametrize("docker", [DOWN, BROKEN, "exit 1", "echo '<html>'", None])
def test_podman_if_docker_does_not_work(install: Install, tmp_path: Path, docker: str | None) -> None:
    install(podman=ABSENT, **({} if docker is None else {"docker": docker}))
    assert select(NOWHERE, environment={"HOME": str(tmp_path)}).name == "podman"


@pytest.mark.needs("embedded")
def test_this_machines_postgresql_if_no_engine_works(install: Install, tmp_path: Path) -> None:
    install(docker=DOWN, podman=BROKEN)
    assert select(installed(), environment={"HOME": str(tmp_path)}).name == "embedded"
    assert [call.split()[0] for call in calls(tmp_path)] == ["docker", "podman"]


# fault: W25
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_search(
    install: Install, tmp_path: Path, handled_signals: Signals, number: signal.Signals
) -> None:
    install(docker=f"kill -{number.name.removeprefix('SIG')} $PPID; exec /bin/sleep 60", podman=ABSENT)
    with pytest.raises(Interrupted) as caught:
        select(NOWHERE, environment={"HOME": str(tmp_path)})
    assert caught.value.exit_code == handled_signals.exit_code == 128 + number
    assert [call.split()[0] for call in calls(tmp_path)] == ["docker"]


# fault: W33
def test_when_nothing_works_every_reason_is_given(install: Install, tmp_path: Path) -> None:
    install(docker=DOWN, podman=BROKEN)
    with pytest.raises(BackendError) as caught:
        select(NOWHERE, environment={"HOME": str(tmp_path)})
    message = caught.value.message
    assert message.startswith("no backend works here: docker: ")
    assert "Is the docker daemon running?; podman: " in message
    assert "cannot set up namespace; embedded: " in message
    assert "13.1" in message
    assert "\n" not in message
    assert "docker" in (caught.value.hint or "")


# fault: W33
def test_what_is_not_installed_is_a_reason_too(install: Install, tmp_path: Path) -> None:
    install(podman=BROKEN)
    with pytest.raises(BackendError, match=r"docker: not installed; podman: .*namespace; embedded: "):
        select(NOWHERE, environment={"HOME": str(tmp_path)})


# fault: W33
def test_without_engines_every_reason_is_given_and_what_helps_is_to_install_postgresql(
    install: Install, tmp_path: Path
) -> None:
    with pytest.raises(BackendError) as caught:
        select(NOWHERE, environment={"HOME": str(tmp_path)})
    start = "no backend works here: docker: not installed; podman: not installed; embedded: "
    assert caught.value.message.startswith(start)
    assert "13.1" in caught.value.message.removeprefix(start)
    assert isinstance(caught.value.__cause__, PostgresNotFound)
    assert caught.value.hint == caught.value.__cause__.hint


# fault: W21, W33
def test_a_container_script_needs_an_engine(install: Install, tmp_path: Path) -> None:
    definition = Definition().apply_container_script("packages", "apt-get install something")
    with pytest.raises(BackendError) as caught:
        select(definition, environment={"HOME": str(tmp_path)})
    assert caught.value.message == (
        "no backend works here: docker: not installed; podman: not installed; "
        "embedded: seed 'packages' is a container-script, which needs an engine"
    )
    assert caught.value.hint == "start docker or podman"
    install(docker=DOWN)
    with pytest.raises(BackendError) as caught:
        select(definition, environment={"HOME": str(tmp_path)})
    assert "docker daemon running?" in caught.value.message
    assert "docker info" in (caught.value.hint or "")
    assert "podman: not installed" in caught.value.message
    assert "'packages' is a container-script" in caught.value.message


# fault: W33
@pytest.mark.parametrize("name", ["docker", "podman"])
def test_a_backend_that_is_named_must_work(install: Install, tmp_path: Path, name: str) -> None:
    environment = {"HOME": str(tmp_path), "OCIMAN_BACKEND": "nonsense"}
    configure(tmp_path, "nonsense")
    definition = NOWHERE.with_backend(name)
    with pytest.raises(BackendError, match=f"backend {name}: there is no program {name} on PATH"):
        select(definition, environment=environment)
    install(**{"docker": ABSENT, "podman": ABSENT, name: BROKEN})
    with pytest.raises(BackendError, match=f"^{name} image inspect: Error: cannot set up namespace"):
        select(definition, environment=environment)
    assert [call.split()[0] for call in calls(tmp_path)] == [name], "no other was asked"
    install(**{name: ABSENT})
    assert select(definition, environment=environment).name == name


class TestTheVariable:
    """``OCIMAN_BACKEND``: strict, but for the words that ask for nothing."""

    # fault: W66
    @pytest.mark.parametrize("word", ["", "auto"])
    def test_words_that_ask_for_nothing(self, install: Install, tmp_path: Path, word: str) -> None:
        install(docker=ABSENT, podman=ABSENT)
        assert select(NOWHERE, environment={"HOME": str(tmp_path), "OCIMAN_BACKEND": word}).name == "docker"
        configure(tmp_path, 'default_backend = "podman"')
        assert select(NOWHERE, environment={"HOME": str(tmp_path), "OCIMAN_BACKEND": word}).name == "podman"

    def test_the_one_it_names_and_no_other(self, install: Install, tmp_path: Path) -> None:
        install(docker=ABSENT, podman=BROKEN)
        configure(tmp_path, "nonsense that nobody reads")
        environment = {"HOME": str(tmp_path), "OCIMAN_BACKEND": "podman"}
        with pytest.raises(BackendError, match="cannot set up namespace"):
            select(NOWHERE, environment=environment)
        install(podman=ABSENT)
        assert select(NOWHERE, environment=environment).name == "podman"
        assert not any(call.startswith("docker") for call in calls(tmp_path))

    def test_one_that_is_not_installed(self, install: Install, tmp_path: Path) -> None:
        install(docker=ABSENT)
        with pytest.raises(BackendError, match="there is no program podman") as caught:
            select(NOWHERE, environment={"HOME": str(tmp_path), "OCIMAN_BACKEND": "podman"})
        assert caught.value.hint == "OCIMAN_BACKEND asks for this backend"

    # fault: W27
    @pytest.mark.parametrize("word", ["apple", "Docker", " docker", "docker,podman", "\udcff"])
    def test_a_word_nobody_knows(self, install: Install, tmp_path: Path, word: str) -> None:
        install(docker=ABSENT)
        with pytest.raises(ConfigError, match=r"OCIMAN_BACKEND: .* is not a backend") as caught:
            select(NOWHERE, environment={"HOME": str(tmp_path), "OCIMAN_BACKEND": word})
        caught.value.message.encode()
        assert "auto, docker, podman, embedded" in (caught.value.hint or "")


class TestTheFile:
    """``~/.config/ociman.toml``: which to try first."""

    @pytest.mark.parametrize("text", ["", 'default_backend = "auto"', 'default_backend = "docker"'])
    def test_docker_first(self, install: Install, tmp_path: Path, text: str) -> None:
        install(docker=ABSENT, podman=ABSENT)
        configure(tmp_path, text)
        assert select(NOWHERE, environment={"HOME": str(tmp_path)}).name == "docker"

    def test_podman_first_and_then_docker(self, install: Install, tmp_path: Path) -> None:
        install(docker=ABSENT, podman=ABSENT)
        configure(tmp_path, 'default_backend = "podman"')
        assert select(NOWHERE, environment={"HOME": str(tmp_path)}).name == "podman"
        install(podman=BROKEN)
        assert select(NOWHERE, environment={"HOME": str(tmp_path)}).name == "docker"

    @pytest.mark.needs("embedded")
    def test_this_machines_postgresql_first(self, install: Install, tmp_path: Path) -> None:
        install(docker=ABSENT)
        configure(tmp_path, 'default_backend = "embedded"')
        assert select(installed(), environment={"HOME": str(tmp_path)}).name == "embedded"
        assert calls(tmp_path) == []
        assert select(NOWHERE, environment={"HOME": str(tmp_path)}).name == "docker"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ('backend = "docker"', "unknown key 'backend'"),
            ('default_backend = "docker"\n[x]', "unknown key 'x'"),
            ('default_backend = "apple"', "default_backend: 'apple' is not a backend"),
            ("default_backend = 5", "default_backend: 5 is not a backend"),
            ("default_backend", "="),
            (b"default_backend = '\xff'", "utf-8"),
        ],
    )
    def test_one_that_is_wrong(self, install: Install, tmp_path: Path, text: str | bytes, reason: str) -> None:
        install(docker=ABSENT)
        path = configure(tmp_path, text)
        with pytest.raises(ConfigError) as caught:
            select(NOWHERE, environment={"HOME": str(tmp_path)})
        assert caught.value.message.startswith(f"{path}: ")
        assert reason in caught.value.message

    def test_one_that_cannot_be_read(self, install: Install, tmp_path: Path) -> None:
        install(docker=ABSENT)
        (tmp_path / ".config" / "ociman.toml").mkdir(parents=True)
        with pytest.raises(ConfigError, match=r"ociman\.toml: .*directory"):
            select(NOWHERE, environment={"HOME": str(tmp_path)})

    # fault: W23, W27
    def test_none_and_no_home(self, install: Install, tmp_path: Path) -> None:
        install(docker=ABSENT)
        assert select(NOWHERE, environment={"HOME": str(tmp_path)}).name == "docker"
        assert select(NOWHERE, environment={"HOME": "/dev/null"}).name == "docker"
        assert select(NOWHERE, environment={}).name == "docker"
