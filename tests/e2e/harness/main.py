"""The command line: which scenarios run, in which order, and what the exit code says."""

from __future__ import annotations

import argparse
import signal
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

import scenarios

from . import host
from .evidence import Failure, Report, Skip
from .world import HERE, World, build, keep_evidence, show_evidence

PASSED, FAILED, SKIPPED = 0, 1, 77


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="tests/e2e/run",
        description="Installs the package into a booted Debian 12 and carries the main job through.",
        epilog="Exit code: 0 passed, 1 failed, 77 skipped; the reason is printed.",
    )
    package = "the package; default: the newest agentd_*.deb beside the repository or in its target folder"
    parser.add_argument("--deb", type=Path, metavar="FILE", help=package)
    parser.add_argument("--keep", action="store_true", help="keep the machine up at the end until Enter is pressed")
    only = f"run this scenario and those that it builds on: {', '.join(scenarios.names())}"
    parser.add_argument("--only", metavar="NAME", help=only)
    return parser.parse_args()


def newest_package() -> Path:
    """The newest package that a build left beside the repository (as dpkg-buildpackage does) or in its target folder."""
    repository = HERE.parent.parent
    found = [*repository.parent.glob("agentd_*.deb"), *repository.glob("target/deb/agentd_*.deb")]
    if not found:
        raise Failure("no agentd_*.deb was found: build it with `cargo xtask deb`, or name it with --deb FILE")
    return max(found, key=lambda path: path.stat().st_mtime)


def carry_out(world: World, chosen: list[scenarios.Scenario]) -> bool:
    """Runs the scenarios in order, and stops at the first that fails, because each begins where the last one ended."""
    for scenario in chosen:
        world.report.section(f"{scenario.name}: {scenario.title}")
        began = time.monotonic()
        try:
            scenario.run(world)
        except Failure as failure:
            world.report.note(f"FAILED: {failure}")
        except Exception:  # noqa: BLE001 (a scenario that breaks is a failure with evidence, not the end of the report)
            world.report.block("FAILED: the scenario broke", traceback.format_exc())
        else:
            world.report.finish(scenario.name, "passed", time.monotonic() - began)
            continue
        world.report.finish(scenario.name, "FAILED", time.monotonic() - began)
        return False
    return True


def perform(options: argparse.Namespace, report: Report) -> int:
    """Builds the world, runs the scenarios, and takes everything down."""
    host.check()
    chosen = scenarios.choose(options.only)
    package = options.deb or newest_package()
    with ExitStack() as stack:
        report.section(f"the world, with {package}")
        world = build(stack, report, package.resolve())
        good = carry_out(world, chosen)
        keep_evidence(world)
        if not good:
            show_evidence(world)
        if options.keep:
            report.note(
                f"kept: nsenter --target={world.machine.leader} --all; Enter ends it; logs are in {world.folder}"
            )
            input()
    report.summary()
    return PASSED if good else FAILED


def main() -> int:
    """Runs everything and gives the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, host.interrupted)
    options = arguments()
    report = Report()
    try:
        return perform(options, report)
    except Skip as reason:
        print(f"SKIPPED: {reason}", flush=True)
        return SKIPPED
    except Failure as failure:
        report.note(f"FAILED before the first scenario: {failure}")
        return FAILED
    except KeyboardInterrupt as signal_name:
        report.note(f"interrupted {signal_name}; everything was taken down")
        return FAILED
