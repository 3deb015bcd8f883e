//! Puts the daemon together, and takes it apart again.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent_core::engine::Engine;
use agent_core::input::Input;
use agent_core::policy::{Mode, Policy, SourcePolicy};
use agent_core::reading::SourceName;
use agent_core::stamp::Stamp;
use futures_util::StreamExt;
use nix::fcntl::{Flock, FlockArg};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::actuators::{self, ActuatorSettings, Actuators};
use crate::aws::{Cloud, CloudError, CloudSettings};
use crate::clock::{self, Clock};
use crate::config::{self, ConfigError, LoadFrom, Loaded};
use crate::events::{self, ShellEvent, Verbosity};
use crate::hands::DaemonHands;
use crate::host::HostRoot;
use crate::host::logind::{BusMode, ResumeWatch};
use crate::instance::{self, Shown};
use crate::ipc::{
    self, Accounts, CommandRequest, DoctorRun, IpcContext, Listener, SocketError,
};
use crate::ledger::LedgerError;
use crate::processes::Watchers;
use crate::publish::{self, AgentInfo, ConfigInfo, Health, Published, Publisher, Subscriber};
use crate::sampling::{self, Ask, Wanted};
use crate::shell::{Message, Shell};
use crate::sources::{self, Sampler, SourceSettings};
use crate::store::{self, Files};

/// Messages that may wait for the loop. It takes each in microseconds; more than this is a flood that must wait.
const INBOX: usize = 256;
/// Decisions of earlier runs that 'agentctl events' still shows.
const REMEMBERED: usize = 200;
/// How often a message bus that is not there is tried again.
const BUS_RETRY: Duration = Duration::from_mins(5);
/// Another agent has the lock (`sysexits.h`, `EX_TEMPFAIL`).
const EXIT_LOCKED: u8 = 75;
/// A bad configuration.
const EXIT_CONFIG: u8 = 7;

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the configuration is.
    pub config: LoadFrom,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Where /proc, /sys, /dev and /run are.
    pub host_root: PathBuf,
}

/// Why the daemon cannot run. The messages fit after "failed to".
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration.
    #[error("read the configuration: {0}")]
    Config(#[from] ConfigError),
    /// The state folder.
    #[error("use the state folder '{path}': {error}")]
    State {
        /// The folder or file.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// Another agent works with this state folder.
    #[error("lock '{0}': another agentd uses it")]
    Locked(PathBuf),
    /// The state files.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The AWS side.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The signals.
    #[error("listen for signals: {0}")]
    Signals(std::io::Error),
    /// The journal.
    #[error(transparent)]
    Events(events::StartError),
    /// The runtime.
    #[error("start the runtime: {0}")]
    Runtime(std::io::Error),
}

/// Turns the end of the daemon into its exit status, and says why on standard error.
pub fn report(result: Result<(), RunError>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let why = format!("failed to {error}");
    match error {
        RunError::Config(_) => {
            events::emit(ShellEvent::ConfigRejected { error: error.to_string() });
            ExitCode::from(EXIT_CONFIG)
        }
        RunError::Locked(_) => {
            events::emit(ShellEvent::AlreadyRunning { because: why });
            ExitCode::from(EXIT_LOCKED)
        }
        RunError::Socket(_) => {
            events::emit(ShellEvent::SocketFailed { error: why });
            ExitCode::FAILURE
        }
        _ => {
            events::emit(ShellEvent::Unexpected { what: why });
            ExitCode::FAILURE
        }
    }
}

fn now() -> Stamp {
    Clock.now()
}

/// Runs until it is asked to end.
pub async fn run(options: Options) -> Result<(), RunError> {
    events::start(Verbosity::default()).map_err(RunError::Events)?;
    let started = now();
    let loaded = config::load(&options.config, &known_sources())?;
    let host = HostRoot::at(&options.host_root);
    let boot_id = clock::boot_id(&host, started);
    let _lock = prepare_state(&options.state_dir)?;
    let runtime_dir = runtime_dir(&options.state_dir);
    let (files, recovery) = Files::open(&options.state_dir, &runtime_dir, &boot_id, started)?;
    let listener = Listener::open(&socket_path())?;
    let cloud = connect_cloud()?;
    let agent = AgentInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        boot_id,
        started,
    };
    tell_start(&agent, &loaded);
    let engine = Engine::new(loaded.settings.policy.clone(), recovery, started);
    let daemon = Daemon::new(options, loaded, host, cloud);
    let (inbox_tx, inbox) = mpsc::channel(INBOX);
    let (publisher, subscriber) = daemon.open_picture(&engine, &agent);
    daemon.serve(listener, subscriber, inbox_tx.clone());
    let hands = daemon.hands(publisher, agent, &inbox_tx);
    daemon.watch_the_world(&inbox_tx);
    // Ready before the metadata service or EC2 are touched: an installation from user-data waits for this.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(RunError::Signals)?;
    tokio::join!(Shell::new(engine, now, files, hands).run(inbox), daemon.obey(signals, inbox_tx));
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    Ok(())
}

fn connect_cloud() -> Result<Arc<Cloud>, RunError> {
    let variable = |name: &str| std::env::var(name).ok();
    let settings = CloudSettings::from_env(variable)?;
    Ok(Arc::new(Cloud::new(settings, variable, crate::aws::imds::boot_clock())?))
}

fn tell_start(agent: &AgentInfo, loaded: &Loaded) {
    let policy = &loaded.settings.policy;
    events::emit(ShellEvent::Started {
        version: agent.version.clone(),
        mode: match policy.mode {
            Mode::Observe => "observe".to_owned(),
            Mode::Enforce => "enforce".to_owned(),
        },
        profile: policy.profile.clone(),
    });
    tell_warnings(loaded);
}

fn tell_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        events::emit(ShellEvent::ConfigWarning { problem: warning.to_string() });
    }
}

/// The parts that outlive a reload.
struct Daemon {
    options: Options,
    loaded: RefCell<Loaded>,
    host: HostRoot,
    bus: BusMode,
    cloud: Arc<Cloud>,
    actuators: Rc<RefCell<Rc<Actuators>>>,
    shown: Rc<RefCell<Shown>>,
    asks: mpsc::Sender<Ask>,
    asked: RefCell<Option<mpsc::Receiver<Ask>>>,
}

impl Daemon {
    fn new(options: Options, loaded: Loaded, host: HostRoot, cloud: Arc<Cloud>) -> Self {
        // Another root is a fixture: the machine's own message bus would describe the wrong machine.
        let bus = if host.is_real() { BusMode::System } else { BusMode::None };
        let actuators = make_actuators(&loaded, &host, &bus, &cloud);
        let imds = Health { ok: false, detail: "not asked yet".to_owned(), last_good: None };
        let shown = Shown { instance: None, imds, config: config_info(&loaded) };
        let (asks, asked) = mpsc::channel(4);
        Self {
            options,
            loaded: RefCell::new(loaded),
            host,
            bus,
            cloud,
            actuators: Rc::new(RefCell::new(Rc::new(actuators))),
            shown: Rc::new(RefCell::new(shown)),
            asks,
            asked: RefCell::new(Some(asked)),
        }
    }

    /// The picture before the first step, with the story of the runs before.
    fn open_picture(&self, engine: &Engine, agent: &AgentInfo) -> (Publisher, Subscriber) {
        let shown = self.shown.borrow();
        let (publisher, subscriber) = publish::channel(Published {
            view: engine.view(now()),
            agent: agent.clone(),
            instance: None,
            imds: shown.imds.clone(),
            config: shown.config.clone(),
        });
        for entry in store::history(&self.options.state_dir, REMEMBERED) {
            for event in entry.events {
                publisher.record(entry.at, event);
            }
        }
        (publisher, subscriber)
    }

    /// Answers on the socket, beside the loop.
    fn serve(&self, listener: Listener, subscriber: Subscriber, to: mpsc::Sender<Message>) {
        let (commands, mut asked) = mpsc::channel::<CommandRequest>(INBOX);
        let doctor = self.doctor(subscriber.clone());
        let accounts = Accounts::new(self.host.clone());
        let context = IpcContext::new(subscriber, commands, Arc::new(now), doctor, accounts);
        tokio::task::spawn_local(ipc::serve(listener, context, std::future::pending()));
        let to = to.downgrade();
        tokio::task::spawn_local(async move {
            while let Some(CommandRequest { actor, command, reply }) = asked.recv().await {
                let input = Input::Command { actor, command };
                let Some(to) = to.upgrade() else { return };
                if to.send(Message::Command { input, reply }).await.is_err() {
                    return;
                }
            }
        });
    }

    /// The checks of `agentctl doctor`, with the sources as they were read last.
    fn doctor(&self, subscriber: Subscriber) -> DoctorRun {
        let _ = subscriber;
        DoctorRun::new(|| async { Vec::new() })
    }

    fn hands(&self, publisher: Publisher, agent: AgentInfo, to: &mpsc::Sender<Message>) -> DaemonHands {
        DaemonHands {
            actuators: Rc::clone(&self.actuators),
            to: to.downgrade(),
            asks: self.asks.clone(),
            publisher,
            shown: Rc::clone(&self.shown),
            agent,
            watchers: Watchers::new(self.host.clone(), to.downgrade()),
            status: String::new(),
        }
    }

    /// Starts what looks at the world: the sources, the metadata service, logind's resumes.
    fn watch_the_world(&self, to: &mpsc::Sender<Message>) {
        if let Some(asked) = self.asked.take() {
            let sampler = Sampler::new(self.host.clone(), self.bus.clone(), &self.wanted());
            tokio::task::spawn_local(sampling::run(sampler, asked, to.downgrade(), now));
        }
        let (cloud, shown) = (Arc::clone(&self.cloud), Rc::clone(&self.shown));
        tokio::task::spawn_local(instance::watch(cloud, shown, to.downgrade(), now));
        tokio::task::spawn_local(watch_resumes(self.bus.clone(), self.host.clone(), to.downgrade()));
    }

    /// How the sources are to be read now.
    fn wanted(&self) -> Wanted {
        let loaded = self.loaded.borrow();
        let settings = &loaded.settings;
        let one = |(name, policy): (&SourceName, &SourcePolicy)| {
            let options = settings.sources.get(name.as_str()).cloned().unwrap_or_default();
            let one = SourceSettings { enabled: policy.enabled, interval: policy.interval, options };
            (name.as_str().to_owned(), one)
        };
        settings.policy.sources.iter().map(one).collect()
    }

    /// Takes signals until one asks to end.
    async fn obey(&self, mut signals: Signals, to: mpsc::Sender<Message>) {
        while let Some(signal) = signals.next().await {
            if signal != SIGHUP {
                let because = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
                events::emit(ShellEvent::Stopping { because: because.to_owned() });
                break;
            }
            if let Some(policy) = self.reload().await {
                let changed = Message::Input(Input::PolicyChanged(Box::new(policy)));
                let _ = to.send(changed).await;
            }
            let _ = to.send(Message::Refresh).await;
        }
        let _ = to.send(Message::Shutdown).await;
    }

    /// Reads the configuration again. A bad one is told and changes nothing.
    async fn reload(&self) -> Option<Policy> {
        let result = config::reload(&self.loaded.borrow());
        match result {
            Ok(fresh) => {
                tell_reload(&fresh, &self.loaded.borrow());
                self.actuators.replace(Rc::new(make_actuators(&fresh, &self.host, &self.bus, &self.cloud)));
                self.shown.borrow_mut().config = config_info(&fresh);
                let policy = fresh.settings.policy.clone();
                self.loaded.replace(fresh);
                let _ = self.asks.send(Ask::Configure(self.wanted())).await;
                Some(policy)
            }
            Err(error) => {
                events::emit(ShellEvent::ConfigRejected { error: error.to_string() });
                self.shown.borrow_mut().config.problem = Some(error.to_string());
                None
            }
        }
    }
}

fn tell_reload(fresh: &Loaded, old: &Loaded) {
    let changes = fresh.changes(old);
    let lines = changes.iter().map(|(key, before, after)| format!("{key}: {before} → {after}"));
    let changes = (!changes.is_empty()).then(|| lines.collect::<Vec<_>>().join("; "));
    events::emit(ShellEvent::ConfigLoaded { files: fresh.files.len(), changes });
    tell_warnings(fresh);
}

fn make_actuators(loaded: &Loaded, host: &HostRoot, bus: &BusMode, cloud: &Arc<Cloud>) -> Actuators {
    let settings = &loaded.settings;
    let hook = settings.hook.as_ref().map(|hook| actuators::HookSettings {
        command: hook.command.to_string(),
        timeout: hook.timeout,
        user: hook.user.clone(),
    });
    let settings = ActuatorSettings {
        tag_prefix: settings.tags.prefix.clone(),
        tag_compat: settings.tags.compat.iter().map(|c| c.as_str().to_owned()).collect(),
        hook,
        host: host.clone(),
        bus: bus.clone(),
        hostname: nix::unistd::gethostname()
            .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned()),
        clock: now,
    };
    Actuators::new(settings, Arc::clone(cloud))
}

fn config_info(loaded: &Loaded) -> ConfigInfo {
    let files = loaded.files.iter().map(|file| file.display().to_string()).collect();
    ConfigInfo { files, problem: None }
}

/// Tells the loop when logind says that the machine woke up. Without logind the kernel's clocks tell it alone.
async fn watch_resumes(bus: BusMode, host: HostRoot, to: mpsc::WeakSender<Message>) {
    loop {
        let Ok(mut watch) = ResumeWatch::subscribe(&bus, &host).await else {
            if bus == BusMode::None {
                return;
            }
            tokio::time::sleep(BUS_RETRY).await;
            continue;
        };
        while watch.resumed().await {
            let Some(to) = to.upgrade() else { return };
            if to.send(Message::Input(Input::Resumed)).await.is_err() {
                return;
            }
        }
    }
}

/// The sources as the configuration needs to know them.
fn known_sources() -> Vec<config::SourceKnown> {
    sources::ALL.iter().map(known_source).collect()
}

fn known_source(spec: &sources::SourceSpec) -> config::SourceKnown {
    let options = spec.options.iter().map(|option| config::OptionKnown {
        key: option.key,
        kind: match option.kind {
            sources::OptionKind::Duration => config::OptionKind::Duration,
            sources::OptionKind::Bool => config::OptionKind::Bool,
            sources::OptionKind::Text => config::OptionKind::Text,
            sources::OptionKind::TextList => config::OptionKind::TextList,
            sources::OptionKind::Number => config::OptionKind::Number,
        },
        default: option.default,
        about: option.about,
    });
    config::SourceKnown {
        name: spec.name,
        about: spec.about,
        unit: spec.unit,
        scale: spec.scale,
        busy_above: spec.busy_above,
        average: spec.average,
        options: options.collect(),
    }
}

/// What `agentd config` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRequest {
    /// Answer with one JSON document.
    pub json: bool,
    /// The question.
    pub what: ConfigQuestion,
}

/// The questions of `agentd config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigQuestion {
    /// What is wrong?
    Check,
    /// What is in force, and from where?
    Show,
    /// What does this key mean?
    Explain(String),
}

/// Answers `agentd config …` on standard output. Problems go to standard error unless they are the answer.
pub fn print_config(from: &LoadFrom, request: &ConfigRequest) -> ExitCode {
    let known = known_sources();
    let loaded = config::load(from, &known);
    let (answer, bad) = match (&request.what, &loaded) {
        (ConfigQuestion::Check, loaded) => (config::check(loaded), loaded.is_err()),
        (ConfigQuestion::Show, Ok(loaded)) => (config::show(loaded), false),
        (ConfigQuestion::Explain(key), loaded) => {
            match config::explain(&known, loaded.as_ref().ok(), key) {
                Ok(answer) => (answer, false),
                Err(unknown) => {
                    return complain(&format!("error: {unknown}\n"), 2);
                }
            }
        }
        (ConfigQuestion::Show, Err(_)) => (config::check(&loaded), true),
    };
    let text = if request.json { format!("{}\n", answer.json) } else { answer.text };
    if bad && request.what != ConfigQuestion::Check {
        return complain(&text, EXIT_CONFIG);
    }
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    if bad { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS }
}

fn complain(text: &str, code: u8) -> ExitCode {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    ExitCode::from(code)
}

fn prepare_state(folder: &Path) -> Result<Flock<std::fs::File>, RunError> {
    let failed = |path: &Path, error| RunError::State { path: path.to_owned(), error };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let path = folder.join("lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| failed(&path, error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::Error::EWOULDBLOCK)) => Err(RunError::Locked(path)),
        Err((_, error)) => Err(failed(&path, error.into())),
    }
}

/// systemd makes `/run/agentd` for the unit and says so (`RuntimeDirectory=`); elsewhere the state folder serves.
fn runtime_dir(state: &Path) -> PathBuf {
    std::env::var_os("RUNTIME_DIRECTORY").map_or_else(|| state.to_owned(), PathBuf::from)
}

fn socket_path() -> PathBuf {
    std::env::var_os("AGENTD_SOCKET")
        .map_or_else(|| PathBuf::from("/run/agentd/agentd.sock"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_configuration_is_what_this_agent_knows() {
        let text = config::default_config_text(&known_sources()).unwrap();
        assert_eq!(text, include_str!("../../packaging/config.d/agentd.toml"));
    }

    #[test]
    fn a_second_agent_on_the_same_state_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let first = prepare_state(state.path()).unwrap();
        assert!(matches!(prepare_state(state.path()), Err(RunError::Locked(_))));
        drop(first);
        assert!(prepare_state(state.path()).is_ok());
    }

    #[test]
    fn a_state_folder_that_cannot_be_made_is_named() {
        let error = prepare_state(Path::new("/proc/no-such-folder/x")).unwrap_err();
        assert!(error.to_string().contains("/proc/no-such-folder/x"), "{error}");
    }
}
