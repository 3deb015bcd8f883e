"""The machine goes down with its memory, for longer than the agent calls a gap, and comes back."""

from __future__ import annotations

import time

from harness import power
from harness.evidence import expect, stays, wait_for
from harness.seed import ACT_AFTER, GAP, RESUME_GRACE
from harness.world import World


def run(world: World) -> None:
    """See the module."""
    machine, agent, report, ec2 = world.machine, world.agent, world.report, world.ec2
    boot = agent.status()["agent"]["boot_id"]
    terminal = world.terminals[-1]
    power.fall_asleep(machine)
    ec2.went_down()
    away = GAP + 5
    report.note(f"the machine hibernates as logind does it, and every process is frozen for {away} s")
    time.sleep(away)
    ec2.start()
    power.wake_up(machine)
    report.note("somebody started the instance: it goes on where it was")

    def told() -> bool:
        last = agent.status()["last_action"]
        return last is not None and last["result"] == "hibernated"

    wait_for("the agent says that it was hibernated", told, within=15)
    status = agent.status()
    expect(status["agent"]["boot_id"] == boot, "the boot id changed although memory was kept")
    expect(
        status["idle"]["idle_seconds"] < RESUME_GRACE + 5, f"the idle clock went on over the resume: {status['idle']}"
    )
    expect(terminal.alive, "the login did not survive the hibernation")
    lines = agent.messages()
    expect(
        any("hibernat" in line.lower() for line in lines[-5:]), f"the journal does not tell of the resume: {lines[-5:]}"
    )
    wait_for("every source was read again", lambda: agent.status()["blind"] == [], within=10)
    report.block("the agent after the resume", machine.run("agentctl", "status").ok().out)

    def untouched() -> bool:
        return agent.stage() not in ("warned", "rechecking", "draining", "acting") and world.stops() == 1

    stays("no action follows at once", untouched, during=min(8, ACT_AFTER / 3))
    terminal.keys("\n")
    wait_for("the tag follows", lambda: ec2.tags().get("agentd:state") in ("active", "quiet"), within=10)
    last = ec2.tags().get("agentd:last-action", "")
    expect("hibernated" in last, f"the tag agentd:last-action is {last!r}")
