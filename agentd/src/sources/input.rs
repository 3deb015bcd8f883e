//! Human input: when each terminal was last read from.
//!
//! Neither utmp nor logind is asked. Debian 13 has no utmp, logind there knows no terminal of an SSH session, and
//! neither ever knew the shell of an SSM session; the terminal itself is the same everywhere. Output does not count,
//! so a terminal on which a job prints is as idle as its user, and the agent's own warnings are no input.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use agent_core::policy::Combine;
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
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
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
    /// Pseudo-terminals that nobody was found to lead; they are not searched for again.
    leaderless: HashSet<u32>,
    /// The access time that each console had when its session was last searched for.
    examined: HashMap<String, i128>,
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
            leaderless: HashSet::new(),
            examined: HashMap::new(),
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Vec<Signal>, HostError> {
        let pseudo = terminal::pseudo(&self.root)?;
        let consoles = terminal::consoles(&self.root)?;
        for console in &consoles {
            self.examined.entry(console.name.clone()).or_insert(console.accessed_ns);
        }
        self.find_leaders(now, &pseudo, &consoles)?;
        let mut signals = Vec::with_capacity(pseudo.len());
        for pty in &pseudo {
            let uid = self.leaders.get(&pty.number).map_or(pty.uid, |leader| leader.uid);
            signals.push(mark(pty, now).owned_by(self.users.name(uid)));
        }
        for console in &consoles {
            if let Some(leader) = self.leaders.get(&console.number) {
                signals.push(mark(console, now).owned_by(self.users.name(leader.uid)));
            }
        }
        Ok(signals)
    }

    /// Whether something read from a console that nobody was seen on, since the last search.
    fn moved(&self, console: &Terminal) -> bool {
        let examined = self.examined.get(&console.name);
        examined.is_some_and(|examined| *examined != console.accessed_ns)
            && !self.leaders.contains_key(&console.number)
    }

    /// Finds out who leads the sessions, if a pseudo-terminal is new, its leader ended or a console moved.
    ///
    /// For a pseudo-terminal this tells only whose it is. A console is there all the time, so it is shown only once
    /// somebody types on it; what reads a serial port without a session on it (a logger, a modem) is no person.
    fn find_leaders(
        &mut self,
        now: Stamp,
        pseudo: &[Terminal],
        consoles: &[Terminal],
    ) -> Result<(), HostError> {
        self.forget_ended()?;
        self.leaderless.retain(|number| pseudo.iter().any(|pty| pty.number == *number));
        let unknown = |pty: &&Terminal| {
            !self.leaders.contains_key(&pty.number) && !self.leaderless.contains(&pty.number)
        };
        let mut wanted: HashSet<u32> =
            pseudo.iter().filter(unknown).map(|terminal| terminal.number).collect();
        wanted.extend(consoles.iter().filter(|it| self.moved(it)).map(|it| it.number));
        if wanted.is_empty() || !self.pace.due(now) {
            return Ok(());
        }
        let mut found = Vec::new();
        let count = self.processes.walk(&mut |stat| {
            if stat.session == stat.pid && wanted.contains(&stat.tty) {
                found.push((stat.tty, stat.pid, stat.start));
            }
        })?;
        self.pace.walked(now, count);
        for (number, pid, start) in found {
            // A container counts its terminals from 0 too; its sessions are not on the machine's.
            let identity = self.processes.identity(pid)?.filter(|identity| !identity.contained);
            if let Some(identity) = identity {
                self.leaders.insert(number, Leader { pid, start, uid: identity.uid });
            }
        }
        let led = |number: &u32| self.leaders.contains_key(number);
        let numbers = pseudo.iter().map(|pty| pty.number);
        self.leaderless = numbers.filter(|number| !led(number)).collect();
        for console in consoles {
            self.examined.insert(console.name.clone(), console.accessed_ns);
        }
        Ok(())
    }

    /// Drops the leaders that ended or left their terminal.
    fn forget_ended(&mut self) -> Result<(), HostError> {
        let proc = self.processes.open()?;
        let mut ended = Vec::new();
        for (number, leader) in &self.leaders {
            let stat = self.processes.read(&proc, leader.pid)?;
            if !stat.is_some_and(|stat| stat.start == leader.start && stat.tty == *number) {
                ended.push(*number);
            }
        }
        for number in ended {
            self.leaders.remove(&number);
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

fn mark(terminal: &Terminal, now: Stamp) -> Signal {
    let moment = i64::try_from(terminal.accessed_ns / 1_000_000).unwrap_or(i64::MAX);
    let age = now.wall_ms.saturating_sub(moment);
    let age_ms = (age >= -JITTER_MS).then(|| u64::try_from(age).unwrap_or(0));
    // Times before 1970 do not happen; that they collapse into one mark does no harm.
    let mark = u64::try_from(terminal.accessed_ns).unwrap_or(0);
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
        input.find_leaders(stamp(NOON), std::slice::from_ref(&pty), &[]).unwrap();
        assert_eq!(input.leaders[&34_816].uid, 1000);
        // The terminal is given to somebody else.
        tree.remove("/proc/70");
        tree.process(&Process::new(80, "sh").with(|p| (p.tty, p.uid) = (34_816, 1001)));
        input.find_leaders(stamp(NOON + 60), &[pty], &[]).unwrap();
        assert_eq!(input.leaders[&34_816].pid, 80);
        assert_eq!(input.users.name(input.leaders[&34_816].uid), "bob");
    }

    #[test]
    fn a_session_in_a_container_does_not_lead_a_terminal_of_the_machine() {
        let tree = Tree::new();
        touch(&tree, "/dev/pts/0", NOON);
        let mut input = open(&tree);
        let pty = Terminal { number: 34_816, ..terminal::pseudo(&tree.root()).unwrap().remove(0) };
        let inside = |p: &mut Process| (p.tty, p.uid, p.contained) = (34_816, 1000, true);
        tree.process(&Process::new(70, "bash").with(inside));
        input.find_leaders(stamp(NOON), &[pty], &[]).unwrap();
        assert!(input.leaders.is_empty());
    }

    #[test]
    fn a_console_is_shown_once_somebody_types_on_it() {
        let tree = Tree::new();
        tree.folder("/dev/pts");
        touch(&tree, "/dev/ttyS0", NOON);
        let mut input = open(&tree);
        // Files of a test have the device number 0.
        tree.process(&Process::new(90, "agetty"));
        assert_eq!(read(&mut input, NOON), [], "a login prompt is nobody");
        touch(&tree, "/dev/ttyS0", NOON + 50);
        let signals = read(&mut input, NOON + 60);
        assert_eq!(parts(&signals[0]), ("ttyS0", NOON + 50, Some(10_000)));
        assert_eq!(read(&mut input, NOON + 120).len(), 1, "it stays while the session does");
        tree.remove("/proc/90");
        tree.process(&Process::new(91, "agetty"));
        assert_eq!(read(&mut input, NOON + 180), [], "a new prompt is nobody again");
    }

    #[test]
    fn what_reads_a_serial_port_without_a_session_is_no_person() {
        let tree = Tree::new();
        tree.folder("/dev/pts");
        tree.process(&Process::new(90, "gpsd").with(|p| p.session = 1));
        let mut input = open(&tree);
        for seconds in [0, 60, 120] {
            touch(&tree, "/dev/ttyS0", NOON + seconds);
            assert_eq!(read(&mut input, NOON + seconds), []);
        }
    }

    #[test]
    fn a_terminal_that_nobody_leads_is_searched_for_once() {
        let tree = Tree::new();
        touch(&tree, "/dev/pts/0", NOON);
        let mut input = open(&tree);
        read(&mut input, NOON);
        tree.file("/proc/9/stat", "garbage that a walk would stumble over");
        assert_eq!(read(&mut input, NOON + 60).len(), 1);
    }

    #[test]
    fn a_walk_is_made_only_when_somebody_is_unknown() {
        let tree = Tree::new();
        tree.folder("/dev/pts");
        let mut input = open(&tree);
        read(&mut input, NOON);
        tree.file("/proc/9/stat", "garbage that a walk would stumble over");
        read(&mut input, NOON + 60);
        touch(&tree, "/dev/ttyS0", NOON);
        read(&mut input, NOON + 90);
        touch(&tree, "/dev/ttyS0", NOON + 100);
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
