"""A busy loop is started under nohup, and its owner logs out."""

from __future__ import annotations

import re

from harness.evidence import expect, stays, wait_for
from harness.seed import ACT_AFTER
from harness.world import World

LOOP = "nohup sh -c 'while :; do :; done' >/dev/null 2>&1 & echo job=$!"


def run(world: World) -> None:
    """See the module."""
    machine, agent, report = world.machine, world.agent, world.report
    terminal = world.login()
    _, shown = terminal.command(LOOP)
    found = re.search(r"job=(\d+)", shown)
    expect(found, f"the job did not start: {shown}")
    job = found.group(1) if found else ""
    terminal.logout()
    world.leave()
    report.note(f"process {job} computes; its owner is logged out")

    wait_for("the processor is seen busy", lambda: agent.source("cpu")["verdict"] == "busy", within=15)

    def up() -> bool:
        return agent.source("cpu")["verdict"] == "busy" and agent.stage() == "active" and world.stops() == 0

    stays("the machine counts as used while the job computes", up, during=ACT_AFTER + 10)
    rows = [row for row in agent.why()["sources"] if row["source"] == "cpu"]
    owners = {signal.get("owner") for signal in rows[0]["signals"] if signal["verdict"] == "busy"}
    expect("debian" in owners, f"agentctl why does not say whose job it is: {rows[0]['signals']}")
    use = f"{rows[0]['value']:.2f} {rows[0]['unit']} of {', '.join(sorted(map(str, owners)))}"
    report.note(f"{ACT_AFTER + 10} s of computing: never idle; {use}")
    machine.run("kill", job).ok()
    wait_for("the processor is seen idle again", lambda: agent.source("cpu")["verdict"] == "idle", within=20)
