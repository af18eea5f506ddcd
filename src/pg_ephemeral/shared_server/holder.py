"""The holder: boots the server, hands it to those who connect, and ends it after the last of them.

Two threads. The main one boots, waits and cleans up, so that a signal reaches it anywhere. The other talks to the
members, from before the boot on, so that one which nobody waits for any more is broken off.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
import traceback
from contextlib import suppress
from types import FrameType

from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import Interrupted, PgEphemeralError, ServerError
from pg_ephemeral.lifecycle import boot
from pg_ephemeral.shared_server import place
from pg_ephemeral.shared_server.facts import BootRecord, described
from pg_ephemeral.shared_server.messages import Lines, Message, encode, error_message

#: How long a holder that nobody connected to stays, in seconds.
_FIRST = 60.0


class Holder:
    """One server, its members, and what they asked to keep."""

    def __init__(self, definition: Definition, spot: place.Place) -> None:
        self._definition = definition
        self._place = spot
        self._members: dict[socket.socket, Lines] = {}
        self._leaving: socket.socket | None = None
        self._answer: bytes | None = None
        self._told: set[socket.socket] = set()
        self._answered, self._answering = socket.socketpair()
        self._kept: set[str] = set()
        self._minutes = 0.0
        self._until = time.monotonic() + _FIRST
        self._booted = threading.Event()
        self._released = threading.Event()
        self._ended = False

    def run(self) -> None:
        """Boot, serve and clean up; the errors of the boot go to the members."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGHUP, self._end)
        threading.Thread(target=self._serve, name="members", daemon=True).start()
        try:
            try:
                self._hold()
            except PgEphemeralError as error:
                self._say(error_message(error))
            except Exception as error:  # noqa: BLE001 -- whatever it is, somebody waits to be told
                last = traceback.format_exception_only(error)[-1].strip()
                self._say(error_message(ServerError(f"booting failed: {last}", detail=traceback.format_exc())))
            self._released.wait()
        except Interrupted:
            pass
        finally:
            self._ended = True
            self._place.close()

    def _hold(self) -> None:
        record = BootRecord()
        with boot(self._definition, progress=record) as server:
            self._booted.set()
            self._say({"ready": described(server, record).to_json(), "pid": os.getpid()})
            self._released.wait()

    def _say(self, message: Message) -> None:
        """Tell everybody who is there, and whoever comes."""
        self._booted.set()
        self._answer = encode(message)
        self._answering.send(b".")

    def _end(self, number: int, _frame: FrameType | None) -> None:
        """A signal ends whatever the main thread does; only the first, for what follows is the clean-up."""
        if not self._ended:
            self._ended = True
            raise Interrupted(number, signal.Signals(number).name)

    def _serve(self) -> None:
        """Talk to the members until nobody is left, then release the main thread."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._place.listener, selectors.EVENT_READ)
                selector.register(self._answered, selectors.EVENT_READ)
                while self._wanted() or not self._retired(selector):
                    within = None if self._members else max(0.0, self._until - time.monotonic())
                    for key, _ in selector.select(within):
                        assert isinstance(key.fileobj, socket.socket)  # noqa: S101 -- we register nothing else
                        self._attend(key.fileobj, selector)
        finally:
            self._released.set()
            main = threading.main_thread().ident
            if not self._booted.is_set() and main is not None:
                signal.pthread_kill(main, signal.SIGTERM)

    def _wanted(self) -> bool:
        return bool(self._members) or time.monotonic() < self._until

    def _retired(self, selector: selectors.BaseSelector) -> bool:
        """Close the door, unless somebody stands before it."""
        with place.coming_and_going():
            self._place.listener.settimeout(0)
            with suppress(BlockingIOError):
                self._welcome(selector)
                return False
            self._place.close()
            return True

    def _attend(self, ready: socket.socket, selector: selectors.BaseSelector) -> None:
        if ready is self._place.listener:
            self._welcome(selector)
        elif ready is self._answered:
            selector.unregister(ready)
            for member in list(self._members):
                self._tell(member, selector)
        else:
            self._hear(ready, selector)

    def _welcome(self, selector: selectors.BaseSelector) -> None:
        member, _ = self._place.listener.accept()
        member.settimeout(None)
        if self._leaving is not None:
            self._leaving.close()
            self._leaving = None
        self._members[member] = Lines(member)
        selector.register(member, selectors.EVENT_READ)
        self._tell(member, selector)

    def _tell(self, member: socket.socket, selector: selectors.BaseSelector) -> None:
        """How the boot went, once, if it is known by now."""
        if self._answer is not None and member not in self._told:
            self._told.add(member)
            self._send(member, self._answer, selector)

    def _hear(self, member: socket.socket, selector: selectors.BaseSelector) -> None:
        lines = self._members[member]
        try:
            going = not lines.feed()
        except OSError:
            going = True
        while (message := lines.take()) is not None:
            self._send(member, encode({"kept": self._keep(message)}), selector)
        if going:
            self._dismiss(member, selector)

    def _keep(self, message: Message) -> bool:
        database = str(message["keep"])
        if database not in self._kept and len(self._kept) >= int(message["limit"]):
            return False
        self._kept.add(database)
        self._minutes = float(message["minutes"])
        return True

    def _send(self, member: socket.socket, line: bytes, selector: selectors.BaseSelector) -> None:
        try:
            member.sendall(line)
        except OSError:
            self._dismiss(member, selector)

    def _dismiss(self, member: socket.socket, selector: selectors.BaseSelector) -> None:
        """Let a member go; the last one is kept waiting until the server is gone, unless it is to stay."""
        if self._members.pop(member, None) is None:
            return
        self._told.discard(member)
        selector.unregister(member)
        if self._members or self._kept:
            member.close()
        else:
            self._leaving = member
        self._until = time.monotonic() + (60.0 * self._minutes if self._kept else 0.0)
