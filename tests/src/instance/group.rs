//! The Auto Scaling group of the simulated instance: what it may do without, and how it takes the instance down.
//!
//! The states and rules are those of the Auto Scaling User Guide ("Amazon EC2 Auto Scaling instance lifecycle", "Lifecycle
//! hooks"): with a hook for terminations an instance waits in `Terminating:Wait` until the action is completed or its time is
//! over, and every heartbeat gives it the hook's timeout again; without one it goes down at once.

use std::time::{Duration, Instant};

use super::{Instance, State};

/// What a hook for terminations is like (`LifecycleHook` of the Auto Scaling API).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminatingHook {
    /// Its name.
    pub name: String,
    /// How long an action waits after its beginning and after each heartbeat.
    pub heartbeat_timeout: Duration,
}

/// One action of a hook that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The hook.
    pub hook: String,
    /// When its time is over.
    pub until: Instant,
    /// How often it was given its time again.
    pub heartbeats: u32,
}

/// The group that the instance is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The least capacity.
    pub min_size: u32,
    /// The most capacity.
    pub max_size: u32,
    /// The capacity that it keeps.
    pub desired_capacity: u32,
    /// `InService`, `Standby`, `Terminating:Wait`, `Terminating:Proceed` …
    pub lifecycle_state: String,
    /// The hooks for terminations.
    pub hooks: Vec<TerminatingHook>,
    /// The actions that wait now, one a hook.
    pub waiting: Vec<Waiting>,
}

impl Default for Group {
    /// One instance in service, none needed, no hooks.
    fn default() -> Self {
        Self {
            min_size: 0,
            max_size: 2,
            desired_capacity: 1,
            lifecycle_state: "InService".into(),
            hooks: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl Instance {
    /// A member of this group, with a hook for terminations where a timeout is given.
    pub fn in_group(name: &str, heartbeat_timeout: Option<Duration>) -> Self {
        let hook = |heartbeat_timeout| TerminatingHook { name: "drain".into(), heartbeat_timeout };
        let group =
            Group { hooks: heartbeat_timeout.map(hook).into_iter().collect(), ..Group::default() };
        Self {
            auto_scaling_group: Some(name.into()),
            target_lifecycle_state: Some("InService".into()),
            group,
            ..Self::default()
        }
    }

    /// The group takes the instance out of service for good.
    pub fn scale_in(&mut self, now: Instant) {
        self.target_lifecycle_state = Some("Terminated".into());
        let begin = |hook: &TerminatingHook| Waiting {
            hook: hook.name.clone(),
            until: now + hook.heartbeat_timeout,
            heartbeats: 0,
        };
        self.group.waiting = self.group.hooks.iter().map(begin).collect();
        self.group.lifecycle_state = "Terminating:Wait".into();
        self.go_on_terminating(now);
    }

    /// Lets actions whose time is over go, and the instance with the last of them.
    pub(super) fn settle_group(&mut self, now: Instant) {
        if self.group.lifecycle_state == "Terminating:Wait" {
            self.group.waiting.retain(|action| action.until > now);
            self.go_on_terminating(now);
        }
    }

    /// The time of an action begins anew. False: no such action waits.
    pub fn heartbeat(&mut self, hook: &str, now: Instant) -> bool {
        let timeout = self.group.hooks.iter().find(|known| known.name == hook);
        let waiting = self.group.waiting.iter_mut().find(|action| action.hook == hook);
        let (Some(known), Some(action)) = (timeout, waiting) else { return false };
        action.until = now + known.heartbeat_timeout;
        action.heartbeats += 1;
        true
    }

    /// An action is over. False: no such action waits.
    pub fn complete(&mut self, hook: &str, now: Instant) -> bool {
        let before = self.group.waiting.len();
        self.group.waiting.retain(|action| action.hook != hook);
        let found = self.group.waiting.len() < before;
        self.go_on_terminating(now);
        found
    }

    fn go_on_terminating(&mut self, now: Instant) {
        if self.group.lifecycle_state == "Terminating:Wait" && self.group.waiting.is_empty() {
            self.group.lifecycle_state = "Terminating:Proceed".into();
            self.begin(
                State::ShuttingDown,
                State::Terminated,
                Some("Server.ScheduledTermination"),
                now,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn without_a_hook_the_instance_goes_down_at_once() {
        let mut instance = Instance::in_group("workers", None);
        let start = Instant::now();
        instance.scale_in(start);
        assert_eq!(instance.target_lifecycle_state.as_deref(), Some("Terminated"));
        assert_eq!(instance.state_at(start), State::ShuttingDown);
        assert_eq!(instance.state_at(start + MINUTE), State::Terminated);
    }

    #[test]
    fn with_a_hook_it_waits_until_the_action_is_completed() {
        let mut instance = Instance::in_group("workers", Some(MINUTE));
        let start = Instant::now();
        instance.scale_in(start);
        assert_eq!(instance.state_at(start + MINUTE / 2), State::Running);
        assert!(!instance.complete("other", start + MINUTE / 2));
        assert!(instance.complete("drain", start + MINUTE / 2));
        assert_eq!(instance.state, State::ShuttingDown);
        assert!(!instance.complete("drain", start + MINUTE / 2), "it is over");
    }

    #[test]
    fn heartbeats_give_the_time_again_and_its_end_goes_on() {
        let mut instance = Instance::in_group("workers", Some(MINUTE));
        let start = Instant::now();
        instance.scale_in(start);
        assert!(instance.heartbeat("drain", start + MINUTE / 2));
        assert_eq!(instance.state_at(start + MINUTE), State::Running);
        assert_eq!(instance.state_at(start + MINUTE * 3 / 2), State::ShuttingDown);
        assert!(!instance.heartbeat("drain", start + MINUTE * 2));
    }
}
