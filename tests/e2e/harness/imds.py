"""The instance metadata service, version 2 only, as strict about tokens as the real one.

Interface: Amazon EC2 User Guide, "How Instance Metadata Service Version 2 works" and "Instance metadata categories".
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
ROLE = "agentd-e2e"
NOT_FOUND = (
    "<!DOCTYPE html>\n<html><head><title>404 - Not Found</title></head><body><h1>404 - Not Found</h1></body></html>\n"
)


@dataclass(frozen=True)
class Instance:
    """What the metadata service says of the machine."""

    instance_id: str
    region: str = "eu-central-1"
    zone: str = "eu-central-1a"
    instance_type: str = "m7i.large"
    image_id: str = "ami-0123456789abcdef0"
    account: str = "123456789012"
    access_key: str = "ASIAE2EE2EE2EE2EE2EE"

    def tree(self) -> dict[str, str]:
        """Every path below `/latest/` with its text. A path that is not here is a 404."""
        document = {
            "accountId": self.account,
            "architecture": "x86_64",
            "availabilityZone": self.zone,
            "imageId": self.image_id,
            "instanceId": self.instance_id,
            "instanceType": self.instance_type,
            "pendingTime": "2026-01-01T00:00:00Z",
            "privateIp": "198.51.100.2",
            "region": self.region,
            "version": "2017-09-30",
        }
        credentials = {
            "Code": "Success",
            "LastUpdated": "2026-01-01T00:00:00Z",
            "Type": "AWS-HMAC",
            "AccessKeyId": self.access_key,
            "SecretAccessKey": "simulated",
            "Token": "simulated",
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6 * 3600)),
        }
        return {
            "dynamic/instance-identity/document": json.dumps(document, indent=2),
            "meta-data/ami-id": self.image_id,
            "meta-data/instance-id": self.instance_id,
            "meta-data/instance-type": self.instance_type,
            "meta-data/instance-life-cycle": "on-demand",
            "meta-data/hibernation/configured": "true",
            "meta-data/local-ipv4": "198.51.100.2",
            "meta-data/placement/availability-zone": self.zone,
            "meta-data/placement/region": self.region,
            "meta-data/iam/security-credentials/": ROLE,
            f"meta-data/iam/security-credentials/{ROLE}": json.dumps(credentials, indent=2),
            "meta-data/services/domain": "amazonaws.com",
            "meta-data/services/partition": "aws",
            "meta-data/tags/instance/": "Name",
            "meta-data/tags/instance/Name": "agentd-e2e",
        }


class Imds:
    """The server. `violations` lists every request that the real service would have refused for want of a good token."""

    def __init__(self, instance: Instance, listener: socket.socket) -> None:
        self.instance = instance
        #: Items that are announced or changed while the machine runs, over those of the instance.
        self.items: dict[str, str] = {}
        self.tokens: dict[str, float] = {}
        self.requests = 0
        self.violations: list[str] = []
        self.log: list[str] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(listener.getsockname(), _handler(self), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()

    def note(self, line: str) -> None:
        """Keeps one request for the log of the run."""
        with self._lock:
            self.requests += 1
            self.log.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {line}")

    def issue(self, ttl: str | None) -> str | None:
        """A new token, or none where the requested life is not 1 to 21600 seconds."""
        if ttl is None or not ttl.isascii() or not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            return None
        token = secrets.token_urlsafe(40) + "=="
        with self._lock:
            self.tokens[token] = time.monotonic() + int(ttl)
        return token

    def seconds_left(self, sent: list[str]) -> int | None:
        """The life left of the one token sent; none where there is not exactly one good token."""
        with self._lock:
            ends = self.tokens.get(sent[0]) if len(sent) == 1 else None
        if ends is None or ends <= time.monotonic():
            return None
        return int(ends - time.monotonic())

    def find(self, path: str) -> str | None:
        """The text at a path: a leaf, or a listing of what is below it."""
        for prefix in ("/latest/", "/2021-07-15/", "/2024-04-11/"):
            if path.startswith(prefix):
                inner = path[len(prefix) :]
                break
        else:
            return None
        tree = {**self.instance.tree(), **self.items}
        if inner in tree:
            return tree[inner]
        folder = inner.rstrip("/") + "/"
        below = {key[len(folder) :] for key in tree if key.startswith(folder) and key != folder}
        if folder in tree:
            return tree[folder]
        names = sorted({rest.split("/")[0] + ("/" if "/" in rest else "") for rest in below})
        return "\n".join(names) or None


def _handler(imds: Imds) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "EC2ws"
        sys_version = ""
        timeout = 10

        def _answer(self, status: int, body: str, ttl: int | None = None) -> None:
            imds.note(f"{self.command} {self.path} {status}")
            payload = body.encode()
            self.send_response_only(status)
            self.send_header("Server", "EC2ws")
            self.send_header("Date", formatdate(usegmt=True))
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(payload)))
            self.send_header("Connection", "close")
            if ttl is not None:
                self.send_header(TTL_HEADER, str(ttl))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)
            self.close_connection = True

        def do_PUT(self) -> None:  # noqa: N802 (the name is http.server's)
            if self.path != "/latest/api/token" or self.headers.get("X-Forwarded-For"):
                self._answer(403, "")
                return
            ttl = self.headers.get(TTL_HEADER)
            token = imds.issue(ttl)
            if token is None or ttl is None:
                self._answer(400, "")
            else:
                self._answer(200, token, int(ttl))

        def do_GET(self) -> None:  # noqa: N802
            left = imds.seconds_left(self.headers.get_all(TOKEN_HEADER) or [])
            if left is None:
                imds.violations.append(f"{self.command} {self.path} without exactly one good token")
                self._answer(401, "")
                return
            text = imds.find(self.path)
            if text is None:
                self._answer(404, NOT_FOUND, left)
            else:
                self._answer(200, text, left)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """The run keeps its own log."""

    return Handler
