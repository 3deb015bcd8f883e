//! Puts the daemon together, and takes it apart again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use agent_core::engine::Engine;
use agent_core::policy::Mode;
use agent_core::stamp::Stamp;
use nix::fcntl::{Flock, FlockArg};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::aws::{Cloud, CloudError, CloudSettings};
use crate::clock;
use crate::config::{self, ConfigError, LoadFrom, Loaded};
use crate::config_command::{EXIT_CONFIG, known_sources};
use crate::daemon::Daemon;
use crate::events::{self, ShellEvent, Verbosity};
use crate::host::HostRoot;
use crate::ipc::{Listener, SocketError};
use crate::ledger::LedgerError;
use crate::publish::AgentInfo;
use crate::shell::Shell;
use crate::store::Files;
use crate::virtual_time;
use crate::virtual_time::driver::{Driver, DriverError};

/// Messages that may wait for the loop. It takes each in microseconds; more than this is a flood that must wait.
pub(crate) const INBOX: usize = 256;
/// Urgent messages that may wait for the loop: notices, and the ends of hooks.
const URGENT: usize = 32;
/// Another agent has the lock (`sysexits.h`, `EX_TEMPFAIL`).
const EXIT_LOCKED: u8 = 75;

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the configuration is.
    pub config: LoadFrom,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Where /proc, /sys, /dev and /run are.
    pub host_root: PathBuf,
    /// The socket of the driver that moves the time, for tests.
    pub virtual_clock: Option<PathBuf>,
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
    /// The time, where a driver moves it.
    #[error(transparent)]
    VirtualClock(#[from] DriverError),
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

/// The time that the daemon lives by.
pub(crate) fn now() -> Stamp {
    clock::now()
}

/// Runs until it is asked to end.
pub async fn run(options: Options) -> Result<(), RunError> {
    events::start(Verbosity::default()).map_err(RunError::Events)?;
    let driver = connect_driver(&options)?;
    let started = now();
    let loaded = config::load(&options.config, &known_sources())?;
    let host = HostRoot::at(&options.host_root);
    let boot_id = clock::boot_id(&host, started);
    let _lock = prepare_state(&options.state_dir)?;
    let runtime_dir = runtime_dir(&options.state_dir);
    let (mut files, recovery) = Files::open(&options.state_dir, &runtime_dir, &boot_id, started)?;
    let listener = Listener::open(&socket_path())?;
    let cloud = connect_cloud()?;
    let agent = AgentInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        boot_id,
        started,
    };
    tell_start(&agent, &loaded);
    let policy = loaded.settings.policy.clone();
    let daemon = Daemon::new(options, loaded, host, cloud);
    files.start_recorder(daemon.recorder(), started, &policy, &recovery);
    let engine = Engine::new(policy, recovery, started);
    let (inbox_tx, inbox) = mpsc::channel(INBOX);
    let (urgent_tx, urgent) = mpsc::channel(URGENT);
    let (publisher, subscriber) = daemon.open_picture(engine.view(started), &agent);
    daemon.serve(listener, subscriber, inbox_tx.downgrade());
    let hands = daemon.hands(publisher, agent, &inbox_tx, &urgent_tx);
    daemon.watch_the_world(&inbox_tx, &urgent_tx);
    if let Some(driver) = driver {
        tokio::task::spawn_local(driver.follow());
    }
    // Ready before the metadata service or EC2 are touched: an installation from user-data waits for this.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(RunError::Signals)?;
    let shell = Shell::new(engine, now, files, hands);
    tokio::join!(shell.run(inbox, urgent), daemon.obey(signals, inbox_tx));
    drop(urgent_tx);
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    Ok(())
}

fn connect_cloud() -> Result<Arc<Cloud>, RunError> {
    let settings = CloudSettings::from_env(variable)?;
    let clock = match virtual_time::get() {
        None => crate::aws::imds::boot_clock(),
        Some(time) => Arc::new(|| time.now().boot()),
    };
    Ok(Arc::new(Cloud::new(settings, variable, clock)?))
}

/// Lets a driver move the time, if that is wanted and this is no live machine.
fn connect_driver(options: &Options) -> Result<Option<Driver>, RunError> {
    let Some(socket) = &options.virtual_clock else { return Ok(None) };
    let cloud = CloudSettings::from_env(variable)?;
    Ok(Some(Driver::connect(socket, &options.host_root, &cloud)?))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
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

/// Tells what is unsafe in a configuration that is in force.
pub(crate) fn tell_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        events::emit(ShellEvent::ConfigWarning { problem: warning.to_string() });
    }
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
