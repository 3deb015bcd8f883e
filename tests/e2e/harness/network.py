"""Two network namespaces joined by a cable: the simulated world at one end, the machine at the other."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack

#: Where the instance metadata service listens on EC2 (Amazon EC2 User Guide, "Access instance metadata").
METADATA_ADDRESS = "169.254.169.254"
#: The world's end of the cable (RFC 5737, documentation range).
WORLD_ADDRESS = "198.51.100.1"
#: The machine's end.
MACHINE_ADDRESS = "198.51.100.2"

CLONE_NEWNET = 0x40000000


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Network:
    """Both namespaces. Neither has a way out: nothing here can reach a real metadata service or AWS."""

    def __init__(self, tag: str) -> None:
        self.world = f"{tag}-world"
        self.machine = f"{tag}-machine"

    def create(self) -> None:
        """Makes the namespaces, the cable and the addresses."""
        for name in (self.world, self.machine):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", "world0", "netns", self.world, "type", "veth", "peer", "name", "ens5", "netns", self.machine)
        _ip("-n", self.world, "address", "add", f"{WORLD_ADDRESS}/24", "dev", "world0")
        _ip("-n", self.world, "address", "add", f"{METADATA_ADDRESS}/32", "dev", "world0")
        _ip("-n", self.machine, "address", "add", f"{MACHINE_ADDRESS}/24", "dev", "ens5")
        _ip("-n", self.world, "link", "set", "world0", "up")
        _ip("-n", self.machine, "link", "set", "ens5", "up")
        _ip("-n", self.machine, "route", "add", "default", "via", WORLD_ADDRESS)

    def remove(self) -> None:
        """Removes both namespaces, and the cable with them. Never fails."""
        for name in (self.world, self.machine):
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)

    @property
    def machine_path(self) -> str:
        """The namespace file for the machine's interfaces."""
        return f"/run/netns/{self.machine}"

    def in_world(self, *words: str) -> list[str]:
        """The command line that runs `words` at the world's end."""
        return ["nsenter", f"--net=/run/netns/{self.world}", "--", *words]

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket at the world's end, for a server that lives in this process."""

        def make(made: socket.socket) -> None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            made.listen(64)

        return self._in_world(make)

    def connect(self, address: str, port: int) -> socket.socket:
        """A connection made at the world's end."""
        return self._in_world(lambda made: made.connect((address, port)))

    def datagrams(self, address: str, port: int) -> socket.socket:
        """A UDP socket at the world's end that talks to one port."""
        return self._in_world(lambda made: made.connect((address, port)), socket.SOCK_DGRAM)

    def _in_world(
        self, use: Callable[[socket.socket], None], kind: socket.SocketKind = socket.SOCK_STREAM
    ) -> socket.socket:
        """A socket stays in the namespace in which it was made (network_namespaces(7)), and setns(2) moves one thread only, so a
        short-lived thread makes it.
        """
        made: list[socket.socket] = []
        failed: list[OSError] = []

        def make() -> None:
            try:
                with open(f"/run/netns/{self.world}", "rb") as namespace:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                with ExitStack() as unless_it_is_used:
                    new = unless_it_is_used.enter_context(socket.socket(socket.AF_INET, kind))
                    use(new)
                    unless_it_is_used.pop_all()
                made.append(new)
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]
