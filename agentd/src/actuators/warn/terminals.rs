//! The terminals of the people who are logged in: SSH, SSM, tmux panes, desktops' terminals, consoles.
//!
//! The text is written straight to the pseudo-terminals: no `wall`, no utmp (which newer systems do not keep). Writing
//! moves a terminal's modification time only, so a warning is never mistaken for input. A terminal that takes nothing
//! (stopped with Ctrl-S, its reader gone) is left alone at the deadline and never blocks the agent.
//!
//! The agent has no capability, so it writes as a member of the group `tty`. `mesg n` takes that away; because unsaved
//! work is at stake, systemd is then asked to write the same text as root, as shutdown(8) would.
//!
//! Everybody's latest terminal comes first, then everybody's second, up to [`EACH`]: whoever opens a thousand terminals takes no time
//! and no open file from the others.

mod elsewhere;
mod write;

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use agent_core::action::{Power, Warning};
use agent_core::stamp::Stamp;

use super::{ChannelSpec, Told, WarnSettings, Word, not_counted};
use crate::actuators::hook::program::Starter;
use crate::actuators::text::{escaped, rfc3339, spoken, time_of_day};
use crate::host::logind::BusMode;
use crate::host::terminal::{Terminal, consoles, pseudo};
use crate::host::users::{self, Users};
use crate::host::{HostError, HostRoot};

pub use elsewhere::write_from_stdin;
use write::{Miss, write_all};

pub(super) const SPEC: ChannelSpec = ChannelSpec {
    name: "terminals",
    about: "writes to every terminal of the people who are logged in",
    deadline: Duration::from_secs(5),
};

/// How long all terminals together may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// The longest reason that is shown, characters.
const BECAUSE_LIMIT: usize = 300;
/// So many terminals are named; the others are counted.
const NAMED: usize = 20;
/// The most terminals of one person that are written to.
const EACH: usize = 16;

/// Writes to terminals.
#[derive(Debug)]
pub(crate) struct Channel {
    host: HostRoot,
    hostname: String,
    starter: Starter,
    deadline: Duration,
    as_root: Duration,
}

impl Channel {
    pub(super) fn new(settings: &WarnSettings) -> Self {
        let (host, bus) = (settings.host.clone(), &settings.bus);
        Self::within(DEADLINE, elsewhere::LIMIT, host, &settings.hostname, bus)
    }

    /// One that leaves a terminal alone after `deadline`, and systemd, where it must write as root, after `as_root`.
    pub(crate) fn within(
        deadline: Duration,
        as_root: Duration,
        host: HostRoot,
        hostname: &str,
        bus: &BusMode,
    ) -> Self {
        let (hostname, starter) = (escaped(hostname, 64), Starter::here(bus));
        Self { host, hostname, starter, deadline, as_root }
    }

    pub(super) async fn tell(&self, now: Stamp, word: &Word<'_>) -> Told {
        let text = match word {
            Word::Warned(warning) => self.warning(now, warning),
            Word::CalledOff { because } => self.call_off(now, because),
        };
        self.write(&text).await
    }

    /// Writes these lines to every terminal of people. What came from elsewhere must be [`escaped`] in them.
    pub(crate) async fn say(&self, now: Stamp, lines: &[&str]) -> Told {
        self.write(&self.message(now, lines)).await
    }

    async fn write(&self, text: &str) -> Told {
        let terminals = match of_people(&self.host) {
            Ok(terminals) => terminals,
            Err(error) => return Told::missed(format!("terminals ({error})")),
        };
        let (terminals, left_out) = in_turn(terminals);
        let paths: Vec<PathBuf> = terminals
            .iter()
            .map(|terminal| self.host.path(&format!("/dev/{}", terminal.name)))
            .collect();
        let mut results = write_all(&paths, text.as_bytes(), self.deadline).await;
        let denied = |result: &Result<(), Miss>| *result == Err(Miss::Denied);
        if self.starter == Starter::Systemd && results.iter().any(denied) {
            let names = terminals.iter().zip(&results).filter(|(_, result)| denied(result));
            let names: Vec<&str> = names.map(|(terminal, _)| terminal.name.as_str()).collect();
            let reached = elsewhere::write_as_root(&names, text, self.as_root).await;
            for (terminal, result) in terminals.iter().zip(&mut results) {
                if denied(result) && reached.contains(&terminal.name) {
                    *result = Ok(());
                }
            }
        }
        self.sum(&terminals, &results, &left_out)
    }

    /// Who was reached and who was not, by name and terminal, and how many more terminals each has.
    fn sum(
        &self,
        terminals: &[Terminal],
        results: &[Result<(), Miss>],
        left_out: &BTreeMap<u32, usize>,
    ) -> Told {
        let mut names = Users::new(self.host.clone());
        let (mut reached, mut missed) = (Vec::new(), Vec::new());
        for (terminal, result) in terminals.iter().zip(results) {
            let who = escaped(&names.name(terminal.uid), 64);
            match result {
                Ok(()) => reached.push(format!("{who} on {}", terminal.name)),
                // A terminal that closed meanwhile is nobody's any more.
                Err(Miss::Gone) => {}
                Err(miss) => missed.push(format!("{who} on {} ({})", terminal.name, miss.why())),
            }
        }
        for (uid, number) in left_out {
            let who = escaped(&names.name(*uid), 64);
            missed.push(format!(
                "{who} on {number} more (at most {EACH} of a person are written to)"
            ));
        }
        Told { reached: listed(&reached), missed: listed(&missed) }
    }

    /// The text of a warning.
    fn warning(&self, now: Stamp, warning: &Warning) -> String {
        let because = escaped(&warning.because, BECAUSE_LIMIT);
        let memory = match warning.power {
            Power::Hibernate => "Memory will be kept.",
            Power::Stop => "Unsaved work will be lost.",
        };
        let what = format!(
            "This machine will {} in {}, at {}. {memory}",
            warning.power.verb(),
            spoken(warning.in_ms),
            time_of_day(warning.at_wall_ms)
        );
        let why = format!("Why: {because}");
        let not_counted = not_counted(warning);
        let stop = "To stop this: press a key, or run `agentctl hold 2h`.";
        let lines = [Some(what.as_str()), Some(&why), not_counted.as_deref(), Some(stop)];
        self.message(now, &lines.into_iter().flatten().collect::<Vec<_>>())
    }

    /// The text that calls a warning off.
    fn call_off(&self, now: Stamp, because: &str) -> String {
        let because = escaped(because, BECAUSE_LIMIT);
        self.message(now, &[&format!("Called off, this machine stays up: {because}")])
    }

    /// Lines as a terminal in raw mode needs them, with a bell, set apart from what stands on the screen.
    fn message(&self, now: Stamp, lines: &[&str]) -> String {
        let from = format!("Message from agentd@{} ({}):", self.hostname, rfc3339(now.wall_ms));
        let lines = lines.join("\r\n  ");
        format!("\r\n\x07{from}\r\n  {lines}\r\n\r\n")
    }
}

/// Every terminal of people: the pseudo-terminals, and the consoles on which somebody is logged in.
fn of_people(host: &HostRoot) -> Result<Vec<Terminal>, HostError> {
    let mut terminals = match pseudo(host) {
        Ok(terminals) => terminals,
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => return Err(error),
    };
    let all = consoles(host).unwrap_or_default().into_iter();
    terminals.extend(all.filter(is_used_by_a_person));
    Ok(terminals)
}

/// Terminals in the order in which they are written to, and how many of each user's are left out. The latest is the one that was
/// typed on last.
fn in_turn(mut terminals: Vec<Terminal>) -> (Vec<Terminal>, BTreeMap<u32, usize>) {
    terminals.sort_by_key(|terminal| Reverse(terminal.accessed_ns));
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, Terminal)> = Vec::with_capacity(terminals.len());
    for terminal in terminals {
        let turn = seen.entry(terminal.uid).or_default();
        if *turn < EACH {
            turns.push((*turn, terminal));
        }
        *turn += 1;
    }
    turns.sort_by_key(|(turn, _)| *turn);
    seen.retain(|_, number| *number > EACH);
    for number in seen.values_mut() {
        *number -= EACH;
    }
    (turns.into_iter().map(|(_, terminal)| terminal).collect(), seen)
}

/// Login hands a console to the person who logs in, and back to root at the end. A pseudo-terminal exists only while
/// somebody has it open, so it needs no such rule (and the ones of root are people's, too).
fn is_used_by_a_person(console: &Terminal) -> bool {
    users::is_ordinary(console.uid)
}

fn listed(all: &[String]) -> Option<String> {
    let (first, rest) = all.split_at(all.len().min(NAMED));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    (!all.is_empty()).then(|| format!("{}{more}", first.join(", ")))
}

#[cfg(test)]
mod tests;
