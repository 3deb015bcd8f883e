"""The trace of a recording: fetched from the agent's flight recorder, put in one file, with its label beside it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from harness.evidence import expect

from .studio import Studio

RECORDING = "/var/lib/agentd/recording"
#: The checksum around every line of the flight recorder; a trace does without it.
BEFORE, AFTER = b'{"crc32":"', b"}\n"
ENTRY = len(b'{"crc32":"89abcdef","entry":')
#: A trace that becomes a test is kept for ever, so it must be small.
MOST = 200_000


def take(stage: Studio, path: Path) -> None:
    """Ends the recording and writes PATH and its label."""
    acted = stage.acting_since()
    stage.root("systemctl", "stop", "agentd.service")
    files = sorted(stage.machine.inside(RECORDING).iterdir())
    expect(files, f"the agent recorded nothing in {RECORDING}")
    lines = [_bare(line) for file in files for line in _text(file).splitlines(keepends=True)]
    header = {**json.loads(lines[0]), "about": f"{stage.label.suite}: {stage.label.about}"}
    lines[0] = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    start, end = _times(lines)
    size = sum(map(len, lines))
    expect(size < MOST, f"the trace has {size} bytes, more than {MOST}")
    path.write_bytes(b"".join(lines))
    stage.label.write(path.with_suffix(".toml"), start, end, acted)


def _text(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def _bare(line: bytes) -> bytes:
    return line[ENTRY : -len(AFTER)] + b"\n" if line.startswith(BEFORE) else line


def _times(lines: list[bytes]) -> tuple[float, float]:
    """When the trace begins and ends on the machine's boot clock, seconds."""
    start, now = None, 0
    for line in map(json.loads, lines):
        if "at" in line:
            now = line["at"]["boot_ms"]
        elif "after" in line:
            after = line["after"]
            now += after if isinstance(after, int) else after[0]
        if start is None and "at" in line:
            start = now
    expect(start is not None, "the trace has no record")
    return (start or 0) / 1000, now / 1000
