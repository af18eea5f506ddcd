"""Which proxies engines give to containers, and how a container is run without them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.podman import PODMAN

_SECRET = "http://user:geheim@proxy.example:3128"


def configure(home: Path, text: str) -> dict[str, str]:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(text)
    return {"HOME": str(home)}


def test_docker_gives_what_its_configuration_says_in_both_spellings(tmp_path: Path) -> None:
    settings = {"httpProxy": _SECRET, "NOPROXY": "localhost", "allProxy": "socks5://x", "ftpProxy": "", "x": "y"}
    environment = configure(tmp_path, json.dumps({"Proxies": {"default": settings}}))
    assert DOCKER.proxies(environment | {"HTTPS_PROXY": "http://ours.example"}) == {
        "HTTP_PROXY": _SECRET,
        "http_proxy": _SECRET,
        "NO_PROXY": "localhost",
        "no_proxy": "localhost",
        "ALL_PROXY": "socks5://x",
        "all_proxy": "socks5://x",
    }


def test_those_of_one_engine_of_docker_come_before_those_of_all(tmp_path: Path) -> None:
    of_one, of_all = {"httpProxy": "http://one"}, {"httpProxy": "http://all", "noProxy": "x"}
    environment = configure(tmp_path, json.dumps({"proxies": {"tcp://one:2376": of_one, "default": of_all}}))
    assert DOCKER.proxies({**environment, "DOCKER_HOST": "tcp://one:2376"})["http_proxy"] == "http://one"
    assert "no_proxy" not in DOCKER.proxies({**environment, "DOCKER_HOST": "tcp://one:2376"})
    assert DOCKER.proxies(environment)["http_proxy"] == "http://all"
    assert DOCKER.proxies({**environment, "DOCKER_HOST": "tcp://two:2376"})["http_proxy"] == "http://all"


def test_an_engine_of_docker_may_be_that_of_a_context(tmp_path: Path) -> None:
    proxies = {"tcp://one:2376": {"httpProxy": "http://one"}}
    environment = configure(tmp_path, json.dumps({"currentContext": "one", "proxies": proxies}))
    about = tmp_path / ".docker" / "contexts" / "meta" / hashlib.sha256(b"one").hexdigest() / "meta.json"
    about.parent.mkdir(parents=True)
    about.write_text(json.dumps({"Endpoints": {"docker": {"Host": "tcp://one:2376"}}}))
    assert DOCKER.proxies(environment) == {"HTTP_PROXY": "http://one", "http_proxy": "http://one"}


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "null", "{}", '{"proxies": 7}', '{"proxies": {"default": []}}', '{"proxies": {"x": {}}}']
)
def test_what_says_nothing_of_proxies_gives_none(tmp_path: Path, text: str) -> None:
    assert DOCKER.proxies(configure(tmp_path, text)) == {}
    assert DOCKER.proxies({"HOME": "/nowhere"}) == {}


def test_podman_gives_its_own() -> None:
    environment = {"http_proxy": _SECRET, "NO_PROXY": "x", "https_proxy": "", "all_proxy": "y", "PATH": "/bin"}
    assert PODMAN.proxies(environment) == {"http_proxy": _SECRET, "NO_PROXY": "x"}


def test_a_container_of_docker_gets_the_variables_of_its_image_alone(tmp_path: Path) -> None:
    environment = configure(tmp_path, json.dumps({"PROXIES": {"default": {"httpProxy": _SECRET}}}))
    words = DOCKER.without_proxies(environment, {"no_proxy": "of the image", "PATH": "/bin"})
    assert words[::2] == ("--env",) * 10
    names = [name for one in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY") for name in (one, one.lower())]
    assert sorted(words[1::2]) == sorted([*(f"{name}=" for name in names), "NO_PROXY=", "no_proxy=of the image"])
    assert _SECRET not in " ".join(words)


def test_where_docker_has_no_proxies_nothing_is_said_of_them(tmp_path: Path) -> None:
    assert DOCKER.without_proxies({"HOME": "/nowhere"}, {}) == ()
    assert DOCKER.without_proxies(configure(tmp_path, '{"auths": {}}'), {}) == ()


def test_podman_has_an_option_for_it() -> None:
    assert PODMAN.without_proxies({"http_proxy": _SECRET}, {}) == ("--http-proxy=false",)
