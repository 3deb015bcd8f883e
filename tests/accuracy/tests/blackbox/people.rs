//! The people of a scenario as processes: their connections, their terminals, what runs on those, and their editors.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use agent_accuracy::signals::{Foreground, Signals};
use agent_tests::procfs::{Machine, Process};
use agent_tests::timelapse::Moment;

use super::plant::{ADA, SESSION, ticks};

/// sshd itself, which every simulated machine has.
const SSHD: u32 = 420;
/// The kernel notes the access time of a terminal in steps of eight seconds.
const QUANTUM: i64 = 8;
/// The server of an editor.
const EDITOR: [&str; 2] = [
    "/home/ada/.vscode-server/bin/17b/node",
    "/home/ada/.vscode-server/bin/17b/out/server-main.js",
];

/// The same where somebody comes over a tunnel.
const RELAYED: [&str; 2] = [
    "/home/ada/.vscode/cli/servers/Stable-17b/server/node",
    "/home/ada/.vscode/cli/servers/Stable-17b/server/out/server-main.js",
];

/// Who keeps a terminal open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Ssh,
    Tmux,
    Ssm,
    Editor,
    Mosh,
}

/// An open terminal.
#[derive(Debug)]
struct Open {
    line: Line,
    /// The process that carries a connection of its own.
    carrier: Option<u32>,
    shell: Process,
    pid: u32,
    device: u32,
    /// What is in the foreground, and its process.
    running: Option<(Foreground, u32)>,
}

/// People.
#[derive(Debug)]
pub(crate) struct People {
    machine: Machine,
    terminals: Vec<Open>,
    /// Connections without a terminal.
    tunnels: Vec<u32>,
    keepers: BTreeMap<Line, u32>,
    /// The editor's server is that of a tunnel.
    over_relay: bool,
    /// Processor time of the editor's server, seconds.
    editor_time: f64,
    /// That of the program that only shows.
    display_time: f64,
}

fn process(name: &str) -> Process {
    Process::new(0, name, &format!("/{SESSION}")).of_user(ADA)
}

fn connection(place: &str) -> Process {
    process("sshd").below(SSHD).called(&[&format!("sshd: ada@{place}")])
}

impl People {
    /// Nobody is there.
    pub(crate) fn new(machine: &Machine) -> Self {
        Self {
            machine: machine.clone(),
            terminals: Vec::new(),
            tunnels: Vec::new(),
            keepers: BTreeMap::new(),
            over_relay: false,
            editor_time: 0.0,
            display_time: 0.0,
        }
    }

    /// The server of an editor used so much processor time.
    pub(crate) fn edit(&mut self, seconds: f64) {
        self.editor_time += seconds;
    }

    /// A program that only shows used so much processor time.
    pub(crate) fn show_off(&mut self, seconds: f64) {
        self.display_time += seconds;
    }

    /// People come and go.
    pub(crate) fn come(&mut self, signals: &Signals, now: Moment) -> io::Result<()> {
        self.keep_editor(signals)?;
        let count = |number: u32| usize::try_from(number).unwrap_or(0);
        while self.tunnels.len() > count(signals.ssh_notty) {
            let gone = self.tunnels.pop().unwrap_or_default();
            self.machine.end(gone)?;
        }
        while self.tunnels.len() < count(signals.ssh_notty) {
            self.tunnels.push(self.machine.spawn(&connection("notty"))?);
        }
        let wanted = lines(signals);
        let same = self.terminals.iter().zip(&wanted).take_while(|(it, line)| it.line == **line);
        let same = same.count();
        while self.terminals.len() > same {
            self.close()?;
        }
        for line in wanted.into_iter().skip(same) {
            self.open(line, now)?;
        }
        self.dismiss()?;
        self.work(signals.fg)
    }

    /// What kept terminals ends with the last of them; the server of an editor goes on.
    fn dismiss(&mut self) -> io::Result<()> {
        for line in [Line::Tmux, Line::Ssm, Line::Mosh] {
            if self.terminals.iter().all(|it| it.line != line)
                && let Some(pid) = self.keepers.remove(&line)
            {
                self.machine.end(pid)?;
            }
        }
        Ok(())
    }

    fn keep_editor(&mut self, signals: &Signals) -> io::Result<()> {
        let runs = signals.vscode_srv || signals.ide_cpu > 0.0;
        self.over_relay = !signals.ide_seen;
        match (self.keepers.get(&Line::Editor).copied(), runs) {
            (Some(pid), false) => {
                self.keepers.remove(&Line::Editor);
                self.machine.end(pid)
            }
            (None, true) => self.keeper(Line::Editor).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The process that keeps terminals of a kind.
    fn keeper(&mut self, line: Line) -> io::Result<u32> {
        if let Some(pid) = self.keepers.get(&line) {
            return Ok(*pid);
        }
        let keeper = match line {
            Line::Ssh => connection("notty"),
            Line::Tmux => process("tmux: server").called(&["tmux"]),
            Line::Ssm => process("ssm-session-wor").of_user(0),
            Line::Editor => {
                process("node").called(if self.over_relay { &RELAYED } else { &EDITOR })
            }
            Line::Mosh => process("mosh-server"),
        };
        let pid = self.machine.spawn(&keeper)?;
        self.keepers.insert(line, pid);
        Ok(pid)
    }

    fn open(&mut self, line: Line, now: Moment) -> io::Result<()> {
        let number = self.newest().map_or(0, |newest| newest + 1);
        let carrier = match line {
            Line::Ssh => Some(self.machine.spawn(&connection(&format!("pts/{number}")))?),
            _ => None,
        };
        let parent = match carrier {
            Some(carrier) => carrier,
            None => self.keeper(line)?,
        };
        let shell = process("bash").below(parent).called(&["-bash"]);
        let (pid, device) = self.machine.open_terminal(number, shell.clone())?;
        let shell = shell.on_terminal(device);
        self.terminals.push(Open { line, carrier, shell, pid, device, running: None });
        self.press(number, now.wall_seconds())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(gone) = self.terminals.pop() else { return Ok(()) };
        if let Some((_, pid)) = gone.running {
            self.machine.end(pid)?;
        }
        let number = self.newest().map_or(0, |newest| newest + 1);
        self.machine.close_terminal(number, gone.pid)?;
        gone.carrier.map_or(Ok(()), |carrier| self.machine.end(carrier))
    }

    /// What runs on the first terminal.
    fn work(&mut self, foreground: Foreground) -> io::Result<()> {
        let Some(on) = self.terminals.first_mut() else { return Ok(()) };
        let known = on.running.map_or(Foreground::Prompt, |(known, _)| known);
        if known == foreground {
            return Ok(());
        }
        if let Some((_, pid)) = on.running.take() {
            self.machine.end(pid)?;
        }
        let words: &[&str] = match foreground {
            Foreground::Prompt => &[],
            Foreground::Display => &["htop"],
            Foreground::Editor => &["vim", "notes"],
            Foreground::Job => &["python3", "train.py"],
            Foreground::Server => &["python3", "-m", "http.server"],
        };
        on.shell.foreground = 0;
        if let Some(name) = words.first() {
            let mut running = process(name).below(on.pid).called(words).on_terminal(on.device);
            running.session = on.pid;
            let pid = self.machine.spawn(&running)?;
            on.running = Some((foreground, pid));
            on.shell.foreground = pid;
        }
        self.machine.update_stat(on.pid, &on.shell)
    }

    /// The number of the newest terminal.
    fn newest(&self) -> Option<u32> {
        self.terminals.len().checked_sub(1).and_then(|index| u32::try_from(index).ok())
    }

    /// A key is read from the newest terminal.
    pub(crate) fn key(&mut self, at: Moment) -> io::Result<()> {
        let seconds = at.wall_seconds();
        self.newest()
            .map_or(Ok(()), |newest| self.press(newest, seconds - seconds.rem_euclid(QUANTUM)))
    }

    fn press(&self, terminal: u32, wall_seconds: i64) -> io::Result<()> {
        let since = Duration::from_secs(u64::try_from(wall_seconds).unwrap_or(0));
        self.machine.press_key_at(terminal, SystemTime::UNIX_EPOCH + since)
    }

    /// Writes what moves by itself.
    pub(crate) fn show(&self, signals: &Signals) -> io::Result<()> {
        let on = self.terminals.first();
        if let Some((on, (Foreground::Display, pid))) = on.and_then(|on| Some((on, on.running?))) {
            let mut display = process("htop").below(on.pid).on_terminal(on.device);
            (display.session, display.ticks) = (on.pid, ticks(self.display_time));
            self.machine.update_stat(pid, &display)?;
        }
        match self.keepers.get(&Line::Editor) {
            Some(pid) if signals.ide_cpu > 0.0 => {
                let mut server = process("node");
                server.ticks = ticks(self.editor_time);
                self.machine.update_stat(*pid, &server)
            }
            _ => Ok(()),
        }
    }
}

/// The terminals, those of ssh last: they are closed first.
fn lines(signals: &Signals) -> Vec<Line> {
    let other = if signals.vscode_srv {
        Line::Editor
    } else if signals.tmux {
        Line::Tmux
    } else if signals.ssm {
        Line::Ssm
    } else {
        Line::Mosh
    };
    let others = signals.pts.saturating_sub(signals.ssh_pts);
    let of = |line, count: u32| (0..count).map(move |_| line);
    of(other, others).chain(of(Line::Ssh, signals.ssh_pts.min(signals.pts))).collect()
}
