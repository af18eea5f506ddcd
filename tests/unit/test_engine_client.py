"""An engine's command seen from here: its version, its rights, its complaints. Played by a script on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.errors import BackendError, ProcessError
from pg_ephemeral.image import ImageWord

DIALECTS = [pytest.param(DOCKER, id="docker"), pytest.param(PODMAN, id="podman")]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the first on PATH, and a home without an engine's configuration."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return directory


def play(programs: Path, dialect: Dialect, script: str) -> EngineBackend:
    program = programs / dialect.program
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    return EngineBackend(dialect, ImageWord.parse("15"), cache=programs.parent / "cache")


# fault: W69
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("version", ["28.2.2", "20.10.24+dfsg1", "5.3", "24.09.0-ce", "v4", "5.4.0-dev", "unknown"])
def test_any_version_will_do(programs: Path, dialect: Dialect, version: str) -> None:
    backend = play(programs, dialect, f'case $1 in version) echo "{version}";; info) echo false;; esac')
    info = backend.info()
    assert (info.name, info.version, info.rootless) == (dialect.program, version, False)


# fault: W41
@pytest.mark.parametrize(
    ("dialect", "answer", "rootless"),
    [
        (DOCKER, "name=rootless", True),
        (DOCKER, "name=seccomp,profile=builtin\nname=rootless\nname=cgroupns", True),
        (DOCKER, "name=seccomp,profile=default\nname=rootless,x=y", True),
        (DOCKER, "rootless", True),
        (DOCKER, "name=seccomp,profile=builtin\nname=cgroupns", False),
        (DOCKER, "name=seccomp,profile=rootless", False),
        (DOCKER, "name=notrootless", False),
        (DOCKER, "", False),
        (PODMAN, "true", True),
        (PODMAN, "false", False),
        (PODMAN, "", False),
    ],
)
def test_whether_an_engine_is_rootless(programs: Path, dialect: Dialect, answer: str, rootless: bool) -> None:
    import os

    backend = play(programs, dialect, f"case $1 in info) printf '%s\\n' '{answer}' ;; esac")
    assert backend.rootless is rootless
    assert backend.caller == ("0:0" if rootless else f"{os.getuid()}:{os.getgid()}")


# fault: W34
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "said",
    [
        "dial tcp: lookup nosuch: no such host",
        "dial unix /var/run/docker.sock: connect: no such file or directory",
        "permission denied while trying to connect to the daemon",
    ],
)
def test_an_engine_that_is_down_is_an_error_in_its_words_and_not_an_absent_image(
    programs: Path, dialect: Dialect, said: str
) -> None:
    backend = play(programs, dialect, f"echo '{said}' >&2; exit 1")
    with pytest.raises(BackendError, match=f"^{dialect.program} image inspect: {said}$") as caught:
        backend.answer()
    assert "info" in (caught.value.hint or "")
    with pytest.raises(BackendError, match=said):
        backend.images.get([ImageWord.parse("pg-ephemeral/x:" + "0" * 64).reference])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_engine_without_the_image_answers(programs: Path, dialect: Dialect) -> None:
    backend = play(programs, dialect, f'echo "$*" >>{programs}/calls; echo "[]"; echo "No such image: $3" >&2; exit 1')
    backend.answer()
    backend.answer()
    # fault: W54
    assert (programs / "calls").read_text().splitlines() == ["image inspect docker.io/library/postgres:15"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_cannot_be_read_is_an_error(programs: Path, dialect: Dialect) -> None:
    with pytest.raises(BackendError, match="cannot be read"):
        play(programs, dialect, "echo '<html>'").answer()


# fault: W35
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_image_that_cannot_be_pulled_is_one_clear_error(programs: Path, dialect: Dialect) -> None:
    script = """
        case $1 in
            image) echo "[]"; echo "No such image: $3" >&2; exit 1 ;;
            pull) echo "15: Pulling from library/postgres"; echo "first" >&2; echo "i/o timeout" >&2; exit 1 ;;
        esac
    """
    with pytest.raises(BackendError) as caught:
        play(programs, dialect, script).identify()
    assert caught.value.message == (
        f"image docker.io/library/postgres:15 is not here and {dialect.program} cannot pull it: first; i/o timeout"
    )
    assert "network" in (caught.value.hint or "")


# fault: W35
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_progress_of_a_pull_is_shown_on_stderr(
    programs: Path, dialect: Dialect, capfd: pytest.CaptureFixture[str]
) -> None:
    script = """
        case $1 in
            image) test -e "$0.pulled" && exec cat "$0.json"; echo "[]"; echo "No such image: $3" >&2; exit 1 ;;
            pull) echo "15: Pulling from library/postgres"; touch "$0.pulled" ;;
        esac
    """
    backend = play(programs, dialect, script)
    (programs / f"{dialect.program}.json").write_text('[{"Id": "1", "Os": "linux", "Architecture": "amd64"}]')
    assert backend.identify().platform == "linux/amd64"
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "15: Pulling from library/postgres\n")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_client_that_asks_for_a_login_during_a_pull_is_ended(programs: Path, dialect: Dialect) -> None:
    """As Docker's 28.2 does, although nobody is there to answer, and without end."""
    script = """
        case $1 in
            image) echo "[]"; echo "No such image: $3" >&2; exit 1 ;;
            pull) trap '' TERM; printf 'Log in with your Docker ID.\\nUsername: '; exec sleep 600 ;;
        esac
    """
    with pytest.raises(BackendError, match=f"{dialect.program} cannot pull it: the registry wants a login") as caught:
        play(programs, dialect, script).identify()
    assert caught.value.hint == f"log in first: {dialect.program} login docker.io"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_engine_speaks_english_while_it_moves_an_image(
    programs: Path, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    play(programs, dialect, 'echo "$LC_ALL" >&2; exit 1')
    assert EngineClient(dialect=dialect).move(("pull", "x"), timeout=60).message == "C"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_signed_address_in_an_engines_complaint_is_cut(programs: Path, dialect: Dialect) -> None:
    script = """
        case $1 in
            image) echo "[]"; echo "No such image: $3" >&2; exit 1 ;;
            pull) echo 'Error: Get "https://storage.test/b?X-Amz-Signature=signed": no' >&2; exit 1 ;;
        esac
    """
    with pytest.raises(BackendError, match=r'Get "https://storage.test/b\?…": no'):
        play(programs, dialect, script).identify()


@pytest.mark.parametrize(("image", "calls"), [("12.22", []), ("9.6.24-alpine", []), ("a/b:1", ["image inspect a/b:1"])])
def test_a_version_that_is_too_old_is_said_before_anything_is_fetched(
    programs: Path, image: str, calls: list[str]
) -> None:
    described = '[{"Id": "1", "Os": "linux", "Architecture": "amd64", "Config": {"Env": ["PG_MAJOR=12"]}}]'
    play(programs, DOCKER, f"echo \"$*\" >>{programs}/calls; echo '{described}'")
    (programs / "calls").touch()
    with pytest.raises(BackendError, match=r"has PostgreSQL (12|9\.6).*; the oldest that works is 13"):
        EngineBackend(DOCKER, ImageWord.parse(image)).identify()
    assert (programs / "calls").read_text().splitlines() == calls


# fault: W33
def test_a_failed_call_carries_the_command_and_everything_that_was_said(programs: Path) -> None:
    play(programs, DOCKER, "echo one >&2; echo two >&2; exit 3")
    with pytest.raises(BackendError) as caught:
        EngineClient(dialect=DOCKER).call(("container", "inspect", "secret"))
    assert caught.value.message == "docker container inspect: two"
    assert caught.value.detail == "one"
    play(programs, DOCKER, "exit 3")
    with pytest.raises(BackendError, match="it said nothing"):
        EngineClient(dialect=DOCKER).call(("info",))


_OF_PODMAN = """[{"Id": "1f", "Os": "linux", "Architecture": "amd64"}]"""
_OF_DOCKER = """[{"Id": "sha256:1f", "Os": "linux", "Architecture": "amd64"}]"""
_ABSENT = 'echo "[]"; echo "No such image: $3" >&2; exit 1'


# fault: W69
@pytest.mark.parametrize(
    ("described", "version", "expected"),
    [
        (f"echo '{_OF_DOCKER}'", "exit 1", DOCKER),
        (f"echo '{_OF_PODMAN}'", "exit 1", DOCKER.stand_in),
        (_ABSENT, "echo 'Docker version 28.2.2, build e6534b4'", DOCKER),
        (_ABSENT, "echo 'podman version 3.4.4'", DOCKER.stand_in),
        # By way of a link that is called docker.
        (_ABSENT, "echo 'docker version 4.3.1'", DOCKER.stand_in),
        (_ABSENT, "exit 1", DOCKER),
    ],
)
def test_what_is_called_docker_may_be_podman(programs: Path, described: str, version: str, expected: Dialect) -> None:
    """Told without a call where there is an image."""
    backend = play(programs, DOCKER, f"case $1 in image) {described} ;; --version) {version} ;; esac")
    backend.answer()
    assert backend.client.dialect == expected
    assert backend.name == backend.client.dialect.program == "docker"


def test_podman_is_podman(programs: Path) -> None:
    backend = play(programs, PODMAN, f"case $1 in image) {_ABSENT} ;; *) touch {programs}/asked ;; esac")
    assert backend.client.dialect is PODMAN
    assert not (programs / "asked").exists()


def test_an_engine_that_cannot_be_run_is_named(programs: Path) -> None:
    (programs / "podman").write_text("")
    (programs / "podman").chmod(0o644)
    (programs.parent / "elsewhere").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs))
        with pytest.raises(ProcessError, match="cannot run podman"):
            EngineClient(dialect=PODMAN).call(("info",))


def test_a_listing_that_somebody_disturbs_is_asked_for_again(programs: Path) -> None:
    """As Podman fails when an image goes while it lists them all; the third time nobody removes one."""
    script = f"""
        case $2 in
            inspect) echo "[]"; echo "image not known" >&2; exit 125 ;;
            ls)
                echo >>{programs}/asked
                test $(wc -l <{programs}/asked) = 3 && exit 0
                echo 'Error: retrieving size of image "1": you may need to remove the image' >&2; exit 125 ;;
        esac
    """
    backend = play(programs, PODMAN, script)
    reference = ImageWord.parse("pg-ephemeral/x:" + "0" * 64).reference
    assert backend.images.get([reference]) == {}
    assert len((programs / "asked").read_text()) == 3
    play(programs, PODMAN, "echo 'Error: retrieving size of image' >&2; exit 125")
    with pytest.raises(BackendError, match="retrieving size"):
        backend.images.list(reference.name)


# fault: W59
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_removal_that_the_engine_has_begun_is_waited_for(programs: Path, dialect: Dialect) -> None:
    script = f"""
        echo removing >>{programs}/asked
        case $(wc -l <{programs}/asked) in
            1 | 2) echo "Error response from daemon: removal of container x is already in progress" >&2 ;;
            *) echo "Error: No such container: x" >&2 ;;
        esac
        exit 1
    """
    play(programs, dialect, script)
    assert EngineClient(dialect=dialect).remove_container("x")
    assert (programs / "asked").read_text() == "removing\n" * 3


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_container_that_the_engine_does_not_remove_is_still_there(programs: Path, dialect: Dialect) -> None:
    play(programs, dialect, 'echo "Error: device or resource busy" >&2; exit 1')
    assert not EngineClient(dialect=dialect).remove_container("x")
