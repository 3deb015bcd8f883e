"""An ordinary user's hold, a running dpkg and an inhibitor: each is enough, all are named, the idle time begins anew when one ends,
and a key calls a warning off."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from harness.evidence import expect, wait_for
from harness.seed import ACT_AFTER, WARN_BEFORE
from harness.terminal import USER, Terminal
from harness.world import World

REASON = "nightly evaluation"
INHIBITOR = "e2e-backup"
GATE = "/run/e2e-gate"
STILL = ("warned", "rechecking", "draining", "acting", "verifying")


def run(world: World) -> None:
    """See the module."""
    machine, agent, report = world.machine, world.agent, world.report
    terminal = world.login()
    _user_commands(world, terminal)
    code, shown = terminal.command(f"agentctl hold 10m --reason '{REASON}'")
    expect(code == 0, f"an ordinary user cannot hold the machine: {code} {shown}")
    machine.start(
        "e2e-inhibitor",
        "systemd-inhibit",
        "--what=sleep:shutdown",
        f"--who={INHIBITOR}",
        "--why=copies",
        "sleep",
        "600",
    )
    _start_slow_installation(world)

    def idle_long_enough() -> bool:
        nothing_happens(world)
        return agent.idle_seconds() > ACT_AFTER + 2

    wait_for("the idle clock runs past the limit", idle_long_enough, within=ACT_AFTER + 30)
    _only(world, REASON, INHIBITOR, "dpkg")
    report.block("past the limit, and three things keep it up (agentctl why)", machine.run("agentctl", "why").out)

    machine.run("runuser", "-u", USER, "--", "agentctl", "release").ok()
    wait_for("the hold is gone", lambda: not agent.status()["holds"], within=5)
    _anew(world, "the hold")
    _only(world, INHIBITOR, "dpkg")
    machine.run("systemctl", "stop", "e2e-inhibitor.service").ok()
    wait_for("the inhibitor is gone", lambda: not any(INHIBITOR in each for each in agent.obstacles()), within=10)
    _anew(world, "the inhibitor")
    wait_for("the idle clock runs past the limit again", idle_long_enough, within=ACT_AFTER + 30)
    _only(world, "dpkg")
    report.note("hold released, inhibitor gone, each was a use until then: dpkg alone still keeps it up")

    machine.inside(GATE).unlink()
    ended = time.monotonic()
    wait_for("dpkg is gone", lambda: not any("dpkg" in each for each in agent.obstacles()), within=15)
    _anew(world, "dpkg")
    agent.wait_stage("warned", within=ACT_AFTER + 15)
    waited = time.monotonic() - ended
    least = ACT_AFTER - max(WARN_BEFORE) - 1
    expect(waited > least, f"the warning came {waited:.1f} s after the end of dpkg, not {least} s after it")
    report.note(f"warned {waited:.1f} s after the end of dpkg: the idle time began anew there")
    wait_for("the warning reaches the terminal", lambda: "hibernate" in terminal.text.lower(), within=5)
    before = len(terminal.text)
    terminal.keys("\n")
    agent.wait_stage("active", "settling", within=5)
    wait_for(
        "the terminal is told that it was called off", lambda: "called off" in terminal.text[before:].lower(), within=5
    )
    expect(world.stops() == 0, "the instance was stopped although a key was pressed")
    report.block("the terminal: warned, and called off by a key", terminal.text[-900:])
    world.leave()


def _user_commands(world: World, terminal: Terminal) -> None:
    """What an ordinary user may do and may not."""
    code, _ = terminal.command("agentctl run --reason tests -- sh -c 'exit 7'")
    expect(code == 7, f"agentctl run gave {code} instead of its command's 7")
    wait_for("the hold of agentctl run ends with it", lambda: not world.agent.status()["holds"], within=5)
    code, shown = terminal.command("agentctl stop --yes")
    expect(code == 4, f"agentctl stop by an ordinary user gave {code} instead of 4 (not permitted): {shown}")
    code, shown = terminal.command("agentctl hold 100h")
    held = world.agent.status()["holds"]
    expect(code == 0 and len(held) == 1, f"agentctl hold 100h gave {code}: {shown}")
    expect(
        held[0]["owner"] == USER and held[0]["left_seconds"] <= 2 * 3600,
        f"the hold is not capped at two hours: {held[0]}",
    )
    code, shown = terminal.command("agentctl release")
    expect(code == 0 and not world.agent.status()["holds"], f"agentctl release gave {code}: {shown}")
    world.report.note(
        "an ordinary user: run gives the exit code, stop is not permitted, a hold is capped, release works"
    )


def _anew(world: World, what: str) -> None:
    """The end of a block or a hold is its last moment of use: the idle time begins there."""
    idle = world.agent.idle_seconds()
    expect(idle < 6, f"after the end of {what} the idle time is {idle:.1f} s: it did not begin anew")
    nothing_happens(world)


def _start_slow_installation(world: World) -> None:
    """A real dpkg that takes its time: the package's postinst waits for a file to go."""
    source = world.folder / "slow"
    (source / "DEBIAN").mkdir(parents=True)
    control = "Package: e2e-slow\nVersion: 1\nArchitecture: all\nMaintainer: e2e <e2e@localhost>\nDescription: takes its time\n"
    (source / "DEBIAN/control").write_text(control)
    script = source / "DEBIAN/postinst"
    script.write_text(f"#!/bin/sh\nwhile [ -e {GATE} ]; do sleep 0.5; done\n")
    script.chmod(0o755)
    built = world.folder / "e2e-slow.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(source), str(built)], check=True, capture_output=True
    )
    inside = Path("/run/e2e-slow.deb")
    world.machine.inside(str(inside)).write_bytes(built.read_bytes())
    world.machine.write(GATE, "")
    world.machine.start("e2e-dpkg", "dpkg", "--install", str(inside))


def nothing_happens(world: World) -> bool:
    """Fails as soon as anything is about to happen."""
    stage = world.agent.stage()
    expect(
        stage not in STILL and world.stops() == 0, f"the agent goes on although it is kept up: {world.agent.describe()}"
    )
    return True


def _only(world: World, *words: str) -> None:
    """Every one of these is named as standing in the way, and no other of the three."""
    obstacles = world.agent.obstacles()
    for word in (REASON, INHIBITOR, "dpkg"):
        named = any(word in each for each in obstacles)
        expect(named == (word in words), f"{word} {'is' if named else 'is not'} named, of {words}: {obstacles}")
