"""Work that goes on without its owner: nohup, services, containers, crontabs."""

from __future__ import annotations

import subprocess
from datetime import datetime

from harness.evidence import expect, wait_for
from harness.network import MACHINE_ADDRESS, WORLD_ADDRESS

from .. import programs
from ..studio import ACT_AFTER, Studio

LONG = ACT_AFTER + 25
JOB = programs.duty(LONG, 0.2)
FETCH = f"python3 {programs.FOLDER}/fetch.py {WORLD_ADDRESS} 9000 {LONG} 20000"
CONTAINER = "docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"


def nohup(studio: Studio) -> None:
    """See the list of scenes."""
    _leave_behind(studio, JOB, "duty.py")


def download(studio: Studio) -> None:
    """See the list of scenes."""
    studio.source_of_bytes(9000)
    _leave_behind(studio, FETCH, "fetch.py")


def crawler(studio: Studio) -> None:
    """See the list of scenes."""
    studio.source_of_bytes(9000)
    _leave_behind(studio, f"python3 {programs.FOLDER}/crawl.py {WORLD_ADDRESS} 9000 {LONG} 5", "crawl.py")


def sleeper(studio: Studio) -> None:
    """See the list of scenes."""
    _leave_behind(studio, f'sh -c "sleep {ACT_AFTER + 15}; {programs.duty(20, 0.5)}"', "duty.py")


def _leave_behind(studio: Studio, line: str, name: str) -> None:
    studio.begin()
    with studio.human("alice", "starts a job with nohup"):
        terminal = studio.login()
        terminal.command(f"(nohup {line} >/dev/null 2>&1 </dev/null &)")
        terminal.logout()
    with studio.job("alice", "the job works"):
        _until_gone(studio, name)


def _until_gone(studio: Studio, name: str = "duty.py") -> None:
    wait_for("the job runs", lambda: studio.process(rf"^\S*python3 .*{name}"), within=90)
    wait_for("the job ends", lambda: not studio.process(rf"^\S*python3 .*{name}"), within=ACT_AFTER * 3, every=2)


def user_service(studio: Studio) -> None:
    """See the list of scenes."""
    studio.root("loginctl", "enable-linger", "alice")
    studio.begin()
    with studio.human("alice", "starts a job in her manager"):
        expect(studio.ssh("systemd-run", "--user", "--unit=train", *JOB.split()).wait(30) == 0, "systemd-run failed")
    with studio.job("alice", "the job works in her manager"):
        _until_gone(studio)


def transient_service(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "starts a job of the system"):
        expect(studio.ssh("sudo", "systemd-run", *JOB.split()).wait(30) == 0, "systemd-run failed")
    with studio.job("root", "the job works as a transient service"):
        _until_gone(studio)


def container(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.job("root", "the container computes"):
        _run_container(studio, f"unshare --net sh -c '{JOB}; exec sleep infinity'")
        _until_gone(studio)


def container_network(studio: Studio) -> None:
    """See the list of scenes."""
    studio.source_of_bytes(9000)
    _ip("-n", studio.network.world, "route", "add", "10.9.0.0/24", "via", MACHINE_ADDRESS)
    _run_container(studio, f"unshare --net sh -c 'sleep 8; {FETCH}; exec sleep infinity'")
    pid = wait_for("the container runs", lambda: studio.process("^sh -c sleep 8"), within=20)
    _connect_container(studio.network.machine, pid)
    studio.begin()
    with studio.job("root", "the container receives data"):
        _until_gone(studio, "fetch.py")


def _connect_container(machine: str, pid: int) -> None:
    """A network as container engines make it: a pair of virtual cards, one end in the container's namespace."""
    subprocess.run(["ip", "netns", "exec", machine, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
    _ip("-n", machine, "link", "add", "host0", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _ip("-n", machine, "address", "add", "10.9.0.1/24", "dev", "host0")
    _ip("-n", machine, "link", "set", "host0", "up")
    inside = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip"]
    for line in (
        "link set lo up",
        "address add 10.9.0.2/24 dev eth0",
        "link set eth0 up",
        "route add default via 10.9.0.1",
    ):
        subprocess.run([*inside, *line.split()], check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _run_container(studio: Studio, line: str) -> None:
    """Starts a program where Docker's engine puts a container: in a scope of its own below system.slice."""
    engine = ["systemd-run", "--scope", "--slice=system.slice", f"--unit={CONTAINER}", "--collect", "sh", "-c", line]
    studio.machine.start("engine", *engine)


def user_crontab(studio: Studio) -> None:
    """See the list of scenes."""
    name = r"^\S*python3 .*duty.py"
    studio.machine.write("/run/crontab", f"* * * * * {JOB}\n")
    # The job is due at the next full minute: well within the window, whenever this begins.
    wait_for("the last seconds of a minute", lambda: 35 <= datetime.now().second < 45, within=65, every=1)
    studio.begin()
    studio.root("crontab", "-u", "alice", "/run/crontab")
    wait_for("the job runs", lambda: studio.process(name), within=60)
    with studio.job("alice", "the crontab's job works"):
        studio.root("crontab", "-u", "alice", "-r")
        wait_for("the job ends", lambda: not studio.process(name), within=ACT_AFTER * 3, every=2)
