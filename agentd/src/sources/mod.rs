//! What the agent looks at. One file a source; the file's name is the source's name and its table in the configuration
//! (`[source.cpu]`).
//!
//! A source reports raw counters, levels, marks and blocks as [`agent_core::reading::Reading`]s and judges nothing. It
//! never reports 0 for what it could not read: that is [`Reading::Blind`]. To add one, write `sources/NAME.rs` with a
//! `SPEC` and put `NAME` in the list below.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use agent_core::reading::Reading;
use agent_core::stamp::Stamp;

pub use crate::host::HostRoot;
pub use crate::host::logind::BusMode;

mod ownership;
mod pace;
mod sampler;

pub use sampler::{Sampler, SourceSettings, Which};

/// Everything that is known of a source without opening it: the origin of its default configuration, of its
/// documentation and of the engine's policy for it.
#[derive(Clone, Copy, Debug)]
pub struct SourceSpec {
    /// The name, as in `[source.NAME]`.
    pub name: &'static str,
    /// One sentence for people that ends with a period.
    pub about: &'static str,
    /// The unit in which people read and limit it: `core`, `%`, `B/s`; empty where nothing is measured.
    pub unit: &'static str,
    /// What a counter's base unit is in `unit`: 1e-6 makes cores of microseconds a second.
    pub scale: f64,
    /// The default limit in `unit`: from here on it is activity. 0 where nothing is measured.
    pub busy_above: f64,
    /// The default time over which a counter's rate is averaged.
    pub average: Duration,
    /// Where it is read.
    pub lane: Lane,
    /// How long one look may take before the source counts as hung.
    pub deadline: Duration,
    /// Its own keys in the configuration, besides those that every source has.
    pub options: &'static [OptionSpec],
    /// Makes the source. It opens nothing yet, so it cannot fail.
    pub open: fn(&Context) -> Opened,
}

/// One key of a source's own.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The key.
    pub key: &'static str,
    /// What may stand there.
    pub kind: OptionKind,
    /// The default, as TOML.
    pub default: &'static str,
    /// One sentence for people that ends with a period.
    pub about: &'static str,
}

/// What may stand behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// A duration such as `"90s"`.
    Duration,
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
    /// An array of strings.
    TextList,
    /// A number.
    Number,
}

/// Where a source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Files of the kernel: all of them one after the other on one short-lived thread.
    Fast,
    /// Libraries and programs that may take long: each on a thread of its own while it runs.
    Slow,
    /// D-Bus: on the main runtime.
    Async,
}

/// A source, ready to be read.
pub enum Opened {
    /// One for a helper thread.
    Blocking(Box<dyn Source>),
    /// One for the main runtime.
    Async(Box<dyn AsyncSource>),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Blocking(_) => "Blocking",
            Self::Async(_) => "Async",
        })
    }
}

/// A source that is read with blocking calls.
pub trait Source: Send {
    /// Looks once.
    fn read(&mut self, now: Stamp) -> Reading;

    /// Drops what was remembered to save work, so that the next [`read`](Self::read) looks at everything anew. Called
    /// before the look that precedes an action.
    fn refresh(&mut self) {}
}

/// What [`AsyncSource::read`] gives: a reading, later.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Reading> + 'a>>;

/// A source that is read on the main runtime. Its future may be dropped at any moment.
pub trait AsyncSource {
    /// Looks once.
    fn read(&mut self, now: Stamp) -> Pending<'_>;
}

/// What a source is opened with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where the host's files are.
    pub host: HostRoot,
    /// The source's own table, checked against its [`OptionSpec`]s. Missing keys mean the default.
    pub options: toml::Table,
    /// Which message bus there is.
    pub bus: BusMode,
}

impl Context {
    /// A text option; empty if it is not set.
    pub fn text(&self, key: &str) -> &str {
        self.options.get(key).and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// A list option; empty if it is not set.
    pub fn list(&self, key: &str) -> Vec<String> {
        let array = self.options.get(key).and_then(toml::Value::as_array);
        let texts = array.into_iter().flatten().filter_map(toml::Value::as_str);
        texts.map(str::to_owned).collect()
    }
}

/// A blind reading that says what failed.
fn blind(error: &impl std::fmt::Display) -> Reading {
    Reading::blind(format!("failed to {error}"))
}

/// Declares the modules of the sources and the list of them.
macro_rules! sources {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// Every source, in the order in which they are shown.
        pub const ALL: &[SourceSpec] = &[$($name::SPEC),*];
    };
}

sources! { cpu, input, gpu, network, disk, inhibitors, packages, cloudinit }

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_source_has_its_own_name() {
        let names: BTreeSet<_> = ALL.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
        }
    }

    #[test]
    fn every_text_for_people_is_a_sentence() {
        let options = ALL.iter().flat_map(|spec| spec.options).map(|option| option.about);
        for about in ALL.iter().map(|spec| spec.about).chain(options) {
            assert!(about.ends_with('.') && !about.ends_with(".."), "{about}");
            assert!(about.starts_with(|first: char| first.is_uppercase()), "{about}");
            assert!(!about.contains('\n'), "{about}");
        }
    }

    #[test]
    fn every_default_is_toml_of_its_kind() {
        for option in ALL.iter().flat_map(|spec| spec.options) {
            let table: toml::Table = toml::from_str(&format!("x = {}", option.default)).unwrap();
            let value = &table["x"];
            let fits = match option.kind {
                OptionKind::Duration | OptionKind::Text => value.is_str(),
                OptionKind::Bool => value.is_bool(),
                OptionKind::TextList => value.is_array(),
                OptionKind::Number => value.is_float() || value.is_integer(),
            };
            assert!(fits, "{}: {}", option.key, option.default);
        }
    }

    #[test]
    fn no_source_may_keep_the_loop_longer_than_two_seconds() {
        for spec in ALL {
            assert!(spec.deadline <= Duration::from_secs(2), "{}", spec.name);
            assert!(!spec.deadline.is_zero(), "{}", spec.name);
            assert!(spec.scale > 0.0 && spec.busy_above >= 0.0, "{}", spec.name);
        }
    }

    #[test]
    fn every_source_opens_in_its_lane() {
        let tree = crate::host::tree::Tree::new();
        let context =
            Context { host: tree.root(), options: toml::Table::new(), bus: BusMode::None };
        for spec in ALL {
            let opened = (spec.open)(&context);
            let asynchronous = matches!(opened, Opened::Async(_));
            assert_eq!(asynchronous, spec.lane == Lane::Async, "{}", spec.name);
        }
    }

    #[test]
    fn options_are_read_and_missing_ones_are_empty() {
        let options = toml::from_str("units = ['a', 'b']\nlibrary = '/x'").unwrap();
        let host = HostRoot::at("/nowhere");
        let context = Context { host, options, bus: BusMode::None };
        assert_eq!(context.list("units"), ["a", "b"]);
        assert_eq!(context.text("library"), "/x");
        assert!(context.list("none").is_empty());
        assert_eq!(context.text("none"), "");
    }
}
