//! Human input: when each terminal was last read from.
//!
//! Neither utmp nor logind is asked. Debian 13 has no utmp, logind there knows no terminal of an SSH session, and
//! neither ever knew the shell of an SSM session; the terminal itself is the same everywhere. Output does not count,
//! so a terminal on which a job prints is as idle as its user, and the agent's own warnings are no input.

use std::collections::HashMap;
use std::time::Duration;

use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::pace::Pace;
use super::{Context, Lane, Opened, Source, SourceSpec, blind};
use crate::host::process::Processes;
use crate::host::terminal::{self, Terminal};
use crate::host::users::Users;
use crate::host::{HostError, HostRoot};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "input",
    about: "Keys typed on a terminal: SSH, SSM, tmux and console sessions.",
    unit: "",
    scale: 1.0,
    busy_above: 0.0,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[],
    open: |context| Opened::Blocking(Box::new(Input::new(context))),
};

/// A clock that was set back by less than this is an access time of just now; by more, and the age is unknown.
const JITTER_MS: i64 = 10_000;

#[derive(Debug)]
struct Input {
    root: HostRoot,
    users: Users,
    processes: Processes,
    pace: Pace,
    leaders: HashMap<u32, Leader>,
    consoles: HashMap<String, i128>,
}

/// The process that leads the session on a terminal.
#[derive(Clone, Copy, Debug)]
struct Leader {
    pid: u32,
    start: u64,
    uid: u32,
}

impl Input {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        Self {
            users: Users::new(root.clone()),
            processes: Processes::new(root.clone()),
            root,
            pace: Pace::default(),
            leaders: HashMap::new(),
            consoles: HashMap::new(),
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Vec<Signal>, HostError> {
        let pseudo = terminal::pseudo(&self.root)?;
        let consoles = terminal::consoles(&self.root)?;
        let moved = self.moved(&consoles);
        self.find_leaders(now, &pseudo, moved)?;
        let mut signals = Vec::with_capacity(pseudo.len() + consoles.len());
        for pty in &pseudo {
            let uid = self.leaders.get(&pty.number).map_or(pty.uid, |leader| leader.uid);
            signals.push(mark(pty, pty.accessed_ns, now).owned_by(self.users.name(uid)));
        }
        for console in &consoles {
            let leader = self.leaders.get(&console.number).copied();
            let accepted = self.accept(console, leader.is_some());
            let signal = mark(console, accepted, now);
            signals.push(match leader {
                Some(leader) => signal.owned_by(self.users.name(leader.uid)),
                None => signal,
            });
        }
        self.consoles.retain(|name, _| consoles.iter().any(|console| console.name == *name));
        Ok(signals)
    }

    /// Whether a console was read from since the last look.
    fn moved(&self, consoles: &[Terminal]) -> bool {
        let known = |console: &Terminal| self.consoles.get(&console.name).copied();
        consoles.iter().any(|console| known(console).is_some_and(|at| at != console.accessed_ns))
    }

    /// The access time of a console that counts. A new one counts only if a session is on the console: something that
    /// reads a serial port without one (a modem, a logger) is no person.
    fn accept(&mut self, console: &Terminal, session: bool) -> i128 {
        let accepted = self.consoles.entry(console.name.clone()).or_insert(console.accessed_ns);
        if session {
            *accepted = console.accessed_ns;
        }
        *accepted
    }

    /// Finds out who leads the sessions, if a terminal is new, a leader ended or a console moved. It is asked for
    /// people only, so it may be a walk late; but a console's mark waits for it.
    fn find_leaders(
        &mut self,
        now: Stamp,
        pseudo: &[Terminal],
        moved: bool,
    ) -> Result<(), HostError> {
        let proc = self.processes.open()?;
        let mut lost = Vec::new();
        for (number, leader) in &self.leaders {
            let stat = self.processes.read(&proc, leader.pid)?;
            let same = |start, tty| start == leader.start && tty == *number;
            if !stat.is_some_and(|stat| same(stat.start, stat.tty)) {
                lost.push(*number);
            }
        }
        for number in lost {
            self.leaders.remove(&number);
        }
        let unknown = pseudo.iter().any(|pty| !self.leaders.contains_key(&pty.number));
        if !(unknown || moved) || !self.pace.due(now) {
            return Ok(());
        }
        let mut found = HashMap::new();
        let count = self.processes.walk(&mut |stat| {
            if stat.tty != 0 && stat.session == stat.pid {
                found.insert(stat.tty, (stat.pid, stat.start));
            }
        })?;
        self.pace.walked(now, count);
        for (number, (pid, start)) in found {
            if let Some(uid) = self.processes.uid(pid)? {
                self.leaders.insert(number, Leader { pid, start, uid });
            }
        }
        Ok(())
    }
}

impl Source for Input {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(signals) => Reading::Signals(signals),
            Err(error) => blind(&error),
        }
    }

    fn refresh(&mut self) {
        self.pace.reset();
    }
}

fn mark(terminal: &Terminal, accessed_ns: i128, now: Stamp) -> Signal {
    let moment = i64::try_from(accessed_ns / 1_000_000).unwrap_or(i64::MAX);
    let age = now.wall_ms.saturating_sub(moment);
    let age_ms = (age >= -JITTER_MS).then(|| u64::try_from(age).unwrap_or(0));
    // Times before 1970 do not happen; that they collapse into one mark does no harm.
    let mark = u64::try_from(accessed_ns).unwrap_or(0);
    Signal::new(terminal.name.as_str(), Value::Mark { mark, age_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};
    use crate::sources::BusMode;
    use std::fs::{File, FileTimes};
    use std::time::UNIX_EPOCH;

    const NOON: u64 = 1_700_000_000;

    fn touch(tree: &Tree, path: &str, seconds: u64) {
        if !tree.path(path).exists() {
            tree.file(path, "");
        }
        let file = File::open(tree.path(path)).unwrap();
        let moment = UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_times(FileTimes::new().set_accessed(moment)).unwrap();
    }

    fn open(tree: &Tree) -> Input {
        let host = tree.root();
        Input::new(&Context { host, options: toml::Table::new(), bus: BusMode::None })
    }

    fn stamp(wall_seconds: u64) -> Stamp {
        Stamp::new(wall_seconds * 1000, 0, i64::try_from(wall_seconds).unwrap() * 1000)
    }

    fn read(input: &mut Input, wall_seconds: u64) -> Vec<Signal> {
        match input.read(stamp(wall_seconds)) {
            Reading::Signals(signals) => signals,
            other => panic!("{other:?}"),
        }
    }

    fn parts(signal: &Signal) -> (&str, u64, Option<u64>) {
        let Value::Mark { mark, age_ms } = signal.value else { panic!("{signal:?}") };
        (&signal.subject, mark / 1_000_000_000, age_ms)
    }

    #[test]
    fn a_terminal_is_marked_with_its_access_time_and_age() {
        let tree = Tree::new();
        touch(&tree, "/dev/pts/0", NOON);
        touch(&tree, "/dev/pts/ptmx", NOON);
        let signals = read(&mut open(&tree), NOON + 90);
        assert_eq!(signals.len(), 1);
        assert_eq!(parts(&signals[0]), ("pts/0", NOON, Some(90_000)));
    }

    #[test]
    fn the_mark_changes_with_input_only() {
        let tree = Tree::new();
        touch(&tree, "/dev/pts/0", NOON);
        let mut input = open(&tree);
        let before = read(&mut input, NOON + 90);
        let file = File::options().write(true).open(tree.path("/dev/pts/0")).unwrap();
        file.set_times(FileTimes::new().set_modified(UNIX_EPOCH)).unwrap();
        assert_eq!(parts(&read(&mut input, NOON + 90)[0]), parts(&before[0]));
        touch(&tree, "/dev/pts/0", NOON + 88);
        assert_eq!(parts(&read(&mut input, NOON + 90)[0]), ("pts/0", NOON + 88, Some(2000)));
    }

    #[test]
    fn an_access_time_in_the_future_has_no_age() {
        let tree = Tree::new();
        touch(&tree, "/dev/pts/0", NOON);
        let mut input = open(&tree);
        assert_eq!(parts(&read(&mut input, NOON - 3)[0]).2, Some(0));
        assert_eq!(parts(&read(&mut input, NOON - 3600)[0]).2, None);
    }

    #[test]
    fn no_terminal_is_a_reading_and_no_devpts_is_blind() {
        let tree = Tree::new();
        let mut input = open(&tree);
        assert!(
            matches!(input.read(stamp(NOON)), Reading::Blind { why } if why.contains("/dev/pts"))
        );
        tree.folder("/dev/pts");
        assert_eq!(read(&mut input, NOON), []);
    }

    #[test]
    fn the_owner_is_the_leader_of_the_session() {
        let tree = Tree::new();
        tree.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n");
        touch(&tree, "/dev/pts/0", NOON);
        // Files of a test have the device number 0, and so has a process without a terminal; any other number works.
        let mut input = open(&tree);
        let pty = Terminal { number: 34_816, ..terminal::pseudo(&tree.root()).unwrap().remove(0) };
        let tty = |p: &mut Process| (p.tty, p.uid) = (34_816, 1000);
        tree.process(&Process::new(70, "bash").with(tty));
        tree.process(&Process::new(71, "sudo").with(|p| (p.tty, p.session) = (34_816, 70)));
        input.find_leaders(stamp(NOON), std::slice::from_ref(&pty), false).unwrap();
        assert_eq!(input.leaders[&34_816].uid, 1000);
        // The terminal is given to somebody else.
        tree.remove("/proc/70");
        tree.process(&Process::new(80, "sh").with(|p| (p.tty, p.uid) = (34_816, 1001)));
        input.find_leaders(stamp(NOON + 60), &[pty], false).unwrap();
        assert_eq!(input.leaders[&34_816].pid, 80);
        assert_eq!(input.users.name(input.leaders[&34_816].uid), "bob");
    }

    #[test]
    fn a_console_counts_only_while_a_session_is_on_it() {
        let tree = Tree::new();
        tree.folder("/dev/pts");
        touch(&tree, "/dev/ttyS0", NOON);
        let mut input = open(&tree);
        assert_eq!(parts(&read(&mut input, NOON)[0]).1, NOON);
        touch(&tree, "/dev/ttyS0", NOON + 50);
        assert_eq!(parts(&read(&mut input, NOON + 60)[0]).1, NOON, "nobody is there");
        let leader = Leader { pid: 90, start: 90, uid: 0 };
        tree.process(&Process::new(90, "bash"));
        input.leaders.insert(0, leader);
        assert_eq!(parts(&read(&mut input, NOON + 70)[0]).1, NOON + 50);
    }

    #[test]
    fn a_walk_is_made_only_when_somebody_is_unknown() {
        let tree = Tree::new();
        tree.folder("/dev/pts");
        let mut input = open(&tree);
        read(&mut input, NOON);
        tree.file("/proc/9/stat", "garbage that a walk would stumble over");
        read(&mut input, NOON + 60);
        touch(&tree, "/dev/pts/4", NOON);
        assert!(matches!(input.read(stamp(NOON + 120)), Reading::Blind { .. }));
    }

    #[test]
    fn this_machine_can_be_read() {
        let host = HostRoot::real();
        let mut input =
            Input::new(&Context { host, options: toml::Table::new(), bus: BusMode::None });
        let reading = input.read(Stamp::new(1, 0, 1_700_000_000_000));
        assert!(matches!(reading, Reading::Signals(_)), "{reading:?}");
    }
}
