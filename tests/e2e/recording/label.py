"""What a recording shows: who used the machine from when to when, and what a right agent does. Written beside the trace."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: Work of a person, after whose end a little more time is theirs; of a program; and what must not be interrupted.
HUMAN, JOB, BLOCK = "human", "job", "block"


def boot_seconds() -> float:
    """The clock of the trace: CLOCK_BOOTTIME, which a container shares with its host (no time namespace)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Work:
    """A stretch in which the machine was needed."""

    who: str
    does: str
    kind: str
    began: float
    ended: float | None = None


@dataclass
class Label:
    """Everything that is said of a recording."""

    scene: str
    suite: str
    about: str
    #: How many windows of `act_after` may pass without use before a right agent has acted; none: it never acts.
    windows: int | None = 1
    #: Why nobody can tell this use from none, if that is so.
    undecidable: str = ""
    works: list[Work] = field(default_factory=list)

    @contextmanager
    def work(self, who: str, does: str, kind: str) -> Iterator[None]:
        """The machine is needed while the body runs."""
        work = Work(who, does, kind, boot_seconds())
        self.works.append(work)
        try:
            yield
        finally:
            work.ended = boot_seconds()

    @property
    def last(self) -> float | None:
        """When the last use ended."""
        ends = [work.ended for work in self.works if work.ended is not None]
        return max(ends, default=None)

    def write(self, path: Path, start: float, end: float, acted: float | None) -> None:
        """Writes the label; its times are seconds since the trace began. `acted` is when the agent was seen ready to act."""
        lines = [
            "# Written by tests/e2e/record together with the trace. Times are seconds since the trace began.",
            f"about = {_text(self.about)}",
            f"scene = {_text(self.scene)}",
            f"machine = {_text(self.suite)}",
            f"seconds = {end - start:.1f}",
            f"verdict = {_text('keep' if self.windows is None else 'stop')}",
        ]
        if self.windows is not None:
            lines.append(f"windows = {self.windows}")
        if acted is not None:
            lines.append(f"live = {acted - start:.1f}")
        if self.undecidable:
            lines.append(f"undecidable = {_text(self.undecidable)}")
        for work in self.works:
            until = end if work.ended is None else work.ended
            lines += [
                "",
                "[[work]]",
                f"who = {_text(work.who)}",
                f"does = {_text(work.does)}",
                f"kind = {_text(work.kind)}",
                f"from = {max(work.began - start, 0.0):.1f}",
                f"to = {until - start:.1f}",
            ]
        path.write_text("\n".join(lines) + "\n")


def _text(value: str) -> str:
    """A basic string of TOML; for plain text it is written as in JSON."""
    return json.dumps(value, ensure_ascii=False)
