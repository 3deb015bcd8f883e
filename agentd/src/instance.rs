//! Who this instance is: asked until IMDS answers, and again from time to time.
//!
//! Without an answer the identity is unknown, and an unknown identity means no action. An id is never invented.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent_core::stamp::Stamp;
use tokio::sync::mpsc;

use crate::aws::Cloud;
use crate::aws::identity::{self, Identity, LifeCycle};
use crate::clock;
use crate::events::{self, ShellEvent};
use crate::publish::{ConfigInfo, Health, InstanceInfo, NoticeWatch};
use crate::shell::Message;

/// The first pause after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How often a known identity is confirmed.
const CONFIRM_EVERY: Duration = Duration::from_mins(5);

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
}

/// Keeps asking IMDS, and tells the loop and the picture what it said. Ends with the loop.
pub async fn watch(
    cloud: Arc<Cloud>,
    shown: Rc<RefCell<Shown>>,
    to: mpsc::WeakSender<Message>,
    clock: fn() -> Stamp,
) {
    let mut failures: u32 = 0;
    let mut known: Option<String> = None;
    loop {
        let mut work = clock::work();
        work.begin().await;
        let (message, pause) = match cloud.identify().await {
            Ok(found) => {
                let info = describe(&cloud, &found).await;
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
        clock::sleep(pause).await;
    }
}

impl Shown {
    fn found(&mut self, info: InstanceInfo, now: Stamp) {
        self.instance = Some(info);
        self.imds = Health { ok: true, detail: "answers".to_owned(), last_good: Some(now) };
    }

    /// The last identity stays shown: an instance does not become another one.
    fn lost(&mut self, why: String) {
        self.imds.ok = false;
        self.imds.detail = why;
    }
}

fn tell_known(info: &InstanceInfo) {
    let detail =
        format!("{} in {}, {}", info.instance_type, info.availability_zone, info.life_cycle);
    events::emit(ShellEvent::IdentityKnown { instance: info.instance_id.clone(), detail });
}

async fn describe(cloud: &Cloud, found: &Identity) -> InstanceInfo {
    let circumstances = identity::circumstances(cloud.imds()).await;
    let life_cycle = match circumstances.life_cycle {
        LifeCycle::OnDemand => "on-demand",
        LifeCycle::Spot => "spot",
        LifeCycle::Other => "other",
        LifeCycle::Unknown => "unknown",
    };
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
