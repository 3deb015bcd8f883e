"""The package's life: an upgrade keeps what was held and edited, removal stops the agent, purge leaves nothing."""

from __future__ import annotations

import subprocess

from harness.evidence import expect, wait_for
from harness.terminal import USER
from harness.world import World

CONFIGURATION = "/etc/agentd/agentd.toml"


def run(world: World) -> None:
    """See the module."""
    _upgrade(world)
    _remove(world)
    _install_anew(world)


def _upgrade(world: World) -> None:
    machine, agent = world.machine, world.agent
    machine.run("runuser", "-u", USER, "--", "agentctl", "hold", "10m", "--reason", "kept over the upgrade").ok()
    machine.write(CONFIGURATION, machine.inside(CONFIGURATION).read_text() + "\n# edited by the administrator\n")
    machine.run("systemctl", "disable", "agentd.service").ok()
    pid = agent.main_pid()
    newer = _newer(world)
    _apt(world, "install", newer)
    wait_for("another process serves", lambda: agent.main_pid() not in (0, pid), within=15)
    holds = [each["reason"] for each in agent.status()["holds"]]
    expect(holds == ["kept over the upgrade"], f"the holds after the upgrade are {holds}")
    expect(
        "edited by the administrator" in machine.inside(CONFIGURATION).read_text(),
        "the upgrade overwrote an edited file",
    )
    enabled = machine.run("systemctl", "is-enabled", "agentd.service").out.strip()
    expect(enabled == "disabled", f"the administrator disabled the unit, and after the upgrade it is {enabled}")
    expect(machine.property("agentd.service", "NRestarts") == "0", "the upgraded agent crashed")
    world.report.note("upgrade: restarted; the hold, the edited configuration and the disabled unit are kept")


def _remove(world: World) -> None:
    machine, agent = world.machine, world.agent
    _apt(world, "remove", "agentd")
    state = machine.property("agentd.service", "ActiveState")
    expect(state in ("inactive", "failed"), f"after the removal agentd.service is {state}")
    expect(agent.get("/v1/status") is None, "somebody still answers on the socket after the removal")
    expect(machine.inside(CONFIGURATION).exists(), "the removal deleted the configuration")
    _apt(world, "purge", "agentd")
    left = [path for path in ("/etc/agentd", "/var/lib/agentd") if machine.inside(path).exists()]
    expect(not left, f"the purge left {left}")
    world.report.note("removal stops it and keeps the configuration; purge leaves nothing")


def _install_anew(world: World) -> None:
    machine, agent = world.machine, world.agent
    again = "/run/agentd-again.deb"
    machine.inside(again).write_bytes(world.package.read_bytes())
    _apt(world, "install", again)
    status = agent.status()
    expect(status["mode"] == "observe", f"a fresh package must only observe, and it is in mode {status['mode']}")
    expect(status["holds"] == [], f"a purged installation left holds: {status['holds']}")
    world.report.note("installed anew: it only observes")


def _newer(world: World) -> str:
    """The same package with a higher version, inside the machine."""
    unpacked = world.folder / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", str(world.package), str(unpacked)], check=True)
    control = unpacked / "DEBIAN/control"
    lines = [f"{line}+e2e1" if line.startswith("Version:") else line for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    inside = "/run/agentd-newer.deb"
    target = str(world.machine.inside(inside))
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(unpacked), target], check=True, capture_output=True
    )
    return inside


def _apt(world: World, verb: str, what: str) -> None:
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    world.machine.run(*environment, "apt-get", "-o", "DPkg::Lock::Timeout=60", "--yes", verb, what, within=120).ok()
