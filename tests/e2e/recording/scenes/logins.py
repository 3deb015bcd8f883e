"""People who log in by ssh and mosh, with and without a terminal."""

from __future__ import annotations

import os
import re

from harness.evidence import expect, wait_for
from harness.network import MACHINE_ADDRESS
from harness.terminal import ssh

from .. import programs
from ..studio import ACT_AFTER, Studio

#: A pause as people make it in thought, seconds: long for the window, with the eight seconds of a PTY's clock to spare.
THOUGHT = ACT_AFTER * 0.6
#: What the agent writes on terminals.
WARNING, CALLED_OFF = "This machine will hibernate in", "Called off, this machine stays up"


def interactive(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types, thinks and types in a shell"):
        terminal = studio.login()
        studio.type(terminal, 15)
        studio.rest(THOUGHT)
        studio.type(terminal, 12)
    terminal.logout()


def abandoned(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types in a shell"):
        terminal = studio.login()
        studio.type(terminal, 15)


def display(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types in a shell and starts top"):
        terminal = studio.login()
        studio.type(terminal, 10)
        terminal.keys("TERM=xterm top -d 2\n")


def returns(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types now and then"):
        terminal = studio.login()
        for _ in range(2):
            studio.type(terminal, 5)
            studio.rest(ACT_AFTER * 0.8)
        studio.type(terminal, 5)


def warned(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types, reads the warning and presses a key"):
        terminal = studio.login()
        studio.type(terminal, 10)
        wait_for("the warning is on the terminal", lambda: WARNING in terminal.text, within=ACT_AFTER * 2 + 20)
        terminal.keys("#")
        wait_for("the warning is called off", lambda: CALLED_OFF in terminal.text, within=20)
        studio.notes.append(terminal.text)
        expect(studio.ec2 is not None and not studio.ec2.real("StopInstances"), "the instance was stopped")


def foreground_job(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.job("alice", "a program waits in the foreground of a terminal"):
        terminal = studio.login()
        terminal.command(f"python3 -c 'import time; time.sleep({ACT_AFTER * 2.5:.0f})'", within=ACT_AFTER * 2.5 + 30)


def root_shell(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types in a shell of root"):
        terminal = studio.login()
        terminal.keys("sudo -i\n")
        wait_for("the prompt of root", lambda: terminal.text.rstrip().endswith("#"), within=20)
        studio.type(terminal, ACT_AFTER + 15)
        terminal.keys("exit\n")
        wait_for("the prompt of alice", lambda: terminal.text.rstrip().endswith("$"), within=20)
        terminal.logout()


def silent_tunnel(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    studio.ssh(options=("-N", "-o", "ServerAliveInterval=5"))


def used_tunnel(studio: Studio) -> None:
    """See the list of scenes."""
    studio.machine.write("/srv/data", "x" * 4_000_000)
    studio.machine.start("files", "python3", "-m", "http.server", "--directory=/srv", "--bind=127.0.0.1", "8000")
    studio.begin()
    studio.tunnel(8000)
    with studio.human("alice", "downloads through the tunnel"):
        line = f"curl --silent --limit-rate 50k --output {os.devnull} http://127.0.0.1:8000/data"
        expect(studio.client(*line.split()).wait(150) == 0, "the download failed")


def command(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.job("alice", "a command works"):
        expect(studio.ssh(programs.duty(ACT_AFTER + 25, 0.2)).wait(150) == 0, "the command failed")


def scp(studio: Studio) -> None:
    """See the list of scenes."""
    source = studio.folder / "upload"
    source.write_bytes(os.urandom(6_000_000))
    studio.begin()
    with studio.human("alice", "copies files"):
        expect(studio.scp("-l", "1200", str(source), "alice:upload").wait(120) == 0, "the upload failed")
        expect(studio.scp("-l", "1200", "alice:upload", os.devnull).wait(120) == 0, "the download failed")
    source.unlink()


def master(studio: Studio) -> None:
    """See the list of scenes."""
    path = f"{studio.folder}/master"
    studio.begin()
    shared = ("-o", "ControlMaster=auto", "-o", f"ControlPath={path}", "-o", "ControlPersist=600")
    with studio.human("alice", "types in two sessions of one connection"):
        studio.ssh(options=("-N", "-M", "-o", f"ControlPath={path}", "-o", "ServerAliveInterval=5"))
        wait_for("the master listens", lambda: os.path.exists(path), within=20)
        first = studio.login("alice", *shared)
        studio.type(first, 10)
        second = studio.login("alice", *shared)
        studio.type(second, 10)
        first.logout()
        studio.type(second, ACT_AFTER + 5)
    second.logout()


def restart(studio: Studio) -> None:
    """See the list of scenes."""
    source = studio.folder / "upload"
    source.write_bytes(os.urandom(13_000_000))
    studio.begin()
    with studio.human("alice", "types before and after the restart"):
        terminal = studio.login()
        studio.type(terminal, 10)
        with studio.human("alice", "copies a file before and after the restart"):
            copy = studio.scp("-l", "1200", str(source), "alice:upload")
            studio.type(terminal, 10)
            studio.root("systemctl", "restart", "ssh.service")
            studio.type(terminal, 15)
            studio.rest(5)
            terminal.logout()
            expect(copy.wait(150) == 0, "the copy did not survive the restart")
    source.unlink()


def strangers(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    options = ("-o", "PreferredAuthentications=password", "-o", "PubkeyAuthentication=no", "-o", "ConnectTimeout=5")
    line = " ".join(ssh(studio.key, "-T", *options))
    tries = f"while :; do {line} admin@{MACHINE_ADDRESS} true; sleep 1; done"
    studio.client("sh", "-c", tries)
    studio.rest(5)


def mosh(studio: Studio) -> None:
    """See the list of scenes."""
    line = [*ssh(studio.key, "-tt"), f"alice@{MACHINE_ADDRESS}", "mosh-server", "new", "-l", "LANG=C.UTF-8"]
    studio.begin()
    with studio.human("alice", "types over mosh"):
        starter = studio.terminal(*line)
        pattern = re.compile(r"MOSH CONNECT (\d+) (\S+)")
        found = wait_for("mosh-server tells its key", lambda: pattern.search(starter.text), within=30)
        port, key = found.groups()
        client = studio.terminal("env", f"MOSH_KEY={key}", "mosh-client", MACHINE_ADDRESS, port)
        studio.rest(3)
        studio.type(client, ACT_AFTER + 12)
    client.close()
