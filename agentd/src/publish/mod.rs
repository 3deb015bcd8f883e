//! What the agent tells about itself: the current picture, the events, the metrics.
//!
//! The task that owns the engine holds the only [`Publisher`] and hands it a new picture after every step. Everybody
//! else holds a [`Subscriber`], which can look and wait, and cannot delay or change a decision: a watch channel never
//! makes its sender wait.

pub mod events;
pub mod metrics;

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_core::reason::Event;
use agent_core::stamp::Stamp;
use agent_core::verdict::View;
use tokio::sync::watch;

pub use events::{EventRecord, Ring};

/// The agent's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfo {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The boot that it runs in (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// When it was started.
    pub started: Stamp,
}

/// The instance as the metadata service tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceInfo {
    /// `i-…`.
    pub instance_id: String,
    /// `g5.2xlarge` …
    pub instance_type: String,
    /// `us-east-1` …
    pub region: String,
    /// `us-east-1a` …
    pub availability_zone: String,
    /// `on-demand`, `spot` …
    pub life_cycle: String,
    /// The `Name` tag, where tags are readable.
    pub name: Option<String>,
}

/// How something that the agent depends on does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// It worked when last tried.
    pub ok: bool,
    /// What it said or how it failed, one line.
    pub detail: String,
    /// When it last worked.
    pub last_good: Option<Stamp>,
}

impl Health {
    /// What is said of what was not tried yet.
    const NOT_TRIED: &str = "not asked yet";

    /// Of something that was not tried yet.
    pub fn not_tried() -> Self {
        Self { ok: false, detail: Self::NOT_TRIED.to_owned(), last_good: None }
    }

    /// Whether it was not tried yet, which is not the same as that it does not work.
    pub fn is_not_tried(&self) -> bool {
        !self.ok && self.last_good.is_none() && self.detail == Self::NOT_TRIED
    }
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigInfo {
    /// The files, in the order in which they were read.
    pub files: Vec<String>,
    /// Why the newest files are not in force.
    pub problem: Option<String>,
    /// Who the programs among the hooks of an interruption run as; none is root.
    pub hook_user: Option<String>,
    /// The units that a person counts as upkeep.
    pub upkeep: Vec<String>,
    /// The units that count as work, by source.
    pub work: BTreeMap<String, Vec<String>>,
}

/// How the watch for one kind of notice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Not asked yet.
    Pending,
    /// Not watched: this instance cannot get such a notice, or interruptions are switched off.
    Off,
    /// IMDS said that there is none (404 to an accepted token), or an empty list.
    NoNotice,
    /// There is one.
    Notice,
    /// Nothing can be said.
    Blind,
}

impl WatchState {
    /// The word for people and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Off => "off",
            Self::NoNotice => "no-notice",
            Self::Notice => "notice",
            Self::Blind => "blind",
        }
    }
}

/// The watch for one kind of notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathWatch {
    /// The kind: `spot`, `rebalance`, `maintenance`, `autoscaling`.
    pub name: &'static str,
    /// The item of the metadata service, below `/latest/`.
    pub path: &'static str,
    /// How often it is asked.
    pub every: core::time::Duration,
    /// What it said last.
    pub state: WatchState,
    /// Since when the state is this one.
    pub since: Stamp,
    /// When a good answer came last: a notice, or the proof that there is none.
    pub last_good: Option<Stamp>,
    /// What the answer was, or why there is none, one line.
    pub detail: String,
}

/// The watch for notices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeWatch {
    /// `spot`, `on-demand` … as IMDS tells it; `unknown` (taken for spot) until it does.
    pub life_cycle: String,
    /// Each kind.
    pub paths: Vec<PathWatch>,
}

/// The current picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// What the engine thinks.
    pub view: View,
    /// The agent.
    pub agent: AgentInfo,
    /// The instance; none while its identity is unknown.
    pub instance: Option<InstanceInfo>,
    /// The metadata service.
    pub imds: Health,
    /// The watch for notices.
    pub notices: NoticeWatch,
    /// The configuration.
    pub config: ConfigInfo,
}

/// The writing end. There is one.
#[derive(Debug)]
pub struct Publisher {
    picture: watch::Sender<Arc<Published>>,
    events: watch::Sender<Ring>,
}

/// A reading end. It can be cloned.
#[derive(Clone, Debug)]
pub struct Subscriber {
    picture: watch::Receiver<Arc<Published>>,
    events: watch::Receiver<Ring>,
}

/// Both ends, with the first picture.
pub fn channel(first: Published) -> (Publisher, Subscriber) {
    let (picture, pictures) = watch::channel(Arc::new(first));
    let (events, event_log) = watch::channel(Ring::default());
    (Publisher { picture, events }, Subscriber { picture: pictures, events: event_log })
}

impl Publisher {
    /// Replaces the picture.
    pub fn publish(&self, picture: Published) {
        self.picture.send_replace(Arc::new(picture));
    }

    /// Appends an event and returns its number.
    pub fn record(&self, at: Stamp, event: Event) -> u64 {
        let mut seq = 0;
        self.events.send_modify(|ring| seq = ring.push(at, event));
        seq
    }

    /// What brings the metadata service's part up to date.
    pub fn freshener(&self) -> Freshener {
        Freshener(self.picture.clone())
    }

    /// Another reading end.
    pub fn subscribe(&self) -> Subscriber {
        Subscriber { picture: self.picture.subscribe(), events: self.events.subscribe() }
    }
}

/// Brings one part of the picture up to date between two pictures.
#[derive(Clone, Debug)]
pub struct Freshener(watch::Sender<Arc<Published>>);

impl Freshener {
    /// Replaces what is told of the metadata service, and wakes nobody: it is for what only grows older, so that whoever
    /// looks next sees how fresh it is. A change that matters is published.
    pub fn freshen(&self, imds: &Health, notices: &NoticeWatch) {
        self.0.send_if_modified(|picture| {
            // Nobody keeps a picture for long, so it is seldom copied.
            let picture = Arc::make_mut(picture);
            picture.imds.clone_from(imds);
            picture.notices.clone_from(notices);
            false
        });
    }
}

impl Subscriber {
    /// The current picture.
    pub fn picture(&self) -> Arc<Published> {
        Arc::clone(&self.picture.borrow())
    }

    /// Waits for another picture. `None` once the publisher is gone.
    pub async fn changed(&mut self) -> Option<Arc<Published>> {
        self.picture.changed().await.ok()?;
        Some(Arc::clone(&self.picture.borrow_and_update()))
    }

    /// The number of the latest event, 0 before the first.
    pub fn latest_event(&self) -> u64 {
        self.events.borrow().latest()
    }

    /// At most `most` kept events behind number `after`, and how many that would belong to them are kept no more.
    pub fn events_after(&self, after: u64, most: usize) -> (u64, Vec<EventRecord>) {
        self.events.borrow().after(after, most)
    }

    /// Waits until an event behind number `after` exists. `false` once the publisher is gone.
    pub async fn wait_for_event(&mut self, after: u64) -> bool {
        self.events.wait_for(|ring| ring.latest() > after).await.is_ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use agent_core::input::{Abilities, Ability};
    use agent_core::interruption::{InterruptionPolicy, Interruptions};
    use agent_core::policy::Mode;
    use agent_core::reading::{Role, SourceName};
    use agent_core::verdict::{Judgement, SignalView, SourceView, Stage};

    /// 2026-01-02T12:00:00Z, three hours after boot.
    pub(crate) const NOW: Stamp = Stamp::new(10_800_000, 0, 1_767_355_200_000);

    /// A moment so many seconds before [`NOW`].
    pub(crate) fn ago(seconds: u64) -> Stamp {
        NOW.before(std::time::Duration::from_secs(seconds))
    }

    /// A moment so many seconds after [`NOW`].
    pub(crate) fn ahead(seconds: u64) -> Stamp {
        NOW.after(std::time::Duration::from_secs(seconds))
    }

    /// A source as judged, for 22 minutes.
    pub(crate) fn source(
        name: &'static str,
        judgement: Judgement,
        value: Option<f64>,
        limit: f64,
        unit: &str,
    ) -> SourceView {
        SourceView {
            source: SourceName::new(name),
            judgement,
            value,
            limit,
            unit: unit.into(),
            cause: None,
            last_activity: Some(ago(1_320)),
            since: ago(1_320),
            read_at: Some(ago(3)),
            detail: None,
            signals: vec![SignalView {
                subject: format!("{name}-subject"),
                owner: Some("alice".into()),
                role: Role::Workload,
                limit: None,
                value,
                judgement,
                last_activity: Some(ago(1_320)),
            }],
        }
    }

    /// The watch of a machine to which nothing is announced: each path answered a second ago.
    pub(crate) fn watch() -> NoticeWatch {
        let path = |name, path, seconds| PathWatch {
            name,
            path,
            every: core::time::Duration::from_secs(seconds),
            state: WatchState::NoNotice,
            since: ago(7_000),
            last_good: Some(ago(1)),
            detail: "404".into(),
        };
        NoticeWatch {
            life_cycle: "spot".into(),
            paths: vec![
                path("spot", "meta-data/spot/instance-action", 2),
                path("rebalance", "meta-data/events/recommendations/rebalance", 5),
                path("maintenance", "meta-data/events/maintenance/scheduled", 60),
                path("autoscaling", "meta-data/autoscaling/target-lifecycle-state", 5),
            ],
        }
    }

    /// An idle machine, 18 of 30 minutes into its idle time.
    pub(crate) fn quiet() -> Published {
        Published {
            view: View {
                now: NOW,
                mode: Mode::Enforce,
                profile: "research".into(),
                stage: Stage::Quiet,
                stage_since: ago(780),
                because: "nobody has used it for 18 min".into(),
                idle_since: Some(ago(1_080)),
                idle_ms: 1_080_000,
                act_after_ms: 1_800_000,
                stretch: None,
                users: Vec::new(),
                last_use: None,
                uncounted: Vec::new(),
                kept_up: None,
                power: Some(agent_core::action::Power::Hibernate),
                act_at: Some(ahead(720)),
                warn_at: vec![ahead(120), ahead(420)],
                sources: vec![
                    source("cpu", Judgement::Idle, Some(0.012), 0.05, "core"),
                    source("input", Judgement::Idle, None, 0.0, ""),
                ],
                holds: vec![],
                obstacles: vec![],
                abilities: Abilities {
                    instance_id: Some("i-0abc12345678def90".into()),
                    hibernate: Ability::Can,
                    stop: Ability::Can,
                    member: false,
                },
                last_action: None,
                interruptions: Interruptions::default(),
                interruption: InterruptionPolicy { enabled: true, ..InterruptionPolicy::default() },
            },
            agent: AgentInfo {
                version: "0.1.0".into(),
                pid: 612,
                boot_id: "6f1c1b1e-0000-4000-8000-000000000001".into(),
                started: ago(7_200),
            },
            instance: Some(InstanceInfo {
                instance_id: "i-0abc12345678def90".into(),
                instance_type: "g5.2xlarge".into(),
                region: "us-east-1".into(),
                availability_zone: "us-east-1a".into(),
                life_cycle: "on-demand".into(),
                name: Some("alice-train".into()),
            }),
            imds: Health { ok: true, detail: "answers".into(), last_good: Some(ago(20)) },
            notices: watch(),
            config: ConfigInfo {
                files: vec!["/etc/agentd/agentd.toml".into()],
                ..ConfigInfo::default()
            },
        }
    }

    #[tokio::test]
    async fn a_reader_sees_the_newest_picture_and_a_dead_publisher() {
        let (publisher, mut reader) = channel(quiet());
        let mut next = quiet();
        next.view.stage = Stage::Active;
        publisher.publish(quiet());
        publisher.publish(next.clone());
        assert_eq!(*reader.changed().await.unwrap(), next);
        assert_eq!(reader.picture().view.stage, Stage::Active);
        drop(publisher);
        assert!(reader.changed().await.is_none());
        assert!(!reader.wait_for_event(0).await);
    }

    #[tokio::test]
    async fn a_reader_that_never_looks_does_not_hold_up_the_publisher() {
        let (publisher, reader) = channel(quiet());
        for _ in 0..5_000 {
            publisher.publish(quiet());
            publisher.record(NOW, Event::PolicyChanged);
        }
        assert_eq!(reader.latest_event(), 5_000);
    }

    #[tokio::test]
    async fn what_is_freshened_is_seen_and_wakes_nobody() {
        let (publisher, mut reader) = channel(quiet());
        let notices = NoticeWatch { life_cycle: "spot".into(), ..NoticeWatch::default() };
        let imds = Health { ok: false, ..quiet().imds };
        publisher.freshener().freshen(&imds, &notices);
        let picture = reader.picture();
        assert_eq!((picture.notices.life_cycle.as_str(), picture.imds.ok), ("spot", false));
        assert_eq!(picture.view, quiet().view);
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(5), reader.changed());
        assert!(waiting.await.is_err());
    }

    #[tokio::test]
    async fn waiting_for_an_event_ends_when_it_comes() {
        let (publisher, mut reader) = channel(quiet());
        assert_eq!(publisher.record(NOW, Event::PolicyChanged), 1);
        assert!(reader.wait_for_event(0).await);
        let waiting = tokio::spawn(async move { reader.wait_for_event(1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        publisher.record(NOW, Event::HookNotRepeated);
        assert!(waiting.await.unwrap());
    }
}
