//! Who this instance is: asked until IMDS answers, and again from time to time.
//!
//! Without an answer the identity is unknown, and an unknown identity means no action. An id is never invented.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent_core::stamp::Stamp;
use tokio::sync::{mpsc, watch as channel};

use crate::aws::Cloud;
use crate::aws::identity::{self, Identity};
use crate::clock;
use crate::events::{self, ShellEvent};
use crate::notices::{self, Setting};
use crate::publish::{ConfigInfo, Health, InstanceInfo, NoticeWatch, WatchState};
use crate::shell::Message;

/// The first pause after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How often a known identity is confirmed.
const CONFIRM_EVERY: Duration = Duration::from_mins(5);
/// For the question how the instance is paid for; the watch for notices asks it, too, until it is known.
const LIFE_CYCLE_LIMIT: Duration = Duration::from_secs(1);

/// What is shown beside the engine's picture. One thread owns it.
#[derive(Debug)]
pub struct Shown {
    /// The instance, once known.
    pub instance: Option<InstanceInfo>,
    /// The metadata service.
    pub imds: Health,
    /// The watch for notices.
    pub notices: NoticeWatch,
    /// The configuration.
    pub config: ConfigInfo,
    /// The metadata service, as the question for the identity found it.
    identity: Health,
}

/// Keeps asking IMDS, and tells the loop and the picture what it said. Ends with the loop.
pub async fn watch(
    cloud: Arc<Cloud>,
    shown: Rc<RefCell<Shown>>,
    setting: channel::Sender<Setting>,
    to: mpsc::WeakSender<Message>,
    clock: fn() -> Stamp,
) {
    let mut failures: u32 = 0;
    let mut answers = setting.subscribe();
    let mut known: Option<String> = None;
    loop {
        let mut work = clock::work();
        work.begin().await;
        let (message, pause) = match cloud.identify().await {
            Ok(found) => {
                let info = describe(&cloud, &found, &setting).await;
                if known.as_ref() != Some(&info.instance_id) || failures > 0 {
                    tell_known(&info);
                }
                failures = 0;
                known = Some(info.instance_id.clone());
                let message = Message::Identity(info.instance_id.clone());
                shown.borrow_mut().found(info, clock());
                (message, CONFIRM_EVERY)
            }
            Err(error) => {
                let why = format!("failed to {error}");
                if failures == 0 {
                    events::emit(ShellEvent::IdentityUnknown { error: why.clone() });
                }
                let pause = FIRST_RETRY.saturating_mul(1 << failures.min(5)).min(LAST_RETRY);
                failures = failures.saturating_add(1);
                shown.borrow_mut().lost(why);
                (Message::Refresh, pause)
            }
        };
        match to.upgrade() {
            Some(to) if to.send(message).await.is_ok() => {}
            _ => return,
        }
        drop(work);
        tokio::select! {
            () = clock::sleep(pause) => {}
            () = answers_again(&mut answers), if failures > 0 => {}
        }
    }
}

/// Waits until the watch for notices finds that the service answers again.
async fn answers_again(setting: &mut channel::Receiver<Setting>) {
    let before = setting.borrow_and_update().answers_again;
    if setting.wait_for(|setting| setting.answers_again != before).await.is_err() {
        // Nobody will say so any more.
        std::future::pending::<()>().await;
    }
}

impl Shown {
    /// Before anything was asked.
    pub fn new(config: ConfigInfo) -> Self {
        let imds = Health::not_tried();
        let (notices, identity) = (NoticeWatch::default(), imds.clone());
        Self { instance: None, imds, notices, config, identity }
    }

    fn found(&mut self, info: InstanceInfo, now: Stamp) {
        self.instance = Some(info);
        self.identity = Health { ok: true, detail: "answers".to_owned(), last_good: Some(now) };
        self.judge();
    }

    /// The last identity stays shown: an instance does not become another one.
    fn lost(&mut self, why: String) {
        self.identity.ok = false;
        self.identity.detail = why;
        self.judge();
    }

    /// As if the identity had been read.
    #[cfg(test)]
    pub(crate) fn pretend_identity(&mut self) {
        self.identity.ok = true;
        self.judge();
    }

    /// Judges the metadata service by everything that is asked of it: it does well only where nothing is blind. Returns
    /// whether that changed.
    pub(crate) fn judge(&mut self) -> bool {
        let paths = &self.notices.paths;
        let goods = paths.iter().map(|path| path.last_good).chain([self.identity.last_good]);
        let last_good = goods.flatten().reduce(Stamp::max);
        let blind = paths.iter().find(|path| path.state == WatchState::Blind);
        let (ok, detail) = match blind {
            Some(path) => (false, path.detail.clone()),
            None => (self.identity.ok, self.identity.detail.clone()),
        };
        let before = core::mem::replace(&mut self.imds, Health { ok, detail, last_good });
        before.ok != ok
    }
}

fn tell_known(info: &InstanceInfo) {
    let detail =
        format!("{} in {}, {}", info.instance_type, info.availability_zone, info.life_cycle);
    events::emit(ShellEvent::IdentityKnown { instance: info.instance_id.clone(), detail });
}

async fn describe(
    cloud: &Cloud,
    found: &Identity,
    setting: &channel::Sender<Setting>,
) -> InstanceInfo {
    notices::learn(setting, identity::life_cycle(cloud.imds(), LIFE_CYCLE_LIMIT).await);
    let life_cycle = setting.borrow().life_cycle.as_str();
    // Tags are readable only where InstanceMetadataTags is enabled; a missing name is nothing to report.
    let name = cloud.imds().get("meta-data/tags/instance/Name").await.ok().flatten();
    InstanceInfo {
        instance_id: found.instance_id.as_str().to_owned(),
        instance_type: found.instance_type.clone().unwrap_or_else(|| "unknown type".to_owned()),
        region: found.region.as_str().to_owned(),
        availability_zone: found.availability_zone.clone().unwrap_or_default(),
        life_cycle: life_cycle.to_owned(),
        name: name.map(|n| n.chars().filter(|c| !c.is_control()).take(128).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::PathWatch;

    fn path(state: WatchState, last_good: Option<Stamp>) -> PathWatch {
        let (since, every) = (Stamp::default(), Duration::from_secs(2));
        let detail = "failed to reach IMDS".to_owned();
        PathWatch { name: "spot", path: "p", every, state, since, last_good, detail }
    }

    #[test]
    fn the_service_does_well_only_where_nothing_is_blind() {
        let mut shown = Shown::new(ConfigInfo::default());
        let (early, late) = (Stamp::new(1, 0, 1), Stamp::new(9, 0, 9));
        shown.identity = Health { ok: true, detail: "answers".into(), last_good: Some(early) };
        shown.notices.paths = vec![path(WatchState::NoNotice, Some(late))];
        assert!(shown.judge() && !shown.judge(), "a change is told once");
        assert_eq!((shown.imds.ok, shown.imds.last_good), (true, Some(late)));
        shown.notices.paths = vec![path(WatchState::NoNotice, None), path(WatchState::Blind, None)];
        assert!(shown.judge());
        let imds = &shown.imds;
        assert_eq!((imds.ok, imds.detail.as_str()), (false, "failed to reach IMDS"));
        shown.notices.paths = vec![path(WatchState::Off, None), path(WatchState::Pending, None)];
        assert!(shown.judge() && shown.imds.ok);
        shown.lost("failed to find the instance id".to_owned());
        assert_eq!((shown.imds.ok, shown.imds.last_good), (false, Some(early)));
    }
}
