"""What holders and members agree on without a server: names of directories, whose they are, what is sent."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import ServerError
from pg_ephemeral.seeds import KeyPaths
from pg_ephemeral.shared_server import place, visit
from pg_ephemeral.shared_server.messages import Lines, encode, error_message, pack, to_error, unpack


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(tmp_path / "cache"))
    # The paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="pge-") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


def _definition() -> Definition:
    return (
        Definition(directory=Path("/project"))
        .with_backend("embedded")
        .with_parameter("work_mem", "8MB")
        .with_tls("db.example.org")
        .apply_file("schema", "schema.sql")
        .apply_command("migrate", "bin/migrate", ["up"], cache=KeyPaths(paths=("migrations",)))
        .apply_csv_file("rows", "rows.csv", table="note")
    )


def test_a_definition_is_sent_as_it_is():
    assert unpack(pack(_definition())) == _definition()
    assert unpack(pack(_definition())).parameters["work_mem"] == "8MB"


def test_a_definition_that_cannot_be_sent_is_an_error():
    with pytest.raises(ServerError, match="cannot be sent to another process"):
        pack(_definition().add_seed(_own_seed()))


def _own_seed():
    class Own:
        name = "own"
        kind = "own"

    return Own()


def test_an_error_is_told_in_the_same_words():
    error = ServerError("it did not start", hint="look", detail="one\ntwo")
    told = to_error(error_message(error))
    assert (told.message, told.hint, told.detail) == ("it did not start", "look", "one\ntwo")


def test_messages_are_lines_however_they_are_cut():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = Lines(theirs)
        for byte in encode({"number": 1}) + encode({"number": 2}):
            ours.send(bytes([byte]))
        assert lines.read() == {"number": 1}
        assert lines.read() == {"number": 2}
        assert lines.take() is None
        ours.close()
        assert lines.read() is None


def test_a_directory_is_for_a_run_and_a_definition(runtime: Path):
    one = place.directory_of("run", _definition())
    assert one.parent == runtime
    assert one == place.directory_of("run", _definition())
    assert one != place.directory_of("other", _definition())
    assert one != place.directory_of("run", _definition().with_parameter("work_mem", "9MB"))


def test_a_holder_is_found_as_long_as_it_listens(runtime: Path):
    directory = runtime / "pg-ephemeral-shared-x"
    assert place.connect(directory) is None
    held = place.Place(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    connection = place.connect(directory)
    assert connection is not None
    connection.close()
    # The sweep leaves alone what somebody holds.
    place.sweep()
    assert directory.exists()
    held.close()
    assert list(runtime.iterdir()) == []
    held.close()
    assert visit(directory) is None


def test_what_nobody_holds_is_swept(runtime: Path):
    left = runtime / "pg-ephemeral-shared-x"
    left.mkdir(mode=0o700)
    (left / "lock").touch()
    foreign = runtime / "pg-ephemeral-other"
    foreign.mkdir()
    assert place.connect(left) is None
    place.sweep()
    assert list(runtime.iterdir()) == [foreign]


def test_a_directory_that_others_can_enter_is_not_trusted(runtime: Path):
    directory = runtime / "pg-ephemeral-shared-x"
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(ServerError, match="is not a directory of ours alone"):
        place.connect(directory)
    directory.rmdir()
    directory.symlink_to(runtime)
    with pytest.raises(ServerError, match="is not a directory of ours alone"):
        place.connect(directory)
