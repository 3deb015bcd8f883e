"""EC2: moto holds the instances and tags, and a proxy in front of it keeps the rules that moto does not.

moto ignores `Hibernate` and stops at once. The proxy records every call with its parameters and its time, refuses what EC2 would
refuse, and shows the instance as `stopping` until the machine is really down. Interface: Amazon EC2 API Reference (Query API).
"""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

from .evidence import Failure, expect, wait_for
from .host import tied

API_VERSION = "2016-11-15"
STATE_CODES = {"pending": 0, "running": 16, "stopping": 64, "stopped": 80}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Moto:
    """`moto_server` on a loopback port of the host, reached only through the proxy."""

    def __init__(self, python: Path, log: Path, region: str) -> None:
        self.port = _free_port()
        self.region = region
        self._log = log.open("wb")
        words = tied(str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))
        self._process = subprocess.Popen(words, stdout=self._log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def close(self) -> None:
        """Ends the server."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def forward(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Passes one request on, and gives the status and the XML."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def call(self, action: str, **parameters: str) -> str:
        """A call of the world's own, past the proxy and its record."""
        scope = f"world/20260101/{self.region}/ec2/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"}
        form = {"Action": action, "Version": API_VERSION, **parameters}
        status, text = self.forward(urllib.parse.urlencode(form).encode(), headers)
        expect(status == 200, f"moto refused {action}: {status} {text.decode(errors='replace')[:300]}")
        return text.decode()

    def launch(self) -> str:
        """Waits for the server and launches one instance with hibernation configured; gives its id."""

        def answers() -> bool:
            expect(self._process.poll() is None, "moto_server ended at once; see moto.log")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                return False
            return True

        wait_for("moto_server listens", answers, within=60)
        options = {
            "MinCount": "1",
            "MaxCount": "1",
            "InstanceType": "m7i.large",
            "HibernationOptions.Configured": "true",
        }
        text = self.call("RunInstances", ImageId="ami-12c6146b", **options)
        found = re.search(r"<instanceId>(i-[0-9a-f]+)</instanceId>", text)
        if found is None:
            raise Failure(f"moto launched nothing: {text[:300]}")
        return found.group(1)


@dataclass
class Call:
    """One call as it arrived at the endpoint."""

    at: float
    action: str
    parameters: dict[str, str]
    status: int = 0

    @property
    def dry_run(self) -> bool:
        """Only a question whether the call would be allowed."""
        return self.parameters.get("DryRun") == "true"

    def __str__(self) -> str:
        shown = {key: value for key, value in self.parameters.items() if key not in ("Action", "Version")}
        clock = time.strftime("%H:%M:%S", time.gmtime(self.at))
        return f"{clock} {self.action} {self.status} " + " ".join(f"{key}={value}" for key, value in shown.items())


@dataclass
class Ec2:
    """The endpoint that the agent calls."""

    moto: Moto
    instance_id: str
    access_key: str
    listener: socket.socket
    calls: list[Call] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    phase: str = "running"

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(self.listener.getsockname(), _handler(self), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = self.listener
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()

    def real(self, action: str) -> list[Call]:
        """The calls of one action that were no dry runs and were accepted."""
        with self._lock:
            return [call for call in self.calls if call.action == action and not call.dry_run and call.status == 200]

    def tags(self) -> dict[str, str]:
        """The instance's tags as moto holds them."""
        text = self.moto.call("DescribeTags", **{"Filter.1.Name": "resource-id", "Filter.1.Value.1": self.instance_id})
        return {item.findtext("key", ""): item.findtext("value", "") for item in _items(text, "tagSet")}

    def went_down(self) -> None:
        """The machine is off: `stopping` becomes `stopped`."""
        self.phase = "stopped"

    def start(self) -> None:
        """Somebody starts the instance again."""
        self.moto.call("StartInstances", **{"InstanceId.1": self.instance_id})
        self.phase = "running"

    def record(self, call: Call) -> None:
        """Keeps one call."""
        with self._lock:
            self.calls.append(call)

    def refusal(self, call: Call, authorization: str) -> tuple[int, str, str] | None:
        """What EC2 would refuse and moto does not: HTTP status, code and message."""
        if f"Credential={self.access_key}/" not in authorization or "Signature=" not in authorization:
            self.violations.append(f"{call.action} was not signed with the instance role's key")
            return 401, "AuthFailure", "AWS was not able to validate the provided access credentials"
        named = {value for key, value in call.parameters.items() if re.fullmatch(r"(InstanceId|ResourceId)\.\d+", key)}
        if call.action in ("StopInstances", "CreateTags") and named != {self.instance_id}:
            self.violations.append(f"{call.action} named {sorted(named)}, which is not this instance alone")
            return 403, "UnauthorizedOperation", "You are not authorized to perform this operation."
        if call.action == "StopInstances" and not call.dry_run and self.phase != "running":
            self.violations.append(f"StopInstances on an instance that is {self.phase}")
            message = f"The instance '{self.instance_id}' is not in a state from which it can be stopped."
            return 400, "IncorrectInstanceState", message
        return None

    def disguise(self, call: Call, text: bytes) -> bytes:
        """Shows moto's instant `stopped` as the phase that the machine is really in."""
        if call.action == "DescribeInstances" and self.phase != "running":
            state = f"<instanceState><code>{STATE_CODES[self.phase]}</code><name>{self.phase}</name></instanceState>"
            return re.sub(rb"<instanceState>.*?</instanceState>", state.encode(), text, flags=re.DOTALL)
        return text

    def handle(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Answers one call."""
        parameters = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        call = Call(time.time(), parameters.get("Action", "none"), parameters)
        refused = self.refusal(call, headers.get("authorization", ""))
        if refused is None:
            status, text = self.moto.forward(body, headers)
            text = self.disguise(call, text)
        else:
            status, code, message = refused
            text = _error(code, message)
        call.status = status
        if call.action == "StopInstances" and status == 200 and not call.dry_run:
            self.phase = "stopping"
        self.record(call)
        return status, text


def _items(text: str, name: str) -> list[ElementTree.Element]:
    """The items of one list in an answer, without the namespace that EC2 puts on every element."""
    return ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", text)).findall(f"{name}/item")


def _error(code: str, message: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
    ).encode()


def _handler(ec2: Ec2) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:  # noqa: N802 (the name is http.server's)
            length = min(int(self.headers.get("Content-Length", "0")), 1 << 20)
            body = self.rfile.read(length)
            dropped = ("connection", "content-length")
            kept = {name.lower(): value for name, value in self.headers.items() if name.lower() not in dropped}
            status, text = ec2.handle(body, kept)
            self.send_response(status)
            self.send_header("Content-Type", "text/xml;charset=UTF-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """The run keeps its own log."""

    return Handler
