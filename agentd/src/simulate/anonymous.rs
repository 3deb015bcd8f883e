//! Takes the names of users and programs out of a trace. The same name becomes the same word everywhere, so that the
//! trace decides as before.

use std::collections::BTreeMap;

use agent_core::action::{Outcome, Refusal};
use agent_core::input::{Abilities, Ability, Command, Input};
use agent_core::memory::Memory;
use agent_core::reading::{Reading, Signal};
use agent_core::trace::{Content, Record};

/// Subjects that say what something is and not whose: they stay. A `*` stands for digits.
const PLAIN: &[&str] = &[
    "pts/*",
    "tty*",
    "ttyS*",
    "hvc*",
    "gpu *",
    "user-*.slice",
    "user.slice",
    "system.slice",
    "machine.slice",
    "all processes",
    "cloud-init",
];

/// Folders whose files belong to the system.
const SYSTEM: &[&str] = &["/var/lib/", "/var/cache/apt/", "/run/", "/dev/", "/sys/", "/proc/"];

/// The names that were replaced, by kind.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<(&'static str, String), String>,
}

impl Names {
    /// Replaces the names in a record.
    pub(super) fn replace(&mut self, record: &mut Record) {
        match &mut record.content {
            Content::Boot(boot) => {
                boot.id = self.word("boot", &boot.id);
                // What was tried and how it ended names roles, accounts and programs.
                boot.memory = boot.memory.take().map(|memory| {
                    let mut holds = memory.holds;
                    holds.rename(&mut |name| self.word("user", name));
                    Memory { holds, next_key: memory.next_key, ..Memory::default() }
                });
                for (source, subject, _) in boot.clock.iter_mut().flat_map(|c| &mut c.marks) {
                    *subject = self.subject(source.as_str(), subject);
                }
            }
            Content::Inputs(inputs) => {
                for input in inputs {
                    self.replace_in(input);
                }
            }
        }
    }

    fn replace_in(&mut self, input: &mut Input) {
        match input {
            Input::Observed(observation) => {
                let source = observation.source.as_str().to_owned();
                match &mut observation.reading {
                    Reading::Signals(signals) => {
                        for signal in signals {
                            self.replace_in_signal(&source, signal);
                        }
                    }
                    Reading::Absent { why } | Reading::Blind { why } => *why = self.text(why),
                }
            }
            Input::Command { actor, command } => {
                actor.name = self.word("user", &actor.name);
                if let Command::Hold { reason, .. } = command {
                    reason.clear();
                }
            }
            Input::Abilities(abilities) => replace_in_abilities(abilities),
            Input::Finished { outcome, .. } => match outcome {
                Outcome::Done { detail } | Outcome::Already { detail } => detail.clear(),
                Outcome::Refused(refusal) => refusal.detail.clear(),
                Outcome::Withheld { because } => because.clear(),
                Outcome::Failed { error, .. } => error.clear(),
            },
            _ => {}
        }
    }

    fn replace_in_signal(&mut self, source: &str, signal: &mut Signal) {
        if let Some(owner) = &mut signal.owner {
            *owner = self.word("name", owner);
        }
        signal.subject = self.subject(source, &signal.subject);
    }

    fn subject(&mut self, source: &str, subject: &str) -> String {
        let plain = PLAIN.iter().any(|pattern| is_like(subject, pattern))
            || SYSTEM.iter().any(|folder| subject.starts_with(folder));
        if plain {
            subject.to_owned()
        } else {
            format!("{source} {}", self.word("subject", subject))
        }
    }

    /// A sentence: known names in it are replaced, and what stands below /home.
    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for ((_, name), word) in self.known.iter().filter(|((_, name), _)| name.len() > 2) {
            text = text.replace(name.as_str(), word);
        }
        let words =
            text.split(' ').map(|word| if word.contains("/home/") { "/home/…" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }

    fn word(&mut self, kind: &'static str, name: &str) -> String {
        // Root is nobody in particular.
        if name == "root" || name.is_empty() {
            return name.to_owned();
        }
        let next = self.known.keys().filter(|(of, _)| *of == kind).count() + 1;
        let key = (kind, name.to_owned());
        self.known.entry(key).or_insert_with(|| format!("{kind}-{next}")).clone()
    }
}

fn replace_in_abilities(abilities: &mut Abilities) {
    if let Some(id) = &mut abilities.instance_id {
        "i-anonymous".clone_into(id);
    }
    for ability in [&mut abilities.hibernate, &mut abilities.stop] {
        if let Ability::Cannot(Refusal { detail, .. }) = ability {
            detail.clear();
        }
    }
}

/// Whether a text is the pattern with digits in the place of its `*`.
fn is_like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((before, after)) => text
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())),
    }
}
