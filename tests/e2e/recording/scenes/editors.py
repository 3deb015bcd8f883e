"""Notebooks, editors that work through a server, and shells without a login."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress

from harness.evidence import Failure, wait_for

from ..jupyter import Notebook
from ..programs import FOLDER, duty
from ..studio import ACT_AFTER, Studio

VSCODE_PORT = 8123
JUPYTER_PORT = 8888
NODE = "~/.vscode-server/bin/0123456789abcdef/node"


class Editor:
    """The editor at a person's end: one connection through ssh, kept alive every five seconds by a hundred bytes."""

    def __init__(self, studio: Studio) -> None:
        server = f"exec {NODE} {FOLDER}/server.js {VSCODE_PORT}"
        forward = f"{VSCODE_PORT}:127.0.0.1:{VSCODE_PORT}"
        self.ssh = studio.ssh(server, options=("-L", forward, "-o", "ServerAliveInterval=30"))
        wait_for("the server listens", lambda: "listening" in (studio.folder / "clients.log").read_text(), within=60)
        self._socket = studio.connect(VSCODE_PORT)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._keep_alive, daemon=True).start()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, **message: str) -> None:
        """One message."""
        with self._lock:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _keep_alive(self) -> None:
        with suppress(OSError):
            while not self._stop.wait(5):
                self.send(t="keep", pad="x" * 100)

    def _read(self) -> None:
        with suppress(OSError):
            while self._socket.recv(65536):
                pass

    def close(self) -> None:
        """The window is closed."""
        self._stop.set()
        self._socket.close()
        self.ssh.close()


def vscode(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "edits code"):
        editor = Editor(studio)
        for _ in range((ACT_AFTER + 12) // 2):
            editor.send(t="edit", text="let x = 1; " * 500)
            studio.rest(2)


def vscode_terminal(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types in the editor's terminal"):
        editor = Editor(studio)
        editor.send(t="terminal")
        for _ in range((ACT_AFTER + 12) // 3):
            editor.send(t="key", text="true\n")
            studio.rest(3)
    editor.close()


def jupyter(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "starts a notebook"):
        notebook = _notebook(studio)
        notebook.execute("x = 1")
        notebook.wait_idle(30)
    with studio.job("alice", "a cell computes"):
        program = duty(ACT_AFTER + 20, 0.2).split(" ", 2)
        notebook.execute(f"import sys; sys.argv = {['duty', *program[2].split()]!r}; exec(open({program[1]!r}).read())")
        notebook.wait_idle(ACT_AFTER * 3)


def jupyter_stuck(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "starts a notebook and a cell that sleeps"):
        notebook = _notebook(studio)
        notebook.execute("import time; time.sleep(3600)")
        studio.rest(5)


def _notebook(studio: Studio) -> Notebook:
    """A server of alice's, and her browser, which reaches it through a tunnel."""
    server = (
        "JUPYTER_TOKEN=scene nohup jupyter-server --no-browser --ServerApp.open_browser=False "
        f"--port={JUPYTER_PORT} >/tmp/jupyter.log 2>&1 </dev/null &"
    )
    studio.ssh(server).wait(30)
    studio.tunnel(JUPYTER_PORT)

    def answers() -> bool:
        try:
            return Notebook.request(studio.connect(JUPYTER_PORT), "GET", "/api/status") is not None
        except (OSError, Failure):
            return False

    wait_for("the notebook's server answers", answers, within=90, every=1)
    return Notebook(lambda: studio.connect(JUPYTER_PORT))


def ssm_shell(studio: Studio) -> None:
    """See the list of scenes."""
    studio.machine.start("amazon-ssm-agent", f"{FOLDER}/ssm-session-worker")
    path = studio.machine.inside("/run/ssm.sock")
    wait_for("the worker listens", path.exists, within=20)
    studio.begin()
    with studio.human("ssm-user", "types in a session"), socket.socket(socket.AF_UNIX) as session:
        session.connect(str(path))
        for _ in range((ACT_AFTER + 12) // 3):
            session.sendall(b"true\n")
            studio.rest(3)
        # The session stays open at its prompt.
        studio.keep_open(session.dup())
