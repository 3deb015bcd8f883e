"""The machine: a booted Debian in systemd-nspawn, and how it is reached, frozen and ended."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import host, seed
from .evidence import Failure, Report, expect, wait_for
from .network import Network
from .tree import Layer


@dataclass(frozen=True)
class Answer:
    """How a command in the machine ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    def ok(self) -> Answer:
        """Fails unless the command ended well."""
        expect(
            self.code == 0,
            f"`{shlex.join(self.words)}` ended with {self.code}: {(self.err or self.out).strip()[-600:]}",
        )
        return self


class Machine:
    """One machine. Everything in it lives in one cgroup of the host, so that nothing can outlive the run."""

    def __init__(
        self, name: str, layer: Layer, network: Network, power: Path | None, console: Path, binds: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.layer = layer
        self.network = network
        self.power = power
        self.binds = binds
        self.console = console
        self.cgroup = host.unified() / name
        self.leader = 0
        self._nspawn: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Starts the machine and waits for its first process."""
        self.cgroup.mkdir(exist_ok=True)
        seed.new_boot(self.layer.root)
        enter = f'echo $$ > {shlex.quote(str(self.cgroup / "cgroup.procs"))} && exec "$@"'
        words = ["sh", "-c", enter, "sh", "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"]
        words += [f"--directory={self.layer.root}", f"--machine={self.name}", "--console=read-only"]
        words += [f"--network-namespace-path={self.network.machine_path}"]
        words += [f"--bind={self.power}:/sys/power"] if self.power else []
        words += [f"--bind-ro={bind}" for bind in self.binds]
        words += ["--", "--show-status=no"]
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with self.console.open("ab") as out:
            self._nspawn = subprocess.Popen(
                host.tied(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment
            )
        self.leader = wait_for("systemd-nspawn starts the machine", self._first_process, within=30, every=0.05)

    def _first_process(self) -> int:
        if self._nspawn is None or self._nspawn.poll() is not None:
            raise Failure(f"systemd-nspawn ended at once: {self.console.read_text(errors='replace')[-500:]}")
        for child in Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split():
            try:
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
            except OSError:
                continue
        return 0

    def inside(self, path: str) -> Path:
        """A path of the machine as the host sees it while the machine runs (its /run and sockets too)."""
        return Path(f"/proc/{self.leader}/root") / path.lstrip("/")

    def run(self, *words: str, within: float = 60, unit: str = "") -> Answer:
        """Runs a command as root in the machine, as a transient service of system.slice, under a name if one is given."""
        scope = [
            "systemd-run",
            "--quiet",
            "--wait",
            "--pipe",
            "--collect",
            "--slice=system.slice",
            "--service-type=exec",
            *([f"--unit={unit}"] if unit else []),
        ]
        line = ["nsenter", f"--target={self.leader}", "--all", "--", *scope, "--", *words]
        try:
            ended = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=within, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"`{shlex.join(words)}` did not end within {within:.0f} s") from error
        return Answer(
            words, ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        )

    def start(self, unit: str, *words: str) -> None:
        """Starts a command as a service of that name and leaves it running."""
        line = [
            "nsenter",
            f"--target={self.leader}",
            "--all",
            "--",
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={unit}",
        ]
        subprocess.run([*line, "--", *words], stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=30)

    def write(self, path: str, text: str) -> None:
        """Writes a file in the machine."""
        target = self.inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as `systemctl show` gives it."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).ok().out.strip()

    def journal(self, *filters: str) -> list[dict[str, str]]:
        """Journal entries, oldest first, each with all its fields."""
        lines = self.run("journalctl", "--no-pager", "--output=json", "--all", *filters).ok().out.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def freeze(self) -> None:
        """Stops every process at once, as a machine that is off does (cgroup v2 freezer)."""
        (self.cgroup / "cgroup.freeze").write_text("1")
        events = self.cgroup / "cgroup.events"
        wait_for("the machine is frozen", lambda: "frozen 1" in events.read_text(), within=10, every=0.02)

    def thaw(self) -> None:
        """Lets every process go on where it was."""
        (self.cgroup / "cgroup.freeze").write_text("0")

    def power_off(self) -> None:
        """Shuts the machine down in order and waits until nothing of it is left. It can be booted again."""
        if self._nspawn is None:
            raise Failure("the machine was never booted")
        self.run("systemctl", "--no-block", "poweroff", within=30)
        nspawn = self._nspawn
        wait_for("the machine is off", lambda: nspawn.poll() is not None, within=60, every=0.1)
        self.leader = 0
        remove_cgroup(self.cgroup)

    def end(self) -> None:
        """Kills everything in the machine and removes its cgroup. Never fails."""
        try:
            if self.cgroup.exists():
                (self.cgroup / "cgroup.kill").write_text("1")
        except OSError:
            if self._nspawn is not None:
                self._nspawn.kill()
        if self._nspawn is not None:
            self._nspawn.wait()
        remove_cgroup(self.cgroup)


def remove_cgroup(folder: Path) -> None:
    """Removes a cgroup and what is below it, once its processes are gone. Never fails."""
    for _ in range(100):
        for inner, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):
                os.rmdir(inner)
        if not folder.exists():
            return
        time.sleep(0.05)


def report_console(machine: Machine, report: Report) -> None:
    """Prints the end of the machine's console."""
    text = machine.console.read_text(errors="replace") if machine.console.exists() else ""
    report.block("the end of the console", "\n".join(text.splitlines()[-25:]))
