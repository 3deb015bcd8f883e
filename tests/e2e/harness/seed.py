"""What the machine is given at launch: the user-data of the documentation, metadata, and the test's own drop-ins."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import socket
import threading
import uuid
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .evidence import Failure, expect
from .network import WORLD_ADDRESS

EC2_PORT = 8000
PACKAGE_PORT = 80

#: Seconds. A PTY's access time moves in steps of eight seconds (tty(4), drivers/tty/tty_io.c), so nothing is shorter than that.
QUIET_AFTER = 10
ACT_AFTER = 24
WARN_BEFORE = (12, 6)
RESUME_GRACE = 5
#: A pause longer than this is a gap: six times the interval between two looks, at least five seconds.
GAP = 5

DROP_IN = f"""\
# Short times: the same policy as in production, in seconds.
[idle]
quiet_after = "{QUIET_AFTER}s"
act_after = "{ACT_AFTER}s"
# A process of the harness is left in cloud-final.service: it is waited for no longer than a connection is.
job_after = "{2 * ACT_AFTER}s"
warn_before = [{", ".join(f'"{seconds}s"' for seconds in WARN_BEFORE)}]
boot_grace = "0s"
resume_grace = "{RESUME_GRACE}s"
"""

DISKSTATS = "/etc/e2e-diskstats"

#: The id of the boot, new for each (proc_sys_kernel(5)). The unit's own /proc shows that of the host, not of the machine.
BOOT_ID = "/etc/e2e-boot-id"

#: The endpoint, and counters of disks that stand still: those in /proc/diskstats are the host's, and what the host does is no
#: use of this machine. (Where cgroup v2 has the io controller, the agent reads what the machine's own groups do.)
SERVICE_DROP_IN = f"""\
[Service]
Environment=AWS_ENDPOINT_URL_EC2=http://{WORLD_ADDRESS}:{EC2_PORT}
BindReadOnlyPaths={DISKSTATS}:/proc/diskstats
BindReadOnlyPaths={BOOT_ID}:/proc/sys/kernel/random/boot_id
"""


def new_boot(root: Path) -> None:
    """Gives the next boot of a tree an id of its own."""
    (root / BOOT_ID.lstrip("/")).write_text(f"{uuid.uuid4()}\n")


def user_data(example: Path, package: Path) -> str:
    """The example of the documentation with the two values filled in that it asks the reader for."""
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    text = example.read_text()
    text, urls = re.subn(r'(?m)^(\s*)url="[^"]*"$', rf'\1url="http://{WORLD_ADDRESS}/{package.name}"', text)
    text, sums = re.subn(r'(?m)^(\s*)sha256="[^"]*"$', rf'\1sha256="{digest}"', text)
    expect((urls, sums) == (1, 1), f'{example} has no longer one line url="…" and one line sha256="…" to fill in')
    return text


def plant(root: Path, user_data_text: str, instance_id: str, public_key: str) -> None:
    """Writes the launch data into a tree that was never booted."""
    seed = root / "var/lib/cloud/seed/nocloud"
    seed.mkdir(parents=True)
    (seed / "user-data").write_text(user_data_text)
    metadata = {"instance-id": instance_id, "local-hostname": "e2e", "public-keys": [public_key.strip()]}
    (seed / "meta-data").write_text(json.dumps(metadata))
    for path, text in (
        ("etc/agentd/config.d/90-e2e.toml", DROP_IN),
        ("etc/systemd/system/agentd.service.d/e2e.conf", SERVICE_DROP_IN),
        (DISKSTATS.lstrip("/"), Path("/proc/diskstats").read_text()),
    ):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


class PackageServer:
    """The place that the user-data fetches the package from."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        handler = functools.partial(Handler, directory=str(folder))
        self._server = ThreadingHTTPServer(listener.getsockname(), handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()


def publish(package: Path, folder: Path) -> Path:
    """Copies the package to where the server finds it, under a name that apt takes."""
    if not package.is_file():
        raise Failure(f"{package} is no file; build the package first, or name it with --deb FILE")
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(package, folder / package.name))
