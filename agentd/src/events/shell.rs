//! What happens around the engine, and its lines.

use super::{Field, Line, ids, seconds, spoken};

/// An event outside the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellEvent {
    /// The agent started and decides.
    Started {
        /// Its version.
        version: String,
        /// `observe` or `enforce`.
        mode: String,
        /// The profile.
        profile: String,
    },
    /// The agent stops.
    Stopping {
        /// Why: a signal's name.
        because: String,
    },
    /// A configuration was loaded or reloaded.
    ConfigLoaded {
        /// How many files it came from.
        files: usize,
        /// What changed, one line; none at the start.
        changes: Option<String>,
    },
    /// A value of the configuration in force is unsafe for production.
    ConfigWarning {
        /// The problem with its place.
        problem: String,
    },
    /// A configuration was refused; what was in force stays in force.
    ConfigRejected {
        /// The first error with its place, and how many more.
        error: String,
    },
    /// IMDS told who this instance is.
    IdentityKnown {
        /// The instance id.
        instance: String,
        /// Type, region and whatever else is known, one line.
        detail: String,
    },
    /// IMDS did not tell who this instance is.
    IdentityUnknown {
        /// What failed.
        error: String,
    },
    /// Nothing can be said about a kind of notice.
    NoticesBlind {
        /// Which: `spot`, `rebalance`, `maintenance`, `autoscaling`.
        kind: String,
        /// Since when there is no good answer, milliseconds ago.
        for_ms: u64,
        /// What failed last.
        error: String,
    },
    /// A kind of notice can be seen again.
    NoticesSeen {
        /// Which.
        kind: String,
        /// How long it could not, milliseconds.
        blind_ms: u64,
    },
    /// EC2 says something about an interruption that cannot be understood.
    NoticeGarbled {
        /// What, and why it cannot be.
        what: String,
    },
    /// A tag of the instance is not understood.
    TagRejected {
        /// Which, and what may stand there.
        problem: String,
    },
    /// Preflight found out what this instance can do.
    PreflightResult {
        /// The instance id.
        instance: String,
        /// Hibernation and stop, one line.
        detail: String,
        /// The configured action is possible.
        able: bool,
    },
    /// Preflight could not find out.
    PreflightFailed {
        /// What failed.
        error: String,
        /// In how many milliseconds it is tried again.
        retry_ms: u64,
    },
    /// The state of an earlier run was taken over.
    StateRestored {
        /// What it holds, one line.
        detail: String,
    },
    /// The state file cannot be believed.
    StateCorrupt {
        /// What is wrong.
        because: String,
        /// Where it is kept.
        kept: Option<String>,
    },
    /// The state or the ledger cannot be written.
    StateUnwritable {
        /// What failed, on which file.
        error: String,
    },
    /// The end of the ledger was torn by a crash.
    LedgerTorn {
        /// How many bytes.
        bytes: u64,
        /// Where they are kept.
        kept: Option<String>,
    },
    /// A source was opened.
    SourceOpened {
        /// Which.
        source: String,
        /// How it reads, one line.
        detail: String,
    },
    /// The machine does not have what a source reads.
    SourceAbsent {
        /// Which.
        source: String,
        /// Why that is certain.
        because: String,
    },
    /// The system bus cannot be reached.
    BusUnavailable {
        /// What failed.
        error: String,
    },
    /// The local interface cannot be served.
    SocketFailed {
        /// What failed, on which socket.
        error: String,
    },
    /// The tags were written.
    TagsWritten {
        /// The state that they tell.
        state: String,
        /// Why, one line.
        because: String,
    },
    /// The tags could not be written.
    TagsFailed {
        /// What failed.
        error: String,
    },
    /// A warning, or its call-off, went to people.
    WarningDelivered {
        /// It was the call-off.
        called_off: bool,
        /// To whom, one line.
        detail: String,
    },
    /// A report was written.
    ReportWritten {
        /// Its kind.
        kind: String,
        /// The file.
        file: String,
    },
    /// A person gave a command.
    CommandGiven {
        /// Who.
        owner: String,
        /// What, one line.
        command: String,
        /// The answer, one line.
        answer: String,
    },
    /// Another agent runs already.
    AlreadyRunning {
        /// What shows it.
        because: String,
    },
    /// Something went wrong that has no event of its own.
    Unexpected {
        /// What, one line.
        what: String,
    },
}

impl From<&ShellEvent> for Line {
    fn from(event: &ShellEvent) -> Self {
        life(event)
            .or_else(|| instance(event))
            .or_else(|| notices(event))
            .or_else(|| memory(event))
            .or_else(|| surroundings(event))
            .unwrap_or_else(|| outward(event))
    }
}

impl From<ShellEvent> for Line {
    fn from(event: ShellEvent) -> Self {
        Self::from(&event)
    }
}

/// Start, end, configuration.
fn life(event: &ShellEvent) -> Option<Line> {
    let line = match event {
        ShellEvent::Started { version, mode, profile } => {
            let detail = format!("mode {mode}, profile {profile}");
            Line::info(ids::STARTED, format!("agentd {version} started: {detail}"))
                .with(Field::Version, version)
                .with(Field::Detail, detail)
        }
        ShellEvent::Stopping { because } => {
            Line::info(ids::STOPPING, format!("agentd stops: {because}"))
                .with(Field::Because, because)
        }
        ShellEvent::ConfigLoaded { files, changes } => {
            let from = match files {
                0 => "the defaults, no file exists".to_owned(),
                1 => "1 file".to_owned(),
                _ => format!("{files} files"),
            };
            let detail = match changes {
                Some(changes) => format!("{from}; changed: {changes}"),
                None => from,
            };
            Line::info(ids::CONFIG_LOADED, format!("The configuration was loaded from {detail}"))
                .with(Field::Detail, detail)
        }
        ShellEvent::ConfigWarning { problem } => {
            Line::warning(ids::CONFIG_WARNING, format!("Unsafe configuration: {problem}"))
                .with(Field::Detail, problem)
        }
        ShellEvent::ConfigRejected { error } => Line::error(
            ids::CONFIG_REJECTED,
            format!("The configuration is refused as a whole: {error}"),
        )
        .with(Field::Error, error),
        ShellEvent::AlreadyRunning { because } => {
            Line::error(ids::ALREADY_RUNNING, format!("Another agentd runs already: {because}"))
                .with(Field::Because, because)
        }
        _ => return None,
    };
    Some(line)
}

/// What is known of this instance.
fn instance(event: &ShellEvent) -> Option<Line> {
    let line = match event {
        ShellEvent::IdentityKnown { instance, detail } => {
            Line::info(ids::IDENTITY_KNOWN, format!("This is instance {instance}: {detail}"))
                .with(Field::Instance, instance)
                .with(Field::Detail, detail)
        }
        ShellEvent::IdentityUnknown { error } => Line::warning(
            ids::IDENTITY_UNKNOWN,
            format!("Cannot tell which instance this is, not acting: {error}"),
        )
        .with(Field::Error, error),
        ShellEvent::TagRejected { problem } => {
            Line::warning(ids::TAG_REJECTED, format!("Keeping what stood before: {problem}"))
                .with(Field::Detail, problem)
        }
        ShellEvent::PreflightResult { instance, detail, able } => {
            let text = format!("What instance {instance} can do: {detail}");
            let line = if *able {
                Line::info(ids::PREFLIGHT_RESULT, text)
            } else {
                Line::error(ids::PREFLIGHT_RESULT, text)
            };
            line.with(Field::Instance, instance).with(Field::Detail, detail)
        }
        ShellEvent::PreflightFailed { error, retry_ms } => {
            let text = format!(
                "Cannot find out what this instance can do, trying again in {}: {error}",
                spoken(*retry_ms)
            );
            Line::warning(ids::PREFLIGHT_FAILED, text).with(Field::Error, error)
        }
        _ => return None,
    };
    Some(line)
}

/// The watch for interruptions.
fn notices(event: &ShellEvent) -> Option<Line> {
    let line = match event {
        ShellEvent::NoticesBlind { kind, for_ms, error } => {
            let text = format!(
                "Cannot tell for {} whether EC2 announces anything ({kind}): {error}",
                spoken(*for_ms)
            );
            Line::warning(ids::NOTICES_BLIND, text)
                .with(Field::Source, kind)
                .with(Field::Seconds, seconds(*for_ms))
                .with(Field::Error, error)
        }
        ShellEvent::NoticesSeen { kind, blind_ms } => {
            let text = format!(
                "What EC2 announces can be read again ({kind}), after {}",
                spoken(*blind_ms)
            );
            Line::info(ids::NOTICES_SEEN, text)
                .with(Field::Source, kind)
                .with(Field::Seconds, seconds(*blind_ms))
        }
        ShellEvent::NoticeGarbled { what } => Line::warning(
            ids::NOTICE_GARBLED,
            format!("EC2 says something about an interruption that cannot be understood: {what}"),
        )
        .with(Field::Detail, what),
        _ => return None,
    };
    Some(line)
}

/// State and ledger.
fn memory(event: &ShellEvent) -> Option<Line> {
    let kept_in = |kept: &Option<String>| {
        kept.as_ref().map_or_else(|| ", not kept".to_owned(), |file| format!(", kept in {file}"))
    };
    let line = match event {
        ShellEvent::StateRestored { detail } => {
            Line::info(ids::STATE_RESTORED, format!("Going on from an earlier run: {detail}"))
                .with(Field::Detail, detail)
        }
        ShellEvent::StateCorrupt { because, kept } => {
            let text = format!(
                "The saved state {because}{}; not acting within one whole idle time",
                kept_in(kept)
            );
            Line::error(ids::STATE_CORRUPT, text)
                .with(Field::Because, because)
                .with(Field::File, kept.as_deref().unwrap_or("none"))
        }
        ShellEvent::StateUnwritable { error } => {
            Line::error(ids::STATE_UNWRITABLE, format!("Cannot remember, not acting: {error}"))
                .with(Field::Error, error)
        }
        ShellEvent::LedgerTorn { bytes, kept } => {
            let text =
                format!("A crash tore the last {bytes} bytes of the ledger{}", kept_in(kept));
            Line::warning(ids::LEDGER_TORN, text)
                .with(Field::Detail, format!("{bytes} bytes"))
                .with(Field::File, kept.as_deref().unwrap_or("none"))
        }
        _ => return None,
    };
    Some(line)
}

/// Sources, the bus, the socket.
fn surroundings(event: &ShellEvent) -> Option<Line> {
    let line = match event {
        ShellEvent::SourceOpened { source, detail } => {
            Line::info(ids::SOURCE_OPENED, format!("Watching {source}: {detail}"))
                .with(Field::Source, source)
                .with(Field::Detail, detail)
        }
        ShellEvent::SourceAbsent { source, because } => {
            Line::info(ids::SOURCE_ABSENT, format!("Not watching {source}: {because}"))
                .with(Field::Source, source)
                .with(Field::Because, because)
        }
        ShellEvent::BusUnavailable { error } => Line::warning(
            ids::BUS_UNAVAILABLE,
            format!("Cannot reach the system bus, proceeding without it: {error}"),
        )
        .with(Field::Error, error),
        ShellEvent::SocketFailed { error } => Line::error(
            ids::SOCKET_FAILED,
            format!("agentctl cannot reach agentd, proceeding without it: {error}"),
        )
        .with(Field::Error, error),
        _ => return None,
    };
    Some(line)
}

/// Tags, warnings, reports, commands.
fn outward(event: &ShellEvent) -> Line {
    match event {
        ShellEvent::TagsWritten { state, because } => {
            Line::info(ids::TAGS_WRITTEN, format!("Tagged the instance as {state}: {because}"))
                .with(Field::Detail, state)
                .with(Field::Because, because)
        }
        ShellEvent::TagsFailed { error } => Line::warning(
            ids::TAGS_FAILED,
            format!("Cannot tag the instance, proceeding without it: {error}"),
        )
        .with(Field::Error, error),
        ShellEvent::WarningDelivered { called_off, detail } => {
            let what = if *called_off { "That it was called off" } else { "The warning" };
            Line::info(ids::WARNING_DELIVERED, format!("{what} went to {detail}"))
                .with(Field::Detail, detail)
        }
        ShellEvent::ReportWritten { kind, file } => {
            Line::info(ids::REPORT_WRITTEN, format!("A report ({kind}) is in {file}"))
                .with(Field::Detail, kind)
                .with(Field::File, file)
        }
        ShellEvent::CommandGiven { owner, command, answer } => {
            Line::info(ids::COMMAND_GIVEN, format!("{owner} asked to {command}: {answer}"))
                .with(Field::Owner, owner)
                .with(Field::Because, command)
                .with(Field::Detail, answer)
        }
        ShellEvent::Unexpected { what } => {
            Line::error(ids::UNEXPECTED, format!("Something unexpected happened: {what}"))
                .with(Field::Detail, what)
        }
        other => {
            let text = format!("An event without a sentence: {other:?}");
            Line::error(ids::UNEXPECTED, &text).with(Field::Detail, text)
        }
    }
}
