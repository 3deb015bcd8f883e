"""An ordinary user's jobs that are due: in a crontab, in the spool of at, and in the user's own manager. All three are closed to the
agent, and each keeps the machine up; what they will run stays closed. Where systemd is not allowed to read the times, that is said."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from typing import TYPE_CHECKING

from harness.evidence import expect, stays, wait_for
from harness.seed import ACT_AFTER
from harness.terminal import USER

from .blocks import nothing_happens

if TYPE_CHECKING:
    from harness.machine import Answer
    from harness.world import World

#: A word of every command: nobody but its owner may read it.
SECRET = "hunter2"
#: Three schedules that are due within 90 minutes, and how the agent names them.
CRONTAB, AT, TIMER = f"crontabs/{USER} line", "/var/spool/cron/atjobs/a", "service timer "
READERS = ("agentd-schedules-*.service", "agentd-timers-*.service")
#: A timer that was made after its manager was asked is seen at the look before an action.
BEFORE_ACTION = 2 * ACT_AFTER + 30
#: A change of a table or of the spool is asked for two minutes after the last question, and looked for each minute.
SEEN_WITHIN = 120 + 60 + 15


def run(world: World) -> None:
    """See the module."""
    machine, agent, report = world.machine, world.agent, world.report
    _hold(world)
    machine.run("loginctl", "enable-linger", USER).ok()
    uid = machine.run("id", "-u", USER).ok().out.strip()
    wait_for("the user has a manager", machine.inside(f"/run/user/{uid}/systemd/private").exists, within=30)
    bus = machine.inside(f"/run/user/{uid}/bus").exists()
    report.note(f"{USER}'s manager runs {'with' if bus else 'without'} a bus beside it")
    wait_for("the manager was asked before the timer is made", lambda: not _is_closed(world, "timers"), within=30)
    _as_user(world, uid, f"systemd-run --user --on-active=70min /bin/true {SECRET}")
    machine.run("agentctl", "release").ok()
    _seen(world, "timers", TIMER, BEFORE_ACTION)
    _plan(world, uid)
    _seen(world, "cron", CRONTAB, SEEN_WITHIN)
    _seen(world, "cron", AT, SEEN_WITHIN)

    def up() -> bool:
        return nothing_happens(world)

    stays("what is due keeps the machine up", up, during=ACT_AFTER + 4)
    shown = machine.run("agentctl", "why").ok().out + json.dumps(agent.why()) + "\n".join(agent.messages())
    expect(SECRET not in shown, f"a command is shown: {shown}")
    _sandbox(world)

    _hold(world)
    _refuse(world, uid)
    _forget(world, uid)
    machine.run("agentctl", "release").ok()


def _hold(world: World) -> None:
    world.machine.run("agentctl", "hold", "20m", "--reason", "jobs are planned").ok()


def _as_user(world: World, uid: str, line: str) -> Answer:
    """A line of a shell of the user's, as it would be typed."""
    words = ["runuser", "-u", USER, "--", "env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "sh", "-c", line]
    return world.machine.run(*words).ok()


def _plan(world: World, uid: str) -> None:
    """Two jobs, as their owner plans them."""
    due = time.gmtime(time.time() + 40 * 60)
    table = f"{due.tm_min} {due.tm_hour} * * * /bin/true {SECRET}\n*/5 * * * * /bin/true {SECRET}\n"
    _as_user(world, uid, f"printf %s {shlex.quote(table)} | crontab -")
    _as_user(world, uid, f"echo /bin/true {SECRET} | at now + 50 minutes")


def _seen(world: World, source: str, name: str, within: float) -> None:
    """The job of that name is waited for, and whose it is is told."""
    began = time.monotonic()
    owner = wait_for(f"{name}… is waited for", lambda: _waited(world, source, name), within)
    world.report.note(f"{source}: {name}… of {owner}, seen after {time.monotonic() - began:.0f} s")
    expect(owner.startswith(f"{USER}, due "), f"whose job it is is not told: {owner}")


def _is_closed(world: World, source: str, why: str = "") -> bool:
    """Whether a source says that something is closed to the agent, and why."""
    rows = [row for row in world.agent.why()["sources"] if row["source"] == source]
    owners = [str(signal.get("owner")) for row in rows for signal in row.get("signals", [])]
    return any("closed to the agent" in owner and why in owner for owner in owners)


def _waited(world: World, source: str, name: str) -> str:
    """Whose the job of that name is that keeps the machine up; empty if there is none."""
    expect(world.stops() == 0, "the instance was stopped although a job is due")
    for row in world.agent.why()["sources"]:
        for signal in row.get("signals", []) if row["source"] == source else []:
            if name in signal["subject"] and signal["verdict"] == "blocks":
                return str(signal.get("owner") or "nobody")
    return ""


def _sandbox(world: World) -> None:
    """Nothing is left of the readers, and the journal says nothing of runs that went well."""
    left = world.machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", *READERS).ok().out
    expect("failed" not in left, f"a reader is left: {left}")
    units = [word for reader in READERS for word in ("--unit", reader)]
    lines = world.machine.run("journalctl", "--quiet", "--no-pager", "--boot", *units).out.splitlines()
    # Here, in a container, systemd may not touch the loopback device of a network of a unit's own, and goes on without.
    lines = [line for line in lines if "loopback network device" not in line]
    expect(not lines, f"the journal has lines of readers: {lines}")


def _refuse(world: World, uid: str) -> None:
    """systemd may not start units of these names; the agent says what is closed, and is blind nowhere."""
    machine, agent = world.machine, world.agent
    refusals = [machine.inside(f"/run/systemd/system/{name}-.service.d") for name in ("agentd-schedules", f"agentd-timers-{uid}")]
    for folder in refusals:
        folder.mkdir(parents=True)
        (folder / "refused.conf").write_text("[Service]\nExecStartPre=/bin/false\n")
    machine.run("systemctl", "daemon-reload").ok()
    machine.run("systemctl", "restart", "agentd.service").ok()

    def closed() -> bool:
        return all(_is_closed(world, source, "failed to run a reader") for source in ("cron", "timers"))

    wait_for("what is closed is said, and why", closed, within=30)
    for source in ("cron", "timers"):
        expect(agent.source(source)["verdict"] != "blind", f"{source} is blind: {agent.source(source)}")
    told = machine.run("agentctl", "doctor").out
    expect("agentctl hold" in told and "source:cron" in told, f"the doctor does not say what to do: {told}")
    world.report.block("refused: the doctor says", "\n".join(line for line in told.splitlines() if "clos" in line))
    for folder in refusals:
        shutil.rmtree(folder)
    machine.run("systemctl", "daemon-reload").ok()


def _forget(world: World, uid: str) -> None:
    """The jobs are taken back, and nothing is waited for any more."""
    _as_user(world, uid, "crontab -r; atrm $(atq | cut -f1); systemctl --user stop 'run-*.timer'")
    world.machine.run("loginctl", "disable-linger", USER).ok()
    world.machine.run("systemctl", "stop", f"user@{uid}.service").ok()
    world.machine.run("systemctl", "restart", "agentd.service").ok()

    def free() -> bool:
        rows = [world.agent.source(source) for source in ("cron", "timers")]
        return all(row["verdict"] in ("idle", "ignored", "absent") for row in rows)

    wait_for("nothing is waited for any more", free, within=30)
