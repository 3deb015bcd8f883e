//! logind over D-Bus (org.freedesktop.login1(5)): inhibitors, and the word that the machine woke up.

use futures_util::StreamExt;
use thiserror::Error;
use zbus::Connection;
use zbus::connection::Builder;

use super::HostRoot;

/// Which message bus is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BusMode {
    /// The system bus of the machine.
    System,
    /// The bus at a D-Bus address, such as `unix:path=/run/other`.
    Address(String),
    /// None: nothing that needs a bus is read.
    #[default]
    None,
}

/// Why logind gave no answer.
#[derive(Debug, Error)]
pub enum LogindError {
    /// No bus is wanted, or the machine has none.
    #[error("reach a message bus: {0}")]
    NoBus(&'static str),
    /// There is a bus, and the machine never ran logind.
    #[error("reach logind: it does not run on the machine ({0})")]
    NoLogind(zbus::Error),
    /// Anything else.
    #[error("{doing} logind over D-Bus: {error}")]
    Failed {
        /// The verb.
        doing: &'static str,
        /// Why.
        #[source]
        error: zbus::Error,
    },
}

/// One entry of `ListInhibitors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibitor {
    /// What is inhibited: `shutdown`, `sleep`, `idle`, `handle-…`, joined by colons.
    pub what: String,
    /// The program that asked for it.
    pub who: String,
    /// Its reason.
    pub why: String,
    /// `block`, `block-weak` or `delay`.
    pub mode: String,
    /// The user.
    pub uid: u32,
    /// The process.
    pub pid: u32,
}

mod dbus {
    //! The part of the interface that is used.

    /// An inhibitor as it travels: what, who, why, mode, uid, pid.
    pub(super) type Wire = (String, String, String, String, u32, u32);

    #[zbus::proxy(
        interface = "org.freedesktop.login1.Manager",
        default_service = "org.freedesktop.login1",
        default_path = "/org/freedesktop/login1"
    )]
    pub(super) trait Login1 {
        /// All current inhibitors.
        fn list_inhibitors(&self) -> zbus::Result<Vec<Wire>>;

        /// Sent before (true) and after (false) a suspend or hibernation.
        #[zbus(signal)]
        fn prepare_for_sleep(&self, start: bool) -> zbus::Result<()>;
    }
}

/// A client that keeps its connection, and connects anew after a failure.
#[derive(Debug)]
pub struct Logind {
    mode: BusMode,
    root: HostRoot,
    connection: Option<Connection>,
}

impl Logind {
    /// A client that has not connected yet.
    pub fn new(mode: BusMode, root: HostRoot) -> Self {
        Self { mode, root, connection: None }
    }

    /// The inhibitors that are in force.
    pub async fn inhibitors(&mut self) -> Result<Vec<Inhibitor>, LogindError> {
        // Taken out for the call: if the caller gives up waiting, the next call uses a new connection.
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.mode, &self.root).await?,
        };
        let asked = async { dbus::Login1Proxy::new(&connection).await?.list_inhibitors().await };
        let list = asked.await.map_err(|error| self.classify(error))?;
        self.connection = Some(connection);
        let entry = |(what, who, why, mode, uid, pid)| Inhibitor { what, who, why, mode, uid, pid };
        Ok(list.into_iter().map(entry).collect())
    }

    /// logind keeps its state in `/run/systemd`; if that is not there, it never ran.
    fn classify(&self, error: zbus::Error) -> LogindError {
        let answered = matches!(error, zbus::Error::MethodError(..) | zbus::Error::FDO(_));
        let ran = ["/run/systemd/inhibit", "/run/systemd/seats"]
            .iter()
            .any(|folder| self.root.exists(folder).unwrap_or(true));
        if answered && !ran {
            LogindError::NoLogind(error)
        } else {
            LogindError::Failed { doing: "ask", error }
        }
    }
}

/// Waits for the machine to wake up.
pub struct ResumeWatch {
    signals: dbus::PrepareForSleepStream,
}

impl std::fmt::Debug for ResumeWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResumeWatch").finish_non_exhaustive()
    }
}

impl ResumeWatch {
    /// Subscribes to `PrepareForSleep` on its own connection.
    pub async fn subscribe(mode: &BusMode, root: &HostRoot) -> Result<Self, LogindError> {
        let failed = |error| LogindError::Failed { doing: "subscribe to", error };
        let connection = connect(mode, root).await?;
        let proxy = dbus::Login1Proxy::new(&connection).await.map_err(failed)?;
        Ok(Self { signals: proxy.receive_prepare_for_sleep().await.map_err(failed)? })
    }

    /// Returns true when logind says that the machine was resumed, false when the connection is lost for good.
    pub async fn resumed(&mut self) -> bool {
        while let Some(signal) = self.signals.next().await {
            if signal.args().is_ok_and(|args| !args.start) {
                return true;
            }
        }
        false
    }
}

/// Connects to the bus that is wanted.
pub(super) async fn connect(mode: &BusMode, root: &HostRoot) -> Result<Connection, LogindError> {
    let builder = match mode {
        BusMode::None => return Err(LogindError::NoBus("none is wanted")),
        BusMode::Address(address) => Builder::address(address.as_str()),
        BusMode::System => {
            let elsewhere = std::env::var_os("DBUS_SYSTEM_BUS_ADDRESS").is_some();
            if !elsewhere && matches!(root.exists("/run/dbus/system_bus_socket"), Ok(false)) {
                return Err(LogindError::NoBus("there is no '/run/dbus/system_bus_socket'"));
            }
            Builder::system()
        }
    };
    builder.build().await.map_err(|error| LogindError::Failed { doing: "connect to", error })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use std::process::Stdio;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::{Child, Command};
    use zbus::object_server::SignalEmitter;

    /// A logind with one inhibitor of each mode.
    struct FakeLogin1;

    #[zbus::interface(name = "org.freedesktop.login1.Manager")]
    impl FakeLogin1 {
        #[expect(clippy::unused_self, reason = "the macro wants a method")]
        fn list_inhibitors(&self) -> Vec<dbus::Wire> {
            let entry = |what: &str, mode: &str| {
                (what.to_owned(), "apt".to_owned(), "upgrade".to_owned(), mode.to_owned(), 0, 77)
            };
            vec![entry("shutdown:sleep", "block"), entry("sleep", "delay")]
        }

        #[zbus(signal)]
        async fn prepare_for_sleep(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
    }

    const PATH: &str = "/org/freedesktop/login1";

    /// A message bus of one test, ended with it.
    pub(in crate::host) struct Bus {
        _daemon: Child,
        _socket: Tree,
        pub(in crate::host) mode: BusMode,
        pub(in crate::host) address: String,
    }

    impl Bus {
        pub(in crate::host) async fn start() -> Self {
            let socket = Tree::new();
            let mut daemon = Command::new("dbus-daemon")
                .args(["--session", "--nofork", "--nopidfile", "--print-address"])
                .arg(format!("--address=unix:path={}", socket.path("/bus").display()))
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("this test needs the Debian package dbus-daemon");
            // It prints its address once it listens.
            let mut line = String::new();
            let mut output = BufReader::new(daemon.stdout.take().unwrap());
            output.read_line(&mut line).await.unwrap();
            let address = line.trim().to_owned();
            Self {
                _daemon: daemon,
                _socket: socket,
                mode: BusMode::Address(address.clone()),
                address,
            }
        }

        async fn logind(&self) -> Connection {
            let builder = Builder::address(self.address.as_str());
            let builder = builder.name("org.freedesktop.login1").serve_at(PATH, FakeLogin1);
            builder.build().await.unwrap()
        }
    }

    #[tokio::test]
    async fn inhibitors_are_listed_also_after_logind_was_started_anew() {
        let (bus, tree) = (Bus::start().await, Tree::new());
        tree.folder("/run/systemd/inhibit");
        let mut logind = Logind::new(bus.mode.clone(), tree.root());
        let error = logind.inhibitors().await.unwrap_err();
        assert!(matches!(error, LogindError::Failed { .. }), "logind ran before: {error}");
        for _ in 0..2 {
            let server = bus.logind().await;
            let list = logind.inhibitors().await.unwrap();
            assert_eq!(list.len(), 2);
            assert_eq!((list[0].what.as_str(), list[0].mode.as_str()), ("shutdown:sleep", "block"));
            assert_eq!((list[0].who.as_str(), list[0].pid), ("apt", 77));
            server.close().await.unwrap();
            assert!(logind.inhibitors().await.is_err());
        }
    }

    #[tokio::test]
    async fn a_bus_without_logind_has_none_if_it_never_ran() {
        let (bus, tree) = (Bus::start().await, Tree::new());
        let mut logind = Logind::new(bus.mode.clone(), tree.root());
        let error = logind.inhibitors().await.unwrap_err();
        assert!(matches!(error, LogindError::NoLogind(_)), "{error}");
    }

    #[tokio::test]
    async fn waking_up_is_told_and_falling_asleep_is_not() {
        let (bus, tree) = (Bus::start().await, Tree::new());
        let server = bus.logind().await;
        let mut watch = ResumeWatch::subscribe(&bus.mode, &tree.root()).await.unwrap();
        let emitter = SignalEmitter::new(&server, PATH).unwrap();
        FakeLogin1::prepare_for_sleep(&emitter, true).await.unwrap();
        let short = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(short, watch.resumed()).await.is_err());
        FakeLogin1::prepare_for_sleep(&emitter, false).await.unwrap();
        assert!(watch.resumed().await);
        drop(bus);
        assert!(!watch.resumed().await, "the bus is gone");
    }

    #[tokio::test]
    async fn without_a_bus_nothing_is_asked() {
        let tree = Tree::new();
        let mut logind = Logind::new(BusMode::None, tree.root());
        assert!(matches!(logind.inhibitors().await, Err(LogindError::NoBus(_))));
        let mut logind = Logind::new(BusMode::System, tree.root());
        if std::env::var_os("DBUS_SYSTEM_BUS_ADDRESS").is_none() {
            assert!(matches!(logind.inhibitors().await, Err(LogindError::NoBus(_))));
        }
    }

    #[tokio::test]
    async fn a_bus_that_refuses_the_connection_is_a_failure_and_not_an_absence() {
        let tree = Tree::new();
        let address = format!("unix:path={}", tree.path("/nobody").display());
        let mut logind = Logind::new(BusMode::Address(address.clone()), tree.root());
        let error = logind.inhibitors().await.unwrap_err();
        assert!(matches!(error, LogindError::Failed { .. }), "{error}");
        let watch = ResumeWatch::subscribe(&BusMode::Address(address), &tree.root()).await;
        assert!(watch.is_err());
    }
}
