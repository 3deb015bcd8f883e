//! What the tags of the instance ask of the agent: `agentd-policy:KEY`.
//!
//! They can only make it more careful (see [`Wishes`]). They are read from the metadata service where the instance allows
//! that (`InstanceMetadataTags`), else from the answer of `DescribeInstances`. A value that cannot be understood keeps
//! the last one that could, and is told once; a read that failed changes nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use agent_core::input::{Input, Wishes};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::aws::Cloud;
use crate::aws::imds::ImdsError;
use crate::clock;
use crate::config::duration;
use crate::events::{self, ShellEvent};
use crate::shell::Message;

/// How often the metadata service is asked for the tags.
const EVERY: Duration = Duration::from_mins(1);
/// How often, where it does not tell them.
const SELDOM: Duration = Duration::from_mins(10);
/// The list of the keys in the metadata service.
const LIST: &str = "meta-data/tags/instance/";

/// The beginning of the keys.
pub const PREFIX: &str = "agentd-policy:";

/// The keys, without their beginning.
pub const KEYS: [&str; 3] = ["idle-timeout", "mode", "hold-until"];

/// The tags of an instance, or those of them that were read.
pub type Tags = BTreeMap<String, String>;

/// Where tags were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The metadata service, every minute.
    Imds,
    /// EC2, with each preflight.
    Ec2,
}

/// What was understood of the tags so far.
#[derive(Debug, Default)]
pub struct TagWishes {
    last: Wishes,
    imds_tells: bool,
    told: BTreeSet<String>,
}

/// What one reading of the tags gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What they ask for now.
    pub wishes: Wishes,
    /// What could not be understood, each told once.
    pub problems: Vec<String>,
}

impl TagWishes {
    /// Takes tags in; none where another place tells better.
    pub fn hear(&mut self, from: From, tags: &Tags) -> Option<Heard> {
        match from {
            From::Imds => self.imds_tells = true,
            From::Ec2 if self.imds_tells => return None,
            From::Ec2 => {}
        }
        let mut problems = Vec::new();
        let mut told = BTreeSet::new();
        let last = self.last.clone();
        let mut wishes = Wishes::default();
        for (key, value) in tags {
            let Some(word) = key.strip_prefix(PREFIX) else { continue };
            if let Err(why) = understand(word, value.trim(), &mut wishes) {
                keep(word, &last, &mut wishes);
                let problem = format!("the tag {key} = {value:?} is not understood: {why}");
                if !self.told.contains(&problem) {
                    problems.push(problem.clone());
                }
                told.insert(problem);
            }
        }
        self.told = told;
        self.last = wishes.clone();
        Some(Heard { wishes, problems })
    }

    /// The metadata service tells no tags (any more): EC2's answer counts.
    pub fn imds_is_silent(&mut self) {
        self.imds_tells = false;
    }
}

/// Follows the tags in the metadata service, which changes them at once. Ends with the loop.
pub async fn watch(
    cloud: std::sync::Arc<Cloud>,
    wishes: Rc<RefCell<TagWishes>>,
    to: mpsc::WeakSender<Message>,
) {
    loop {
        let mut work = clock::work();
        work.begin().await;
        let pause = match read(&cloud).await {
            Ok(Some(tags)) => {
                if tell(&wishes, From::Imds, &tags, &to).await.is_none() {
                    return;
                }
                EVERY
            }
            Ok(None) => {
                wishes.borrow_mut().imds_is_silent();
                SELDOM
            }
            // What cannot be read stands as it was.
            Err(_) => EVERY,
        };
        drop(work);
        clock::sleep(pause).await;
        if to.upgrade().is_none() {
            return;
        }
    }
}

/// Tells the loop what tags ask for; none when it has ended.
pub async fn tell(
    wishes: &Rc<RefCell<TagWishes>>,
    from: From,
    tags: &Tags,
    to: &mpsc::WeakSender<Message>,
) -> Option<()> {
    let heard = wishes.borrow_mut().hear(from, tags);
    let Some(heard) = heard else { return Some(()) };
    for problem in heard.problems {
        events::emit(ShellEvent::TagRejected { problem });
    }
    to.upgrade()?.send(Message::Input(Input::Wished(heard.wishes))).await.ok()
}

/// The tags of the agent's in the metadata service; none where the instance does not show its tags there.
async fn read(cloud: &Cloud) -> Result<Option<Tags>, ImdsError> {
    let Some(list) = cloud.imds().get(LIST).await? else { return Ok(None) };
    let mut tags = Tags::new();
    for word in KEYS {
        let key = format!("{PREFIX}{word}");
        if list.lines().any(|line| line.trim() == key)
            && let Some(value) = cloud.imds().get(&format!("{LIST}{key}")).await?
        {
            tags.insert(key, value);
        }
    }
    Ok(Some(tags))
}

/// Reads one tag.
fn understand(word: &str, value: &str, wishes: &mut Wishes) -> Result<(), String> {
    match word {
        "idle-timeout" => {
            let span = duration::parse(value).map_err(|error| error.to_string())?;
            wishes.act_after_ms = Some(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        }
        "mode" => match value {
            "observe" => wishes.observe = true,
            // A tag cannot make an agent act that is configured to observe.
            "enforce" => {}
            _ => return Err("it is \"observe\" or \"enforce\"".to_owned()),
        },
        "hold-until" => {
            let at: Timestamp = value.parse().map_err(|_| {
                "it is a time with its zone, as in \"2027-01-31T18:00:00Z\"".to_owned()
            })?;
            wishes.hold_until_wall_ms = Some(at.as_millisecond());
        }
        _ => return Err(format!("the keys are {}", KEYS.join(", "))),
    }
    Ok(())
}

/// A value that is not understood leaves what stood before.
fn keep(word: &str, last: &Wishes, wishes: &mut Wishes) {
    match word {
        "idle-timeout" => wishes.act_after_ms = last.act_after_ms,
        "mode" => wishes.observe = last.observe,
        "hold-until" => wishes.hold_until_wall_ms = last.hold_until_wall_ms,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: &[(&str, &str)]) -> Tags {
        list.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect()
    }

    fn hear(wishes: &mut TagWishes, list: &[(&str, &str)]) -> Heard {
        wishes.hear(From::Imds, &tags(list)).unwrap()
    }

    #[test]
    fn each_key_is_understood_and_other_tags_are_passed_over() {
        let mut all = tags(&[
            ("idle-timeout", "2h"),
            ("mode", "observe"),
            ("hold-until", "2027-01-31T18:00:00Z"),
        ]);
        all.insert("Name".to_owned(), "agentd-policy".to_owned());
        all.insert("agentd:state".to_owned(), "quiet".to_owned());
        let heard = TagWishes::default().hear(From::Ec2, &all).unwrap();
        let wishes = Wishes {
            act_after_ms: Some(7_200_000),
            observe: true,
            hold_until_wall_ms: Some(1_801_418_400_000),
        };
        assert_eq!(heard, Heard { wishes, problems: Vec::new() });
    }

    #[test]
    fn what_is_not_understood_keeps_the_last_value_and_is_told_once() {
        let mut wishes = TagWishes::default();
        hear(&mut wishes, &[("idle-timeout", "2h"), ("mode", "observe")]);
        let bad = [("idle-timeout", "soon"), ("mode", "off"), ("idel-timeout", "1h")];
        let heard = hear(&mut wishes, &bad);
        assert_eq!((heard.wishes.act_after_ms, heard.wishes.observe), (Some(7_200_000), true));
        assert_eq!(heard.problems.len(), 3, "{:?}", heard.problems);
        assert!(
            heard.problems[0].contains("idel-timeout")
                && heard.problems[0].contains("idle-timeout,")
        );
        assert_eq!(hear(&mut wishes, &bad).problems, Vec::<String>::new());
    }

    #[test]
    fn a_tag_that_is_taken_away_asks_for_nothing() {
        let mut wishes = TagWishes::default();
        hear(&mut wishes, &[("mode", "observe")]);
        assert_eq!(hear(&mut wishes, &[]).wishes, Wishes::default());
    }

    #[test]
    fn nothing_that_a_tag_says_makes_the_agent_act() {
        let heard = hear(&mut TagWishes::default(), &[("mode", "enforce"), ("idle-timeout", "1s")]);
        assert!(!heard.wishes.observe);
        assert_eq!(heard.wishes.act_after_ms, Some(1000), "shorter than the policy: no effect");
    }

    #[test]
    fn where_imds_tells_the_tags_an_older_answer_of_ec2_does_not_count() {
        let mut wishes = TagWishes::default();
        hear(&mut wishes, &[("mode", "observe")]);
        assert_eq!(wishes.hear(From::Ec2, &tags(&[])), None);
        wishes.imds_is_silent();
        assert!(wishes.hear(From::Ec2, &tags(&[])).is_some());
    }
}
