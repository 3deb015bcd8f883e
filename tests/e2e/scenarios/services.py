"""Work in every way in which EC2's users start it: user-data, a unit, Run Command, cron, a packaged server, a server over UDP and an
editor's tunnel. Each keeps the machine up and is named with whose it is; what stands beside it does not keep it up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness import works
from harness.callers import Download, Player, Pool, Relay
from harness.evidence import expect, stays, wait_for
from harness.network import WORLD_ADDRESS
from harness.seed import ACT_AFTER

from .blocks import nothing_happens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.agent import Document
    from harness.world import World

#: Seconds in which work must be seen, and in which its end must be.
SEEN_WITHIN = 15
ENDED_WITHIN = 20
#: From here on people's work is a use of the processors, cores: the default of the source cpu.
PEOPLES_CORES = 0.05
#: The last use is never longer ago than this while the work goes on, seconds.
FRESH = 6
#: A look that is longer than that, and one that is longer than an idle machine is left alone.
SHORT = FRESH + 2
LONG = ACT_AFTER + 4
#: What stands beside the work is looked at for so long.
BESIDE = 6

RELAY_PORT = 8443
EDITOR = ".vscode/cli/servers/Stable-0123456789abcdef/server"


def run(world: World) -> None:
    """See the module."""
    machine = world.machine
    machine.run("systemctl", "daemon-reload").ok()
    _hold(world)
    machine.write("/etc/cron.d/etl", works.TABLE)
    inside = "/run/e2e-stats.deb"
    machine.inside(inside).write_bytes(works.package(world.folder).read_bytes())
    machine.run("dpkg", "--install", inside).ok()
    _settled(world, "cpu")
    _user_data(world)
    _unit(world)
    _run_command(world)
    _cron(world)
    _server(world)
    _datagrams(world)
    _tunnel(world)
    _release(world)


def _hold(world: World) -> None:
    """What is prepared and what comes to rest takes its time on a loaded host. Only while work goes on it is the work alone that
    keeps the machine up."""
    world.machine.run("agentctl", "hold", "20m", "--reason", "the next work is prepared").ok()


def _release(world: World) -> None:
    world.machine.run("agentctl", "release").ok()
    wait_for("the hold is gone", lambda: not world.agent.status()["holds"], within=10)


def _user_data(world: World) -> None:
    """`nohup … &` of a script of the user-data, as root. It runs on in the unit of cloud-init's last stage."""
    with _gate(world, "train"):
        _kept(world, "user-data with nohup", "cpu", "cloud-final.service", "workload", LONG)
    _settled(world, "cpu")


def _unit(world: World) -> None:
    """A unit in /etc/systemd/system without `User=`."""
    world.machine.run("systemctl", "start", "trainer.service").ok()
    with _gate(world, "trainer"):
        _kept(world, "a unit of one's own", "cpu", "trainer.service", "local", SHORT)
    _settled(world, "cpu")


def _run_command(world: World) -> None:
    """A document of Run Command; the agent of Systems Manager was there before and stays."""
    machine = world.machine
    machine.run("systemctl", "start", "amazon-ssm-agent.service").ok()
    wait_for("the worker of the agent listens", machine.inside(works.DOCUMENTS).exists, within=15)
    with _gate(world, "patch-fleet"):
        _send(world, f"{works.SSM}/orchestration/awsrunShellScript/_script.sh\n")
        _kept(world, "Run Command", "cpu", "amazon-ssm-agent.service", "workload", SHORT, "patch-fleet")
    _settled(world, "cpu")


def _send(world: World, line: str) -> None:
    """Gives a document to the worker."""

    def send() -> bool:
        try:
            pipe = os.open(world.machine.inside(works.DOCUMENTS), os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        with os.fdopen(pipe, "w") as worker:
            worker.write(line)
        return True

    wait_for("the worker takes a document", send, within=15)


def _cron(world: World) -> None:
    """A job of root's in /etc/cron.d, and before it one that a package brought. The latter goes on beside all that follows."""
    machine = world.machine
    for name in ("etl", works.STATS):
        # cron starts them at the beginning of a minute; they wait for their turn.
        wait_for(f"cron starts {name}", machine.inside(f"{works.GATES}/{name}.lock").exists, within=75)
    machine.write(f"{works.GATES}/{works.STATS}", "")

    def computes() -> bool:
        row = _signal(world, "cpu", "cron.service", "upkeep")
        # What a source shows is beside the limit of whatever comes nearest to its own.
        return row is not None and row["value"] > PEOPLES_CORES

    wait_for("the package's job is seen", computes, within=SEEN_WITHIN)
    _idle(world, "cpu", "a job of a package's", BESIDE)
    shown = _signal(world, "cpu", "cron.service", "upkeep")
    world.report.note(f"a package's job of cron does not keep it up: {_line(shown, 'core')}")
    with _gate(world, "etl"):
        _kept(world, "root's job of cron, beside it", "cpu", "cron.service", "workload", SHORT, "etl")
    _settled(world, "cpu")


def _server(world: World) -> None:
    """nginx as Debian packages it. A pool of idle connections and a scrape are there to the end."""
    world.call(Pool(world.network, 20, "/metrics", every=15))
    _settled(world, "network")
    _idle(world, "network", "twenty idle connections and a scrape", BESIDE)
    world.report.note(f"twenty idle connections and a scrape do not keep it up: {_row(world, 'network')}")
    download = Download(world.network, "/image.bin", 300_000)
    world.call(download)
    _kept(world, "a packaged server under load", "network", "nginx.service", "server", SHORT)
    expect(download.received > 300_000, f"the client got {download.received} bytes only")
    download.close()
    _settled(world, "network")


def _datagrams(world: World) -> None:
    """A server of a game over UDP, as a unit."""
    world.machine.run("systemctl", "start", "game.service").ok()
    _settled(world, "cpu")
    player = Player(world.network, works.GAME_PORT)
    world.call(player)
    _kept(world, "a service over UDP", "network", "game.service", None, SHORT)
    expect(player.received > 30_000, f"the player got {player.received} bytes only")
    player.close()
    _settled(world, "network")


def _tunnel(world: World) -> None:
    """`code tunnel`: the editor's server was left by a login and has called a relay, over which somebody edits."""
    relay = Relay(world.network, RELAY_PORT)
    world.call(relay)
    terminal = world.login()
    code, shown = terminal.command(f"mkdir -p ~/{EDITOR} && cp /usr/bin/python3 ~/{EDITOR}/node")
    expect(code == 0, f"the editor's server cannot be put in place: {shown}")
    line = f"~/{EDITOR}/node {works.FOLDER}/server-main.py {WORLD_ADDRESS} {RELAY_PORT}"
    code, shown = terminal.command(f"(setsid nohup {line} > /dev/null 2>&1 < /dev/null &)")
    expect(code == 0, f"the editor's server does not start: {shown}")
    wait_for("the editor's server calls the relay", lambda: relay.calls, within=20)
    relay.editing = True
    terminal.logout()
    world.leave()
    _kept(world, "an editor over a relay", "network", "debian", "workload", LONG)
    relay.editing = False
    world.report.note(f"the editor is left alone: {relay.sent} bytes came over the relay, and 40 a second go on")
    _settled(world, "network")


@contextmanager
def _gate(world: World, name: str) -> Iterator[None]:
    """Lets the job of that name compute, and ends it for good."""
    world.machine.write(f"{works.GATES}/{name}", "")
    try:
        yield
    finally:
        world.machine.write(f"{works.GATES}/{name}.done", "")
        world.machine.inside(f"{works.GATES}/{name}").unlink()


def _kept(world: World, what: str, source: str, name: str, role: str | None, during: float, process: str = "") -> None:
    """The work is seen, keeps the machine up for so long, and `why` names it and says whose it is."""
    agent, report = world.agent, world.report
    began = time.monotonic()

    def seen() -> Document | None:
        return _signal(world, source, name, role, process, verdict="busy")

    _explained(world, f"{what} is seen", seen, SEEN_WITHIN)
    seconds = time.monotonic() - began
    _release(world)

    def up() -> bool:
        nothing_happens(world)
        return agent.stage() == "active" or agent.idle_seconds() < FRESH

    stays(f"{what} keeps the machine up", up, during=during)
    row = _explained(world, f"{what} is named after that", seen, 5)
    because = agent.status()["outlook"]["because"]
    shown = world.machine.run("agentctl", "why").ok().out
    _hold(world)
    for word in (name.removesuffix(".service"), process):
        expect(word in shown, f"agentctl why does not name {word}:\n{shown}")
    unit = agent.source(source)["unit"]
    report.note(f"{what}: seen after {seconds:.1f} s, kept up for {during} s: {because}; {_line(row, unit)}")
    report.block("agentctl why says", _about(shown, name))


def _explained(world: World, what: str, probe: Callable[[], Document | None], within: float) -> Document:
    """Waits, and shows every signal if it is in vain."""
    try:
        return wait_for(what, probe, within)
    except Exception:
        world.report.block("agentctl why", world.machine.run("agentctl", "why").out)
        raise


def _signal(
    world: World, source: str, name: str, role: str | None, process: str = "", verdict: str = ""
) -> Document | None:
    """The largest signal of a source that names this, of that role and with that verdict."""
    for row in world.agent.why()["sources"]:
        for signal in row.get("signals", []) if row["source"] == source else []:
            text = f"{signal['subject']} {signal.get('owner') or ''}"
            is_of_role = role in (None, signal.get("role", "workload"))
            if name in text and process in text and is_of_role and verdict in ("", signal["verdict"]):
                return dict(signal)
    return None


def _line(signal: Document | None, unit: str) -> str:
    """A signal in one line."""
    if signal is None:
        return "nothing"
    owner = f" ({signal['owner']})" if signal.get("owner") else ""
    return f"{signal['subject']}{owner}, {signal.get('role', '')}, {signal['value']:.3g} {unit}"


def _about(shown: str, name: str) -> str:
    """The lines of `agentctl why` that tell of busy work and how it is judged."""
    lines = shown.splitlines()
    telling = [each for each in lines if "because" in each or "judged" in each or (name in each and "BUSY" in each)]
    return "\n".join(telling)


def _row(world: World, source: str) -> str:
    """A source in one line."""
    row = world.agent.source(source)
    return f"{source} {row['verdict']}, {row['value'] or 0:.3g} of {row['busy_above']:.3g} {row['unit']}"


def _settled(world: World, source: str) -> None:
    """What was used is used no more."""
    wait_for(f"{source} is seen idle", lambda: world.agent.source(source)["verdict"] == "idle", within=ENDED_WITHIN)


def _idle(world: World, source: str, what: str, during: float) -> None:
    """The source stays idle for so long."""
    stays(f"{what} is no use", lambda: world.agent.source(source)["verdict"] == "idle", during=during)
