//! What agentd tells the journal: one line an event, each with a `MESSAGE_ID`, `AGENTD_*` fields and an entry in the
//! message catalog. [`emit`] is the only way to log at `info` or above, so that what users may build on is listed
//! here and nowhere else.

mod decided;
mod delivered;
pub mod ids;
mod interrupted;
mod journal;
mod shell;
pub mod text;

use core::time::Duration;

pub use delivered::Delivered;
pub use journal::{Backend, StartError, Verbosity, start};
pub use shell::ShellEvent;

use ids::MessageId;
use text::printable;

use crate::config::duration;

/// The longest sentence of a line, in characters.
const MOST_TEXT: usize = 2_000;
/// The longest field of a line, in characters.
const MOST_FIELD: usize = 1_000;
/// The longest output of a hook, in characters: its last 2048 bytes, of which every byte may have to be written out.
const MOST_OUTPUT: usize = 12_500;

/// How much a line matters, as in syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// 3: a promise was not kept, or a person must act.
    Error,
    /// 4: agentd does not do what it is there for, or something was lost.
    Warning,
    /// 6: what happens when all is well.
    Info,
}

/// A field of a line. In the journal each is `AGENTD_` and its name in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `hibernate` or `stop`.
    Power,
    /// Why, one line.
    Because,
    /// More about it.
    Detail,
    /// A stable code.
    Code,
    /// What failed.
    Error,
    /// The source.
    Source,
    /// The subject within a source.
    Subject,
    /// The id of a hold.
    Hold,
    /// Whose.
    Owner,
    /// A time, RFC 3339 in UTC.
    Time,
    /// A duration in seconds.
    Seconds,
    /// A file.
    File,
    /// The instance id.
    Instance,
    /// The version of agentd.
    Version,
    /// The id of an alert: what makes two notices the same.
    Alert,
    /// The notice for people.
    Notice,
    /// When EC2 acts, RFC 3339 in UTC; `none` where it does not say.
    Deadline,
    /// `1` for a drill, `0` for a real notice.
    Drill,
    /// A hook as it is configured.
    Hook,
    /// The target state of the Auto Scaling group.
    Target,
    /// What was asked of Auto Scaling.
    Call,
    /// The moment of an alert at which somebody is told.
    Moment,
    /// What ran and was not counted as use, one line.
    NotCounted,
}

impl Field {
    /// Every field.
    pub const ALL: &'static [Self] = &[
        Self::Power,
        Self::Because,
        Self::Detail,
        Self::Code,
        Self::Error,
        Self::Source,
        Self::Subject,
        Self::Hold,
        Self::Owner,
        Self::Time,
        Self::Seconds,
        Self::File,
        Self::Instance,
        Self::Version,
        Self::Alert,
        Self::Notice,
        Self::Deadline,
        Self::Drill,
        Self::Hook,
        Self::Target,
        Self::Call,
        Self::Moment,
        Self::NotCounted,
    ];

    /// The name in the journal.
    pub const fn journal_name(self) -> &'static str {
        match self {
            Self::Power => "AGENTD_POWER",
            Self::Because => "AGENTD_BECAUSE",
            Self::Detail => "AGENTD_DETAIL",
            Self::Code => "AGENTD_CODE",
            Self::Error => "AGENTD_ERROR",
            Self::Source => "AGENTD_SOURCE",
            Self::Subject => "AGENTD_SUBJECT",
            Self::Hold => "AGENTD_HOLD",
            Self::Owner => "AGENTD_OWNER",
            Self::Time => "AGENTD_TIME",
            Self::Seconds => "AGENTD_SECONDS",
            Self::File => "AGENTD_FILE",
            Self::Instance => "AGENTD_INSTANCE",
            Self::Version => "AGENTD_VERSION",
            Self::Alert => "AGENTD_ALERT",
            Self::Notice => "AGENTD_NOTICE",
            Self::Deadline => "AGENTD_DEADLINE",
            Self::Drill => "AGENTD_DRILL",
            Self::Hook => "AGENTD_HOOK",
            Self::Target => "AGENTD_TARGET",
            Self::Call => "AGENTD_CALL",
            Self::Moment => "AGENTD_MOMENT",
            Self::NotCounted => "AGENTD_NOT_COUNTED",
        }
    }
}

/// A line for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What kind of event it is, for programs and the catalog.
    pub id: MessageId,
    /// How much it matters.
    pub priority: Priority,
    /// The sentence.
    pub text: String,
    /// The fields.
    pub fields: Vec<(Field, String)>,
}

impl Line {
    fn new(id: MessageId, priority: Priority, text: impl Into<String>) -> Self {
        Self { id, priority, text: printable(&text.into(), MOST_TEXT), fields: Vec::new() }
    }

    fn error(id: MessageId, text: impl Into<String>) -> Self {
        Self::new(id, Priority::Error, text)
    }

    fn warning(id: MessageId, text: impl Into<String>) -> Self {
        Self::new(id, Priority::Warning, text)
    }

    fn info(id: MessageId, text: impl Into<String>) -> Self {
        Self::new(id, Priority::Info, text)
    }

    fn with(mut self, field: Field, value: impl AsRef<str>) -> Self {
        self.fields.push((field, printable(value.as_ref(), MOST_FIELD)));
        self
    }

    /// The same for the end of a hook's output.
    fn with_output(mut self, field: Field, output: &str) -> Self {
        self.fields.push((field, printable(output, MOST_OUTPUT)));
        self
    }

    fn maybe(self, field: Field, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    /// The value of a field.
    pub fn field(&self, field: Field) -> Option<&str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, value)| value.as_str())
    }
}

/// Writes an event to the journal.
pub fn emit(event: impl Into<Line>) {
    journal::write(&event.into());
}

/// A span for people: whole seconds, unless it is shorter than one.
fn spoken(ms: u64) -> String {
    let whole = if ms < 1_000 { ms } else { ms / 1_000 * 1_000 };
    duration::format(Duration::from_millis(whole))
}

/// A span for programs: seconds with three places.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Wall milliseconds since 1970 as RFC 3339 in UTC to the second; out of range of the calendar, the number itself.
fn time(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map_or_else(
        |_| format!("{wall_ms} ms"),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

#[cfg(test)]
mod tests;
