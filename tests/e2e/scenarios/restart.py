"""The agent is killed outright in the middle of an idle period."""

from __future__ import annotations

import time

from harness.evidence import expect, wait_for
from harness.terminal import USER
from harness.world import World


def run(world: World) -> None:
    """See the module."""
    machine, agent, report = world.machine, world.agent, world.report
    machine.run("runuser", "-u", USER, "--", "agentctl", "hold", "10m", "--reason", "kept over the restart").ok()
    wait_for("the machine is idle for a while", lambda: agent.idle_seconds() > 8, within=60)
    before, seen = agent.status(), time.monotonic()
    pid = agent.main_pid()
    machine.run("kill", "-KILL", str(pid)).ok()
    wait_for("systemd starts the agent again", lambda: agent.main_pid() not in (0, pid), within=15)
    wait_for("it answers", lambda: agent.get("/v1/status"), within=10)
    wait_for("it has read every source again", lambda: agent.status()["idle"]["since"] is not None, within=10)
    after = agent.status()

    expect(after["agent"]["pid"] != before["agent"]["pid"], "the status is still that of the killed process")
    # The time in which nobody looked counts for neither side: nothing is lost, and nothing is gained.
    shown = after["idle"]["idle_seconds"]
    expect(shown >= before["idle"]["idle_seconds"] - 1, f"idleness was lost: {before['idle']} became {after['idle']}")
    passed = time.monotonic() - seen
    gained = shown - before["idle"]["idle_seconds"]
    expect(gained <= passed + 1, f"idleness was invented: {gained:.1f} s in {passed:.1f} s")
    holds = [each["reason"] for each in after["holds"]]
    expect(holds == ["kept over the restart"], f"the holds after the restart are {holds}")
    killed = f"killed at {before['idle']['idle_seconds']:.1f} s of idleness"
    report.note(f"{killed}; after the restart {shown:.1f} s, and the hold is kept")
    machine.run("runuser", "-u", USER, "--", "agentctl", "release").ok()
