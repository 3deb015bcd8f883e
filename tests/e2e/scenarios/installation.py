"""cloud-init runs the example of the documentation; it ends, and the agent is up, armed and knows who it is."""

from __future__ import annotations

import json

from harness.evidence import expect, wait_for
from harness.world import World

RESULT = "/run/cloud-init/result.json"


def run(world: World) -> None:
    """See the module."""
    machine, agent, report = world.machine, world.agent, world.report
    wait_for("cloud-init finishes", machine.inside(RESULT).exists, within=180)
    result = json.loads(machine.inside(RESULT).read_text())["v1"]
    expect(result["errors"] == [], f"cloud-init reports errors: {result['errors']}")
    wait_for(
        "cloud-final.service is done",
        lambda: machine.property("cloud-final.service", "SubState") == "exited",
        within=30,
    )
    report.note("cloud-init is done, without an error")

    _unit(world)
    status = agent.status()
    expect(status["mode"] == "enforce", f'the user-data sets mode = "enforce", the status says {status["mode"]}')
    files = status["config"]["files"]
    expect(any("50-user-data" in each for each in files), f"the user-data's file is not in force: {files}")
    expect(status["config"]["problem"] is None, f"the configuration has a problem: {status['config']['problem']}")

    def knows() -> bool:
        now = agent.status()
        return now["instance"] is not None and now["abilities"]["hibernate"]["can"] == "can"

    wait_for("the agent knows its instance and may hibernate it", knows, within=30)
    status = agent.status()
    told = status["instance"]["instance_id"]
    expect(told == world.ec2.instance_id, f"the agent says {told}, the metadata service {world.ec2.instance_id}")
    wait_for("every source can be read", lambda: agent.status()["blind"] == [], within=20)
    report.note(f"the agent is {told}, may hibernate it, and reads every source")
    expect(world.stops() == 0, "an instance was stopped during its installation")

    shown = machine.run("agentctl", "status").ok().out
    expect(told in shown, f"agentctl status does not name the instance: {shown}")
    report.block("agentctl status", shown)


def _unit(world: World) -> None:
    """The unit is up, was ready at once, and waited for no cloud-init unit."""
    machine, report = world.machine, world.report
    wait_for(
        "agentd.service is active", lambda: machine.property("agentd.service", "ActiveState") == "active", within=20
    )
    expect(machine.property("agentd.service", "NRestarts") == "0", "the agent was restarted during the installation")
    expect(machine.property("agentd.service", "StatusText") != "", "the agent sends no status text to systemd")
    jobs = machine.run("systemctl", "list-jobs", "--no-legend").ok().out.strip().splitlines()
    hanging = [line for line in jobs if "agentd" in line]
    expect(not hanging, f"jobs hang: {hanging}")
    after = machine.property("agentd.service", "After").split()
    expect(
        not [unit for unit in after if unit.startswith("cloud-")],
        f"agentd.service is ordered after cloud-init: {after}",
    )

    def moment(unit: str, name: str) -> int:
        return int(machine.property(unit, name))

    started = moment("agentd.service", "ExecMainStartTimestampMonotonic")
    ready = moment("agentd.service", "ActiveEnterTimestampMonotonic")
    final = moment("cloud-final.service", "ActiveEnterTimestampMonotonic")
    expect(0 < ready < final, "the agent was not ready before the end of the stage that installed it")
    report.note(
        f"READY {(ready - started) / 1000:.0f} ms after its start, {(final - ready) / 1e6:.1f} s before cloud-init's end"
    )
    failed = machine.run("systemctl", "--failed", "--no-legend").ok().out.strip()
    expect(failed == "", f"units failed: {failed}")
