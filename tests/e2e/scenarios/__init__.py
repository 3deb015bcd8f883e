"""The scenarios in the order in which one machine lives through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.evidence import Failure

from . import (
    blocks,
    doctor,
    hibernation,
    installation,
    interruption,
    job,
    manners,
    package,
    restart,
    resume,
    schedules,
    services,
    story,
    typist,
)

if TYPE_CHECKING:
    from harness.world import World


@dataclass(frozen=True)
class Scenario:
    """One scenario: what it states, how it is carried out, and which ones must have run before it."""

    name: str
    title: str
    run: Callable[[World], None]
    needs: tuple[str, ...] = ()


ALL = [
    Scenario(
        "installation", "user-data installs the package, and nothing waits for anything for ever", installation.run
    ),
    Scenario("typing", "a person who types keeps the machine up", typist.run),
    Scenario("job", "a job that outlives its login keeps the machine up", job.run),
    Scenario("blocks", "a hold, dpkg and an inhibitor each keep it up; a key calls an action off", blocks.run),
    Scenario("restart", "an agent that was killed goes on with the same idle clock and the same holds", restart.run),
    Scenario("services", "work in every way in which EC2's users start it keeps the machine up and is named", services.run),
    Scenario(
        "schedules",
        "a user's jobs of cron, at and the user's manager that are due keep it up, and their commands stay closed",
        schedules.run,
    ),
    Scenario(
        "hibernation", "when nobody needs it, people are warned, tags change and it is hibernated once", hibernation.run
    ),
    Scenario(
        "resume",
        "after the resume the agent says what happened and starts every window anew",
        resume.run,
        ("hibernation",),
    ),
    Scenario(
        "story", "journal, status, events, tags and EC2 tell the same story", story.run, ("hibernation", "resume")
    ),
    Scenario("doctor", "the doctor examines everything and finds nothing wrong", doctor.run),
    Scenario(
        "interruption",
        "a notice drains the machine at once, and after the reboot the agent reports what each hook did",
        interruption.run,
    ),
    Scenario("package", "upgrade, removal and purge do what an administrator expects", package.run),
    Scenario("manners", "the agent never asked IMDS or EC2 for anything improper", manners.run),
]


def names() -> list[str]:
    """The names for `--only`."""
    return [scenario.name for scenario in ALL]


def choose(only: str | None) -> list[Scenario]:
    """All scenarios, or the one asked for with what it builds on."""
    if only is None:
        return ALL
    if only not in names():
        raise Failure(f"no scenario is called {only}; there are {', '.join(names())}")
    wanted = {"installation", only, *next(each.needs for each in ALL if each.name == only)}
    return [scenario for scenario in ALL if scenario.name in wanted]
