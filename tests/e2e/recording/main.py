"""The command line: which scenes are recorded on which Debian, and what became of them."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from harness import host
from harness.evidence import Failure, Report, Skip
from harness.world import sweep

from . import scenes, trace
from .label import Label
from .scenes import Scene
from .studio import ACT_AFTER, REPOSITORY, SUITES, Studio, base, studio

PASSED, FAILED, SKIPPED = 0, 1, 77
TRACES = REPOSITORY / "tests/traces"
#: What the people's end needs besides what the end-to-end tests need, and the Debian package that has it.
PROGRAMS = {"curl": "curl", "mosh-client": "mosh", "scp": "openssh-client"}
#: After the moment at which the agent must have acted, seconds: the quantum of a PTY's clock, an average and some readings.
SLACK = 20
#: An agent that enforces warns first, also where a block ended late: the longest warning and some readings, seconds.
NOTICE = 18


@dataclass
class Options:
    """What the command line asks for."""

    only: list[str]
    suites: list[str]
    jobs: int
    out: Path
    binaries: Path


def arguments() -> Options:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="tests/e2e/record",
        description="Plays scenes in booted Debians and records what the agent reads: tests/traces/NAME.jsonl and NAME.toml.",
        epilog="Exit code: 0 recorded, 1 a scene failed or the agent was wrong, 77 skipped; the reason is printed.",
    )
    names = ", ".join(scene.name for scene in scenes.ALL)
    parser.add_argument("scene", nargs="*", help=f"record these only: {names}")
    parser.add_argument("--machine", action="append", choices=sorted(SUITES), help="on this Debian only")
    parser.add_argument("--jobs", type=int, default=6, metavar="N", help="so many machines at once (default 6)")
    parser.add_argument(
        "--out", type=Path, default=TRACES, metavar="DIR", help="where the traces go (default tests/traces)"
    )
    where = "the folder of agentd and agentctl (default target/debug)"
    parser.add_argument("--binaries", type=Path, default=REPOSITORY / "target/debug", metavar="DIR", help=where)
    found = parser.parse_args()
    return Options(found.scene, found.machine or sorted(SUITES), found.jobs, found.out, found.binaries)


def record(
    scene: Scene, suite: str, number: int, lower: Path, folder: Path, options: Options, report: Report
) -> list[str]:
    """Records one scene on one Debian; gives what the agent did wrong while it was recorded."""
    label = Label(scene.name, suite, scene.about, scene.windows, scene.undecidable)
    with studio(label, scene.enforce, number, lower, folder, options.binaries, report) as stage:
        try:
            scene.play(stage)
            finish(stage)
            stage.check()
        finally:
            keep(stage)
        wrong = judge(stage)
        trace.take(stage, options.out / f"{suite}-{scene.name}.jsonl")
    return wrong


def deadline(label: Label, began: float) -> float:
    """When a right agent must have acted."""
    return (label.last or began) + (label.windows or 0) * ACT_AFTER + SLACK


def finish(stage: Studio) -> None:
    """Waits until the agent acted, or for as long as it may take to."""
    if stage.label.windows is None:
        return
    until = deadline(stage.label, stage.began)
    while time.clock_gettime(time.CLOCK_BOOTTIME) < until:
        if stage.acting_since() is not None:
            stage.rest(NOTICE)
            return
        stage.rest(0.5)


def judge(stage: Studio) -> list[str]:
    """What the agent did wrong live: acted while it was needed, or not at all."""
    label, acted = stage.label, stage.would_act()
    wrong = []
    for at in acted:
        for work in label.works:
            if work.began <= at <= (work.ended or at):
                wrong.append(f"would have acted {at - work.began:.0f} s after the beginning of: {work.who} {work.does}")
                break
    if label.windows is not None and stage.acting_since() is None:
        wrong.append("had not acted in time")
    return wrong[:3]


def keep(stage: Studio) -> None:
    """Writes what explains a failure into the run's folder. Never fails."""
    lines = [f"{at - stage.began:7.1f} {stage_:<11} {evidence}" for at, stage_, evidence in stage.stages()]
    for work in stage.label.works:
        end = (work.ended or stage.began) - stage.began
        lines.append(f"WORK {work.began - stage.began:.1f} to {end:.1f}: {work.who} {work.does} ({work.kind})")
    (stage.folder / "stages.txt").write_text("\n".join([*lines, *stage.notes]) + "\n")
    try:
        shown = stage.machine.run("journalctl", "--no-pager", "--boot", "--output=short-precise", within=30).out
        (stage.folder / "journal.txt").write_text(shown)
    except Exception as error:  # noqa: BLE001 (evidence must not hide the failure that it is kept for)
        (stage.folder / "journal.txt").write_text(f"{error}\n")


def perform(options: Options, report: Report) -> int:
    """Records everything that is asked for."""
    host.check()
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        raise Skip(f"programs are missing: apt-get install {' '.join(missing)}")
    chosen = scenes.choose(options.only)
    for name in ("agentd", "agentctl"):
        if not (options.binaries / name).is_file():
            raise Failure(f"{options.binaries / name} is missing: build it, or name its folder with --binaries DIR")
    cache = host.cache()
    sweep(cache)
    lowers = {suite: base(cache, report, suite) for suite in options.suites}
    runs = cache / "runs" / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"
    options.out.mkdir(parents=True, exist_ok=True)
    report.section(f"{len(chosen)} scenes on {', '.join(options.suites)}, {options.jobs} at once; logs in {runs}")
    good = True
    with ThreadPoolExecutor(options.jobs) as pool:
        began, waiting = {}, {}
        for number, (scene, suite) in enumerate((scene, suite) for scene in chosen for suite in options.suites):
            folder = runs / f"{suite}-{scene.name}"
            job = pool.submit(record, scene, suite, number, lowers[suite], folder, options, report)
            waiting[job] = f"{suite}-{scene.name}"
            began[job] = time.monotonic()
        for job in as_completed(waiting):
            name = waiting[job]
            try:
                wrong = job.result()
            except Failure as failure:
                wrong = [f"the scene failed: {failure}"]
            except Exception:  # noqa: BLE001 (a scene that breaks is a failure with evidence, not the end of the others)
                wrong = [f"the scene broke: {traceback.format_exc()}"]
            known = scene_of(name).undecidable
            for line in wrong:
                report.note(f"{name}: {line}{' (undecidable)' if known else ''}")
            report.note(f"{name}: {'recorded' if not wrong else 'WRONG'}")
            report.finish(name, "passed" if not wrong or known else "FAILED", time.monotonic() - began[job])
            good = good and (not wrong or bool(known))
    report.summary()
    return PASSED if good else FAILED


def scene_of(name: str) -> Scene:
    """The scene of a trace's name."""
    return next(scene for scene in scenes.ALL if any(name == f"{suite}-{scene.name}" for suite in SUITES))


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
        report.note(f"FAILED: {failure}")
        return FAILED
    except KeyboardInterrupt as signal_name:
        report.note(f"interrupted {signal_name}; everything was taken down")
        return FAILED
