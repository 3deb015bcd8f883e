//! The timers of user managers, each told by a reader that runs as that user.
//!
//! A user manager listens at `/run/user/UID/systemd/private` and speaks with its own user alone; the bus beside it refuses
//! root as well. So there is one reader a manager, which has no power beyond its user's.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agent_core::reading::Signal;
use agent_core::stamp::Stamp;
use futures_util::stream::{self, StreamExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::host::systemd::{Systemd, Timer};
use crate::host::users::Users as Names;
use crate::host::{HostError, HostRoot};
use crate::sources::reader::Reader;
use crate::sources::{BusMode, due};

/// Where each user manager has its folder.
const FOLDER: &str = "/run/user";
/// The verb of the program that [`print_timers`] is.
const VERB: &str = "read-timers";
/// The most managers that are asked, the most of them at once, and the most timers of one that are looked at.
const MANAGERS: usize = 100;
const AT_ONCE: usize = 4;
const TIMERS: usize = 100;
/// So many managers are asked no more often than this, twice as many half as often, and so on up to an hour: a reader costs some
/// hundredths of a second…
const EVERY: Duration = Duration::from_mins(5);
const SELDOM: Duration = Duration::from_hours(1);
/// …but before an action, unless it was within this.
const FRESH: Duration = Duration::from_secs(10);
/// What it told is believed for so many times that when it tells nothing anew.
const STANDS: u32 = 3;
/// So long one look waits for the readers.
const PATIENCE: Duration = Duration::from_millis(1200);
/// So long a reader waits for its manager.
const LIMIT: Duration = Duration::from_secs(3);

/// What the managers told.
type Told = Vec<(u32, Result<Vec<Timer>, String>)>;
/// Makes a reader for a user; none where there is nobody to start it.
type ReaderOf = Box<dyn Fn(u32) -> Option<Reader>>;

/// What is known of one manager.
#[derive(Debug, Default)]
struct Manager {
    asked: Option<Stamp>,
    told: Option<(Stamp, Vec<Timer>)>,
    fault: Option<String>,
}

/// Asks the managers of users.
pub(super) struct Managers {
    root: HostRoot,
    names: Names,
    reader: ReaderOf,
    known: BTreeMap<u32, Manager>,
    running: Option<(Stamp, JoinHandle<Told>)>,
    anew: bool,
}

impl std::fmt::Debug for Managers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Managers").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Managers {
    /// Asks through systemd, where it is there.
    pub(super) fn new(root: HostRoot, bus: BusMode) -> Self {
        Self::by(root, Box::new(move |uid| as_user(&bus, uid)))
    }

    /// Asks by these readers.
    pub(super) fn by(root: HostRoot, reader: ReaderOf) -> Self {
        let names = Names::new(root.clone());
        Self { root, names, reader, known: BTreeMap::new(), running: None, anew: false }
    }

    /// The look before an action comes next.
    pub(super) fn refresh(&mut self) {
        self.anew = true;
    }

    /// What the timers of all managers come to. Never an error: what a user's manager says or does not say can make the
    /// agent wait and not make it blind.
    pub(super) async fn signals(
        &mut self,
        now: Stamp,
        judge: impl Fn(&Timer, &str) -> Option<Signal>,
    ) -> Vec<Signal> {
        let (uids, mut signals) = match self.uids() {
            Ok((uids, true)) => (uids, Vec::new()),
            Ok((uids, false)) => {
                let why = format!(" (more than {MANAGERS} user managers)");
                (uids, vec![due::closed(FOLDER, &why)])
            }
            Err(error) if error.is_missing() => return Vec::new(),
            Err(error) => return vec![due::closed(FOLDER, &format!(" (failed to {error})"))],
        };
        let every = every(uids.len());
        let is_due = |manager: &Manager| manager.asked.is_none_or(|at| now.since(at) >= every);
        // Who comes and goes all the time is not asked each time.
        self.known.retain(|uid, manager| uids.contains(uid) || !is_due(manager));
        self.ask(&uids, every, now);
        self.hear().await;
        for uid in uids {
            signals.extend(self.of(uid, every * STANDS, now, &judge));
        }
        signals
    }

    /// The users who have a manager, at most so many, and whether those are all.
    fn uids(&self) -> Result<(Vec<u32>, bool), HostError> {
        let (names, all) = self.root.some_names(FOLDER, MANAGERS)?;
        Ok((names.iter().filter_map(|name| name.parse().ok()).collect(), all))
    }

    /// Starts the readers that are due, unless some are under way.
    fn ask(&mut self, uids: &[u32], every: Duration, now: Stamp) {
        let anew = std::mem::take(&mut self.anew);
        if self.running.is_some() {
            return;
        }
        let pause = if anew { FRESH } else { every };
        let mut asking = Vec::new();
        for uid in uids {
            let manager = self.known.entry(*uid).or_default();
            if manager.asked.is_none_or(|at| now.since(at) >= pause)
                && let Some(reader) = (self.reader)(*uid)
            {
                manager.asked = Some(now);
                let (uid, answer) = (*uid, reader.ask());
                asking.push(async move { (uid, answer.await.and_then(|text| understand(&text))) });
            }
        }
        if !asking.is_empty() {
            let asking = stream::iter(asking).buffer_unordered(AT_ONCE).collect();
            self.running = Some((now, tokio::spawn(asking)));
        }
    }

    async fn hear(&mut self) {
        let Some((at, task)) = &mut self.running else { return };
        let Ok(ended) = timeout(PATIENCE, task).await else { return };
        let at = *at;
        self.running = None;
        for (uid, told) in ended.unwrap_or_default() {
            let Some(manager) = self.known.get_mut(&uid) else { continue };
            match told {
                Ok(timers) => (manager.told, manager.fault) = (Some((at, timers)), None),
                Err(why) => manager.fault = Some(why),
            }
        }
    }

    /// What the timers of one manager come to, if it told of them within `stands`.
    fn of(
        &mut self,
        uid: u32,
        stands: Duration,
        now: Stamp,
        judge: impl Fn(&Timer, &str) -> Option<Signal>,
    ) -> Vec<Signal> {
        let Some(manager) = self.known.get(&uid) else { return Vec::new() };
        let owner = self.names.name(uid);
        match &manager.told {
            Some((at, timers)) if now.since(*at) <= stands => {
                let of_user = |timer: &Timer| {
                    let name = format!("user@{uid}.service timer {}", timer.name);
                    judge(&Timer { name, ..timer.clone() }, &owner)
                };
                timers.iter().filter_map(of_user).collect()
            }
            _ => {
                let why = match (&manager.fault, manager.asked) {
                    (Some(fault), _) => format!(" (failed to {fault})"),
                    (None, Some(_)) => " (they are being asked for)".to_owned(),
                    (None, None) => String::new(),
                };
                vec![due::closed(&format!("timers of {owner}"), &why)]
            }
        }
    }
}

impl Drop for Managers {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.running {
            task.abort();
        }
    }
}

/// How often each of so many managers is asked.
fn every(managers: usize) -> Duration {
    let rounds = u32::try_from(managers.div_ceil(AT_ONCE)).unwrap_or(u32::MAX).max(1);
    EVERY.saturating_mul(rounds).min(SELDOM)
}

/// A reader that runs as a user and sees nothing of the homes but the socket of that user's manager.
fn as_user(bus: &BusMode, uid: u32) -> Option<Reader> {
    let socket = format!("{FOLDER}/{uid}/systemd/private");
    let properties = [
        format!("User={uid}"),
        "CapabilityBoundingSet=".to_owned(),
        "ProtectHome=tmpfs".to_owned(),
        format!("BindReadOnlyPaths=-{socket}"),
    ];
    Reader::of(bus, &format!("agentd-timers-{uid}"), &properties, &[VERB, &socket])
}

/// What a reader printed. A name is shown as it came, so it must be what [`print_timers`] makes of one.
fn understand(text: &[u8]) -> Result<Vec<Timer>, String> {
    let told = serde_json::from_slice::<Vec<Timer>>(text);
    let mut timers = told.map_err(|error| format!("understand a reader: {error}"))?;
    if timers.iter().any(|timer| !is_number(&timer.name)) {
        return Err("understand a reader: a timer has no number".to_owned());
    }
    timers.truncate(TIMERS);
    Ok(timers)
}

/// The number that stands for a timer's name, which is nobody else's business: the same for as long as the timer is there.
fn number(name: &str) -> String {
    format!("{:08x}", crc32fast::hash(name.as_bytes()))
}

fn is_number(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Prints when the timers of the manager at that socket fire next. The whole of the program that systemd starts as a user.
pub fn print_timers(host: &HostRoot, socket: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let asked = runtime.block_on(async {
        if !socket.exists() {
            // A runtime folder without a manager.
            return Ok(Vec::new());
        }
        let mut manager = Systemd::of_user(socket, host.clone());
        let timers = timeout(LIMIT, manager.timers(0)).await.map_err(|_| "it does not answer".to_owned())?;
        timers.map_err(|error| error.to_string())
    });
    let printed = asked.and_then(|mut timers| {
        for timer in &mut timers {
            timer.name = number(&timer.name);
        }
        serde_json::to_writer(std::io::stdout(), &timers).map_err(|error| error.to_string())
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who would hear that it cannot be written?
            let _ = writeln!(std::io::stderr(), "failed to ask the manager: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
