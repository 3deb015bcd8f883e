//! Holds that end with a process (`agentctl run`): the processes are watched.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::input::Input;
use agent_core::memory::Memory;
use agent_core::stamp::Stamp;
use nix::unistd::{SysconfVar, sysconf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::clock;
use crate::host::HostRoot;
use crate::host::process::Processes;
use crate::shell::Message;

/// How often a process is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A process that started this much after its hold was made took over the number of another.
const START_SLACK_MS: u64 = 2_000;

/// One watcher a process, while a hold names it.
#[derive(Debug)]
pub struct Watchers {
    host: HostRoot,
    to: mpsc::WeakSender<Message>,
    running: BTreeMap<u32, AbortHandle>,
}

impl Watchers {
    /// No watchers yet.
    pub fn new(host: HostRoot, to: mpsc::WeakSender<Message>) -> Self {
        Self { host, to, running: BTreeMap::new() }
    }

    /// Watches exactly the processes that the holds name.
    pub fn follow(&mut self, memory: &Memory) {
        let wanted: BTreeMap<u32, Stamp> = memory.holds.pids().collect();
        self.running.retain(|pid, watcher| {
            let keep = wanted.contains_key(pid);
            if !keep {
                watcher.abort();
            }
            keep
        });
        for (pid, since) in wanted {
            self.running.entry(pid).or_insert_with(|| {
                let (host, to) = (self.host.clone(), self.to.clone());
                tokio::task::spawn_local(watch(host, to, pid, since)).abort_handle()
            });
        }
    }
}

async fn watch(host: HostRoot, to: mpsc::WeakSender<Message>, pid: u32, since: Stamp) {
    while is_there(&host, pid, since) {
        clock::sleep(LOOK_EVERY).await;
    }
    if let Some(to) = to.upgrade() {
        // A loop that has ended needs no word.
        let _ = to.send(Message::Input(Input::ProcessGone { pid })).await;
    }
}

/// Whether the process that the hold was made for still runs. A number that was given to another process meanwhile is
/// told by the start time (`proc_pid_stat(5)`, field 22). What cannot be read counts as running: the hold has an end.
fn is_there(host: &HostRoot, pid: u32, since: Stamp) -> bool {
    let mut processes = Processes::new(host.clone());
    let found = processes.open().and_then(|proc| Ok(processes.read(&proc, pid)?.map(|s| s.start)));
    match found {
        Ok(Some(ticks)) => {
            let started_ms = ticks.saturating_mul(1000) / ticks_a_second();
            started_ms <= since.boot_ms.saturating_add(START_SLACK_MS)
        }
        Ok(None) => false,
        Err(_) => true,
    }
}

/// `sysconf(3)`, `_SC_CLK_TCK`: 100 on every Linux that this runs on.
fn ticks_a_second() -> u64 {
    sysconf(SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok())
        .filter(|ticks| *ticks > 0)
        .unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn this_process_is_there_and_a_number_that_was_reused_is_not() {
        let host = HostRoot::real();
        let me = std::process::id();
        assert!(is_there(&host, me, Clock.now()));
        // A hold of the time of boot cannot be this process's.
        assert!(!is_there(&host, me, Stamp::new(1, 0, 0)));
    }

    #[test]
    fn a_process_that_ended_is_gone_and_one_that_cannot_be_read_is_not() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/7")).unwrap();
        let host = HostRoot::at(root.path());
        assert!(!is_there(&host, 4_000_000, Stamp::new(1, 0, 0)));
        std::fs::write(root.path().join("proc/7/stat"), "garbage").unwrap();
        assert!(is_there(&host, 7, Stamp::new(1, 0, 0)));
    }
}
