//! The words of a segment, and what they change.

use agent_core::reading::Stretch;
use serde::Deserialize;

use super::facts::{Due, Facts, Schedule};
use crate::ours::SOURCES;
use crate::signals::{Desktop, Foreground, Jupyter, Left, Place, Service, Signals};

/// A connection that is followed by itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "(String, ConnKind, f64, f64)")]
pub struct Conn {
    /// Which one.
    pub key: String,
    /// To whose program.
    pub kind: ConnKind,
    /// Bytes a second from the client.
    pub received: f64,
    /// Bytes a second to the client.
    pub sent: f64,
}

impl From<(String, ConnKind, f64, f64)> for Conn {
    fn from((key, kind, received, sent): (String, ConnKind, f64, f64)) -> Self {
        Self { key, kind, received, sent }
    }
}

/// To whose program a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnKind {
    /// A person's program.
    Person,
}

/// The words of a segment. It stands for itself: what is not said is as on a machine that nobody uses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Whose the services are: not a word of the file, it follows from the title.
    #[serde(skip)]
    service: Service,
    /// What was left running: not a word of the file either.
    #[serde(skip)]
    left: Left,
    /// The job of a user's that is due: it follows from the title, too.
    #[serde(skip)]
    due: Option<Due>,
    /// Containers hold a control plane: it follows from the title, too.
    #[serde(skip)]
    plane: bool,
    user_cpu: Option<f64>,
    ide_cpu: Option<f64>,
    ide_seen: Option<bool>,
    sys_cpu: Option<f64>,
    cont_cpu: Option<f64>,
    steal: Option<f64>,
    net: Option<f64>,
    net_user: Option<f64>,
    net_other: Option<f64>,
    net_cont: Option<f64>,
    udp: Option<f64>,
    rx_client: Option<f64>,
    ssh_tx: Option<f64>,
    pkts: Option<f64>,
    conns: Option<Vec<Conn>>,
    sess: Option<Vec<(String, Stretch)>>,
    disk: Option<f64>,
    disk_user: Option<f64>,
    gpus: Option<Vec<f64>>,
    gpu_procs: Option<u32>,
    gpu_err: Option<bool>,
    mig: Option<bool>,
    who: Option<u32>,
    pts: Option<u32>,
    ssh_pts: Option<u32>,
    ssh_notty: Option<u32>,
    ssh_estab: Option<u32>,
    estab_app: Option<u32>,
    people_app: Option<u32>,
    tmux: Option<bool>,
    vscode_srv: Option<bool>,
    fg: Option<Foreground>,
    place: Option<Place>,
    jup: Option<Jupyter>,
    dcv: Option<Desktop>,
    batch: Option<u32>,
    cloudinit: Option<bool>,
    dpkg: Option<bool>,
    inhibit: Option<bool>,
    /// The minute at which the job that is due, and is waited for, has ended.
    cron_due: Option<f64>,
    mem_full: Option<f64>,
    blind: Option<Vec<String>>,
}

/// Puts a word's value, if it was said, where it belongs.
fn put<T: Clone>(word: Option<&T>, place: &mut T) {
    if let Some(value) = word {
        place.clone_from(value);
    }
}

impl State {
    /// Whether its words can be true.
    ///
    /// # Errors
    ///
    /// If it names a source that there is not.
    pub(super) fn check(&self) -> Result<(), String> {
        let unknown = |name: &&String| !SOURCES.contains(&name.as_str());
        match self.blind.iter().flatten().find(unknown) {
            Some(name) => Err(format!("there is no source '{name}'")),
            None => Ok(()),
        }
    }

    /// The same on a machine whose services are so-and-so's, with what was left running, and with its GPUs where nothing else is said of them.
    pub(super) fn on(mut self, facts: &Facts, left: Left, gpus: Option<&Vec<f64>>) -> Self {
        self.service = facts.service;
        self.left = left;
        self.due = facts.due;
        self.plane = facts.plane;
        if facts.sees {
            self.blind = None;
        }
        if facts.serves && self.fg == Some(Foreground::Job) {
            self.fg = Some(Foreground::Server);
        }
        self.gpus = self.gpus.or_else(|| gpus.cloned());
        self
    }

    /// Puts the signals of the segment in the place of those below it.
    pub fn apply(&self, signals: &mut Signals) {
        *signals = Signals::base();
        signals.itemised = true;
        signals.service = self.service;
        signals.left = self.left;
        self.apply_rates(signals);
        self.apply_people(signals);
        put(self.gpu_procs.as_ref(), &mut signals.gpu_procs);
        put(self.gpu_err.as_ref(), &mut signals.gpu_err);
        put(self.mig.as_ref(), &mut signals.mig);
        put(self.cloudinit.as_ref(), &mut signals.cloudinit);
        put(self.dpkg.as_ref(), &mut signals.dpkg);
        put(self.inhibit.as_ref(), &mut signals.inhibit);
        if let Some(gpus) = &self.gpus {
            signals.gpus = gpus.iter().copied().map(Some).collect();
        }
        if let Some(jobs) = self.batch {
            signals.batch = jobs > 0;
        }
        if let Some(minute) = self.cron_due {
            signals.cron_until = Some(crate::scenario::seconds(minute));
        }
        match self.due {
            // What cron and at start is waited for to its end, as the job of a table of the system is.
            Some(Due { by: Schedule::Crontab | Schedule::At, until, .. }) => {
                signals.cron_until = Some(crate::scenario::seconds(until));
            }
            Some(Due { by: Schedule::Timer, at, .. }) => {
                signals.timer_at = Some(crate::scenario::seconds(at));
            }
            None => {}
        }
        signals.plane = self.plane;
        if let Some(blind) = &self.blind {
            let known = SOURCES.iter().copied();
            signals.blind = known.filter(|source| blind.iter().any(|it| it == source)).collect();
        }
    }

    fn apply_rates(&self, signals: &mut Signals) {
        for (word, place) in [
            (self.user_cpu, &mut signals.user_cpu),
            (self.ide_cpu, &mut signals.ide_cpu),
            (self.sys_cpu, &mut signals.sys_cpu),
            (self.cont_cpu, &mut signals.cont_cpu),
            (self.steal, &mut signals.steal),
            (self.net_user, &mut signals.net_user),
            (self.net_other, &mut signals.net_other),
            (self.net_cont, &mut signals.net_cont),
            (self.udp, &mut signals.udp),
            (self.rx_client, &mut signals.rx_client),
            (self.ssh_tx, &mut signals.ssh_tx),
            (self.pkts, &mut signals.pkts),
            (self.disk, &mut signals.disk),
            (self.disk_user, &mut signals.disk_user),
            (self.mem_full, &mut signals.mem_full),
        ] {
            put(word.as_ref(), place);
        }
        if let Some(net) = self.net {
            // The file leaves datagrams and containers out; on the card they are.
            signals.net = net + self.udp.unwrap_or(0.0) + self.net_cont.unwrap_or(0.0);
        }
    }

    fn apply_people(&self, signals: &mut Signals) {
        put(self.ide_seen.as_ref(), &mut signals.ide_seen);
        put(self.conns.as_ref(), &mut signals.conns);
        put(self.sess.as_ref(), &mut signals.sess);
        put(self.who.as_ref(), &mut signals.who);
        put(self.pts.as_ref(), &mut signals.pts);
        put(self.ssh_pts.as_ref(), &mut signals.ssh_pts);
        put(self.ssh_notty.as_ref(), &mut signals.ssh_notty);
        put(self.ssh_estab.as_ref(), &mut signals.ssh_estab);
        put(self.estab_app.as_ref(), &mut signals.estab_app);
        put(self.tmux.as_ref(), &mut signals.tmux);
        put(self.vscode_srv.as_ref(), &mut signals.vscode_srv);
        put(self.fg.as_ref(), &mut signals.fg);
        put(self.place.as_ref(), &mut signals.place);
        put(self.jup.as_ref(), &mut signals.jup);
        put(self.dcv.as_ref(), &mut signals.dcv);
        signals.people_app = self.people_app.or(signals.people_app);
    }
}
