"""The doctor examines everything, and finds nothing wrong but what this machine really lacks."""

from __future__ import annotations

import json

from harness.evidence import expect
from harness.world import World


def run(world: World) -> None:
    """See the module."""
    stops = world.stops()
    examined = world.machine.run("agentctl", "doctor")
    world.report.block(f"agentctl doctor (exit code {examined.code})", examined.out + examined.err)
    document = json.loads(world.machine.run("agentctl", "doctor", "--json").out)
    checks = {each["name"]: each for each in document["checks"]}
    expect(len(checks) >= 8, f"the doctor looked at {len(checks)} things only: {sorted(checks)}")
    wrong = [each for name, each in checks.items() if each["status"] == "failed" and "hibernat" not in name]
    expect(not wrong, f"the doctor finds fault with {wrong}")
    expect(world.stops() == stops, "the doctor stopped the instance")
