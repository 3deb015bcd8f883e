"""Somebody is logged in by ssh and presses a key every two seconds, for longer than the idle time."""

from __future__ import annotations

from harness.evidence import expect, stays
from harness.seed import ACT_AFTER
from harness.world import World

SEEN_AS_USE = ("grace", "active", "settling", "quiet")


def run(world: World) -> None:
    """See the module."""
    agent, report = world.agent, world.report
    terminal = world.login()
    longest = 0.0

    def up() -> bool:
        nonlocal longest
        status = agent.status()
        longest = max(longest, status["idle"]["idle_seconds"])
        return status["stage"] in SEEN_AS_USE and world.stops() == 0

    with terminal.typing(every=2):
        stays("the machine counts as used while somebody types", up, during=ACT_AFTER + 10)
        row = agent.source("input")
    ago = row["last_activity_seconds"]
    expect(ago is not None and ago < 12, f"the last key was seen {ago} s ago: {row}")
    report.note(
        f"{ACT_AFTER + 10} s of typing: never warned; the idle clock never passed {longest:.0f} of {ACT_AFTER} s"
    )
    world.leave()
