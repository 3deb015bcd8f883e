//! What the agent looks at. One file a source; the file's name is the source's name and its table in the configuration
//! (`[source.cpu]`).
//!
//! A source reports raw counters, levels, marks and blocks as [`agent_core::reading::Reading`]s and judges nothing. It
//! never reports 0 for what it could not read: that is [`Reading::Blind`]. To add one, write `sources/NAME.rs` with a
//! `SPEC` and put `NAME` in the list below.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use agent_core::policy::{Combine, RoleLimits};
use agent_core::reading::Reading;
use agent_core::stamp::Stamp;

pub use crate::host::HostRoot;
pub use crate::host::logind::BusMode;

mod displays;
pub(crate) mod due;
mod ide;
mod ownership;
mod pace;
mod reader;
mod sampler;
mod workgroups;

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
    /// Whether the limit is for the rates of all counters together or for each of them.
    pub combine: Combine,
    /// The default limit in `unit`: from here on it is activity. 0 where nothing is measured.
    pub busy_above: f64,
    /// The default limits of what is not people's work. None: everything that counts has `busy_above`.
    pub limits: Option<RoleLimits>,
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
    /// A list of units.
    Units,
    /// A list of programs as the kernel names them.
    Programs,
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
    /// One for a thread of its own.
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

    /// An answer that still stands, so that no thread is needed to look: the absence of hardware. `None`: look.
    fn standing(&mut self, _now: Stamp) -> Option<Reading> {
        None
    }

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

    /// The same as [`Source::refresh`].
    fn refresh(&mut self) {}
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

    /// A number option; none if it is not set.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.options.get(key)? {
            toml::Value::Float(value) => Some(*value),
            // A limit beyond 32 bits is as good as none.
            toml::Value::Integer(value) => u32::try_from(*value).ok().map(f64::from),
            _ => None,
        }
    }

    /// A duration option; `otherwise` if it is not set.
    pub fn duration(&self, key: &str, otherwise: Duration) -> Duration {
        crate::config::duration::parse(self.text(key)).unwrap_or(otherwise)
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

sources! {
    cpu, input, sessions, gpu, network, clients, disk, pressure, steal, batch, jupyter, exec, inhibitors, packages,
    cloudinit, timers, cron
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
