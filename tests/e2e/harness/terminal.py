"""People at terminals: real ssh logins from the world, each with a pseudo-terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import host
from .evidence import Failure, expect, wait_for
from .network import MACHINE_ADDRESS, Network

#: The account that cloud-init makes on Debian.
USER = "debian"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|[\x07\r]")


def make_key(folder: Path) -> Path:
    """A fresh key pair; the public half goes into the instance's metadata."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f", str(key)], check=True)
    return key


def ssh(key: Path, *options: str, program: str = "ssh") -> list[str]:
    """The beginning of a command line of ssh, scp or sftp: no configuration of this host, no question."""
    words = [program, "-i", str(key), "-F", "none"]
    for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"):
        words += ["-o", option]
    return [*words, *options]


class Terminal:
    """One ssh login. What it shows is collected all the time, as a screen does."""

    def __init__(
        self, network: Network, key: Path, user: str = USER, options: tuple[str, ...] = (), line: tuple[str, ...] = ()
    ) -> None:
        """Logs in, or runs `line` at the world's end instead."""
        words = [*line] if line else [*ssh(key, "-tt", *options), f"{user}@{MACHINE_ADDRESS}"]
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._text = ""
        self._lock = threading.Lock()
        self._commands = 0
        self._process = subprocess.Popen(
            host.tied(*network.in_world(*words)),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm" if line else "dumb", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        master = self._master
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                return
            if not piece:
                return
            with self._lock:
                self._text += piece.decode(errors="replace")

    @property
    def text(self) -> str:
        """Everything shown so far, without the control sequences."""
        with self._lock:
            return ESCAPES.sub("", self._text)

    @property
    def alive(self) -> bool:
        """Whether the connection is up."""
        return self._process.poll() is None

    @property
    def closed(self) -> bool:
        """Whether this end closed it."""
        return self._master < 0

    def keys(self, text: str) -> None:
        """Presses keys."""
        os.write(self._master, text.encode())

    def ready(self) -> Terminal:
        """Waits for the shell's prompt."""
        wait_for("the shell's prompt", lambda: self.text.rstrip().endswith("$") or self._ended(), within=30)
        return self

    def _ended(self) -> bool:
        expect(self.alive, f"the login ended: {self.text[-300:]}")
        return False

    def command(self, line: str, within: float = 20) -> tuple[int, str]:
        """Types a command, waits for its end, and gives its exit code and what it showed."""
        self._commands += 1
        mark = f"end-{self._commands}"
        before = len(self.text)
        self.keys(f'{line}; echo "{mark}=$?"\n')
        pattern = re.compile(rf"^{mark}=(\d+)$", re.MULTILINE)
        found = wait_for(f"`{line}` ends", lambda: pattern.search(self.text[before:]) or self._ended(), within)
        if not isinstance(found, re.Match):
            raise Failure(f"`{line}` never ended")
        shown = self.text[before:][: found.start()]
        return int(found.group(1)), shown.split("\n", 1)[-1]

    @contextmanager
    def typing(self, every: float) -> Iterator[None]:
        """A person who types: one key each `every` seconds, and Enter now and then."""
        stop = threading.Event()

        def type_on() -> None:
            count = 0
            while not stop.wait(every):
                count += 1
                try:
                    self.keys("\n" if count % 5 == 0 else "#")
                except OSError:
                    return

        thread = threading.Thread(target=type_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.keys("\n")

    def logout(self) -> None:
        """Leaves as people do, by `exit`."""
        self.keys("exit\n")
        wait_for("the login ends", lambda: not self.alive, within=15)
        self.close()

    def close(self) -> None:
        """Cuts the connection. Never fails."""
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        time.sleep(0.05)
        # Once only: another thread may have been given the same number meanwhile.
        master, self._master = self._master, -1
        if master >= 0:
            with suppress(OSError):
                os.close(master)
