//! What is known of single processes: each file of one is read once.

use super::place::{self, Place};
use super::{Left, names};
use crate::host::HostError;
use crate::host::process::{self, Identity};
use crate::sources::ownership::{Jobs, Step};
use crate::sources::sessions::command::{self, Kind};
use crate::sources::sessions::record::{Record, Role};

/// What a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It does something that somebody waits for.
    Job,
    /// A script or a runner: it is what it waits for.
    Launcher,
    /// A server, a display, a helper.
    Nobody,
}

/// What is known of a process, so that its files are read once.
#[derive(Clone, Debug)]
pub(super) struct Known {
    start: u64,
    /// The look in which it was asked about last.
    pub(super) look: u64,
    comm: [u8; 16],
    identity: Option<Identity>,
    /// Its control group; not kept where no job is left.
    group: Option<String>,
    place: Option<Place>,
    what: Option<What>,
    step: Option<Step>,
    /// The program, for people.
    pub(super) name: String,
    /// What it was called as a job first.
    pub(super) subject: Option<String>,
}

impl Left {
    /// What is known of a process so far.
    pub(super) fn known(&mut self, record: &Record) -> &mut Known {
        let look = self.look;
        let fresh = || Known {
            start: record.start,
            look,
            comm: record.comm,
            identity: None,
            group: None,
            place: None,
            what: None,
            step: None,
            name: String::new(),
            subject: None,
        };
        let known = self.known.entry(record.pid).or_insert_with(fresh);
        if known.start != record.start {
            *known = fresh();
        }
        if known.comm != record.comm {
            // It became another program.
            (known.comm, known.what, known.step) = (record.comm, None, None);
        }
        known.look = look;
        known
    }

    /// Whose a process is; none if it ended.
    pub(super) fn identity(&mut self, record: &Record) -> Result<Option<Identity>, HostError> {
        if let Some(identity) = self.known(record).identity {
            return Ok(Some(identity));
        }
        let identity = self.processes.identity(record.pid)?;
        self.known(record).identity = identity;
        Ok(identity)
    }

    /// Whether it ignores SIGHUP.
    pub(super) fn ignores_hangup(&mut self, record: &Record) -> Result<bool, HostError> {
        Ok(self.identity(record)?.is_some_and(|identity| identity.ignores_hangup))
    }

    /// Whether a process is in the foreground of its terminal, which tells of it.
    pub(super) fn is_in_front(&mut self, record: &Record) -> Result<bool, HostError> {
        let proc = self.processes.open()?;
        let stat = self.processes.read(&proc, record.pid)?;
        Ok(stat.is_none_or(|stat| stat.foreground == stat.group))
    }

    /// Its control group, empty if there is none.
    pub(super) fn group(&mut self, record: &Record) -> Result<String, HostError> {
        if let Some(group) = &self.known(record).group {
            return Ok(group.clone());
        }
        let group = self.processes.control_group(record.pid)?.unwrap_or_default();
        self.known(record).group = Some(group.clone());
        Ok(group)
    }

    /// Where it is.
    pub(super) fn place(&mut self, record: &Record) -> Result<Place, HostError> {
        if let Some(place) = &self.known(record).place {
            return Ok(place.clone());
        }
        let group = self.group(record)?;
        let place = place::of(&self.root, &self.registry, &group)?;
        let known = self.known(record);
        known.place = Some(place.clone());
        if place == Place::Nobody {
            known.group = None;
        }
        Ok(place)
    }

    /// What it is to cron.
    pub(super) fn step(&mut self, record: &Record) -> Result<Step, HostError> {
        if let Some(step) = self.known(record).step {
            return Ok(step);
        }
        self.processes.arguments(record.pid, &mut self.buffer)?;
        let words = process::words(&self.buffer);
        if self.jobs.is_none() {
            self.jobs = Some(Jobs::read(&self.root, &self.registry)?);
        }
        let step = self.jobs.as_ref().map_or(Step::Other, |jobs| jobs.step(&words, &self.registry));
        self.known(record).step = Some(step);
        Ok(step)
    }

    /// What its program is.
    pub(super) fn what(&mut self, record: &Record) -> Result<What, HostError> {
        // What stands for something else is none of a job's.
        if !matches!(record.role, Role::Other) {
            return Ok(What::Nobody);
        }
        if let Some(what) = self.known(record).what {
            return Ok(what);
        }
        self.processes.arguments(record.pid, &mut self.buffer)?;
        let arguments = process::words(&self.buffer);
        let comm = record.name();
        let command = command::judge(&comm, &arguments);
        let what = match command.kind {
            _ if names::is_helper(&comm, &arguments) => What::Nobody,
            Kind::Job | Kind::Prompt => {
                let launches = command::is_shell(&arguments) || names::is_launcher(&command.name);
                if launches { What::Launcher } else { What::Job }
            }
            _ => What::Nobody,
        };
        let known = self.known(record);
        (known.what, known.name) = (Some(what), command.name);
        Ok(what)
    }
}

