//! Where lines go: to journald over its own protocol when agentd runs as a service, else to stderr.

use core::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::field::{Field as Recorded, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_journald::PriorityMappings;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use super::{Field, Line, Priority};

/// Every line has this target; below it are the debug messages of agentd's modules. Nothing of other crates passes,
/// or hyper's polling would fill the journal.
const TARGET: &str = "agentd";

/// What is written besides events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Events alone.
    #[default]
    Events,
    /// Also what agentd's modules say at debug level.
    Debug,
}

impl Verbosity {
    const fn level(self) -> LevelFilter {
        match self {
            Self::Events => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// journald, with fields.
    Journal,
    /// stderr, which journald reads: each line begins with its priority (sd-daemon(3)), without a time.
    StderrToJournal,
    /// stderr: each line begins with its time and level.
    Stderr,
}

/// The journal cannot be set up twice.
#[derive(Debug, thiserror::Error)]
#[error("set up the journal: {0}")]
pub struct StartError(#[from] TryInitError);

/// Sets up where lines go, once in a process, and says where.
pub fn start(verbosity: Verbosity) -> Result<Backend, StartError> {
    let targets = Targets::new().with_target(TARGET, verbosity.level());
    let registry = tracing_subscriber::registry();
    let stderr_is_journal =
        is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), io::stderr());
    if stderr_is_journal && let Ok(layer) = tracing_journald::layer() {
        let layer = layer
            .with_syslog_identifier("agentd".to_owned())
            // With a prefix MESSAGE_ID would be F_MESSAGE_ID, which the catalog does not know.
            .with_field_prefix(None)
            .with_priority_mappings(PriorityMappings {
                info: tracing_journald::Priority::Informational,
                debug: tracing_journald::Priority::Debug,
                ..PriorityMappings::new()
            });
        registry.with(layer.with_filter(targets)).try_init()?;
        return Ok(Backend::Journal);
    }
    let backend = if stderr_is_journal { Backend::StderrToJournal } else { Backend::Stderr };
    registry.with(StderrLines { backend }.with_filter(targets)).try_init()?;
    Ok(backend)
}

/// Whether a descriptor is the stream to journald that systemd names in `JOURNAL_STREAM` as `DEVICE:INODE`
/// (systemd.exec(5)). The variable alone is not enough: a child's stderr can be elsewhere.
fn is_journal(variable: Option<&str>, descriptor: impl AsFd) -> bool {
    let Some((device, inode)) = variable.and_then(|value| value.split_once(':')) else {
        return false;
    };
    fstat(descriptor)
        .is_ok_and(|about| device.parse() == Ok(about.st_dev) && inode.parse() == Ok(about.st_ino))
}

macro_rules! record {
    ($level:expr, $line:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            message_id = $line.id.hex,
            agentd_event = $line.id.name,
            agentd_power = $line.field(Field::Power),
            agentd_because = $line.field(Field::Because),
            agentd_detail = $line.field(Field::Detail),
            agentd_code = $line.field(Field::Code),
            agentd_error = $line.field(Field::Error),
            agentd_source = $line.field(Field::Source),
            agentd_subject = $line.field(Field::Subject),
            agentd_hold = $line.field(Field::Hold),
            agentd_owner = $line.field(Field::Owner),
            agentd_time = $line.field(Field::Time),
            agentd_seconds = $line.field(Field::Seconds),
            agentd_file = $line.field(Field::File),
            agentd_instance = $line.field(Field::Instance),
            agentd_version = $line.field(Field::Version),
            agentd_alert = $line.field(Field::Alert),
            agentd_notice = $line.field(Field::Notice),
            agentd_deadline = $line.field(Field::Deadline),
            agentd_drill = $line.field(Field::Drill),
            agentd_hook = $line.field(Field::Hook),
            agentd_target = $line.field(Field::Target),
            agentd_call = $line.field(Field::Call),
            agentd_moment = $line.field(Field::Moment),
            agentd_not_counted = $line.field(Field::NotCounted),
            message = $line.text.as_str(),
        )
    };
}

/// Hands a line to whatever [`start`] set up. The names of tracing's fields are fixed at compile time, hence one list
/// of all fields, of which those without a value are left out.
pub(super) fn write(line: &Line) {
    match line.priority {
        Priority::Error => record!(Level::ERROR, line),
        Priority::Warning => record!(Level::WARN, line),
        Priority::Info => record!(Level::INFO, line),
    }
}

/// Writes lines to stderr.
#[derive(Debug)]
struct StderrLines {
    backend: Backend,
}

impl<S: Subscriber> Layer<S> for StderrLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = rendered(self.backend, event.metadata(), event, jiff::Timestamp::now());
        // Nobody is left to tell when stderr is gone.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

fn rendered(
    backend: Backend,
    about: &Metadata<'_>,
    event: &Event<'_>,
    now: jiff::Timestamp,
) -> String {
    let (number, word) = match *about.level() {
        Level::ERROR => (3, "error"),
        Level::WARN => (4, "warning"),
        Level::INFO => (6, "info"),
        _ => (7, "debug"),
    };
    let mut line = match backend {
        Backend::StderrToJournal => format!("<{number}>"),
        Backend::Journal | Backend::Stderr => {
            format!("{} {word:<7} ", now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
        }
    };
    event.record(&mut Sentence(&mut line));
    line.push('\n');
    line
}

/// Takes the sentence out of an event; of a debug message also its fields.
struct Sentence<'a>(&'a mut String);

impl Visit for Sentence<'_> {
    fn record_str(&mut self, field: &Recorded, value: &str) {
        if field.name() == "message" {
            self.0.push_str(value);
        } else if !is_journal_field(field.name()) {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Recorded, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name if is_journal_field(name) => Ok(()),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// What the sentence says already.
fn is_journal_field(name: &str) -> bool {
    name == "message_id" || name.starts_with("agentd_")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::events::ids;

    type Seen = Vec<(Level, Vec<(String, String)>, String)>;

    /// Keeps what passes.
    #[derive(Clone, Debug, Default)]
    struct Keeper(Arc<Mutex<Seen>>);

    struct Fields(Vec<(String, String)>);

    impl Visit for Fields {
        fn record_str(&mut self, field: &Recorded, value: &str) {
            self.0.push((field.name().to_uppercase(), value.to_owned()));
        }

        fn record_debug(&mut self, field: &Recorded, value: &dyn fmt::Debug) {
            self.0.push((field.name().to_uppercase(), format!("{value:?}")));
        }
    }

    impl<S: Subscriber> Layer<S> for Keeper {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields(Vec::new());
            event.record(&mut fields);
            let now = jiff::Timestamp::from_second(1_795_253_400).unwrap();
            let line = rendered(Backend::Stderr, event.metadata(), event, now);
            self.0.lock().unwrap().push((*event.metadata().level(), fields.0, line));
        }
    }

    fn seen(verbosity: Verbosity, act: impl FnOnce()) -> Seen {
        let keeper = Keeper::default();
        let targets = Targets::new().with_target(TARGET, verbosity.level());
        let subscriber = tracing_subscriber::registry().with(keeper.clone().with_filter(targets));
        tracing::subscriber::with_default(subscriber, act);
        let seen = keeper.0.lock().unwrap();
        seen.clone()
    }

    #[test]
    fn a_line_carries_its_id_its_fields_and_nothing_else() {
        let line = Line::warning(ids::WARNED, "Will stop in 1m: idle")
            .with(Field::Power, "stop")
            .with(Field::Seconds, "60.000");
        let seen = seen(Verbosity::Events, || write(&line));
        let (level, fields, text) = &seen[0];
        assert_eq!(*level, Level::WARN);
        let expected = [
            ("MESSAGE", "Will stop in 1m: idle"),
            ("MESSAGE_ID", ids::WARNED.hex),
            ("AGENTD_EVENT", "warned"),
            ("AGENTD_POWER", "stop"),
            ("AGENTD_SECONDS", "60.000"),
        ];
        let mut fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(fields, expected);
        assert_eq!(text, "2026-11-21T09:30:00.000Z warning Will stop in 1m: idle\n");
    }

    #[test]
    fn every_field_reaches_the_journal_under_its_name() {
        let mut line = Line::info(ids::STARTED, "x");
        for field in Field::ALL {
            line = line.with(*field, format!("value of {field:?}"));
        }
        let seen = seen(Verbosity::Events, || write(&line));
        for field in Field::ALL {
            let expected = (field.journal_name().to_owned(), format!("value of {field:?}"));
            assert!(seen[0].1.contains(&expected), "{expected:?}");
        }
    }

    #[test]
    fn other_crates_and_debug_messages_stay_out() {
        let noise = || {
            tracing::error!(target: "hyper_util::client", "no");
            tracing::debug!(target: "agentd::aws", attempt = 2, "quietly");
            write(&Line::error(ids::FAILED, "loud"));
        };
        let texts = |seen: Seen| seen.into_iter().map(|(_, _, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(seen(Verbosity::Events, noise)).len(), 1);
        let debug = texts(seen(Verbosity::Debug, noise));
        assert_eq!(debug.len(), 2);
        assert!(debug[0].ends_with("debug   quietly attempt=2\n"), "{debug:?}");
    }

    #[test]
    fn the_stream_to_the_journal_is_recognised_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let about = file.metadata().unwrap();
        let named = format!("{}:{}", about.dev(), about.ino());
        assert!(is_journal(Some(&named), &file));
        assert!(!is_journal(Some(&named), File::open("/dev/null").unwrap()));
        for other in [None, Some(""), Some("1"), Some("x:y"), Some("0:0")] {
            assert!(!is_journal(other, &file), "{other:?}");
        }
    }
}
