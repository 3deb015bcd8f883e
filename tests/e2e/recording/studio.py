"""The machine of one recording: a booted Debian with people's accounts, the agent, and clients at the world's end."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness import host, tree
from harness.agent import Agent
from harness.ec2 import Ec2, Moto
from harness.evidence import Failure, Report, expect, wait_for
from harness.imds import Imds, Instance
from harness.machine import Answer, Machine
from harness.network import MACHINE_ADDRESS, METADATA_ADDRESS, WORLD_ADDRESS, Network
from harness.seed import EC2_PORT
from harness.terminal import Terminal, make_key, ssh
from harness.world import HERE, PREFIX

from . import programs
from .label import BLOCK, HUMAN, JOB, Label, boot_seconds

REPOSITORY = HERE.parent.parent
SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
PACKAGES = [
    "at",
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "dbus-user-session",
    "iproute2",
    "jupyter-server",
    "kmod",
    "libpam-systemd",
    "mosh",
    "nodejs",
    "openssh-client",
    "openssh-server",
    "procps",
    "python3",
    "python3-ipykernel",
    "python3-jupyter-client",
    "rsync",
    "screen",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tmux",
    "udev",
]
#: Raised when `prepare` changes.
REVISION = 1
PEOPLE = {"alice": 1000, "bob": 1001, "ssm-user": 1002}

#: Seconds of idleness after which the agent would act: thirty minutes in a fortieth of the time. It is six times the eight
#: seconds in which the access time of a PTY moves.
ACT_AFTER = 48
#: The stages from which no key brings the machine back.
ACTS = ("would-act", "acting", "verifying")
#: How often the sources are read, seconds.
INTERVAL = 2

CONFIGURATION = f"""\
[idle]
quiet_after = "16s"
act_after = "{ACT_AFTER}s"
warn_before = ["12s", "6s"]
boot_grace = "0s"
resume_grace = "0s"

[sampling]
interval = "{INTERVAL}s"
"""

#: Counters of disks that stand still: those in /proc/diskstats are the host's, and what the host does is no use of this machine.
DROP_IN = f"""\
[Service]
BindReadOnlyPaths=/etc/still-diskstats:/proc/diskstats
Environment=AWS_ENDPOINT_URL_EC2=http://{WORLD_ADDRESS}:{EC2_PORT}
"""


def base(cache: Path, report: Report, suite: str) -> Path:
    """The pristine tree of a Debian."""
    return tree.made(cache, report, f"record-{suite}", SUITES[suite], PACKAGES, prepare, REVISION)


def prepare(root: Path) -> None:
    """Accounts, programs, no network management of its own."""
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/fstab").write_text("")
    units = root / "etc/systemd/system"
    for unit in ("systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service"):
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    for name, uid in PEOPLE.items():
        _chroot(root, "useradd", "--create-home", "--shell=/bin/bash", f"--uid={uid}", name)
    _chroot(root, "usermod", "--append", "--groups=sudo", "alice")
    (root / "etc/sudoers.d/people").write_text("%sudo ALL=(ALL) NOPASSWD: ALL\n")
    folder = root / "home/alice/.vscode-server/bin/0123456789abcdef"
    folder.mkdir(parents=True)
    shutil.copy(root / "usr/bin/node", folder / "node")
    _chroot(root, "chown", "--recursive", "alice:alice", "/home/alice")


def _chroot(root: Path, *words: str) -> None:
    subprocess.run(["chroot", str(root), *words], check=True, stdin=subprocess.DEVNULL)


def install(root: Path, key: Path, enforce: bool) -> None:
    """Puts the agent's files and the people's keys into a machine's layer, as the package and cloud-init do."""
    public = key.with_suffix(".pub").read_text()
    for user, uid in PEOPLE.items():
        folder = root / "home" / user / ".ssh"
        folder.mkdir()
        (folder / "authorized_keys").write_text(public)
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, uid, uid)
            path.chmod(0o700 if path == folder else 0o600)
    (root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    # A container's console is a pseudo-terminal, which an instance on EC2 does not have.
    (root / "etc/systemd/system/console-getty.service").symlink_to("/dev/null")
    for source, target in (
        ("systemd/agentd.service", "usr/lib/systemd/system/agentd.service"),
        ("systemd/agentd.socket", "usr/lib/systemd/system/agentd.socket"),
        ("systemd/sysusers.d/agentd.conf", "usr/lib/sysusers.d/agentd.conf"),
        ("systemd/tmpfiles.d/agentd.conf", "usr/lib/tmpfiles.d/agentd.conf"),
        ("packaging/catalog/agentd.catalog", "usr/lib/systemd/catalog/agentd.catalog"),
    ):
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / source, root / target)
    for program in ("usr/sbin/agentd", "usr/bin/agentctl"):
        (root / program).touch(mode=0o755)
    for name, text in (
        ("etc/agentd/agentd.toml", f'mode = "{"enforce" if enforce else "observe"}"\n\n{CONFIGURATION}'),
        ("etc/systemd/system/agentd.service.d/record.conf", DROP_IN),
        ("etc/hostname", "machine\n"),
        ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 machine\n::1 localhost\n"),
        ("etc/still-diskstats", Path("/proc/diskstats").read_text()),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    programs.plant(root)


class Client:
    """A program at the world's end: ssh without a terminal, scp, a tunnel."""

    def __init__(self, network: Network, words: list[str], log: Path) -> None:
        self._log = log.open("ab")
        line = host.tied(*network.in_world(*words))
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT)

    def wait(self, within: float) -> int:
        """Waits for its end."""
        try:
            return self.process.wait(timeout=within)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"a client did not end within {within:.0f} s: {self.process.args!r}") from error

    def close(self) -> None:
        """Ends it. Never fails."""
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


class Studio:
    """What a scene plays with."""

    def __init__(
        self,
        label: Label,
        machine: Machine,
        network: Network,
        key: Path,
        folder: Path,
        ec2: Ec2 | None,
        stack: ExitStack,
    ) -> None:
        self.label = label
        self.ec2 = ec2
        self.machine = machine
        self.network = network
        self.key = key
        self.folder = folder
        self.agent = Agent(machine)
        self.notes: list[str] = []
        #: When the recording began.
        self.began = boot_seconds()
        self._tasks = 0
        self._logins: list[Terminal] = []
        self._stack = stack
        self._stages: list[tuple[float, str, str]] = []
        self._watching = threading.Event()

    # ── the agent ──

    def begin(self) -> None:
        """Starts the agent, and with it the recording. What a scene did before is not recorded."""
        self.root("systemctl", "start", "agentd.service")
        self.agent.status()
        self.began = boot_seconds()
        thread = threading.Thread(target=self._watch, daemon=True)
        self._stack.callback(thread.join, 5)
        self._stack.callback(self._watching.set)
        thread.start()

    def _watch(self) -> None:
        while not self._watching.wait(1):
            try:
                status = self.agent.get("/v1/status")
            except (Failure, OSError, ValueError):
                continue
            if status is not None:
                self._stages.append((boot_seconds(), str(status["stage"]), _evidence(status)))

    def stages(self) -> list[tuple[float, str, str]]:
        """What the agent thought, second by second: when, the stage, and what was in use."""
        return list(self._stages)

    def would_act(self) -> list[float]:
        """The moments in which the agent was seen ready to act."""
        return [at for at, stage, _ in self._stages if stage in ACTS]

    def acting_since(self) -> float | None:
        """Since when the agent is ready to act, if it is."""
        stages = self.stages()
        since = None
        for at, stage, _ in reversed(stages):
            if stage not in ACTS:
                break
            since = at
        return since

    # ── time ──

    def rest(self, seconds: float) -> None:
        """Nothing is done for so long."""
        time.sleep(seconds)

    @contextmanager
    def human(self, who: str, does: str) -> Iterator[None]:
        """A person uses the machine while the body runs."""
        with self.label.work(who, does, HUMAN):
            yield

    @contextmanager
    def job(self, who: str, does: str) -> Iterator[None]:
        """A program works for somebody while the body runs."""
        with self.label.work(who, does, JOB):
            yield

    @contextmanager
    def block(self, who: str, does: str) -> Iterator[None]:
        """Something goes on that must not be interrupted."""
        with self.label.work(who, does, BLOCK):
            yield

    # ── people and programs ──

    def login(self, user: str = "alice", *options: str) -> Terminal:
        """Somebody logs in by ssh and has a prompt."""
        terminal = Terminal(self.network, self.key, user, options)
        self._stack.callback(terminal.close)
        self._logins.append(terminal)
        return terminal.ready()

    def check(self) -> None:
        """Fails if a login ended that nobody ended: the label would be wrong."""
        for terminal in self._logins:
            expect(terminal.alive or terminal.closed, f"a login ended by itself: {terminal.text[-200:]}")

    def terminal(self, *line: str) -> Terminal:
        """A terminal at the world's end that runs a program."""
        terminal = Terminal(self.network, self.key, line=line)
        self._stack.callback(terminal.close)
        return terminal

    def client(self, *words: str) -> Client:
        """Runs a program at the world's end."""
        client = Client(self.network, list(words), self.folder / "clients.log")
        self._stack.callback(client.close)
        return client

    def ssh(self, *words: str, user: str = "alice", options: tuple[str, ...] = ()) -> Client:
        """Somebody's ssh without a terminal, with a command or with none."""
        return self.client(*ssh(self.key, "-T", *options), f"{user}@{MACHINE_ADDRESS}", *words)

    def scp(self, *words: str) -> Client:
        """Somebody's scp. `alice:` stands for the machine."""
        words = tuple(word.replace("alice:", f"alice@{MACHINE_ADDRESS}:") for word in words)
        return self.client(*ssh(self.key, program="scp"), *words)

    def tunnel(self, port: int) -> Client:
        """An `ssh -N -L` from a port at the world's end to the same port of the machine, with keep-alives."""
        forward = f"{port}:127.0.0.1:{port}"
        client = self.ssh(options=("-N", "-L", forward, "-o", "ServerAliveInterval=5"))
        wait_for(f"port {port} is forwarded", lambda: self.try_connect(port), within=20)
        return client

    def try_connect(self, port: int) -> socket.socket | None:
        """A connection to a port of the world's own loopback; none while nobody listens."""
        try:
            return self.network.connect("127.0.0.1", port)
        except OSError:
            return None

    def connect(self, port: int) -> socket.socket:
        """The same, which must come about."""
        made = wait_for(f"port {port} takes a connection", lambda: self.try_connect(port), within=30)
        self._stack.callback(made.close)
        return made

    def type(self, terminal: Terminal, seconds: float, every: float = 2.0) -> None:
        """A person types for so long."""
        with terminal.typing(every):
            time.sleep(seconds)

    def source_of_bytes(self, port: int) -> None:
        """A server in the world that sends as much as its clients read."""
        listener = self.network.listen(WORLD_ADDRESS, port)
        self._stack.callback(listener.close)

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
                while True:
                    connection.sendall(b"x" * 4096)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def keep_open(self, connection: socket.socket) -> None:
        """A connection that stays open to the end of the recording."""
        self._stack.callback(connection.close)

    def process(self, pattern: str) -> int:
        """A process of the machine with such a command line, by its number on the host; 0 if there is none. It is looked at
        from outside, so that the looking is no load in the machine."""
        for group in self.machine.cgroup.rglob("cgroup.procs"):
            with suppress(OSError):
                for pid in group.read_text().split():
                    with suppress(OSError):
                        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                        if re.search(pattern, line):
                            return int(pid)
        return 0

    def root(self, *words: str, within: float = 60) -> Answer:
        """Runs a command of the administration: a transient service of the system under a name of its own."""
        self._tasks += 1
        return self.machine.run(*words, within=within, unit=f"task-{self._tasks}").ok()


def _evidence(status: dict[str, object]) -> str:
    rows = status.get("sources")
    busy = []
    for row in rows if isinstance(rows, list) else []:
        if row["verdict"] in ("busy", "blind", "blocks"):
            busy.append(f"{row['source']} {row['verdict']} {row.get('value')} {row.get('detail') or ''}".strip())
    idle = status.get("idle")
    seconds = idle["idle_seconds"] if isinstance(idle, dict) else -1
    return f"idle {seconds:.1f}; {'; '.join(busy)}"


def simulated_aws(stack: ExitStack, network: Network, folder: Path, report: Report) -> Ec2:
    """A metadata service and EC2 at the world's end."""
    python = tree.python_packages(host.cache(), HERE / "requirements.txt", report)
    moto = Moto(python, folder / "moto.log", Instance.region)
    stack.callback(moto.close)
    instance = Instance(moto.launch())
    imds = Imds(instance, network.listen(METADATA_ADDRESS, 80))
    stack.callback(imds.close)
    ec2 = Ec2(moto, instance.instance_id, instance.access_key, network.listen(WORLD_ADDRESS, EC2_PORT))
    stack.callback(ec2.close)
    return ec2


@contextmanager
def studio(
    label: Label, enforce: bool, number: int, lower: Path, folder: Path, binaries: Path, report: Report
) -> Iterator[Studio]:
    """Makes and boots the machine of one recording, and takes everything down again. With `enforce` the agent may act, on an
    EC2 that is simulated; else there is none, and it observes."""
    tag = f"{PREFIX}{os.getpid()}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        network = Network(tag)
        stack.callback(network.remove)
        network.create()
        layer = tree.Layer(lower, host.cache() / "layers" / tag)
        stack.callback(layer.remove)
        layer.create()
        key = make_key(folder)
        ec2 = simulated_aws(stack, network, folder, report) if enforce else None
        install(layer.root, key, enforce)
        binds = (f"{binaries}/agentd:/usr/sbin/agentd", f"{binaries}/agentctl:/usr/bin/agentctl")
        machine = Machine(tag, layer, network, None, folder / "console.log", binds)
        stack.callback(machine.end)
        machine.boot()
        wait_for("the bus is up", machine.inside("/run/dbus/system_bus_socket").exists, within=90)
        wait_for("the system is up", lambda: _is_up(machine), within=180, every=1)
        inner = stack.enter_context(ExitStack())
        yield Studio(label, machine, network, key, folder, ec2, inner)


def _is_up(machine: Machine) -> bool:
    """Whether the start is over; a unit that failed in a container is no obstacle."""
    answer = machine.run("systemctl", "is-system-running")
    return answer.out.strip() in ("running", "degraded")
