"""Credential files and helpers of docker and podman, read as they read them."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.credentials import Credential, Owner, anonymous, keychain
from pg_ephemeral.oci.reference import Name
from pg_ephemeral.oci.state import State

GHCR = Name.parse("ghcr.io/owner/app")
HUB = Name.parse("owner/app")
SECRET = "not for anybody's eyes"


def login(user: str = "user", password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


class Home:
    """A home directory, its environment, and what is in its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.programs = path / "bin"
        self.programs.mkdir()
        self.environment = {"HOME": str(path), "PATH": f"{self.programs}:/usr/bin:/bin", "XDG_RUNTIME_DIR": "/nowhere"}

    def write(self, name: str, settings: Mapping[str, Any] | str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings if isinstance(settings, str) else json.dumps(settings))
        return file

    def helper(self, name: str, script: str) -> None:
        program = self.programs / f"docker-credential-{name}"
        program.write_text(f"#!{sys.executable}\nimport json, sys\nkey = sys.stdin.read()\n{script}\n")
        program.chmod(0o755)

    def find(self, name: Name = GHCR, owner: Owner = Owner.ANY) -> Credential | None:
        return keychain(owner, self.environment)(name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def named(user: str, password: str = SECRET) -> Credential:
    return Credential(username=user, password=password)


def test_without_files_we_are_nobody(home: Home) -> None:
    assert home.find() is None
    assert anonymous(GHCR) is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (GHCR, "ghcr.io"),
        (GHCR, "https://ghcr.io"),
        (GHCR, "https://ghcr.io/v1/"),
        (GHCR, "ghcr.io/v2/"),
        (HUB, "https://index.docker.io/v1/"),
        (HUB, "docker.io"),
        (Name.parse("docker.io/alpine"), "index.docker.io"),
        (Name.parse("localhost:5000/app"), "localhost:5000"),
    ],
)
def test_docker_keys_old_and_new(home: Home, name: Name, key: str) -> None:
    home.write(".docker/config.json", {"auths": {key: login()}})
    assert home.find(name) == named("user")
    assert home.find(Name.parse("quay.io/owner/app")) is None


def test_the_most_specific_key_wins(home: Home) -> None:
    auths = {"ghcr.io": login("host"), "ghcr.io/owner": login("owner"), "ghcr.io/owner/app": login("app")}
    home.write(".config/containers/auth.json", {"auths": auths})
    assert home.find(GHCR) == named("app")
    assert home.find(Name.parse("ghcr.io/owner/other")) == named("owner")
    assert home.find(Name.parse("ghcr.io/ownership/app")) == named("host")


def test_files_are_read_in_their_owners_order(home: Home) -> None:
    home.write(".docker/config.json", {"auths": {"ghcr.io": login("docker")}})
    assert home.find() == named("docker")
    assert home.find(owner=Owner.PODMAN) == named("docker")
    home.write(".config/containers/auth.json", {"auths": {"ghcr.io": login("podman")}})
    assert home.find(owner=Owner.DOCKER) == named("docker")
    assert home.find(owner=Owner.PODMAN) == named("podman")
    home.environment["XDG_RUNTIME_DIR"] = str(home.path / "run")
    home.write("run/containers/auth.json", {"auths": {"ghcr.io": login("runtime")}})
    assert home.find() == named("runtime")
    home.environment["XDG_CONFIG_HOME"] = str(home.path / "elsewhere")
    home.write("elsewhere/containers/auth.json", {"auths": {"ghcr.io": login("elsewhere")}})
    (home.path / "run/containers/auth.json").unlink()
    assert home.find() == named("elsewhere")
    home.environment["REGISTRY_AUTH_FILE"] = str(home.write("named.json", {"auths": {"ghcr.io": login("named")}}))
    assert home.find() == named("named")
    home.environment["DOCKER_CONFIG"] = str(home.write("other/config.json", {"auths": {"ghcr.io": login("o")}}).parent)
    assert home.find(owner=Owner.DOCKER) == named("o")


def test_a_password_may_have_a_colon_and_an_entry_may_be_in_the_clear(home: Home) -> None:
    home.write(".docker/config.json", {"auths": {"ghcr.io": login(password="a:b")}})
    assert home.find() == named("user", "a:b")
    home.write(".docker/config.json", {"auths": {"ghcr.io": {"username": "user", "password": SECRET}}})
    assert home.find() == named("user")


def test_an_identity_token_is_a_credential(home: Home) -> None:
    home.write(".docker/config.json", {"auths": {"ghcr.io": {**login("user", ""), "identitytoken": SECRET}}})
    found = home.find()
    assert found is not None
    assert found.identity_token == SECRET


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"email": "a@b"}, "text", None, {"username": "user"}])
def test_an_entry_without_a_secret_is_none(home: Home, entry: object) -> None:
    home.write(".docker/config.json", {"auths": {"ghcr.io": entry}})
    assert home.find() is None


ANSWERS = 'assert sys.argv[1] == "get"; print(json.dumps({"ServerURL": key, "Username": "by " + key, "Secret": "s"}))'


def test_the_helper_of_a_registry_comes_before_everything_else(home: Home) -> None:
    home.helper("one", ANSWERS)
    home.helper("all", "sys.exit(9)")
    home.write(
        ".docker/config.json",
        {"credHelpers": {"ghcr.io": "one"}, "credsStore": "all", "auths": {"ghcr.io": login()}},
    )
    assert home.find() == named("by ghcr.io", "s")


def test_the_store_is_asked_for_docker_hub_by_its_old_name(home: Home) -> None:
    home.helper("all", ANSWERS)
    home.write(".docker/config.json", {"credsStore": "all"})
    assert home.find(HUB) == named("by https://index.docker.io/v1/", "s")


def test_a_helper_may_have_a_token(home: Home) -> None:
    home.helper("all", 'print(json.dumps({"Username": "<token>", "Secret": "t"}))')
    home.write(".docker/config.json", {"credsStore": "all"})
    assert home.find() == Credential(identity_token="t")


def test_a_helper_that_has_none_is_not_an_error(home: Home) -> None:
    home.helper("all", 'print("credentials not found in native keychain"); sys.exit(1)')
    home.write(".docker/config.json", {"credsStore": "all"})
    assert home.find() is None
    home.write(".docker/config.json", {"credsStore": "all", "auths": {"ghcr.io": login()}})
    assert home.find() == named("user")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f'print("{SECRET}"); sys.exit(3)', "docker-credential-bad failed for ghcr.io with status 3"),
        (f'print("{SECRET}")', "docker-credential-bad gave an answer that cannot be read"),
        ('print("[]")', "docker-credential-bad gave an answer that cannot be read"),
    ],
)
def test_a_helper_that_fails_is_an_error_without_its_words(home: Home, script: str, words: str) -> None:
    home.helper("bad", script)
    home.write(".docker/config.json", {"credHelpers": {"ghcr.io": "bad"}})
    with pytest.raises(RegistryError) as caught:
        home.find()
    assert words in caught.value.message
    _reveals_nothing(caught.value)


@pytest.mark.parametrize("helper", ["absent", "../../bin/sh", "a b", "-x"])
def test_a_helper_that_cannot_be_run_is_an_error(home: Home, helper: str) -> None:
    home.write(".docker/config.json", {"credsStore": helper})
    with pytest.raises(RegistryError, match=helper):
        home.find()


@pytest.mark.parametrize(
    "text", [f'{{"auths": "{SECRET}', f'["{SECRET}"]', f'{{"auths": {{"ghcr.io": {{"auth": "ä{SECRET}"}}}}}}']
)
def test_a_file_that_cannot_be_read_is_named_and_not_shown(home: Home, text: str) -> None:
    file = home.write(".docker/config.json", text)
    with pytest.raises(RegistryError) as caught:
        home.find()
    assert str(file) in caught.value.message
    assert caught.value.state == State.NOT_LOGGED_IN
    _reveals_nothing(caught.value)


def test_a_file_may_be_empty_or_hold_other_things(home: Home) -> None:
    for text in ("", "{}", '{"auths": [], "credHelpers": null, "credsStore": ""}'):
        home.write(".docker/config.json", text)
        assert home.find() is None


def test_a_credential_does_not_show_its_secret() -> None:
    shown = repr(Credential(username="user", password=SECRET, identity_token=SECRET))
    assert SECRET not in shown
    assert "user" in shown


def _reveals_nothing(error: BaseException | None) -> None:
    while error is not None:
        assert SECRET not in f"{error!r} {error.args}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
