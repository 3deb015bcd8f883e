"""The trace of a recording: fetched from the agent's flight recorder."""

from __future__ import annotations

from pathlib import Path

from .studio import Studio


def take(stage: Studio, path: Path) -> None:
    """Fetches the trace and writes it with its label."""
    stage.root("systemctl", "stop", "agentd.service")
