"""What a system does by itself, and what must not be interrupted."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.evidence import expect, wait_for

from .. import programs
from ..studio import ACT_AFTER, Studio

#: Housekeeping: a burst of three seconds each twenty, and a service that is never quite at rest.
BURSTS = f"while :; do {programs.duty(3, 0.8)}; sleep 17; done"
NOISE = programs.duty(1000, 0.04)
#: How the job of the timer is recognized.
JOB = r"^\S*python3 .*duty.py"


def nobody(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()


def cron_bursts(studio: Studio) -> None:
    """See the list of scenes."""
    studio.machine.write("/etc/cron.d/bursts", f'* * * * * root timeout 58 sh -c "{BURSTS}"\n')
    studio.machine.start("monitor", *NOISE.split())
    studio.begin()


def inhibitor(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.block("root", "a program blocks sleep"):
        line = ["systemd-inhibit", "--what=sleep", "--who=backup", "--why=a copy is made", "--mode=block"]
        studio.root(*line, "sleep", str(ACT_AFTER + 15), within=ACT_AFTER + 60)


def timer_due(studio: Studio) -> None:
    """See the list of scenes."""
    studio.machine.write("/etc/systemd/system/report.service", f"[Service]\nExecStart={programs.duty(15, 0.2)}\n")
    when = f"[Timer]\nOnActiveSec={ACT_AFTER + 15}\nAccuracySec=1\n"
    studio.machine.write("/etc/systemd/system/report.timer", when)
    studio.root("systemctl", "daemon-reload")
    studio.begin()
    with studio.block("root", "a report is due, and is made"):
        studio.root("systemctl", "start", "report.timer")
        wait_for("the report is made", lambda: studio.process(JOB), within=ACT_AFTER + 60)
        wait_for("the report is done", lambda: not studio.process(JOB), within=60)


def apt_upgrade(studio: Studio) -> None:
    """See the list of scenes."""
    repository = studio.machine.inside("/srv/packages")
    repository.mkdir(parents=True)
    for version, pause in (("1.0", 0), ("2.0", ACT_AFTER + 15)):
        _package(studio.folder, repository, version, pause)
    install = "apt-get --yes --allow-unauthenticated -o APT::Sandbox::User=root install"
    studio.root("sh", "-c", f"{install} /srv/packages/slow_1.0_all.deb")
    studio.machine.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/packages ./\n")
    index = "Package: slow\nVersion: 2.0\nArchitecture: all\nMaintainer: nobody\nFilename: ./slow_2.0_all.deb\n"
    size = (repository / "slow_2.0_all.deb").stat().st_size
    digest = subprocess.run(["sha256sum", repository / "slow_2.0_all.deb"], capture_output=True, text=True, check=True)
    (repository / "Packages").write_text(
        f"{index}Size: {size}\nSHA256: {digest.stdout.split()[0]}\nDescription: slow\n"
    )
    studio.root("apt-get", "-o", "APT::Sandbox::User=root", "update")
    studio.begin()
    studio.rest(ACT_AFTER * 0.5)
    with studio.block("root", "apt-get upgrade"):
        upgrade = ["apt-get", "--yes", "-o", "APT::Sandbox::User=root", "upgrade"]
        shown = studio.root(*upgrade, within=ACT_AFTER + 120).out
        expect("slow (2.0)" in shown, f"nothing was upgraded: {shown[-500:]}")


def _package(folder: Path, repository: Path, version: str, pause: float) -> None:
    """A package whose configuration takes so long, as that of a kernel or a database does."""
    tree = folder / f"slow-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: slow\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\nDescription: slow\n"
    (tree / "DEBIAN/control").write_text(control)
    script = tree / "DEBIAN/postinst"
    script.write_text(f"#!/bin/sh\nsleep {pause}\n")
    script.chmod(0o755)
    target = repository / f"slow_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, target], check=True, capture_output=True)
