//! Writes the state of the agent into the tags of its instance, for people and consoles. Nothing is ever read back.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use agent_core::action::{Outcome, Retry, TagSet, TagState};

use super::text::{rfc3339, stripped};
use super::{ActuatorSpec, again};
use crate::aws::Cloud;

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "tag",
    about: "writes the state of the agent into the tags of its instance",
    iam: &["ec2:CreateTags"],
    deadline: Duration::from_secs(30),
};

/// EC2's limit for a tag's value, characters.
const VALUE_LIMIT: usize = 256;
/// The limit of the reason, characters.
const BECAUSE_LIMIT: usize = 200;
/// The limit of what was not counted beside it, characters.
const NOT_COUNTED_LIMIT: usize = 120;

type Tags = Vec<(String, String)>;

/// The writer. It remembers what it wrote last, so that the same is not written twice.
#[derive(Debug)]
pub(super) struct Tagger {
    prefix: String,
    cloud_workstation: bool,
    written: Mutex<Option<(String, Tags)>>,
}

impl Tagger {
    /// A writer that has not written yet.
    pub(super) fn new(prefix: String, compat: &[String]) -> Self {
        let cloud_workstation = compat.iter().any(|schema| schema == "cloudworkstation");
        Self { prefix, cloud_workstation, written: Mutex::new(None) }
    }

    /// The keys that are written.
    pub(super) fn keys(&self) -> Vec<String> {
        let because = String::new();
        let (state, act_at_wall_ms, last_action) = (TagState::Unknown, None, None);
        let not_counted = None;
        let any =
            TagSet { state, since_wall_ms: 0, because, act_at_wall_ms, last_action, not_counted };
        self.tags(&any).into_iter().map(|(key, _)| key).collect()
    }

    /// Writes the tags, unless they were written so already.
    pub(super) async fn write(&self, cloud: &Cloud, set: &TagSet) -> Outcome {
        let identity = match cloud.identify().await {
            Ok(identity) => identity,
            Err(error) => return again(error.to_string()),
        };
        let wanted = (identity.instance_id.to_string(), self.tags(set));
        if *self.written.lock().unwrap_or_else(PoisonError::into_inner) == Some(wanted.clone()) {
            return Outcome::Already { detail: "the tags say so already".to_owned() };
        }
        match cloud.ec2(&identity).create_tags(&wanted.1).await {
            Ok(()) => {
                let detail = format!("{}state is {}", self.prefix, set.state.as_str());
                *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
                Outcome::Done { detail }
            }
            Err(error) => {
                // What is there now is not known.
                *self.written.lock().unwrap_or_else(PoisonError::into_inner) = None;
                match error.outcome() {
                    // Writing the same tags twice does no harm, so there is nothing to look at first.
                    Outcome::Failed { error, retry: Retry::InDoubt } => again(error),
                    outcome => outcome,
                }
            }
        }
    }

    /// Every tag. Those that do not apply are written empty, so that no old value stays.
    fn tags(&self, set: &TagSet) -> Tags {
        let tag = |name: &str, value: String| (format!("{}{name}", self.prefix), value);
        let mut tags = vec![
            tag("state", set.state.as_str().to_owned()),
            tag("since", rfc3339(set.since_wall_ms)),
            tag("because", because(set)),
            tag("act-at", set.act_at_wall_ms.map_or_else(none, rfc3339)),
            tag(
                "last-action",
                set.last_action.as_deref().map_or_else(none, |text| stripped(text, VALUE_LIMIT)),
            ),
            tag("version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        if self.cloud_workstation {
            tags.extend(cloud_workstation(set));
        }
        tags
    }
}

/// The reason, and what ran and was not counted: of both as much as has room, so that neither is lost for the other.
fn because(set: &TagSet) -> String {
    let Some(not_counted) = &set.not_counted else {
        return stripped(&set.because, BECAUSE_LIMIT);
    };
    let lead = "; not counted: ";
    let not_counted = stripped(not_counted, NOT_COUNTED_LIMIT);
    let room = VALUE_LIMIT - lead.len() - not_counted.chars().count();
    format!("{}{lead}{not_counted}", stripped(&set.because, room.min(BECAUSE_LIMIT)))
}

/// What a tag says when there is nothing to say: an old value must not stay.
fn none() -> String {
    "none".to_owned()
}

/// The tags of CloudWorkstation: `IdleStatus` knows active and idle only, so everything that is not surely idle is
/// active.
fn cloud_workstation(set: &TagSet) -> Tags {
    let idle = match set.state {
        TagState::Quiet | TagState::Warned | TagState::Hibernating | TagState::Stopping => true,
        TagState::Active | TagState::Held | TagState::Unknown | TagState::Interrupted => false,
    };
    let action = match set.state {
        TagState::Hibernating => "hibernating",
        TagState::Stopping => "stopping",
        _ => past_action(set.last_action.as_deref().unwrap_or_default()),
    };
    let since = if idle { rfc3339(set.since_wall_ms) } else { String::new() };
    let status = if idle { "idle" } else { "active" };
    [("IdleStatus", status.to_owned()), ("IdleSince", since), ("IdleAction", action.to_owned())]
        .map(|(name, value)| (format!("CloudWorkstation:{name}"), value))
        .into()
}

/// The result that the last action names as a word of its own: `never-stopped` is not `stopped`.
fn past_action(text: &str) -> &'static str {
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '-');
    words
        .find_map(|word| ["hibernated", "stopped"].into_iter().find(|known| *known == word))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::testec2::{Fake, ID, World, error};
    use crate::aws::testserver::Reply;

    fn set(state: TagState) -> TagSet {
        TagSet {
            state,
            since_wall_ms: 1_795_262_400_000,
            because: "no input for 31 minutes".to_owned(),
            act_at_wall_ms: Some(1_795_263_000_000),
            last_action: None,
            not_counted: None,
        }
    }

    fn tagger(compat: &[&str]) -> Tagger {
        let compat: Vec<String> = compat.iter().map(|schema| (*schema).to_owned()).collect();
        Tagger::new("agentd:".to_owned(), &compat)
    }

    fn value(tags: &Tags, key: &str) -> String {
        tags.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("no {key}")).1.clone()
    }

    #[test]
    fn the_tags_say_what_the_contract_says() {
        let tags = tagger(&[]).tags(&set(TagState::Warned));
        let keys: Vec<&str> = tags.iter().map(|(key, _)| key.as_str()).collect();
        let names = ["state", "since", "because", "act-at", "last-action", "version"];
        assert_eq!(keys, names.map(|name| format!("agentd:{name}")));
        assert_eq!(value(&tags, "agentd:state"), "warned");
        assert_eq!(value(&tags, "agentd:since"), "2026-11-21T12:00:00Z");
        assert_eq!(value(&tags, "agentd:act-at"), "2026-11-21T12:10:00Z");
        assert_eq!(value(&tags, "agentd:last-action"), "none");
        assert_eq!(value(&tags, "agentd:version"), env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_keys_are_those_that_are_written() {
        let tagger = tagger(&["cloudworkstation"]);
        let written: Vec<String> =
            tagger.tags(&set(TagState::Warned)).into_iter().map(|(key, _)| key).collect();
        assert_eq!(tagger.keys(), written);
        assert_eq!(written.len(), 9);
    }

    #[test]
    fn values_are_short_and_plain() {
        let long = TagSet {
            because: format!("line\nbreak {}", "é".repeat(500)),
            last_action: Some("\x1b]0;title\x07".repeat(100)),
            act_at_wall_ms: None,
            ..set(TagState::Quiet)
        };
        let tags = tagger(&["cloudworkstation"]).tags(&long);
        for (key, value) in &tags {
            assert!(value.chars().count() <= 256 && !value.contains(char::is_control), "{key}");
        }
        assert_eq!(value(&tags, "agentd:because").chars().count(), 200);
        assert_eq!(value(&tags, "agentd:act-at"), "none");
    }

    #[test]
    fn what_was_not_counted_stands_behind_the_reason_however_long_both_are() {
        let with = |because: &str, not_counted: &str| TagSet {
            because: because.to_owned(),
            not_counted: Some(not_counted.to_owned()),
            ..set(TagState::Quiet)
        };
        let because = |set: &TagSet| value(&tagger(&[]).tags(set), "agentd:because");
        assert_eq!(
            because(&with("no use for 31m", "postgresql 0.03 of 0.12 core")),
            "no use for 31m; not counted: postgresql 0.03 of 0.12 core"
        );
        let long = because(&with(&"é".repeat(500), &"ü".repeat(500)));
        assert_eq!(long.chars().count(), 256, "{long}");
        assert!(long.contains("é…; not counted: ü") && long.ends_with("ü…"), "{long}");
    }

    #[test]
    fn cloud_workstation_sees_idle_only_when_it_is_sure() {
        let status = |state| {
            let tags = tagger(&["cloudworkstation"]).tags(&set(state));
            let key = |name: &str| value(&tags, &format!("CloudWorkstation:{name}"));
            (key("IdleStatus"), key("IdleSince"), key("IdleAction"))
        };
        let idle = |action: &str| {
            ("idle".to_owned(), "2026-11-21T12:00:00Z".to_owned(), action.to_owned())
        };
        assert_eq!(status(TagState::Quiet), idle(""));
        assert_eq!(status(TagState::Warned), idle(""));
        assert_eq!(status(TagState::Hibernating), idle("hibernating"));
        assert_eq!(status(TagState::Stopping), idle("stopping"));
        for state in [TagState::Active, TagState::Held, TagState::Unknown] {
            assert_eq!(
                status(state),
                ("active".to_owned(), String::new(), String::new()),
                "{state:?}"
            );
        }
    }

    #[test]
    fn the_past_action_is_a_word_of_its_own() {
        assert_eq!(past_action("hibernate: hibernated, slept 2 h"), "hibernated");
        assert_eq!(past_action("stopped 2026-11-21"), "stopped");
        assert_eq!(past_action("stop: never-stopped"), "");
        assert_eq!(past_action(""), "");
    }

    #[tokio::test]
    async fn writes_once_and_again_only_when_something_changed() {
        let fake = Fake::start(World::default()).await;
        let tagger = tagger(&["cloudworkstation"]);
        let quiet = set(TagState::Quiet);
        assert!(matches!(tagger.write(&fake.cloud, &quiet).await, Outcome::Done { .. }));
        assert!(matches!(tagger.write(&fake.cloud, &quiet).await, Outcome::Already { .. }));
        assert!(matches!(
            tagger.write(&fake.cloud, &set(TagState::Warned)).await,
            Outcome::Done { .. }
        ));
        assert_eq!(fake.ec2.calls("CreateTags"), 2);
        let seen = fake.ec2.seen().remove(0);
        assert_eq!(seen.parameter("ResourceId.1").as_deref(), Some(ID));
        assert_eq!(seen.parameter("Tag.9.Key").as_deref(), Some("CloudWorkstation:IdleAction"));
    }

    #[tokio::test]
    async fn after_a_failure_the_same_is_written_again() {
        let fake = Fake::start(World::default()).await;
        let (tagger, quiet) = (tagger(&[]), set(TagState::Quiet));
        tagger.write(&fake.cloud, &quiet).await;
        fake.set(|world| world.faults.push(("CreateTags", Reply::Drop)));
        let outcome = tagger.write(&fake.cloud, &set(TagState::Active)).await;
        assert!(
            matches!(outcome, Outcome::Failed { retry: Retry::After { .. }, .. }),
            "{outcome:?}"
        );
        fake.set(|world| world.faults.clear());
        assert!(matches!(tagger.write(&fake.cloud, &quiet).await, Outcome::Done { .. }));
    }

    #[tokio::test]
    async fn a_missing_permission_is_a_refusal() {
        let fake = Fake::start(
            World::default().fault("CreateTags", error(403, "UnauthorizedOperation", "no")),
        )
        .await;
        let outcome = tagger(&[]).write(&fake.cloud, &set(TagState::Quiet)).await;
        let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
        assert!(refusal.detail.contains("ec2:CreateTags"));
    }

    #[tokio::test]
    async fn without_an_identity_nothing_is_tagged() {
        let fake =
            Fake::start_with(World::default(), &[("dynamic/instance-identity/document", "{}")])
                .await;
        let outcome = tagger(&[]).write(&fake.cloud, &set(TagState::Quiet)).await;
        assert!(matches!(outcome, Outcome::Failed { .. }));
        assert_eq!(fake.ec2.seen().len(), 0);
    }
}
