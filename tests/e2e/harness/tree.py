"""The Debian 12 tree, made once and kept; each run lays a writable layer over it."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .evidence import Failure, Report

SUITE = "bookworm"
#: What a Debian image on EC2 has and the tests meet. No ifupdown: the interface is configured from outside.
PACKAGES = [
    "at",
    "ca-certificates",
    "cloud-init",
    "cron",
    "curl",
    "dbus",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "nginx-light",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
]
#: Raised when `prepare` changes.
REVISION = 2


@contextmanager
def _exclusive(cache: Path) -> Iterator[None]:
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(*words: object) -> str:
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()[:12]


def _run(report: Report, log: Path, *words: str) -> None:
    with log.open("ab") as out:
        ended = subprocess.run(words, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if ended.returncode != 0:
        report.block(f"the end of {log}", "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
        raise Failure(f"{words[0]} failed with {ended.returncode}")


def base(cache: Path, report: Report) -> Path:
    """The pristine tree of the end-to-end tests."""
    return made(cache, report, f"tree-{SUITE}", SUITE, PACKAGES, prepare, REVISION)


def made(
    cache: Path,
    report: Report,
    name: str,
    suite: str,
    packages: list[str],
    finish: Callable[[Path], None],
    revision: int,
) -> Path:
    """A pristine tree. It is made when missing, and made anew when the list of packages or the revision changed."""
    tree = cache / f"{name}-{_digest(suite, revision, *packages)}"
    with _exclusive(cache):
        if not tree.exists():
            report.note(f"making the Debian {suite} tree with mmdebstrap (a minute or two, once)")
            new = cache / f"{name}.new"
            shutil.rmtree(new, ignore_errors=True)
            log = cache / f"mmdebstrap-{name}.log"
            log.unlink(missing_ok=True)
            _run(report, log, "mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(new))
            finish(new)
            new.rename(tree)
            for old in cache.glob(f"{name}-*"):
                if old != tree:
                    shutil.rmtree(old, ignore_errors=True)
    return tree


def prepare(tree: Path) -> None:
    """Makes the tree into an image that was never booted: no network management of its own, no identity."""
    (tree / "etc/machine-id").write_text("uninitialized\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (tree / "etc/resolv.conf").write_text("")
    (tree / "etc/fstab").write_text("")
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    units = tree / "etc/systemd/system"
    for unit in ("systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service"):
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    configuration = tree / "etc/cloud/cloud.cfg.d"
    (configuration / "99-datasource.cfg").write_text("datasource_list: [NoCloud, None]\n")
    (configuration / "99-network.cfg").write_text("network: {config: disabled}\n")
    (configuration / "99-locale.cfg").write_text("locale: C.UTF-8\n")


def python_packages(cache: Path, requirements: Path, report: Report) -> Path:
    """A virtual environment with moto; gives the path of its Python."""
    venv = cache / f"venv-{_digest(sys.version, requirements.read_text())}"
    with _exclusive(cache):
        if not venv.exists():
            report.note("installing moto from PyPI (about a minute, once)")
            new = cache / "venv.new"
            shutil.rmtree(new, ignore_errors=True)
            log = cache / "venv.log"
            log.unlink(missing_ok=True)
            _run(report, log, sys.executable, "-m", "venv", str(new))
            _run(report, log, str(new / "bin/python"), "-m", "pip", "install", "-q", "-r", str(requirements))
            new.rename(venv)
            for old in cache.glob("venv-*"):
                if old != venv:
                    shutil.rmtree(old, ignore_errors=True)
    return venv / "bin/python"


class Layer:
    """A writable copy of the tree for one run."""

    def __init__(self, lower: Path, folder: Path) -> None:
        self.lower = lower
        self.folder = folder
        self.root = folder / "root"
        self._mounted = False

    def create(self) -> None:
        """Lays the layer over the tree; where the kernel cannot do that, copies the tree."""
        for name in ("root", "upper", "work"):
            (self.folder / name).mkdir(parents=True)
        options = f"lowerdir={self.lower},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        words = ["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)]
        self._mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
        if not self._mounted:
            subprocess.run(["cp", "-a", "--reflink=auto", f"{self.lower}/.", str(self.root)], check=True)

    def remove(self) -> None:
        """Unmounts and deletes the layer. Never fails."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.root)], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)
