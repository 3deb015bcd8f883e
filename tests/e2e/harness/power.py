"""Hibernation without a kernel that can do it: logind does all of its part, and the cgroup freezer does the kernel's.

An ACPI event makes an EC2 instance run `systemctl hibernate`. logind then says PrepareForSleep(true), starts hibernate.target, and
says PrepareForSleep(false) when that is over (org.freedesktop.login1(5)). Here /sys/power is a folder that promises
hibernation, and systemd-hibernate.service waits instead of writing to it; meanwhile every process is frozen.
"""

from __future__ import annotations

import time
from pathlib import Path

from .evidence import wait_for
from .machine import Machine

ASLEEP = "/run/e2e-asleep"

DROP_INS = {
    "etc/systemd/system/systemd-logind.service.d/e2e.conf": """\
[Service]
Environment=SYSTEMD_BYPASS_HIBERNATION_MEMORY_CHECK=1
""",
    "etc/systemd/system/systemd-hibernate.service.d/e2e.conf": f"""\
[Service]
ExecStart=
ExecStart=/bin/sh -c 'touch {ASLEEP}; while [ -e {ASLEEP} ]; do sleep 0.1; done'
""",
}


def promise(folder: Path) -> Path:
    """A folder to be mounted over /sys/power: a kernel that can hibernate (Documentation/power/interface.rst)."""
    folder.mkdir()
    (folder / "state").write_text("freeze mem disk\n")
    (folder / "disk").write_text("[platform] shutdown\n")
    return folder


def plant(root: Path) -> None:
    """Writes the drop-ins into a tree."""
    for path, text in DROP_INS.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def fall_asleep(machine: Machine) -> None:
    """The machine hibernates as after the ACPI event: when this returns, nothing in it runs any more."""
    machine.run("systemctl", "hibernate").ok()
    wait_for("logind hibernates the machine", machine.inside(ASLEEP).exists, within=15, every=0.05)
    time.sleep(0.5)
    machine.freeze()


def wake_up(machine: Machine) -> None:
    """The machine goes on where it was."""
    machine.inside(ASLEEP).unlink()
    machine.thaw()
