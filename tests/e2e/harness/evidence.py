"""What a run tells: timed lines, checks that fail with a sentence, and waiting that shows what it waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class Failure(Exception):
    """The product did not do what a scenario states."""


class Skip(Exception):
    """This host cannot run the tests; the text says why and what would change it."""


class Report:
    """Prints one line a step with the seconds since the run began, and keeps the result of every scenario."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.results: list[tuple[str, str, float]] = []

    def section(self, title: str) -> None:
        """Prints a heading."""
        print(f"\n== {title}", flush=True)

    def note(self, text: str) -> None:
        """Prints one step."""
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def block(self, title: str, text: str) -> None:
        """Prints a longer text, indented under its title."""
        self.note(title)
        for line in text.rstrip().splitlines():
            print(f"           | {line}", flush=True)

    def finish(self, name: str, verdict: str, seconds: float) -> None:
        """Keeps the result of one scenario for the summary."""
        self.results.append((name, verdict, seconds))

    def summary(self) -> None:
        """Prints the table of all scenarios."""
        self.section("summary")
        for name, verdict, seconds in self.results:
            print(f"  {verdict:<7} {seconds:6.1f} s  {name}", flush=True)
        passed = sum(verdict == "passed" for _, verdict, _ in self.results)
        seconds = time.monotonic() - self._began
        print(f"{passed} passed, {len(self.results) - passed} failed, in {seconds:.0f} s", flush=True)


def expect(truth: object, sentence: str) -> None:
    """Fails with the sentence unless `truth` holds. The sentence says what was found."""
    if not truth:
        raise Failure(sentence)


def wait_for(what: str, probe: Callable[[], Value | None], within: float, every: float = 0.2) -> Value:
    """Asks `probe` until it gives something true, and returns that; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"waited {within:.0f} s in vain: {what}")
        time.sleep(every)


def stays(what: str, probe: Callable[[], object], during: float, every: float = 0.5) -> None:
    """Fails as soon as `probe` gives something false within `during` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        expect(probe(), f"no longer true: {what}")
        time.sleep(every)
