"""The agent as others see it: its status over the socket, its unit, and its lines in the journal."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path
from typing import Any

from .evidence import Failure, wait_for
from .machine import Machine

SOCKET = "/run/agentd/agentd.sock"
CATALOG = "/usr/lib/systemd/catalog/agentd.catalog"
Document = dict[str, Any]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Agent:
    """The agent of one machine. Asking it takes no process in the machine, so that the looking is no load on it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def get(self, path: str) -> Document | None:
        """A document of the local API; none while nobody listens."""
        connection = _UnixConnection(self._machine.inside(SOCKET))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if answer.status != 200:
            raise Failure(f"GET {path} gave {answer.status}: {text.decode(errors='replace')[:300]}")
        found: Document = json.loads(text)
        return found

    def status(self) -> Document:
        """`/v1/status`, waiting a little while the agent is being restarted."""
        return wait_for("the agent answers on its socket", lambda: self.get("/v1/status"), within=15)

    def why(self) -> Document:
        """`/v1/why`."""
        return wait_for("the agent answers on its socket", lambda: self.get("/v1/why"), within=15)

    def stage(self) -> str:
        """The stage, in one word."""
        return str(self.status()["stage"])

    def source(self, name: str) -> Document:
        """One source's row."""
        for row in self.status()["sources"]:
            if row["source"] == name:
                return dict(row)
        raise Failure(f"the status has no source {name}")

    def idle_seconds(self) -> float:
        """For how long nothing was used, as the status says it."""
        return float(self.status()["idle"]["idle_seconds"])

    def obstacles(self) -> list[str]:
        """What stands in the way: the code and the sentence of each obstacle."""
        return [f"{each['code']}: {each['detail']}" for each in self.status()["obstacles"]]

    def wait_stage(self, *stages: str, within: float) -> Document:
        """Waits for one of the stages, and gives the status that showed it."""

        def reached() -> Document | None:
            status = self.status()
            return status if status["stage"] in stages else None

        try:
            return wait_for(f"the stage {' or '.join(stages)}", reached, within)
        except Failure as failure:
            raise Failure(f"{failure}; {self.describe()}") from None

    def describe(self) -> str:
        """The status in one line, for a failure."""
        status = self.get("/v1/status")
        if status is None:
            return "the agent does not answer"
        rows = [row for row in status["sources"] if row["verdict"] in ("busy", "blind", "blocks")]
        busy = [f"{row['source']} {row['verdict']} {row.get('detail') or ''}".strip() for row in rows]
        idle = status["idle"]
        return (
            f"stage {status['stage']} ({status['because']}), "
            f"idle {idle['idle_seconds']:.1f} of {idle['act_after_seconds']:.0f} s, "
            f"outlook {status['outlook']['prospect']}: {status['outlook']['because']}; {', '.join(busy) or 'no source is busy'}; "
            f"obstacles: {'; '.join(self.obstacles()) or 'none'}"
        )

    def journal(self) -> list[dict[str, str]]:
        """The unit's lines of this boot, oldest first."""
        return self._machine.journal("--boot", "--unit=agentd.service", "--identifier=agentd")

    def messages(self) -> list[str]:
        """The sentences of those lines."""
        return [str(line.get("MESSAGE", "")) for line in self.journal()]

    def main_pid(self) -> int:
        """The process id in the machine, as systemd knows it."""
        return int(self._machine.property("agentd.service", "MainPID"))

    def catalog(self) -> dict[str, str]:
        """The subject of every MESSAGE_ID that the package's catalog has."""
        text = self._machine.inside(CATALOG).read_text()
        return dict(re.findall(r"(?m)^-- ([0-9a-f]{32})\nSubject: (.*)$", text))
