"""Programs that do somebody's work in the machine, as files of its tree, and the ways in which they are started."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .machine import Machine

FOLDER = "/opt/e2e"
#: A job computes while a file of its name is here, and ends when it goes.
GATES = "/run/e2e"

#: NAME SHARE: waits for the gate of its own name, uses that share of a core while it is there, in slices of a tenth of a second,
#: and ends. Waiting costs next to nothing. There is one of each name at a time, and none any more when its work is done.
JOB = f"""\
#!/usr/bin/python3
import fcntl, os, sys, time
os.makedirs("{GATES}", exist_ok=True)
gate = "{GATES}/" + os.path.basename(sys.argv[0])
share = float(sys.argv[1])
lock = open(gate + ".lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit()
while not os.path.exists(gate):
    if os.path.exists(gate + ".done"):
        sys.exit()
    time.sleep(0.5)
while os.path.exists(gate):
    until = time.process_time() + share / 10
    begun = time.monotonic()
    while time.process_time() < until:
        pass
    time.sleep(max(0.0, 0.1 - (time.monotonic() - begun)))
"""
JOBS = ("train", "trainer", "patch-fleet", "etl", "rotate-stats")

#: A server of a game: answers every datagram with one of twice the size.
GAME = """\
#!/usr/bin/python3
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 27015))
while True:
    data, player = server.recvfrom(2048)
    server.sendto(data + b"y" * 425, player)
"""
GAME_PORT = 27015

#: What the server of an editor does with its relay: hears what somebody types, and answers with less.
EDITOR = """\
import socket, sys
relay = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while data := relay.recv(4096):
    relay.sendall(b"y" * (len(data) // 4))
"""

#: Run Command: the agent starts a worker, which starts one for each document, which starts a shell for the script of it (AWS
#: Systems Manager User Guide, "Working with SSM Agent"; amazon-ssm-agent's agent/framework/processor/executer/outofproc).
SSM = "/var/lib/amazon/ssm"
DOCUMENTS = "/run/e2e-documents"
SSM_FILES = {
    f"{SSM}/agent.sh": f"/usr/bin/ssm-agent-worker {SSM}/worker.sh &\nwait\n",
    f"{SSM}/worker.sh": f"""\
mkfifo {DOCUMENTS}
while true; do
    if read -r document < {DOCUMENTS}; then
        /usr/bin/ssm-document-worker {SSM}/document.sh "$document"
    fi
done
""",
    f"{SSM}/document.sh": 'sh "$1"\nexit $?\n',
    f"{SSM}/orchestration/awsrunShellScript/_script.sh": f"#!/bin/sh\n{FOLDER}/patch-fleet 0.25\necho done\n",
}
SSM_PROGRAMS = ("amazon-ssm-agent", "ssm-agent-worker", "ssm-document-worker")

#: A package's job: more than people's work may do unseen, less than what keeps a machine may.
STATS = "rotate-stats"

#: The table of somebody's job.
TABLE = f"* * * * * root {FOLDER}/etl 0.25\n"

UNITS = {
    "trainer.service": f"[Service]\nExecStart={FOLDER}/trainer 0.25\n",
    "game.service": f"[Service]\nExecStart={FOLDER}/game\n",
    "amazon-ssm-agent.service": f"[Service]\nExecStart=/usr/bin/amazon-ssm-agent {SSM}/agent.sh\n",
}

#: cloud-init runs what is here once an instance, in its last stage (cloud-init's documentation, "Scripts per instance").
USER_DATA = "/var/lib/cloud/scripts/per-instance/train.sh"

NGINX = "keepalive_timeout 1h;\nclient_header_timeout 1h;\naccess_log off;\n"


def plant(root: Path) -> None:
    """Writes the programs, the script of the user-data, and what the web server serves into a tree. Nothing is started by it but
    the script, which waits."""
    for name in JOBS:
        _write(root, f"{FOLDER}/{name}", JOB, 0o755)
    _write(root, f"{FOLDER}/game", GAME, 0o755)
    _write(root, f"{FOLDER}/server-main.py", EDITOR)
    _write(root, USER_DATA, f"#!/bin/sh\nnohup {FOLDER}/train 0.25 > /var/log/train.log 2>&1 &\n", 0o755)
    for name, text in UNITS.items():
        _write(root, f"/etc/systemd/system/{name}", text)
    for name, text in SSM_FILES.items():
        _write(root, name, text)
    for name in SSM_PROGRAMS:
        shutil.copy(root / "usr/bin/bash", root / "usr/bin" / name)
    _write(root, "/etc/nginx/conf.d/e2e.conf", NGINX)
    _write(root, "/var/www/html/metrics", "up 1\n" * 800)
    with (root / "var/www/html/image.bin").open("wb") as image:
        image.truncate(256 << 20)


def stats_run(machine: Machine) -> bool:
    """Whether the package's job computes."""
    return machine.inside(f"{GATES}/{STATS}").exists()


def package(folder: Path) -> Path:
    """A package that brings a table of cron, whose job runs each minute."""
    source = folder / "stats"
    control = "Package: e2e-stats\nVersion: 1\nArchitecture: all\nMaintainer: e2e <e2e@localhost>\nDescription: counts\n"
    _write(source, "/DEBIAN/control", control)
    _write(source, "/DEBIAN/conffiles", "/etc/cron.d/e2e-stats\n")
    _write(source, "/etc/cron.d/e2e-stats", f"* * * * * root {FOLDER}/{STATS} 0.08\n")
    built = folder / "e2e-stats.deb"
    line = ["dpkg-deb", "--root-owner-group", "--build", str(source), str(built)]
    subprocess.run(line, check=True, capture_output=True)
    return built


def _write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)
