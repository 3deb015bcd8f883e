"""The main job: somebody is logged in and does nothing. Warnings, tags, and one StopInstances with Hibernate=true."""

from __future__ import annotations

from datetime import datetime

from harness import works
from harness.evidence import expect, stays, wait_for
from harness.seed import ACT_AFTER, WARN_BEFORE
from harness.world import World


def run(world: World) -> None:
    """See the module."""
    agent, report, ec2 = world.agent, world.report, world.ec2
    terminal = world.login()
    before = len(terminal.text)
    told = agent.wait_stage("warned", within=ACT_AFTER + 40)
    at = datetime.fromisoformat(told["outlook"]["at"].replace("Z", "+00:00")).timestamp()
    report.note(f"warned; announced for {told['outlook']['at']}")
    wait_for("the warning reaches the idle terminal", lambda: "hibernate" in terminal.text[before:].lower(), within=5)
    wait_for("the tag says warned", lambda: ec2.tags().get("agentd:state") == "warned", within=8)
    report.block("tags while warned", _lines(ec2.tags()))

    wait_for("StopInstances arrives", lambda: world.stops() > 0, within=max(WARN_BEFORE) + 20, every=0.05)
    call = ec2.real("StopInstances")[0]
    expect(call.parameters.get("Hibernate") == "true", f"StopInstances came without Hibernate=true: {call}")
    expect(call.parameters.get("InstanceId.1") == ec2.instance_id, f"StopInstances names another instance: {call}")
    late = call.at - at
    expect(-1 <= late <= 3, f"StopInstances came {late:.1f} s after the announced time")
    report.note(f"StopInstances Hibernate=true, {late:+.1f} s from the announced time: {call}")
    wait_for("the agent waits for the machine to go", lambda: agent.stage() == "verifying", within=5)
    wait_for("the tag says hibernating", lambda: ec2.tags().get("agentd:state") == "hibernating", within=8)
    stays("only one StopInstances is sent", lambda: world.stops() == 1, during=3)

    warnings = terminal.text[before:]
    expect(warnings.lower().count("hibernate") >= len(WARN_BEFORE), f"the terminal shows too few warnings: {warnings}")
    expect("agentctl hold" in warnings, f"the warning does not say how to prevent it: {warnings}")
    report.block("what the idle terminal showed", warnings[-900:])
    if works.stats_run(world.machine):
        _not_counted(world, warnings)
    report.block("tags at the end", _lines(ec2.tags()))
    states = [
        value for call in ec2.real("CreateTags") for key, value in _pairs(call.parameters) if key == "agentd:state"
    ]
    expect({"warned", "hibernating"} <= set(states), f"the state tags were {states}")
    report.note(f"{len(states)} CreateTags in the whole run: {' → '.join(states)}")


def _not_counted(world: World, warnings: str) -> None:
    """Warning, tag, journal and report say what ran and was not counted: the package's job of cron."""
    expect("Not counted as use: cron" in warnings, f"the warning does not say what was not counted: {warnings}")
    because = [value for call in world.ec2.real("CreateTags") for key, value in _pairs(call.parameters)]
    expect(any("not counted: cron" in value for value in because), f"no tag says what was not counted: {because}")
    for start in ("Will hibernate", "Asking EC2"):
        line = next((each for each in reversed(world.agent.messages()) if each.startswith(start)), "nothing")
        expect("not counted: cron" in line, f"the journal does not say what was not counted: {line}")
    reports = sorted(world.machine.inside("/var/lib/agentd/reports").glob("*-accepted.json"))
    expect(reports and "cron" in reports[-1].read_text(), "the report does not say what was not counted")
    world.report.note(f"warning, tag, journal and {reports[-1].name} say that cron was not counted")


def _pairs(parameters: dict[str, str]) -> list[tuple[str, str]]:
    """The tags of one CreateTags call."""
    numbers = [key.split(".")[1] for key in parameters if key.startswith("Tag.") and key.endswith(".Key")]
    return [(parameters[f"Tag.{number}.Key"], parameters.get(f"Tag.{number}.Value", "")) for number in numbers]


def _lines(tags: dict[str, str]) -> str:
    return "\n".join(f"{key} = {value}" for key, value in sorted(tags.items()))
