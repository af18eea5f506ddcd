"""What the environment has no say in, however many threads connect at once."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from pg_ephemeral.postgres import client


def test_variables_stay_hidden_while_another_thread_brings_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    begun, inside, seen = threading.Event(), threading.Event(), []

    def connect() -> None:
        begun.set()
        with client._hidden():
            inside.set()
            seen.append("PGTZ" in os.environ)

    thread = threading.Thread(target=connect)
    with client._hidden():
        assert "PGTZ" not in os.environ
        thread.start()
        begun.wait()
        # Longer than it takes to get in, were it let in.
        assert not inside.wait(0.1)
    thread.join()
    assert seen == [False]
    assert os.environ["PGTZ"] == "Asia/Tokyo"


def test_nobody_waits_where_nothing_is_to_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in client._HIDDEN:
        monkeypatch.delenv(name, raising=False)
    with client._hidden():
        thread = threading.Thread(target=lambda: client._hidden().__enter__())
        thread.start()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_process_that_is_forked_meanwhile_has_them_and_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    hidden = threading.Event()

    def hide() -> None:
        with client._hidden():
            hidden.set()
            time.sleep(0.1)

    thread = threading.Thread(target=hide)
    thread.start()
    hidden.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        with client._hidden():
            pass
        os._exit(0 if os.environ.get("PGTZ") == "Asia/Tokyo" else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
