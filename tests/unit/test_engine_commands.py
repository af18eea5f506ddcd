"""What is said to container engines, as data: argument lists, and no secret in any of them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pg_ephemeral.backends.engine import commands
from pg_ephemeral.backends.engine.commands import Bind, ImageFacts, Publish
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.inside import quoted
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.errors import CacheError

BASE = ImageFacts(
    id="0" * 64,
    names=("postgres:15",),
    labels={},
    env={"PATH": "/usr/bin", "PGDATA": "/var/lib/postgresql/data", "LANG": "en_US.utf8"},
    entrypoint=("docker-entrypoint.sh",),
    command=("postgres",),
    user="",
    directory="",
    layers=("sha256:" + "1" * 64,),
    platform="linux/amd64",
    created=0.0,
    size=1,
)


def value_of(arguments: tuple[str, ...], option: str) -> list[str]:
    return [arguments[at + 1] for at, word in enumerate(arguments) if word == option]


# fault: W42
@pytest.mark.parametrize(
    "name", ["plain", "a b", "a,b", 'a"b', "a'b", "both \", and '", 'a,"b",c', "ü", "a=b", "$HOME"]
)
def test_a_mount_is_one_line_of_csv_whatever_the_directory_is_called(name: str) -> None:
    directory = Path("/home/me") / name
    (fields,) = csv.reader([Bind(directory=directory).render()], strict=True)
    assert fields == ["type=bind", f"source={directory}", f"target={directory}"]
    (fields,) = csv.reader([Bind(directory=directory, target="/mnt/x").render()], strict=True)
    assert fields == ["type=bind", f"source={directory}", "target=/mnt/x", "readonly"]


def test_a_mount_without_need_has_no_quotes() -> None:
    assert Bind(directory=Path("/a/b c")).render() == "type=bind,source=/a/b c,target=/a/b c"


# acceptance: 155
@pytest.mark.parametrize(
    ("address", "rendered"),
    [
        ("127.0.0.1", "127.0.0.1::5432/tcp"),
        ("0.0.0.0", "0.0.0.0::5432/tcp"),
        ("::1", "[::1]::5432/tcp"),
        ("::", "[::]::5432/tcp"),
    ],
)
def test_the_port_is_published_on_one_address(address: str, rendered: str) -> None:
    assert Publish(address=address).render() == rendered


# acceptance: 154
# fault: W37, W59
def test_a_server_runs_in_the_foreground_and_takes_everything_along_when_it_ends() -> None:
    arguments = commands.run(
        "postgres:15",
        ("-c", "script"),
        name="pg-ephemeral-1",
        entrypoint="sh",
        labels={"b": "2", "a": "1"},
        env={"PGDATA": commands.DATA},
        publish=Publish(address="127.0.0.1"),
        binds=[Bind(directory=Path("/work"))],
    )
    assert arguments[0] == "run"
    assert {"--rm", "--interactive", "--pull=never", "--log-driver=none"} <= set(arguments)
    assert "--detach" not in arguments
    assert "--tty" not in arguments
    assert value_of(arguments, "--env") == ["PGDATA=/var/lib/pg-ephemeral"], "and nothing else"
    assert value_of(arguments, "--label") == ["a=1", "b=2"]
    assert value_of(arguments, "--publish") == ["127.0.0.1::5432/tcp"]
    assert value_of(arguments, "--mount") == ["type=bind,source=/work,target=/work"]
    assert value_of(arguments, "--security-opt") == ["label=disable"], "or SELinux would not let it in"
    assert arguments[-5:] == ("--entrypoint", "sh", "postgres:15", "-c", "script")


def test_without_a_port_to_publish_it_has_the_network_of_the_host() -> None:
    arguments = commands.run("postgres:15", (), name="x", entrypoint="sh", labels={}, env={}, publish=None)
    assert value_of(arguments, "--network") == ["host"]
    assert "--publish" not in arguments


def test_without_a_directory_of_this_host_selinux_stays_on() -> None:
    arguments = commands.run(
        "postgres:15", (), name="x", entrypoint="sh", labels={}, env={}, publish=Publish(address="127.0.0.1")
    )
    assert "--security-opt" not in arguments


# fault: W37, W40
def test_variables_go_in_by_their_names_and_never_by_their_values() -> None:
    tool = commands.run_tool(
        "postgres:15",
        ("psql", "-c", "SELECT 1"),
        name="pg-ephemeral-1",
        labels={},
        passed=["PGPASSWORD", "PGHOST"],
        user="1000:1000",
        directory=Path("/work"),
        tty=False,
    )
    assert value_of(tool, "--env") == ["PGHOST", "PGPASSWORD"]
    assert value_of(tool, "--user") == ["1000:1000"]
    assert value_of(tool, "--workdir") == ["/work"]
    assert value_of(tool, "--security-opt") == ["label=disable"]
    assert "--tty" not in tool
    assert tool[-5:] == ("--entrypoint", "psql", "postgres:15", "-c", "SELECT 1")
    inside = commands.execute(
        "pg-ephemeral-1", ("psql",), passed=["PGPASSWORD"], user="0:0", directory=Path("/w,x"), tty=True
    )
    assert inside == (
        *("exec", "--interactive", "--tty", "--env", "PGPASSWORD", "--user", "0:0", "--workdir", "/w,x"),
        *("pg-ephemeral-1", "psql"),
    )


# fault: W59
def test_a_container_is_removed_with_its_anonymous_volumes() -> None:
    assert commands.remove("x") == ("rm", "--force", "--volumes", "x")


@pytest.mark.parametrize(
    ("text", "docker"),
    [
        ("plain", '"plain"'),
        ('a "b" c', r'"a \"b\" c"'),
        ("$HOME", r'"\$HOME"'),
        ("back\\slash", r'"back\\slash"'),
        ("", '""'),
        ('[{"name":"o\'neil"}]', '"[{\\"name\\":\\"o\'neil\\"}]"'),
    ],
)
def test_labels_are_quoted_as_each_engine_reads_them(text: str, docker: str) -> None:
    assert commands.changes({"key": text}, BASE, quote=DOCKER.quote)[:2] == ("--change", f"LABEL key={docker}")
    assert commands.changes({"key": text}, BASE, quote=PODMAN.quote)[:2] == ("--change", f"LABEL key={text}")


@pytest.mark.parametrize("text", ["a\nENV X=1", "a\rb"])
def test_a_label_that_docker_would_read_as_two_instructions_is_refused(text: str) -> None:
    with pytest.raises(CacheError, match="line break"):
        commands.changes({"key": text}, BASE, quote=DOCKER.quote)
    assert commands.changes({"key": text}, BASE, quote=PODMAN.quote)[1] == f"LABEL key={text}"


def test_a_stage_says_of_its_programs_what_its_base_says() -> None:
    changes = commands.changes({"b": "2", "a": "1"}, BASE, quote=PODMAN.quote)
    assert changes[1::2] == (
        *("LABEL a=1", "LABEL b=2", 'ENTRYPOINT ["docker-entrypoint.sh"]', 'CMD ["postgres"]', "USER 0"),
    )
    of_a_user = replace(BASE, user="999", directory="/srv/a b", entrypoint=(), command=("sh", "-c", "a b"))
    assert commands.changes({}, of_a_user, quote=PODMAN.quote)[1::2] == (
        *("ENTRYPOINT []", 'CMD ["sh", "-c", "a b"]', "USER 999", "WORKDIR /srv/a b"),
    )
    assert commands.changes({}, of_a_user, quote=DOCKER.quote)[-1] == 'WORKDIR "/srv/a b"'


def test_a_flat_image_gets_the_environment_of_its_base_and_our_data_directory() -> None:
    changes = commands.environment_changes(BASE, quote=PODMAN.quote)
    assert changes[1::2] == ("ENV LANG=en_US.utf8", "ENV PATH=/usr/bin", "ENV PGDATA=/var/lib/pg-ephemeral")
    assert commands.environment_changes(BASE, quote=DOCKER.quote)[1] == 'ENV LANG="en_US.utf8"'


# fault: W69
def test_how_to_commit_without_a_pause_is_tried_and_not_read_from_a_version() -> None:
    assert DOCKER.unpaused == (("--pause=false",), ("--no-pause",))
    assert commands.commit("c", "i", ("--change", "USER 0"), extra=("--no-pause",)) == (
        *("commit", "--no-pause", "--change", "USER 0", "c", "i"),
    )


# acceptance: 166
@pytest.mark.parametrize(
    ("output", "port"),
    [
        (b"127.0.0.1:49153\n", 49153),
        (b"0.0.0.0:49153\n[::]:49153\n", 49153),
        (b"[::1]:32768\n", 32768),
        (b":::5000\n", 5000),
        (b"5432/tcp -> 0.0.0.0:49153\n", 49153),
        (b"", None),
        (b"\n", None),
        (b"no public port '5432/tcp' published\n", None),
    ],
)
def test_the_port_is_read_back(output: bytes, port: int | None) -> None:
    assert commands.read_port(output) == port


@pytest.mark.parametrize("word", ["a", "a b", "it's", 'a "b"', "two\nlines", "\n", "$x `y`", "", "ü"])
def test_words_for_the_shell_inside_stay_on_one_line(word: str, tmp_path: Path) -> None:
    import subprocess

    line = quoted(word)
    assert "\n" not in line
    program = f"newline='\n'\neval 'set -- {line.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'\nprintf %s \"$1\""
    assert subprocess.run(["sh", "-c", program], capture_output=True, check=True).stdout.decode() == word


#: As Docker 20.10 says it, but for where its files are.
DOCKER_SAYS = """[{
    "Id": "sha256:b24f97aa2459f384232036077b4b38a4265266bc3bc9ff4651b2e02f518ed8b3",
    "RepoTags": ["postgres:15"], "RepoDigests": [], "Comment": "", "Created": "2026-11-25T02:40:35.821031956Z",
    "ContainerConfig": {"Cmd": ["/bin/sh", "-c", "#(nop) ", "CMD [\\"postgres\\"]"], "Labels": {}},
    "DockerVersion": "20.10.24+dfsg1", "Author": "",
    "Config": {
        "Hostname": "", "User": "", "Tty": false, "ExposedPorts": {"5432/tcp": {}},
        "Env": [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin",
            "LANG=en_US.utf8", "PG_MAJOR=15", "PGDATA=/var/lib/postgresql/data"
        ],
        "Cmd": ["postgres"], "Volumes": {"/var/lib/postgresql/data": {}}, "WorkingDir": "",
        "Entrypoint": ["docker-entrypoint.sh"], "OnBuild": null, "Labels": null, "StopSignal": "SIGINT"
    },
    "Architecture": "amd64", "Os": "linux", "Size": 439728738, "VirtualSize": 439728738,
    "RootFS": {
        "Type": "layers", "Layers": ["sha256:7e96708ba8c45220c9a895678c628738553f37a70fcbd2bfacdd7de77150781f"]
    },
    "Metadata": {"LastTagTime": "2026-11-25T02:40:35.849154164Z"}
}]"""

#: And as Podman 4.3 does of the same image.
PODMAN_SAYS = """[{
    "Id": "b24f97aa2459f384232036077b4b38a4265266bc3bc9ff4651b2e02f518ed8b3",
    "Digest": "sha256:81f4da6494e07e0cda6a03e23b71ae57d1b4855a5d8c71d30abbedb942cda517",
    "RepoTags": ["localhost/postgres:15", "docker.io/library/postgres:15"],
    "RepoDigests": [
        "docker.io/library/postgres@sha256:81f4da6494e07e0cda6a03e23b71ae57d1b4855a5d8c71d30abbedb942cda517"
    ],
    "Parent": "", "Comment": "", "Created": "2026-11-25T02:40:35.821031956Z",
    "Config": {
        "ExposedPorts": {"5432/tcp": {}},
        "Env": [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin",
            "LANG=en_US.utf8", "PG_MAJOR=15", "PGDATA=/var/lib/postgresql/data"
        ],
        "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["postgres"],
        "Volumes": {"/var/lib/postgresql/data": {}}, "StopSignal": "SIGINT"
    },
    "Version": "20.10.24+dfsg1", "Author": "", "Architecture": "amd64", "Os": "linux",
    "Size": 449212921, "VirtualSize": 449212921,
    "RootFS": {
        "Type": "layers", "Layers": ["sha256:7e96708ba8c45220c9a895678c628738553f37a70fcbd2bfacdd7de77150781f"]
    },
    "Labels": null, "Annotations": {}, "User": ""
}]"""


# fault: W6
def test_both_engines_say_the_same_of_one_image() -> None:
    (docker,) = commands.read_images(DOCKER_SAYS.encode())
    (podman,) = commands.read_images(PODMAN_SAYS.encode())
    assert docker.env["PG_MAJOR"] == "15"
    assert docker.entrypoint == ("docker-entrypoint.sh",)
    assert docker.labels == {}
    assert "docker.io/library/postgres:15" in podman.names
    assert replace(podman, names=docker.names, size=docker.size) == docker


def _document(**changes: object) -> dict[str, object]:
    document: dict[str, object] = {
        "Id": "sha256:" + "a" * 64,
        "RepoTags": ["postgres:15"],
        "Created": "2026-11-25T02:40:35.821031956Z",
        "Config": {
            "Env": ["PATH=/usr/bin", "EMPTY=", "EQUALS=a=b"],
            "Cmd": ["postgres"],
            "Entrypoint": ["docker-entrypoint.sh"],
            "Labels": {"pg-ephemeral.key": "k"},
            "User": "",
        },
        "Architecture": "amd64",
        "Os": "linux",
        "Size": 439728738,
        "RootFS": {"Type": "layers", "Layers": ["sha256:" + "7" * 64]},
    }
    return {**document, **changes}


def _read(**changes: object) -> ImageFacts:
    (facts,) = commands.read_images(json.dumps([_document(**changes)]).encode())
    return facts


class TestReadImages:
    """The fields that engines and builders leave out, set to null, or write in another form."""

    def test_a_whole_document(self) -> None:
        facts = _read()
        assert facts.id == "a" * 64, "as podman says it, too"
        assert facts.env == {"PATH": "/usr/bin", "EMPTY": "", "EQUALS": "a=b"}
        assert (facts.entrypoint, facts.command, facts.user) == (("docker-entrypoint.sh",), ("postgres",), "")
        assert facts.labels == {"pg-ephemeral.key": "k"}
        assert facts.layers == ("sha256:" + "7" * 64,)
        assert (facts.platform, facts.size) == ("linux/amd64", 439728738)

    def test_no_id_prefix(self) -> None:
        assert _read(Id="b" * 64).id == "b" * 64

    @pytest.mark.parametrize("missing", [{}, None, {"Labels": None, "Env": None, "Entrypoint": None, "Cmd": None}])
    def test_no_configuration(self, missing: object) -> None:
        facts = _read(Config=missing)
        assert (facts.labels, facts.env, facts.entrypoint, facts.command, facts.user) == ({}, {}, (), (), "")

    def test_an_entry_point_that_is_one_text_for_a_shell(self) -> None:
        facts = _read(Config={"Entrypoint": "exec postgres", "Cmd": "x"})
        assert facts.entrypoint == ("/bin/sh", "-c", "exec postgres")
        assert facts.command == ("/bin/sh", "-c", "x")

    @pytest.mark.parametrize(
        ("written", "seconds"),
        [
            ("1970-01-01T00:00:01Z", 1.0),
            ("1970-01-01T00:00:01.5Z", 1.5),
            ("1970-01-01T00:00:01.123456789Z", 1.123456),
            ("1970-01-01T01:00:01.123456789+01:00", 1.123456),
            ("0001-01-01T00:00:00Z", -62135596800.0),
            ("", 0.0),
            (None, 0.0),
        ],
    )
    def test_times(self, written: str | None, seconds: float) -> None:
        assert _read(Created=written).created == pytest.approx(seconds)

    def test_a_platform_with_a_variant(self) -> None:
        assert _read(Architecture="arm", Variant="v7").platform == "linux/arm/v7"
        assert _read(Architecture="arm64", Variant="v8").platform == _read(Architecture="arm64").platform

    def test_names_and_layers_that_are_null(self) -> None:
        facts = _read(RepoTags=None, RootFS=None, Size=None)
        assert (facts.names, facts.layers, facts.size) == ((), (), 0)

    def test_none(self) -> None:
        assert commands.read_images(b"") == commands.read_images(b"[]\n") == ()

    @pytest.mark.parametrize("output", [b"<html>", b"[1]", b'[{"Id": 1}]', b"[{}]", b'{"a": 1}'])
    def test_what_is_no_such_thing_is_one_error(self, output: bytes) -> None:
        from pg_ephemeral.errors import BackendError

        with pytest.raises(BackendError, match="cannot be read"):
            commands.read_images(output)


# fault: W34
@pytest.mark.parametrize(
    "said",
    [
        "Error response from daemon: no such image: nosuch:1: No such image: nosuch:1",
        "Error: No such image: nosuch:1",
        "Error: No such object: nosuch:1",
        "Error: inspecting object: nosuch:1: image not known",
        "error inspecting object: localhost/a:1: image not known\nError: inspecting object: b:1: image not known",
        "Unable to find image 'nosuch:1' locally",
        "Error response from daemon: unrecognized image ID sha256:0123456789abcdef",
        "Error response from daemon: reference does not exist",
    ],
)
def test_an_absent_image_is_told_from_what_engines_say_of_it(said: str) -> None:
    assert commands.is_absent(said)


# fault: W34
@pytest.mark.parametrize(
    "said",
    [
        "",
        'error during connect: Get "http://nosuch:2375/v1.50/images/x/json": dial tcp: lookup nosuch: no such host',
        "Cannot connect to the Docker daemon at unix:///nosuch.sock. Is the docker daemon running?",
        "dial unix /var/run/docker.sock: connect: no such file or directory",
        "Error: unable to connect to Podman socket: Get ...: dial unix /x: connect: no such file or directory",
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "Error response from daemon: no such image: a: No such image: a\nCannot connect to the Docker daemon",
        "template: :1: function not known",
    ],
)
def test_an_engine_that_is_not_there_is_no_absent_image(said: str) -> None:
    assert not commands.is_absent(said)


# fault: W69
@pytest.mark.parametrize(
    "noise",
    [
        'time="2026-01-01T00:00:00Z" level=warning msg="The cgroupv2 manager is set to systemd"',
        "WARN[0000] The cgroupv2 manager is set to systemd but there is no systemd user session available",
        "WARNING: Error loading config file: /root/.docker/config.json: permission denied",
        "Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg.",
    ],
)
def test_what_an_engine_says_by_the_way_does_not_hide_an_absent_image(noise: str) -> None:
    assert commands.is_absent(f"{noise}\nError: inspecting object: nosuch:1: image not known")
    assert not commands.is_absent(noise)


def test_a_directory_the_engine_does_not_see_is_told_from_what_engines_say_of_it() -> None:
    for said in (
        'docker: Error response from daemon: invalid mount config for type "bind": bind source path does not exist: /x',
        "docker: Error response from daemon: Mounts denied: the path /x is not shared from the host",
        "Error: statfs /x: no such file or directory",
        'Error: error checking path "/x": stat /x: no such file or directory',
    ):
        assert commands.is_unseen(said)
    assert not commands.is_unseen("dial unix /var/run/docker.sock: connect: no such file or directory")


def test_an_absent_container_is_told_from_what_engines_say_of_it() -> None:
    assert commands.is_no_container("Error response from daemon: No such container: x")
    assert commands.is_no_container('Error: no container with name or ID "x" found: no such container')
    assert not commands.is_no_container("dial unix /x: connect: no such file or directory")
    said = "Error response from daemon: removal of container 1f2e is already in progress"
    assert commands.is_being_removed(said)
    assert not commands.is_no_container(said)
