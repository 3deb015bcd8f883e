//! A trace: everything that was put into an engine, as lines that people and programs can read.
//!
//! A trace is a header and then records in the order of time. A record is a boot (the boot's id, and what an agent
//! knew at its start) or inputs with the moment in which they came. Readings stand in it as the sources gave them,
//! so a trace can be decided again under another policy ([`crate::replay`]). `trace-format.md` of the package
//! describes the lines.

mod delta;

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::input::Input;
use crate::memory::{IdleClock, Memory, Recovery};
use crate::policy::Policy;
use crate::stamp::Stamp;

pub use delta::{Decoder, Delta, Encoder};

/// The name and version of the format; the first key of every trace's first line.
pub const FORMAT: &str = "agentd/trace/v1";

/// Which accounts the readings of this program keep: every counter says whose work it is, services included
/// ([`Boot::accounts`]).
pub const ACCOUNTS: u32 = 1;

/// The first line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub trace: String,
    /// Which program wrote it, for people: `agentd 0.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What it shows, one line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Anything else that somebody wants to say of it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Header {
    /// The header of a trace that this program writes.
    pub fn new(by: impl Into<String>) -> Self {
        Self { trace: FORMAT.to_owned(), by: Some(by.into()), about: None, labels: BTreeMap::new() }
    }
}

/// The start of an agent. What it knew then makes a trace that begins here decide as that agent did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Which boot it is (`/proc/sys/kernel/random/boot_id`, random(4)). The same id as before: only the agent was
    /// restarted, or its trace goes on in another file.
    pub id: String,
    /// Which accounts the readings from here on keep. 0: what services and root did is one sum that never counted, so
    /// that their work is unknown. 1: every counter says whose work it is.
    #[serde(default, skip_serializing_if = "is_none")]
    pub accounts: u32,
    /// The policy in force. One of another version that this one cannot read is passed over.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub policy: Option<Policy>,
    /// The durable part of the engine's memory at that time.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub memory: Option<Memory>,
    /// The memory was saved on this boot.
    #[serde(default)]
    pub same_boot: bool,
    /// The idle clock at that time.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub clock: Option<IdleClock>,
}

/// Whether a trace keeps no accounts; such a key is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference to a field")]
fn is_none(accounts: &u32) -> bool {
    *accounts == 0
}

impl Boot {
    /// What an engine that begins here takes up.
    pub fn recovery(&self) -> Recovery {
        Recovery {
            memory: self.memory.clone(),
            same_boot: self.same_boot,
            clock: self.clock.clone(),
        }
    }
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// An agent started.
    Boot(Box<Boot>),
    /// These came in, in this order, in one moment.
    Inputs(Vec<Input>),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Record {
    /// When, on the clocks of the machine that was recorded.
    pub at: Stamp,
    /// What.
    pub content: Content,
}

impl Record {
    /// A record of inputs.
    pub fn inputs(at: Stamp, inputs: Vec<Input>) -> Self {
        Self { at, content: Content::Inputs(inputs) }
    }

    /// A record of a start.
    pub fn boot(at: Stamp, boot: Boot) -> Self {
        Self { at, content: Content::Boot(Box::new(boot)) }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Written")]
pub enum Line {
    /// The header. It may stand in the middle, where traces were put together.
    Header(Header),
    /// A record as it is.
    Record(Record),
    /// A record told by what changed since the one before.
    Delta(Delta),
}

/// A line as it is written: which keys it has tells what it is. The order is that of [`Line`]'s parts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Stamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<Box<Boot>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<Input>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<delta::Step>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Vec<delta::Seen>>,
}

impl From<Record> for Written {
    fn from(record: Record) -> Self {
        let Record { at, content } = record;
        let (boot, inputs) = match content {
            Content::Boot(boot) => (Some(boot), None),
            Content::Inputs(inputs) => (None, Some(inputs)),
        };
        Self { at: Some(at), boot, inputs, ..Self::default() }
    }
}

impl TryFrom<Written> for Line {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { trace, by, about, labels, at, boot, inputs, after, seen } = written;
        match (trace, at, boot, inputs, after, seen) {
            (Some(trace), None, None, None, None, None) if trace == FORMAT => {
                Ok(Self::Header(Header { trace, by, about, labels: labels.unwrap_or_default() }))
            }
            (Some(trace), None, None, None, None, None) => {
                Err(format!("`trace` is \"{trace}\", this program reads \"{FORMAT}\""))
            }
            (None, Some(at), Some(boot), None, None, None) => {
                Ok(Self::Record(Record { at, content: Content::Boot(boot) }))
            }
            (None, Some(at), None, Some(inputs), None, None) => {
                Ok(Self::Record(Record { at, content: Content::Inputs(inputs) }))
            }
            (None, None, None, None, Some(after), Some(seen)) => {
                Ok(Self::Delta(Delta { after, seen }))
            }
            (None, None, None, None, None, None) => Err("it has none of the keys of a line: \
                 `trace`, or `at` with `inputs` or `boot`, or `after` with `seen`"
                .to_owned()),
            _ => Err("its keys do not go together: a line has `trace`, or `at` with either \
                      `inputs` or `boot`, or `after` with `seen`"
                .to_owned()),
        }
    }
}

impl TryFrom<Written> for Record {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match Line::try_from(written)? {
            Line::Record(record) => Ok(record),
            Line::Header(_) | Line::Delta(_) => Err("it is no whole record".to_owned()),
        }
    }
}

/// Takes what this version understands; what has another form is none, so that a trace of another version still
/// tells its readings.
fn lenient<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Maybe<T> {
        Known(T),
        Other(IgnoredAny),
    }
    Ok(match Maybe::deserialize(from)? {
        Maybe::Known(known) => Some(known),
        Maybe::Other(_) => None,
    })
}

#[cfg(test)]
mod tests;
