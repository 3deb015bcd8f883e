"""What the host must offer, and where things are kept between runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from .evidence import Skip

#: Each program, and the Debian package that has it.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "dpkg-deb": "dpkg",
}


def check() -> None:
    """Raises `Skip` with the reason and the remedy where a booted container is impossible here."""
    if os.geteuid() != 0:
        raise Skip("not root: booting a container needs it (sudo tests/e2e/run)")
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise Skip(f"programs are missing: apt-get install {' '.join(missing)}")
    tried = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        raise Skip(f"no namespaces here: {tried.stderr.strip()}")
    if not Path("/sys/power/state").exists():
        raise Skip("this kernel has no /sys/power (CONFIG_PM), over which the simulated hibernation is mounted")
    probe = unified() / f"agentd-e2e-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise Skip(f"cgroups cannot be made here: {error}") from error


def unified() -> Path:
    """Where the cgroup v2 hierarchy is mounted; it is `/sys/fs/cgroup/unified` on a hybrid host."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise Skip("no cgroup v2 hierarchy is mounted")


def cache() -> Path:
    """The folder of the tree and of the Python packages: `$AGENTD_E2E_CACHE`, or `/var/cache/agentd-e2e`."""
    folder = Path(os.environ.get("AGENTD_E2E_CACHE") or "/var/cache/agentd-e2e")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tied(*words: str) -> list[str]:
    """The command line that runs `words` and is ended by the kernel when the run ends, however it ends (setpriv(1))."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *words]


def interrupted(number: int, _frame: object) -> None:
    """Turns a signal into an exception, so that everything is cleaned up."""
    raise KeyboardInterrupt(signal.Signals(number).name)
