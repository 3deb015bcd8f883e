"""Everything that a scenario works with, made in order and taken down in reverse, whatever happens."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from . import host, power, seed, tree, works
from .agent import Agent
from .callers import Caller
from .ec2 import Ec2, Moto
from .evidence import Report
from .imds import Imds, Instance
from .machine import Machine, remove_cgroup, report_console
from .network import METADATA_ADDRESS, WORLD_ADDRESS, Network
from .terminal import Terminal, make_key

PREFIX = "agentd-e2e-"
HERE = Path(__file__).resolve().parent.parent
EXAMPLE = HERE.parent.parent / "packaging/cloud-init/hibernate-when-idle.yaml"


@dataclass
class World:
    """One run's machine and surroundings."""

    report: Report
    folder: Path
    package: Path
    network: Network
    imds: Imds
    ec2: Ec2
    machine: Machine
    agent: Agent
    key: Path
    terminals: list[Terminal] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)

    def login(self) -> Terminal:
        """Somebody logs in by ssh and has a prompt."""
        terminal = Terminal(self.network, self.key)
        self.terminals.append(terminal)
        return terminal.ready()

    def leave(self) -> None:
        """Everybody who is still logged in leaves."""
        for terminal in self.terminals:
            terminal.close()
        self.terminals.clear()

    def call(self, caller: Caller) -> None:
        """Keeps a program at the world's end until the run is over."""
        self.callers.append(caller)

    def hang_up(self) -> None:
        """Every program at the world's end is closed."""
        for caller in self.callers:
            caller.close()
        self.callers.clear()

    def stops(self) -> int:
        """How many StopInstances were carried out."""
        return len(self.ec2.real("StopInstances"))

    def log(self) -> str:
        """What the world was asked."""
        lines = [f"EC2   {call}" for call in self.ec2.calls] + [f"IMDS  {line}" for line in self.imds.log[-200:]]
        lines += [f"BAD   {line}" for line in self.ec2.violations + self.imds.violations]
        return "\n".join(lines)


def build(stack: ExitStack, report: Report, package: Path) -> World:
    """Makes the world and boots the machine with its user-data. `stack` takes all of it down again."""
    cache = host.cache()
    sweep(cache)
    base = tree.base(cache, report)
    python = tree.python_packages(cache, HERE / "requirements.txt", report)
    tag = f"{PREFIX}{os.getpid()}"
    folder = cache / "runs" / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"
    folder.mkdir(parents=True)

    network = Network(tag)
    stack.callback(network.remove)
    network.create()
    moto = Moto(python, folder / "moto.log", Instance.region)
    stack.callback(moto.close)
    instance = Instance(moto.launch())
    imds = Imds(instance, network.listen(METADATA_ADDRESS, 80))
    stack.callback(imds.close)
    ec2 = Ec2(moto, instance.instance_id, instance.access_key, network.listen(WORLD_ADDRESS, seed.EC2_PORT))
    stack.callback(ec2.close)
    published = seed.publish(package, folder / "packages")
    server = seed.PackageServer(published.parent, network.listen(WORLD_ADDRESS, seed.PACKAGE_PORT))
    stack.callback(server.close)
    report.note(f"the world: IMDS, moto with {instance.instance_id}, {published.name} for the user-data to fetch")

    layer = tree.Layer(base, cache / "layers" / tag)
    stack.callback(layer.remove)
    layer.create()
    key = make_key(folder)
    seed.plant(
        layer.root, seed.user_data(EXAMPLE, published), instance.instance_id, key.with_suffix(".pub").read_text()
    )
    power.plant(layer.root)
    works.plant(layer.root)
    machine = Machine(tag, layer, network, power.promise(folder / "power"), folder / "console.log")
    stack.callback(machine.end)
    world = World(report, folder, published, network, imds, ec2, machine, Agent(machine), key)
    stack.callback(world.leave)
    stack.callback(world.hang_up)
    machine.boot()
    report.note(f"the machine boots (systemd-nspawn, first process {machine.leader} of the host)")
    return world


def keep_evidence(world: World) -> None:
    """Writes the journal, the status and the world's log into the run's folder. Never fails."""
    (world.folder / "world.log").write_text(world.log() + "\n")
    (world.folder / "terminals.log").write_text("\n\n".join(each.text for each in world.terminals))
    if not world.machine.leader:
        return
    try:
        world.machine.thaw()
        for name, words in (
            ("journal.txt", ["journalctl", "--no-pager", "--boot", "--output=short-precise"]),
            ("agentd.txt", ["journalctl", "--no-pager", "--boot", "--unit=agentd", "--output=short-precise"]),
            ("why.txt", ["agentctl", "why"]),
            ("cloud-init.txt", ["cat", "/var/log/cloud-init-output.log"]),
        ):
            answer = world.machine.run(*words, within=20)
            (world.folder / name).write_text(answer.out + answer.err)
    except Exception as error:  # noqa: BLE001 (evidence must not hide the failure that it is kept for)
        (world.folder / "evidence-error.txt").write_text(f"{error}\n")


def show_evidence(world: World) -> None:
    """Prints what explains a failure."""
    for name, lines in (
        ("agentd.txt", 60),
        ("why.txt", 60),
        ("world.log", 40),
        ("cloud-init.txt", 20),
        ("terminals.log", 20),
    ):
        path = world.folder / name
        if path.exists():
            world.report.block(f"the end of {name}", "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
    report_console(world.machine, world.report)
    world.report.note(f"everything is kept in {world.folder}")


def sweep(cache: Path) -> None:
    """Removes what runs left that were killed outright. A run that still lives is left alone."""

    def dead(name: str) -> bool:
        found = re.match(rf"{PREFIX}(\d+)", name)
        return found is not None and not Path(f"/proc/{found.group(1)}").exists()

    namespaces = Path("/run/netns")
    for name in [each.name for each in namespaces.iterdir()] if namespaces.exists() else []:
        if dead(name):
            subprocess.run(["ip", "netns", "delete", name], check=False)
    for folder in host.unified().glob(f"{PREFIX}*"):
        if dead(folder.name):
            kill = folder / "cgroup.kill"
            if kill.exists():
                kill.write_text("1")
            remove_cgroup(folder)
    for layer in (cache / "layers").glob(f"{PREFIX}*"):
        if dead(layer.name):
            subprocess.run(["umount", "--lazy", str(layer / "root")], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(layer, ignore_errors=True)
    for old in sorted((cache / "runs").glob("*"))[:-10]:
        shutil.rmtree(old, ignore_errors=True)
