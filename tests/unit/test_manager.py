"""The developers' tool without a server: what it reads, and how it ends when pg-ephemeral does what it should not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manager.documents import Pull, Push, Status
from manager.errors import UnexpectedShape
from manager.settings import Settings
from support.documents import ROOT
from support.project import eventually

_PLACE = ROOT / "tools" / "manager"
_TEST = ("pg-ephemeral", "github-actions", "cache-registry", "test")
_SCRATCH = "pg-ephemeral-manager-"

#: Plays pg-ephemeral, well or with one fault. What it was asked to do is added to a file beside it.
_FAKE = """\
#!{python} -SE
import json, os, pathlib, re, shutil, signal, sys
words, fault = sys.argv[3:], os.environ.get("FAULT", "")
log = pathlib.Path(__file__).with_name("asked")
before = log.read_text().splitlines() if log.exists() else []
command = " ".join(words[:2]) if words[0] == "cache" else words[0]
with log.open("a") as file:
    file.write(command + "\\n")
run = re.search("'first', '(\\\\w+)'", pathlib.Path("first.sql").read_text())[1]
log.with_name("run-" + run).touch()
after_reset, after_pull = "cache reset" in before, "cache pull" in before
booted = after_pull and "psql" in before[before.index("cache pull"):]
states = ["hit", "hit"]
if after_reset:
    states = ["miss", "hit"] if after_pull and fault != "miss-after-pull" else ["miss", "miss"]
if fault == "hit-after-reset" and not after_pull:
    states = ["hit", "hit"]
if fault == "built-at-boot" and booted:
    states = ["hit", "hit"]
images = ["registry/name:" + name for name in ("first", "second")]
document = {{}}
if command in ("cache populate", "cache status"):
    seeds = [dict(name=n, status=s, cache_image=i) for n, s, i in zip(("first", "second"), states, images)]
    document = {{"seeds": seeds[1:] if fault == "seed-missing" else seeds}}
elif command == "cache push":
    status = "present" if fault == "not-pushed" else "pushed"
    document = {{"stages": [dict(cache_image=image, status=status) for image in images]}}
    if fault == "push-fails":
        print("error: the registry said no", file=sys.stderr)
        sys.exit(76)
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hangs":
        log.with_name("hanging").touch()
        signal.pause()
elif command == "cache pull":
    document = {{"pulled": None if fault == "nothing-pulled" else images[1]}}
    if fault == "wrong-pulled":
        document = {{"pulled": images[0]}}
elif command == "cache reset" and booted and fault == "scratch-vanishes-last":
    shutil.rmtree(pathlib.Path.cwd().parent)
    sys.exit()
elif command == "psql":
    made = "1-2" if fault == "made-anew" and after_pull else "1-1"
    rows = ["first|" + run + "|" + made, "second|" + run + "|" + made]
    print("\\n".join(rows[1:] if fault == "row-missing" else rows))
    if fault == "scratch-vanishes" and after_pull:
        shutil.rmtree(pathlib.Path.cwd().parent)
    sys.exit()
if fault == "broken-json" and command == "cache status":
    print('{{"seeds": [')
elif fault == "other-shape" and command == "cache status":
    print('{{"seeds": {{"first": "hit"}}}}')
else:
    print(json.dumps(document))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the program ``bin/pg-ephemeral`` and a ``scratch`` that is empty."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "scratch").mkdir()
    fake = tmp_path / "bin" / "pg-ephemeral"
    fake.write_text(_FAKE.format(python=sys.executable))
    fake.chmod(0o755)
    return tmp_path


@contextmanager
def started(place: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "MANAGER_"))}
    words = [*_TEST, "--scratch", str(place / "scratch"), *options]
    with subprocess.Popen(
        [sys.executable, "-m", "manager", *words],
        cwd=place,
        env={**ours, "PYTHONPATH": str(_PLACE), "PATH": str(place / "bin"), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def ended(place: Path, *options: str, **environment: str) -> tuple[int, str, str]:
    """Its status, its stdout, and its stderr; nothing of it is left."""
    with started(place, *options, **environment) as running:
        out, err = running.communicate(timeout=60)
    assert list((place / "scratch").iterdir()) == []
    return running.returncode, out, err


def asked(place: Path) -> list[str]:
    return (place / "bin" / "asked").read_text().splitlines()


def error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("error: ")]


def test_a_check_that_passes_asks_for_every_step_in_order(place: Path):
    status, out, _ = ended(place)
    assert (status, out) == (0, "The cache can be shared.\n")
    assert asked(place) == [
        "cache populate",
        "psql",
        "cache push",
        "cache reset",
        "cache status",
        "cache pull",
        "cache status",
        "psql",
        "cache status",
        "cache reset",
    ]


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        ("push-fails", 12, "error: cache push: exit status 76"),
        ("killed", 12, "error: cache push: killed by signal 9"),
        ("broken-json", 13, "error: cache status: its output is not JSON ("),
        ("other-shape", 13, "error: cache status: 'seeds' should be a list, and is an object"),
        ("seed-missing", 14, "error: populate: the seeds should be first, second, and are second hit"),
        ("not-pushed", 14, "error: push: seed 'first' should be pushed, and is present: registry/name:first"),
        ("hit-after-reset", 14, "error: reset: every seed should be a miss: first hit, second hit"),
        ("nothing-pulled", 14, "error: pull: it should fetch registry/name:second, and fetched nothing"),
        ("wrong-pulled", 14, "error: pull: it should fetch registry/name:second, and fetched registry/name:first"),
        ("miss-after-pull", 14, "error: pull: the last seed should be a hit: first miss, second miss"),
        ("built-at-boot", 14, "error: boot: it built a stage: first miss, second hit became first hit, second hit"),
        ("row-missing", 15, "error: boot: there should be one row of this run for each seed"),
        ("made-anew", 15, "error: boot: the rows are not those that were pushed: a seed was applied anew"),
    ],
)
def test_each_failure_has_its_line_and_its_exit_code(place: Path, fault: str, code: int, line: str):
    status, out, err = ended(place, FAULT=fault)
    assert status == code
    assert error_lines(err)[-1].startswith(line)
    assert out == ""
    assert asked(place)[-1] == "cache reset"


def test_what_the_program_said_comes_before_our_line(place: Path):
    _, _, err = ended(place, FAULT="push-fails")
    assert err.index("error: the registry said no") < err.index("error: cache push: exit status 76")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "error: there is no pg-ephemeral on PATH"),
        (("--program", "bin/other"), "error: there is no program bin/other"),
    ],
)
def test_a_missing_program_is_said_before_anything_is_made(place: Path, options: tuple[str, ...], line: str):
    (place / "bin" / "pg-ephemeral").unlink()
    status, _, err = ended(place, *options)
    assert status == 10
    assert err.startswith(line)


def test_a_program_that_cannot_be_started_is_named(place: Path):
    (place / "bin" / "pg-ephemeral").write_text("#!/nonexistent/interpreter\n")
    status, _, err = ended(place)
    assert status == 12
    assert error_lines(err) == [
        f"error: cache populate: cannot start {place / 'bin' / 'pg-ephemeral'}: No such file or directory"
    ]


def test_a_program_may_be_named_from_here(place: Path):
    status, _, _ = ended(place, "--program", "bin/pg-ephemeral", PATH=os.defpath)
    assert status == 0


def test_a_scratch_directory_that_cannot_be_made_is_named(place: Path):
    (place / "file").touch()
    status, _, err = ended(place, "--scratch", str(place / "file"))
    assert status == 11
    assert error_lines(err) == [f"error: cannot make the scratch directory {place / 'file'}: Not a directory"]


def test_a_scratch_directory_that_cannot_be_removed_is_a_failure(place: Path):
    status, out, err = ended(place, FAULT="scratch-vanishes-last")
    assert (status, out) == (11, "")
    assert error_lines(err)[-1].startswith(f"error: cannot remove the scratch directory {place / 'scratch'}/")


def test_what_failed_first_is_what_is_said(place: Path):
    status, _, err = ended(place, FAULT="scratch-vanishes")
    assert status == 12
    assert len(error_lines(err)) == 1
    assert "warning: stages of cache-test-local-" in err


def test_a_signal_ends_it_and_clears_up(place: Path):
    with started(place, FAULT="hangs") as running:
        eventually((place / "bin" / "hanging").exists)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert error_lines(err) == ["error: interrupted by SIGTERM"]
    assert list((place / "scratch").iterdir()) == []
    assert asked(place)[-2:] == ["cache push", "cache reset"]


def test_a_run_that_is_repeated_has_keys_of_its_own(place: Path):
    for _ in range(2):
        assert ended(place, GITHUB_RUN_ID="7")[0] == 0
        (place / "bin" / "asked").unlink()
    # Else the registry had what the first attempt pushed, and the second showed nothing.
    assert len(list((place / "bin").glob("run-*"))) == 2


def test_what_github_says_wrong_is_a_usage_error(place: Path):
    status, _, err = ended(place, GITHUB_REPOSITORY="no-owner")
    assert status == 2
    assert "GITHUB_REPOSITORY is 'no-owner', which is not owner/name" in err
    assert not (place / "bin" / "asked").exists()


def settings(host: str | None = None, **environment: str) -> Settings:
    return Settings.of(environment, token="abc", host=host)


def test_in_github_actions_the_run_names_the_instance_and_the_repository_the_path():
    run = settings(GITHUB_REPOSITORY="Some-Owner/Their.Project", GITHUB_RUN_ID="123")
    assert run.instance == "cache-test-123"
    assert run.registry == "ghcr.io/some-owner/their.project"


def test_elsewhere_nothing_leaves_the_machine_and_the_token_names_the_instance():
    run = settings()
    assert run.instance == "cache-test-local-abc"
    assert run.registry == "localhost:5000/pg-ephemeral/local"


def test_variables_that_are_empty_are_as_good_as_none():
    assert settings(GITHUB_REPOSITORY="", GITHUB_RUN_ID="") == settings()


def test_another_registry_can_be_given():
    assert settings("127.0.0.1:5001", GITHUB_REPOSITORY="A/b").registry == "127.0.0.1:5001/a/b"


@pytest.mark.parametrize(
    ("host", "environment", "named"),
    [
        (None, {"GITHUB_REPOSITORY": "owner"}, "GITHUB_REPOSITORY"),
        (None, {"GITHUB_REPOSITORY": 'a/b"\nc'}, "GITHUB_REPOSITORY"),
        (None, {"GITHUB_REPOSITORY": "a/b/c"}, "GITHUB_REPOSITORY"),
        (None, {"GITHUB_RUN_ID": 'x"y'}, "GITHUB_RUN_ID"),
        (None, {"GITHUB_RUN_ID": "-1"}, "GITHUB_RUN_ID"),
        ("ghcr.io/path", {}, "ghcr.io/path"),
        ("", {}, "''"),
    ],
)
def test_values_that_would_break_the_file_are_refused(host: str | None, environment: dict[str, str], named: str):
    with pytest.raises(ValueError, match=named):
        settings(host, **environment)


SEED = {"name": "first", "status": "hit", "cache_image": "r/n:t"}


def test_documents_may_say_more_than_is_asked():
    status = Status.parse("status", json.dumps({"seeds": [{**SEED, "new": 1}], "other": None}))
    assert status.words == (("first", "hit"),)
    assert Push.parse("push", json.dumps({"stages": [SEED], "x": 1})).stages == (("r/n:t", "hit"),)
    assert Pull.parse("pull", '{"pulled": null}').pulled is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "status: there is a list where an object should be"),
        ({}, "status: there is no 'seeds'"),
        ({"seeds": None}, "status: 'seeds' should be a list, and is null"),
        ({"seeds": [1]}, "status: seeds[0]: there is a number where an object should be"),
        (
            {"seeds": [SEED, {**SEED, "status": True}]},
            "status: seeds[1]: 'status' should be a string, and is a boolean",
        ),
        ({"seeds": [{"name": "first", "status": "hit"}]}, "status: seeds[0]: there is no 'cache_image'"),
        ({"seeds": [{**SEED, "name": None}]}, "status: seeds[0]: 'name' should be a string, and is null"),
    ],
)
def test_another_shape_is_said_with_its_place(document: object, message: str):
    with pytest.raises(UnexpectedShape) as caught:
        Status.parse("status", json.dumps(document))
    assert caught.value.message == message


@pytest.mark.parametrize("text", ["", "{", "Removed: x\n{}", "[" * 100_000])
def test_what_is_not_json_is_said(text: str):
    with pytest.raises(UnexpectedShape, match="push: its output is not JSON"):
        Push.parse("push", text)
