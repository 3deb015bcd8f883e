//! The kinds of values that keys have, how each is read from TOML, and how it is written back.

use core::fmt;
use core::ops::Range;
use core::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::{duration, name, nearest, size};

/// The kind of value that a key takes, with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words, each at most once.
    Choices(&'static [&'static str]),
    /// A duration.
    Span {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// A duration or `"auto"`.
    SpanOrAuto {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// Durations, each at most once.
    Spans {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
        /// How many at most.
        count: usize,
    },
    /// A size in bytes.
    Size {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// A number above zero: at or above it is activity.
    Limit {
        /// The largest that can make sense.
        most: f64,
    },
    /// A number from zero.
    Number,
    /// Text of at most so many characters.
    Text(usize),
    /// Texts of at most 256 characters, at most 64 of them.
    Texts,
    /// Names of units that can have processes, with or without `.service`.
    Units,
    /// Names of programs as the kernel keeps them, at most 15 bytes each.
    Programs,
    /// A program by absolute path, a systemd unit by name, or empty for none.
    Command,
    /// Programs and units that are started or stopped, at most 16 of them.
    Hooks,
    /// The URL of a webhook, or nothing.
    Webhook,
    /// The ARN of an SNS topic, or nothing.
    SnsTopic,
    /// A user name, or empty for none.
    User,
    /// The beginning of a tag's key.
    TagPrefix,
}

/// A value that fits its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Switch(bool),
    /// A duration in whole milliseconds.
    Span(Duration),
    /// `"auto"`: agentd works it out.
    Auto,
    /// Durations, the longest first.
    Spans(Vec<Duration>),
    /// Bytes.
    Size(u64),
    /// A finite number.
    Number(f64),
    /// Text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
}

/// Why a value does not fit: the text goes after "key = value: ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) message: String,
    /// The offending part of a list, where it is not the whole.
    pub(super) span: Option<Range<usize>>,
}

impl Misfit {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None }
    }
}

/// How many elements any list may have, before its kind is asked.
const LONGEST_LIST: usize = 64;
const LONGEST_TEXT: usize = 256;
const MOST_COMMANDS: usize = 16;

impl Kind {
    /// Reads a value of this kind.
    pub(super) fn read(self, value: &DeValue<'_>) -> Result<Value, Misfit> {
        match self {
            Self::Switch => {
                value.as_bool().map(Value::Switch).ok_or_else(|| self.wrong_type(value))
            }
            Self::Choice(words) => self.word(value, words).map(Value::Text),
            Self::Choices(words) => {
                self.list(value, words.len(), |item| self.word(item, words)).map(Value::Texts)
            }
            Self::SpanOrAuto { .. } if value.as_str() == Some("auto") => Ok(Value::Auto),
            Self::Span { least, most } | Self::SpanOrAuto { least, most } => {
                self.span(value, least, most).map(Value::Span)
            }
            Self::Spans { least, most, count } => {
                let mut spans = self.list(value, count, |item| self.span(item, least, most))?;
                spans.sort_unstable_by(|a, b| b.cmp(a));
                Ok(Value::Spans(spans))
            }
            Self::Size { least, most } => self.size(value, least, most).map(Value::Size),
            Self::Limit { most } => limit(self.number(value)?, most).map(Value::Number),
            Self::Number => {
                let number = self.number(value)?;
                if number < 0.0 {
                    Err(Misfit::new("is negative"))
                } else {
                    Ok(Value::Number(number))
                }
            }
            Self::Text(most) => self.text(value, most).map(Value::Text),
            Self::Texts => self
                .list(value, LONGEST_LIST, |item| self.text(item, LONGEST_TEXT))
                .map(Value::Texts),
            Self::Units => self
                .list(value, LONGEST_LIST, |item| self.named(item, name::work_unit))
                .map(Value::Texts),
            Self::Programs => self
                .list(value, LONGEST_LIST, |item| self.named(item, name::process))
                .map(Value::Texts),
            Self::Command => self.named(value, name::optional_command).map(Value::Text),
            Self::Hooks => self
                .list(value, MOST_COMMANDS, |item| self.named(item, name::hook))
                .map(Value::Texts),
            Self::Webhook => self.named(value, name::optional_webhook).map(Value::Text),
            Self::SnsTopic => self.named(value, name::optional_topic).map(Value::Text),
            Self::User => self.named(value, name::optional_user).map(Value::Text),
            Self::TagPrefix => self.named(value, name::tag_prefix).map(Value::Text),
        }
    }

    /// Whether a value may hold a secret, which the journal is not told: many webhooks belong to whoever knows the address.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Webhook)
    }

    fn wrong_type(self, value: &DeValue<'_>) -> Misfit {
        Misfit::new(format!("is {}, expected {self}", type_name(value)))
    }

    fn span(
        self,
        value: &DeValue<'_>,
        least: Duration,
        most: Duration,
    ) -> Result<Duration, Misfit> {
        let text = match value {
            DeValue::Integer(number) if number.as_str().starts_with('-') => {
                return Err(Misfit::new("is negative"));
            }
            DeValue::Integer(_) | DeValue::Float(_) => {
                return Err(Misfit::new(format!("has no unit, expected {self}")));
            }
            _ => value.as_str().ok_or_else(|| self.wrong_type(value))?,
        };
        let span = duration::parse(text).map_err(|error| Misfit::new(error.to_string()))?;
        if span < least {
            let what = if span.is_zero() { "is zero" } else { "is too short" };
            return Err(Misfit::new(format!(
                "{what}, the shortest is {}",
                duration::format(least)
            )));
        }
        if span > most {
            return Err(Misfit::new(format!(
                "is too long, the longest is {}",
                duration::format(most)
            )));
        }
        Ok(span)
    }

    fn size(self, value: &DeValue<'_>, least: u64, most: u64) -> Result<u64, Misfit> {
        let text = match value {
            DeValue::Integer(_) | DeValue::Float(_) => {
                return Err(Misfit::new(format!("has no unit, expected {self}")));
            }
            _ => value.as_str().ok_or_else(|| self.wrong_type(value))?,
        };
        let bytes = size::parse(text).map_err(|error| Misfit::new(error.to_string()))?;
        if bytes < least {
            return Err(Misfit::new(format!(
                "is too small, the smallest is {}",
                size::format(least)
            )));
        }
        if bytes > most {
            return Err(Misfit::new(format!(
                "is too large, the largest is {}",
                size::format(most)
            )));
        }
        Ok(bytes)
    }

    fn number(self, value: &DeValue<'_>) -> Result<f64, Misfit> {
        let number = match value {
            DeValue::Integer(number) => number
                .as_str()
                .parse::<f64>()
                .ok()
                .filter(|_| number.radix() == 10)
                .ok_or_else(|| self.wrong_type(value))?,
            DeValue::Float(number) => {
                number.as_str().parse::<f64>().map_err(|_| self.wrong_type(value))?
            }
            DeValue::String(text) if text.parse::<f64>().is_ok() => {
                return Err(Misfit::new("is text, expected the number without quotes"));
            }
            _ => return Err(self.wrong_type(value)),
        };
        if number.is_finite() { Ok(number) } else { Err(Misfit::new("is not a finite number")) }
    }

    fn text(self, value: &DeValue<'_>, most: usize) -> Result<String, Misfit> {
        let text = value.as_str().ok_or_else(|| self.wrong_type(value))?;
        if text.chars().any(char::is_control) {
            return Err(Misfit::new("contains a control character"));
        }
        if text.chars().count() > most {
            return Err(Misfit::new(format!("is longer than {most} characters")));
        }
        Ok(text.to_owned())
    }

    fn word(self, value: &DeValue<'_>, words: &[&'static str]) -> Result<String, Misfit> {
        let text = value.as_str().ok_or_else(|| self.wrong_type(value))?;
        if words.contains(&text) {
            return Ok(text.to_owned());
        }
        let near = nearest::of(text, words.iter().copied());
        let hint = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        Err(Misfit::new(format!("is unknown, expected {}{hint}", one_of(words))))
    }

    fn named(
        self,
        value: &DeValue<'_>,
        check: fn(&str) -> Result<(), String>,
    ) -> Result<String, Misfit> {
        let text = self.text(value, LONGEST_TEXT)?;
        check(&text).map_err(Misfit::new)?;
        Ok(text)
    }

    /// Reads a list of different things.
    fn list<T: PartialEq>(
        self,
        value: &DeValue<'_>,
        most: usize,
        read: impl Fn(&DeValue<'_>) -> Result<T, Misfit>,
    ) -> Result<Vec<T>, Misfit> {
        let items: &DeArray<'_> = value.as_array().ok_or_else(|| self.wrong_type(value))?;
        if items.len() > most {
            return Err(Misfit::new(format!("has {} entries, the most is {most}", items.len())));
        }
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let located = |misfit: Misfit| Misfit { span: Some(item.span()), ..misfit };
            let read = read(item.get_ref()).map_err(located)?;
            if list.contains(&read) {
                return Err(located(Misfit::new("is listed twice")));
            }
            list.push(read);
        }
        Ok(list)
    }
}

fn limit(number: f64, most: f64) -> Result<f64, Misfit> {
    if number < 0.0 {
        return Err(Misfit::new("is negative"));
    }
    if number == 0.0 {
        return Err(Misfit::new(
            "is zero, which would call everything use; to leave the source out, set enabled = false",
        ));
    }
    if number > most {
        return Err(Misfit::new(format!("is too large, the largest is {most}")));
    }
    Ok(number)
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

/// What a TOML value is, for a person.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a true/false value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The first value of a small TOML text such as a default, read as `kind`.
pub(super) fn read_literal(kind: Kind, literal: &str) -> Result<Value, String> {
    let parsed: Spanned<DeValue<'_>> =
        DeValue::parse(literal).map_err(|error| error.message().to_owned())?;
    kind.read(parsed.get_ref()).map_err(|misfit| misfit.message)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("true or false"),
            Self::Choice(words) => f.write_str(&one_of(words)),
            Self::Choices(words) => write!(f, "a list of {}", one_of(words)),
            Self::Span { .. } => f.write_str("a duration such as \"30s\", \"10m\" or \"2h\""),
            Self::SpanOrAuto { .. } => f.write_str("\"auto\" or a duration such as \"5s\""),
            Self::Spans { .. } => f.write_str("a list of durations such as [\"10m\", \"1m\"]"),
            Self::Size { .. } => f.write_str("a size such as \"512KiB\" or \"16MiB\""),
            Self::Limit { .. } => f.write_str("a number above 0"),
            Self::Number => f.write_str("a number from 0"),
            Self::Text(_) => f.write_str("text"),
            Self::Texts => f.write_str("a list of texts"),
            Self::Units => f.write_str("a list of units such as [\"game.service\"]"),
            Self::Programs => f.write_str("a list of names of programs"),
            Self::Command => f.write_str("an absolute path, a unit name or \"\""),
            Self::Hooks => f.write_str("a list of absolute paths and unit names"),
            Self::Webhook => f.write_str("a URL that begins with https://"),
            Self::SnsTopic => f.write_str("the ARN of an SNS topic"),
            Self::User => f.write_str("a user name or \"\""),
            Self::TagPrefix => f.write_str("the beginning of a tag key"),
        }
    }
}

/// The value as TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_toml() {
            toml::Value::Float(number) => write!(f, "{number}"),
            other => write!(f, "{other}"),
        }
    }
}

impl Value {
    /// The value as a TOML value, durations as text.
    pub(super) fn to_toml(&self) -> toml::Value {
        match self {
            Self::Switch(on) => toml::Value::Boolean(*on),
            Self::Span(span) => toml::Value::String(duration::format(*span)),
            Self::Auto => toml::Value::String("auto".to_owned()),
            Self::Spans(spans) => texts(spans.iter().map(|span| duration::format(*span))),
            Self::Size(bytes) => toml::Value::String(size::format(*bytes)),
            Self::Number(number) => toml::Value::Float(*number),
            Self::Text(text) => toml::Value::String(text.clone()),
            Self::Texts(list) => texts(list.iter().cloned()),
        }
    }
}

fn texts(list: impl Iterator<Item = String>) -> toml::Value {
    toml::Value::Array(list.map(toml::Value::String).collect())
}
