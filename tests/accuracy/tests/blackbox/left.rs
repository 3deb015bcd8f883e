//! What somebody left running, as processes: how it was started shows in its parent, its control group and its signals.

use std::io;

use agent_accuracy::signals::{Left, Place, Signals};
use agent_tests::procfs::{Machine, Meters, Process};

use super::plant::{ADA, SESSION, TRANSIENT, USER_UNIT};

/// The process at the top of it, and its child.
const TOP: u32 = 6000;

/// What is there.
#[derive(Debug)]
pub(crate) struct Leftovers {
    machine: Machine,
    there: Left,
}

impl Leftovers {
    /// Nothing was left running yet.
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { machine: machine.clone(), there: Left::Nothing }
    }

    /// Jobs and servers come and go.
    pub(crate) fn show(&mut self, signals: &Signals, meters: &mut Meters) -> io::Result<()> {
        if signals.left == self.there {
            return Ok(());
        }
        if !top(self.there, signals.place).is_empty() {
            self.machine.end(TOP + 1)?;
            self.machine.end(TOP)?;
            meters.unbind_udp();
        }
        self.there = signals.left;
        for process in top(self.there, signals.place) {
            self.machine.spawn(&process)?;
        }
        if self.there == Left::Server && signals.place == Place::UserUnit {
            meters.bind_udp("0.0.0.0:34197", ADA, USER_UNIT);
        }
        Ok(())
    }
}

/// The processes of what was left, the uppermost first. Those of schedules are started by their daemons
/// (`services`).
fn top(left: Left, place: Place) -> Vec<Process> {
    let ada = |group: &str| Process::new(TOP, "python3", &format!("/{group}")).of_user(ADA);
    let manager = place == Place::UserUnit;
    let top = match left {
        Left::Nothing | Left::Schedule => return Vec::new(),
        Left::Nohup => ada(SESSION).called(&["python3", "work.py"]).under_nohup(),
        Left::SystemdRun if manager => ada(USER_UNIT).called(&["python3", "work.py"]),
        Left::SystemdRun => ada(TRANSIENT).called(&["python3", "work.py"]),
        Left::UserData => {
            let group = "/system.slice/cloud-final.service";
            Process::new(TOP, "simulate", group).called(&["./simulate"]).under_nohup()
        }
        Left::Server if manager => ada(USER_UNIT).called(&["./factorio"]),
        Left::Server => {
            let script = "/home/ada/venv/bin/streamlit";
            ada(SESSION).called(&["python3", script, "run", "app.py"]).under_nohup()
        }
    };
    // What works is a child that need not live as long as what waits for it.
    let child = Process { pid: TOP + 1, parent: TOP, ..top.clone() };
    vec![top, child]
}
