//! The last look before a call that cannot be taken back.
//!
//! The engine decides by a fresh reading of every source, and then the call is prepared: identity, credentials, signature,
//! connection. That takes from milliseconds to seconds. The interlock notes what every terminal looks like before that
//! reading begins, and looks again when the next thing would be the first byte of the request. What was touched in between
//! holds the request back, and so does the engine when it withdraws the call. The tests enumerate every order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use agent_core::action::Key;
use agent_core::memory::{Memory, Origin};

use crate::aws::http::Gate;
use crate::host::terminal::{self, Terminal};
use crate::host::{HostError, HostRoot, users};

/// One look at the terminals.
#[derive(Debug)]
struct Look {
    /// There are pseudo-terminals on this machine at all (devpts is mounted).
    has_folder: bool,
    /// When each terminal of a person was last read from, by name. (`stat(2)` of `/dev/pts/N`; see `host::terminal`.)
    marks: BTreeMap<String, i128>,
}

/// What stands between a decision and its call. One for the life of the agent, also over a reload.
#[derive(Debug)]
pub struct Interlock {
    host: HostRoot,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether terminals are looked at: `[source.input]` is enabled.
    watches: bool,
    /// The open intent is of the idle policy. What an administrator asked for is not called off by a key.
    idle: bool,
    /// The terminals before the last reading of all sources.
    before: Option<Look>,
    /// The call that the engine withdrew.
    withdrawn: Option<Key>,
}

impl Interlock {
    /// An interlock that lets nothing of the idle policy pass until [`arm`](Self::arm) was called.
    pub fn new(host: HostRoot) -> Arc<Self> {
        let state = State { watches: true, idle: true, ..State::default() };
        Arc::new(Self { host, state: Mutex::new(state) })
    }

    /// Whether terminals are looked at.
    pub fn watch(&self, watches: bool) {
        self.with(|state| state.watches = watches);
    }

    /// Every source is about to be read once more: notes the terminals.
    pub fn arm(&self) {
        let before = self.look().ok();
        self.with(|state| state.before = before);
    }

    /// Takes note of whose intent is open.
    pub fn follow(&self, memory: &Memory) {
        let operator = memory.intent.as_ref().is_some_and(|i| i.origin == Origin::Operator);
        self.with(|state| state.idle = !operator);
    }

    /// The engine withdraws this call.
    pub fn withdraw(&self, call: Key) {
        self.with(|state| state.withdrawn = Some(call));
    }

    /// What this call has to pass when its request is about to leave.
    pub fn gate(self: &Arc<Self>, call: Key) -> Gate {
        let interlock = Arc::clone(self);
        Arc::new(move || interlock.pass(call))
    }

    /// The last look. The error says what was seen.
    fn pass(&self, call: Key) -> Result<(), String> {
        self.with(|state| {
            if state.withdrawn == Some(call) {
                return Err("it was withdrawn".to_owned());
            }
            if !(state.idle && state.watches) {
                return Ok(());
            }
            let Some(before) = &state.before else {
                return Err("the terminals could not be looked at before".to_owned());
            };
            let now = self.look().map_err(|error| format!("the last look failed: {error}"))?;
            if before.has_folder && !now.has_folder {
                return Err("the last look failed: there is no /dev/pts any more".to_owned());
            }
            let before = &before.marks;
            match now.marks.iter().find(|(name, mark)| before.get(*name) != Some(*mark)) {
                Some((name, _)) if before.contains_key(name) => {
                    Err(format!("the machine is used: {name} at the last moment"))
                }
                Some((name, _)) => Err(format!("the machine is used: {name} is new")),
                None => Ok(()),
            }
        })
    }

    fn look(&self) -> Result<Look, HostError> {
        let (has_folder, pseudo) = match terminal::pseudo(&self.host) {
            Ok(terminals) => (true, terminals),
            // No terminals at all. Whether that may be is for the source to say.
            Err(error) if error.is_missing() => (false, Vec::new()),
            Err(error) => return Err(error),
        };
        // A console that login gave to nobody is read by what is no person: a login prompt, a logger, a modem.
        let used = |console: &Terminal| users::is_ordinary(console.uid);
        let consoles = terminal::consoles(&self.host)?.into_iter().filter(used);
        let marks = pseudo.into_iter().chain(consoles).map(|t| (t.name, t.accessed_ns)).collect();
        Ok(Look { has_folder, marks })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
