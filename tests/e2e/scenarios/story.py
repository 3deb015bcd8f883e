"""One hibernation, told five times: journal, catalog, status, events and the call that EC2 got."""

from __future__ import annotations

import json
from datetime import datetime

from harness.evidence import expect
from harness.world import World

#: What happened, in order.
CHAPTERS = ("warned", "asking", "accepted", "hibernated")


def run(world: World) -> None:
    """See the module."""
    machine, agent, report = world.machine, world.agent, world.report
    lines = agent.journal()
    catalog = agent.catalog()
    named = [line for line in lines if line.get("MESSAGE_ID")]
    unknown = {line["MESSAGE_ID"] for line in named} - set(catalog)
    expect(not unknown, f"the catalog lacks {sorted(unknown)}")
    plain = [line["MESSAGE"] for line in lines if not line.get("MESSAGE_ID") and int(line.get("PRIORITY", "7")) <= 6]
    expect(not plain, f"lines without a MESSAGE_ID: {plain[:5]}")
    told = [(line, catalog[line["MESSAGE_ID"]]) for line in named]
    report.block(
        "the journal of the unit", "\n".join(f"{line['MESSAGE']}   ({subject})" for line, subject in told[-25:])
    )

    last = agent.status()["last_action"]
    call = world.ec2.real("StopInstances")[0]
    concluded = datetime.fromisoformat(last["at"].replace("Z", "+00:00")).timestamp()
    expect(call.at - 1 < concluded < call.at + 60, f"the status says {last['at']}, EC2 was called at {call}")
    asked = [line for line, _ in told if abs(int(line["__REALTIME_TIMESTAMP"]) / 1e6 - call.at) < 3]
    expect(asked, "the journal has no line at the time of the call")

    shown = machine.run("agentctl", "status").ok().out
    expect("hibernated" in shown.lower(), f"agentctl status does not say that it was hibernated: {shown}")
    events = [
        json.loads(line) for line in machine.run("agentctl", "events", "--json").ok().out.splitlines() if line.strip()
    ]
    kinds = [event["event"] for event in events]
    order = [kinds.index(kind) if kind in kinds else -1 for kind in CHAPTERS]
    expect(-1 not in order and order == sorted(order), f"the events do not tell the hibernation in order: {kinds}")
    report.note(
        f"events, journal ({len(asked)} lines at the call), status and EC2 agree: {last['result']} at {last['at']}"
    )

    explained = machine.run("journalctl", "--no-pager", "--catalog", "--boot", "--unit=agentd").ok().out
    expect("Subject:" in explained and "Support:" in explained, "journalctl --catalog explains nothing")
    expect("@AGENTD_" not in explained, "an explanation has a field that the line does not carry")
