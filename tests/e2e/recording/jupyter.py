"""A browser with a notebook: Jupyter's REST interface and its channels over a WebSocket (RFC 6455), pinged as browsers do."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from harness.evidence import Failure, expect, wait_for

TOKEN = "scene"
TEXT, PING, PONG = 1, 9, 10


class _Connection(http.client.HTTPConnection):
    def __init__(self, made: socket.socket) -> None:
        super().__init__("localhost")
        self.sock = made


class Notebook:
    """One kernel and the tab in which it is shown."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        kernel = self.request(connect(), "POST", "/api/kernels", {"name": "python3"})
        expect(kernel is not None, "no kernel was started")
        self._session = uuid.uuid4().hex
        self._socket = connect()
        self._idle = threading.Event()
        self._lock = threading.Lock()
        self._parent = ""
        path = f"/api/kernels/{(kernel or {})['id']}/channels?session_id={self._session}&token={TOKEN}"
        key = base64.b64encode(os.urandom(16)).decode()
        head = [
            f"GET {path} HTTP/1.1",
            "Host: localhost:8888",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        self._socket.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self._file = self._socket.makefile("rb")
        status = self._file.readline()
        expect(b" 101 " in status, f"the server refused a WebSocket: {status!r}")
        while self._file.readline() not in (b"\r\n", b""):
            pass
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._ping, daemon=True).start()

    @staticmethod
    def request(made: socket.socket, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        """One request of the REST interface."""
        connection = _Connection(made)
        try:
            headers = {"Authorization": f"token {TOKEN}", "Host": "localhost:8888"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise Failure(f"{method} {path}: {error}") from error
        finally:
            connection.close()
        expect(answer.status < 300, f"{method} {path} gave {answer.status}: {text[:200]!r}")
        found: dict[str, Any] = json.loads(text)
        return found

    def execute(self, code: str) -> None:
        """Runs a cell."""
        self._idle.clear()
        header = {
            "msg_id": uuid.uuid4().hex,
            "session": self._session,
            "username": "alice",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "msg_type": "execute_request",
            "version": "5.3",
        }
        self._parent = header["msg_id"]
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        self._send(TEXT, json.dumps({**message, "buffers": []}).encode())

    def wait_idle(self, within: float) -> None:
        """Waits for the end of the cell."""
        wait_for("the kernel is idle again", self._idle.is_set, within)

    def _send(self, kind: int, data: bytes) -> None:
        mask = os.urandom(4)
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        with self._lock:
            self._socket.sendall(bytes([0x80 | kind]) + length + mask + masked)

    def _ping(self) -> None:
        with suppress(OSError):
            while True:
                time.sleep(5)
                self._send(PING, b"")

    def _read(self) -> None:
        with suppress(OSError, ValueError, struct.error):
            while True:
                first, second = self._file.read(2)
                length = second & 0x7F
                if length == 126:
                    (length,) = struct.unpack(">H", self._file.read(2))
                elif length == 127:
                    (length,) = struct.unpack(">Q", self._file.read(8))
                data = self._file.read(length)
                if first & 0x0F == PING:
                    self._send(PONG, data)
                elif first & 0x0F == TEXT:
                    self._hear(json.loads(data))

    def _hear(self, message: dict[str, Any]) -> None:
        is_of_cell = message.get("parent_header", {}).get("msg_id") == self._parent
        state = message.get("content", {}).get("execution_state")
        if is_of_cell and message["header"]["msg_type"] == "status" and state == "idle":
            self._idle.set()
