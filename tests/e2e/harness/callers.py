"""Programs at the world's end that talk to servers of the machine, each in a thread of this process."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .network import MACHINE_ADDRESS, WORLD_ADDRESS, Network


class Caller:
    """One program. It ends quietly when the machine goes."""

    def __init__(self) -> None:
        self.received = 0
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def spawn(self, work: Callable[[], None]) -> None:
        """Does something beside everything else until it is closed."""

        def until_cut() -> None:
            with suppress(OSError):
                work()

        thread = threading.Thread(target=until_cut, daemon=True)
        thread.start()
        self._threads.append(thread)

    def rest(self, seconds: float) -> bool:
        """Waits; gives whether it goes on afterwards."""
        return not self._over.wait(seconds)

    def close(self) -> None:
        """Ends it. Never fails."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=5)


class Download(Caller):
    """Fetches a file over HTTP, and reads so many bytes a second of it."""

    def __init__(self, network: Network, path: str, rate: int) -> None:
        super().__init__()
        self._socket = network.connect(MACHINE_ADDRESS, 80)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        self._socket.settimeout(10)
        self._path, self._rate = path, rate
        self.spawn(self._fetch)

    def _fetch(self) -> None:
        with self._socket:
            self._socket.sendall(f"GET {self._path} HTTP/1.1\r\nHost: machine\r\n\r\n".encode())
            began, taken = time.monotonic(), 0
            while self.rest(0.05):
                # What is due by now, so that a late turn is made up for.
                due = int((time.monotonic() - began) * self._rate)
                while taken < due:
                    piece = self._socket.recv(due - taken)
                    if not piece:
                        return
                    taken += len(piece)
                self.received = taken


class Pool(Caller):
    """What stands around every server: connections that an application keeps open and does not use, and monitoring that
    fetches a small page now and then on a new one."""

    def __init__(self, network: Network, connections: int, path: str, every: float) -> None:
        super().__init__()
        self._network, self._path, self._every = network, path, every
        self._kept = [network.connect(MACHINE_ADDRESS, 80) for _ in range(connections)]
        self.spawn(self._scrape)

    def _scrape(self) -> None:
        while True:
            with self._network.connect(MACHINE_ADDRESS, 80) as made:
                made.settimeout(10)
                made.sendall(f"GET {self._path} HTTP/1.1\r\nHost: machine\r\nConnection: close\r\n\r\n".encode())
                while piece := made.recv(4096):
                    self.received += len(piece)
            if not self.rest(self._every):
                return

    def close(self) -> None:
        """Ends it, and closes the connections."""
        super().close()
        for made in self._kept:
            made.close()


class Player(Caller):
    """Somebody plays over UDP: forty datagrams of 400 bytes a second, each answered with a larger one."""

    def __init__(self, network: Network, port: int) -> None:
        super().__init__()
        self._socket = network.datagrams(MACHINE_ADDRESS, port)
        self._socket.settimeout(1)
        self.spawn(self._send)
        self.spawn(self._receive)

    def _send(self) -> None:
        while self.rest(0.025):
            # Before the server listens, the kernel tells that nobody does.
            with suppress(ConnectionRefusedError):
                self._socket.send(b"x" * 400)

    def _receive(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError, ConnectionRefusedError):
                self.received += len(self._socket.recv(2048))

    def close(self) -> None:
        """Ends it, and closes the socket."""
        super().close()
        self._socket.close()


class Relay(Caller):
    """A relay of tunnels: the machine calls it, and somebody who is elsewhere works over it, or only keeps it open."""

    def __init__(self, network: Network, port: int) -> None:
        super().__init__()
        self.editing = False
        self.sent = 0
        self.calls = 0
        self._listener = network.listen(WORLD_ADDRESS, port)
        self._listener.settimeout(1)
        self.spawn(self._accept)

    def _accept(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                made, _ = self._listener.accept()
                made.settimeout(None)
                self.calls += 1
                self.spawn(lambda made=made: self._speak(made))  # type: ignore[misc]
                self.spawn(lambda made=made: self._listen(made))  # type: ignore[misc]

    def _speak(self, made: socket.socket) -> None:
        with made:
            while self.rest(0.5 if self.editing else 3):
                size = random.randint(700, 2300) if self.editing else 120
                made.sendall(b"x" * size)
                self.sent += size

    def _listen(self, made: socket.socket) -> None:
        while piece := made.recv(4096):
            self.received += len(piece)

    def close(self) -> None:
        """Ends it, and listens no more."""
        super().close()
        self._listener.close()
