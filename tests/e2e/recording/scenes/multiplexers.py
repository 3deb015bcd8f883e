"""tmux and screen, attached and detached."""

from __future__ import annotations

from harness.evidence import wait_for

from .. import programs
from ..studio import ACT_AFTER, Studio

JOB = programs.duty(ACT_AFTER + 25, 0.2)


def tmux_attached(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "types in tmux"):
        terminal = studio.login()
        terminal.keys("TERM=xterm tmux new\n")
        wait_for("tmux runs", lambda: studio.process("^tmux"), within=20)
        studio.type(terminal, ACT_AFTER + 12)
    terminal.close()


def tmux_detached(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "opens three shells in tmux"):
        terminal = studio.login()
        terminal.keys("tmux new -d; tmux neww -d; tmux neww -d\n")
        studio.type(terminal, 15)
    terminal.logout()


def tmux_job(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "starts a job in tmux"):
        terminal = studio.login()
        terminal.command(f"tmux new -d '{JOB}'")
        terminal.logout()
    with studio.job("alice", "the job works in tmux"):
        _until_gone(studio)


def screen_job(studio: Studio) -> None:
    """See the list of scenes."""
    studio.begin()
    with studio.human("alice", "starts a job in screen"):
        terminal = studio.login()
        terminal.command(f"screen -dmS job {JOB}")
        terminal.logout()
    with studio.job("alice", "the job works in screen"):
        _until_gone(studio)


def _until_gone(studio: Studio) -> None:
    wait_for("the job runs", lambda: studio.process(r"^\S*python3 .*duty.py"), within=20)
    wait_for("the job ends", lambda: not studio.process(r"^\S*python3 .*duty.py"), within=ACT_AFTER * 3, every=2)
