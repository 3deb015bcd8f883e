"""The scenes: what is played in a machine, and what a right agent does. Each is played on every Debian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.evidence import Failure

from ..studio import Studio
from . import editors, jobs, logins, multiplexers, system


@dataclass(frozen=True)
class Scene:
    """One scene."""

    name: str
    #: What is shown and why the verdict is right, for people.
    about: str
    play: Callable[[Studio], None]
    #: After how many windows of `act_after` without use the agent must have acted: 2 where somebody is still connected. None:
    #: it must not act at all while this is recorded.
    windows: int | None = 1
    #: Why nobody can tell, if so.
    undecidable: str = ""
    #: The agent may act, on a simulated EC2; else it observes.
    enforce: bool = False


ALL = [
    Scene("ssh-interactive", "A person types over ssh, thinks, types again and logs out.", logins.interactive),
    Scene("ssh-abandoned", "A person types over ssh and leaves the terminal open at its prompt.", logins.abandoned, 2),
    Scene("ssh-display", "A person leaves a terminal on which top redraws itself.", logins.display, 2),
    Scene("ssh-returns", "A person comes back within the last quarter of the window, twice.", logins.returns, 2),
    Scene(
        "ssh-warned", "A person reads the warning on the terminal and presses a key.", logins.warned, 2, enforce=True
    ),
    Scene(
        "ssh-foreground-job",
        "A quiet program runs in the foreground of a terminal and then ends.",
        logins.foreground_job,
        2,
    ),
    Scene("ssh-root-shell", "An administrator works in a shell of root by sudo, then leaves.", logins.root_shell),
    Scene("ssh-N", "A connection without a session is kept open by keep-alives alone.", logins.silent_tunnel, 2),
    Scene("ssh-tunnel-used", "A download through a tunnel, after which only the tunnel stays.", logins.used_tunnel, 2),
    Scene("ssh-T-command", "A command over ssh without a terminal works for a while.", logins.command),
    Scene("scp", "Files are copied up and down with scp.", logins.scp),
    Scene(
        "ssh-controlmaster",
        "Two sessions share one connection, whose master stays open when both are gone.",
        logins.master,
        2,
    ),
    Scene("ssh-restart", "sshd is restarted while a person types and another copies a file.", logins.restart),
    Scene("ssh-strangers", "Strangers try passwords all the time.", logins.strangers),
    Scene("mosh", "A person types over mosh; then the client is gone and its server stays.", logins.mosh, 2),
    Scene("tmux-attached", "A person types in tmux, and then the network is gone.", multiplexers.tmux_attached, 2),
    Scene("tmux-detached", "Three shells wait in a detached tmux whose owner left.", multiplexers.tmux_detached),
    Scene("tmux-job", "A job goes on in a detached tmux after its owner left.", multiplexers.tmux_job),
    Scene("screen-job", "A job goes on in a detached screen after its owner left.", multiplexers.screen_job),
    Scene("nohup", "A job goes on by nohup after its owner left.", jobs.nohup),
    Scene(
        "nohup-download", "A download goes on by nohup after its owner left, and uses hardly any CPU.", jobs.download
    ),
    Scene("user-service", "A job runs as a service of its user's manager, without a session.", jobs.user_service),
    Scene("systemd-run", "An administrator's job runs as a transient service.", jobs.transient_service),
    Scene("container", "A container with a network of its own computes, and then waits.", jobs.container),
    Scene(
        "container-network",
        "A container with a network of its own receives data and hardly computes.",
        jobs.container_network,
    ),
    Scene("cron-user", "A user's crontab starts a long job.", jobs.user_crontab),
    Scene(
        "crawler",
        "A crawler asks for 600 bytes now and then and hardly computes.",
        jobs.crawler,
        undecidable="so little work cannot be told from a forgotten daemon; agentctl run or a hold says what it is",
    ),
    Scene(
        "sleeper",
        "A job sleeps for longer than the window before it begins.",
        jobs.sleeper,
        undecidable="a program that sleeps cannot be told from a forgotten one; agentctl run or a hold says what it is",
    ),
    Scene("jupyter", "A notebook's kernel computes; then its tab stays open overnight.", editors.jupyter, 2),
    Scene(
        "jupyter-stuck", "A kernel is busy for ever because its cell sleeps; nobody is there.", editors.jupyter_stuck, 2
    ),
    Scene(
        "vscode",
        "Code is edited through a server without a terminal; then its client only keeps alive.",
        editors.vscode,
        2,
    ),
    Scene("vscode-terminal", "A person types in the editor's terminal and disconnects.", editors.vscode_terminal, 2),
    Scene(
        "ssm-shell",
        "A person types in a shell of the session manager, a PTY below a system service.",
        editors.ssm_shell,
        2,
    ),
    Scene("apt-upgrade", "apt upgrades a package for longer than the window; nobody is there.", system.apt_upgrade),
    Scene("cron-bursts", "Housekeeping of root's crontab and a noisy service; nobody is there.", system.cron_bursts),
    Scene("timer-due", "A timer that somebody made is due after the window; nobody is there.", system.timer_due),
    Scene("inhibitor", "A program blocks sleep for longer than the window.", system.inhibitor),
    Scene("nobody", "Nobody is there and nothing happens.", system.nobody),
]


def choose(only: list[str]) -> list[Scene]:
    """All scenes, or those asked for."""
    known = {scene.name: scene for scene in ALL}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise Failure(f"no scene is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in only] if only else ALL
