//! The hook as a systemd unit. (org.freedesktop.systemd1(5).)

use core::time::Duration;

use agent_core::action::{Outcome, Retry};
use futures_util::StreamExt;
use nix::sys::signal::Signal;
use tokio::sync::{Mutex, watch};
use zbus::Connection;
use zbus::connection::Builder;

use super::Times;
use super::program::over;
use crate::host::logind::BusMode;

mod dbus {
    //! The part of the interface that is used.

    #[zbus::proxy(
        interface = "org.freedesktop.systemd1.Manager",
        default_service = "org.freedesktop.systemd1",
        default_path = "/org/freedesktop/systemd1"
    )]
    pub(super) trait Manager {
        /// Asks for signals.
        fn subscribe(&self) -> zbus::Result<()>;

        /// Queues a start job and returns its path.
        fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<zbus::OwnedObjectPath>;

        /// Queues a stop job.
        fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<zbus::OwnedObjectPath>;

        /// Sends a signal to the processes of a unit: to `all`, `main` or `control`.
        fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;

        /// A job is over: its number, its path, its unit and its result.
        #[zbus(signal)]
        fn job_removed(
            &self,
            id: u32,
            job: zbus::ObjectPath<'_>,
            unit: &str,
            result: &str,
        ) -> zbus::Result<()>;
    }
}

/// What is done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actuators) enum Job {
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
}

impl Job {
    /// `UNIT`, `start UNIT` or `stop UNIT`; none where the unit is neither a service nor a target.
    pub(in crate::actuators) fn parse(hook: &str) -> Option<(Self, &str)> {
        let (job, name) = match hook.split_once(' ') {
            Some(("start", name)) => (Self::Start, name),
            Some(("stop", name)) => (Self::Stop, name),
            Some(_) => return None,
            None => (Self::Start, hook),
        };
        (is_unit(name, ".service") || is_unit(name, ".target")).then_some((job, name))
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// How long a connection to the bus may take.
const CONNECT: Duration = Duration::from_secs(3);

/// The way to systemd. It is made ahead of the time when there is none, and made again when it broke.
#[derive(Debug, Default)]
pub(in crate::actuators) struct Systemd {
    connection: Mutex<Option<Connection>>,
}

impl Systemd {
    /// Makes the connection, so that the first job does not wait for it.
    pub(in crate::actuators) async fn prepare(&self, bus: &BusMode) -> zbus::Result<()> {
        self.connection(bus, None).await.map(drop)
    }

    /// The connection; a new one instead of `broken`.
    async fn connection(&self, bus: &BusMode, broken: Option<&str>) -> zbus::Result<Connection> {
        let mut kept = self.connection.lock().await;
        let name = |one: &Connection| one.unique_name().map(ToString::to_string);
        if let Some(kept) =
            kept.as_ref().filter(|one| broken.is_none() || name(one).as_deref() != broken)
        {
            return Ok(kept.clone());
        }
        let late = |_| zbus::Error::Failure("the message bus does not answer".to_owned());
        let fresh = tokio::time::timeout(CONNECT, subscribed(bus)).await.map_err(late)??;
        Ok(kept.insert(fresh).clone())
    }

    /// Queues the job and waits until it is over, at most until `times.kill`. What is started is stopped at `times.end`; a
    /// unit that is being stopped is left to systemd, which knows its `TimeoutStopSec`.
    pub(in crate::actuators) async fn run(
        &self,
        bus: &BusMode,
        (job, name): (Job, &str),
        times: &mut watch::Receiver<Times>,
    ) -> Outcome {
        let verb = job.verb();
        let mut until_kill = times.clone();
        let queued = async {
            match self.queue(bus, None, job, name).await {
                // The bus closed the connection since it was used last; a job that was queued all the same is queued again,
                // which changes nothing.
                Err(error) if is_broken(&error.0) => {
                    self.queue(bus, error.1.as_deref(), job, name).await
                }
                other => other,
            }
        };
        let queued = tokio::select! {
            queued = queued => queued,
            () = over(&mut until_kill, |times| times.kill) => {
                return failed(format!("{verb} {name}: systemd did not answer in time"));
            }
        };
        match queued {
            Ok(queued) => follow(queued, job, name, times).await,
            Err((error, _)) => failed(format!("{verb} {name}: {error}")),
        }
    }

    async fn queue(
        &self,
        bus: &BusMode,
        broken: Option<&str>,
        job: Job,
        name: &str,
    ) -> Result<Queued, (zbus::Error, Option<String>)> {
        let connection = self.connection(bus, broken).await.map_err(|error| (error, None))?;
        let of = connection.unique_name().map(ToString::to_string);
        let queued = async {
            let manager = dbus::ManagerProxy::new(&connection).await?;
            // Listening begins before the job does, so that a short job is not missed.
            let removed = manager.receive_job_removed().await?;
            let path = match job {
                Job::Start => manager.start_unit(name, "replace").await?,
                Job::Stop => manager.stop_unit(name, "replace").await?,
            };
            Ok(Queued { manager, removed, path })
        };
        queued.await.map_err(|error| (error, of))
    }
}

/// Whether the connection, and not systemd, is at fault.
fn is_broken(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(_))
}

/// A job on its way.
struct Queued {
    manager: dbus::ManagerProxy<'static>,
    removed: dbus::JobRemovedStream,
    path: zbus::OwnedObjectPath,
}

impl Queued {
    async fn result(&mut self) -> zbus::Result<String> {
        end_of(&mut self.removed, &self.path).await
    }
}

/// The result of a job that was queued after the listening began: `done`, `failed`, `timeout`, `dependency`, `canceled`,
/// `skipped`.
async fn end_of(
    removed: &mut dbus::JobRemovedStream,
    job: &zbus::OwnedObjectPath,
) -> zbus::Result<String> {
    while let Some(signal) = removed.next().await {
        let signal = signal.args()?;
        if signal.job().as_str() == job.as_str() {
            return Ok(signal.result().to_string());
        }
    }
    Err(zbus::Error::Failure("the connection to systemd was lost".to_owned()))
}

async fn follow(
    mut queued: Queued,
    job: Job,
    name: &str,
    times: &mut watch::Receiver<Times>,
) -> Outcome {
    let verb = job.verb();
    // Only what was started is ended.
    let limit: fn(&Times) -> tokio::time::Instant = match job {
        Job::Start => |times| times.end,
        Job::Stop => |times| times.kill,
    };
    let result = tokio::select! {
        biased;
        result = queued.result() => result,
        () = over(times, limit) => return match job {
            Job::Start => end_start(&queued, name, times).await,
            Job::Stop => failed(format!(
                "stop {name} in time: it was still stopping, and its own TimeoutStopSec says for how long"
            )),
        },
    };
    match result {
        Ok(result) if result == "done" => Outcome::Done { detail: format!("{verb} {name}: done") },
        Ok(result) => {
            failed(format!("{verb} {name}: its job ended as {result:?}; see journalctl -u {name}"))
        }
        Err(error) => failed(format!("{verb} {name}: {error}")),
    }
}

/// Ends a unit whose start takes too long: it is stopped, and what is left of it in the end is killed.
async fn end_start(queued: &Queued, name: &str, times: &mut watch::Receiver<Times>) -> Outcome {
    let manager = &queued.manager;
    let stopped = async {
        let mut removed = manager.receive_job_removed().await?;
        let path = manager.stop_unit(name, "replace").await?;
        end_of(&mut removed, &path).await
    };
    let then = tokio::select! {
        biased;
        stopped = stopped => match stopped {
            Ok(_) => "it was stopped".to_owned(),
            Err(error) => format!("it could not be stopped: {error}"),
        },
        () = over(times, |times| times.kill) => {
            let killed = manager.kill_unit(name, "all", Signal::SIGKILL as i32);
            match tokio::time::timeout(Duration::from_secs(1), killed).await {
                Ok(Ok(())) => "it was killed".to_owned(),
                _ => "it could not be killed".to_owned(),
            }
        }
    };
    failed(format!("start {name} in time; {then}"))
}

fn failed(error: String) -> Outcome {
    Outcome::Failed { error, retry: Retry::Never }
}

/// Whether it is the name of a unit of that kind. systemd.unit(5): letters, digits and `:-_.\@`, at most 255 characters.
pub(super) fn is_unit(name: &str, suffix: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let stem = name.strip_suffix(suffix).unwrap_or_default();
    !stem.is_empty() && name.len() <= 255 && name.bytes().all(plain)
}

/// A connection to which systemd sends its signals. It refuses a second `Subscribe` from the same one (`AlreadySubscribed`), so each
/// asks once.
async fn subscribed(bus: &BusMode) -> zbus::Result<Connection> {
    let connection = connect(bus).await?;
    dbus::ManagerProxy::new(&connection).await?.subscribe().await?;
    Ok(connection)
}

async fn connect(bus: &BusMode) -> zbus::Result<Connection> {
    match bus {
        BusMode::System => Builder::system().build().await,
        BusMode::Address(address) => Builder::address(address.as_str()).build().await,
        BusMode::None => Err(zbus::Error::Failure("there is no message bus".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use tokio::io::AsyncReadExt;

    use zbus::object_server::SignalEmitter;

    use super::*;

    #[derive(Debug, zbus::DBusError)]
    #[zbus(prefix = "org.freedesktop.systemd1")]
    enum Refusal {
        #[zbus(error)]
        ZBus(zbus::Error),
        AlreadySubscribed(String),
    }

    /// A systemd that knows jobs and nothing else.
    #[derive(Default)]
    struct Systemd {
        /// The connections to which it sends signals.
        subscribers: Mutex<BTreeSet<String>>,
        /// How the job ends; none: never.
        result: Option<&'static str>,
        stopped: Arc<AtomicBool>,
        killed: Arc<AtomicBool>,
    }

    const STOP_JOB: &str = "/org/freedesktop/systemd1/job/8";
    const JOB: &str = "/org/freedesktop/systemd1/job/7";

    #[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
    impl Systemd {
        /// As systemd does (`method_subscribe` of its dbus-manager.c).
        #[expect(clippy::needless_pass_by_value, reason = "the interface wants it so")]
        fn subscribe(
            &self,
            #[zbus(header)] header: zbus::message::Header<'_>,
        ) -> Result<(), Refusal> {
            let sender = header.sender().unwrap().to_string();
            if self.subscribers.lock().unwrap().insert(sender) {
                Ok(())
            } else {
                Err(Refusal::AlreadySubscribed("Client is already subscribed.".to_owned()))
            }
        }

        async fn start_unit(
            &self,
            name: String,
            mode: String,
            #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        ) -> zbus::fdo::Result<zbus::OwnedObjectPath> {
            if name == "missing.service" || mode != "replace" {
                return Err(zbus::fdo::Error::FileNotFound(
                    "Unit missing.service not found.".to_owned(),
                ));
            }
            let other = zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/6").unwrap();
            Self::job_removed(&emitter, 6, other, "other.service", "failed").await?;
            if let Some(result) = self.result {
                let job = zbus::ObjectPath::try_from(JOB).unwrap();
                Self::job_removed(&emitter, 7, job, &name, result).await?;
            }
            Ok(zbus::OwnedObjectPath::try_from(JOB).unwrap())
        }

        async fn stop_unit(
            &self,
            name: String,
            mode: String,
            #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        ) -> zbus::fdo::Result<zbus::OwnedObjectPath> {
            assert_eq!((name.as_str(), mode.as_str()), ("backup.service", "replace"));
            self.stopped.store(true, Ordering::SeqCst);
            if let Some(result) = self.result {
                let job = zbus::ObjectPath::try_from(STOP_JOB).unwrap();
                Self::job_removed(&emitter, 8, job, &name, result).await?;
            }
            Ok(zbus::OwnedObjectPath::try_from(STOP_JOB).unwrap())
        }

        fn kill_unit(&self, name: &str, whom: &str, signal: i32) {
            assert_eq!((name, whom, signal), ("backup.service", "all", 9));
            self.killed.store(true, Ordering::SeqCst);
        }

        #[zbus(signal)]
        async fn job_removed(
            emitter: &SignalEmitter<'_>,
            id: u32,
            job: zbus::ObjectPath<'_>,
            unit: &str,
            result: &str,
        ) -> zbus::Result<()>;
    }

    /// A private message bus, ended with the test.
    struct Bus {
        address: String,
        _daemon: tokio::process::Child,
        _folder: tempfile::TempDir,
    }

    /// None, and a word about it, where there is no `dbus-daemon` (Debian package dbus-daemon).
    async fn bus() -> Option<Bus> {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}/bus", folder.path().display());
        let mut command = tokio::process::Command::new("dbus-daemon");
        command.args([
            "--session",
            "--nofork",
            "--nopidfile",
            "--print-address",
            "--address",
            &address,
        ]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true);
        let Ok(mut daemon) = command.spawn() else {
            eprintln!("not run: there is no dbus-daemon on this machine");
            return None;
        };
        let mut ready = [0; 1];
        daemon.stdout.take().unwrap().read_exact(&mut ready).await.unwrap();
        Some(Bus { address, _daemon: daemon, _folder: folder })
    }

    async fn serve(bus: &Bus, systemd: Systemd) -> Connection {
        Builder::address(bus.address.as_str())
            .serve_at("/org/freedesktop/systemd1", systemd)
            .name("org.freedesktop.systemd1")
            .build()
            .await
            .unwrap()
    }

    /// A job of a drain with 200 ms to its end and 400 ms to the kill; whether the unit was stopped and killed.
    async fn drained(result: Option<&'static str>, hook: &str) -> Option<(Outcome, bool, bool)> {
        drained_within(result, hook, 200, 400).await
    }

    async fn drained_within(
        result: Option<&'static str>,
        hook: &str,
        end_ms: u64,
        kill_ms: u64,
    ) -> Option<(Outcome, bool, bool)> {
        let bus = bus().await?;
        let (stopped, killed) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let systemd = Systemd {
            result,
            stopped: stopped.clone(),
            killed: killed.clone(),
            ..Systemd::default()
        };
        let _server = serve(&bus, systemd).await;
        let ms = Duration::from_millis;
        let times = Times::after(tokio::time::Instant::now(), ms(end_ms), ms(kill_ms));
        let (_sender, mut times) = watch::channel(times);
        let mode = BusMode::Address(bus.address.clone());
        let job = Job::parse(hook).unwrap();
        let outcome = super::Systemd::default().run(&mode, job, &mut times).await;
        Some((outcome, stopped.load(Ordering::SeqCst), killed.load(Ordering::SeqCst)))
    }

    #[tokio::test]
    async fn a_drain_stops_a_unit_and_waits_for_the_end_of_its_job() {
        let Some((outcome, stopped, _)) = drained(Some("done"), "stop backup.service").await else {
            return;
        };
        assert_eq!(outcome, Outcome::Done { detail: "stop backup.service: done".to_owned() });
        assert!(stopped);
        let Some((outcome, ..)) = drained(Some("failed"), "stop backup.service").await else {
            return;
        };
        assert!(
            matches!(&outcome, Outcome::Failed { error, .. } if error.contains("failed")),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn a_unit_that_is_still_stopping_is_left_to_systemd() {
        let Some((outcome, stopped, killed)) = drained(None, "stop backup.service").await else {
            return;
        };
        assert!(
            matches!(&outcome, Outcome::Failed { error, .. } if error.contains("still stopping")),
            "{outcome:?}"
        );
        assert!(stopped && !killed);
    }

    #[tokio::test]
    async fn a_unit_that_does_not_start_in_time_is_stopped_and_then_killed() {
        let Some((outcome, ..)) = drained(Some("done"), "start backup.service").await else {
            return;
        };
        assert_eq!(outcome, Outcome::Done { detail: "start backup.service: done".to_owned() });
        let Some((outcome, stopped, killed)) = drained(None, "backup.service").await else {
            return;
        };
        assert!(
            matches!(&outcome, Outcome::Failed { error, .. } if error.contains("killed")),
            "{outcome:?}"
        );
        assert!(stopped && killed);
    }

    #[tokio::test]
    async fn without_a_span_between_them_a_start_is_killed_and_not_said_to_stop() {
        let Some((outcome, _, killed)) =
            drained_within(None, "start backup.service", 300, 300).await
        else {
            return;
        };
        assert!(
            matches!(&outcome, Outcome::Failed { error, .. } if error.contains("killed")),
            "{outcome:?}"
        );
        assert!(killed);
    }

    /// A second from now.
    fn second() -> watch::Receiver<Times> {
        let second = Duration::from_secs(1);
        watch::channel(Times::after(tokio::time::Instant::now(), second, second)).1
    }

    #[tokio::test]
    async fn a_connection_that_broke_is_made_again() {
        let Some(bus) = bus().await else { return };
        let _server = serve(&bus, Systemd { result: Some("done"), ..Systemd::default() }).await;
        let systemd = super::Systemd::default();
        let mode = BusMode::Address(bus.address.clone());
        systemd.prepare(&mode).await.unwrap();
        let first = systemd.connection(&mode, None).await.unwrap();
        first.clone().close().await.unwrap();
        let outcome = systemd.run(&mode, (Job::Start, "backup.service"), &mut second()).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }

    #[test]
    fn jobs_are_units_with_a_verb() {
        assert_eq!(Job::parse("a.service"), Some((Job::Start, "a.service")));
        assert_eq!(Job::parse("start a.target"), Some((Job::Start, "a.target")));
        assert_eq!(Job::parse("stop a@b.service"), Some((Job::Stop, "a@b.service")));
        for hook in [
            "",
            "a",
            "stop",
            "stop ",
            "restart a.service",
            "stop a.timer",
            "stop  a.service",
            "a;b.service",
        ] {
            assert_eq!(Job::parse(hook), None, "{hook}");
        }
    }

    #[tokio::test]
    async fn every_job_after_the_first_runs_over_the_same_connection() {
        let Some(bus) = bus().await else { return };
        let _server = serve(&bus, Systemd { result: Some("done"), ..Systemd::default() }).await;
        let (systemd, mode) = (super::Systemd::default(), BusMode::Address(bus.address.clone()));
        systemd.prepare(&mode).await.unwrap();
        for number in 0..3 {
            let outcome = systemd.run(&mode, (Job::Start, "backup.service"), &mut second()).await;
            assert!(matches!(outcome, Outcome::Done { .. }), "{number}: {outcome:?}");
        }
        let connection = systemd.connection(&mode, None).await.unwrap();
        let again = dbus::ManagerProxy::new(&connection).await.unwrap().subscribe().await;
        assert!(
            again.unwrap_err().to_string().contains("AlreadySubscribed"),
            "as the real one refuses"
        );
    }

    /// A socket that takes connections and never says anything.
    #[tokio::test(start_paused = true)]
    async fn a_bus_that_never_answers_fails_the_job_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mode = BusMode::Address(format!("unix:path={}", path.display()));
        let began = tokio::time::Instant::now();
        let outcome = super::Systemd::default()
            .run(&mode, (Job::Start, "backup.service"), &mut second())
            .await;
        assert!(
            matches!(&outcome, Outcome::Failed { error, .. } if error.contains("in time")),
            "{outcome:?}"
        );
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn every_other_result_is_a_failure() {
        for result in ["failed", "timeout", "canceled", "dependency", "skipped"] {
            let Some((outcome, ..)) = drained(Some(result), "backup.service").await else { return };
            let Outcome::Failed { error, retry: Retry::Never } = outcome else {
                panic!("{outcome:?}")
            };
            assert!(error.contains(result), "{error}");
        }
    }

    #[tokio::test]
    async fn a_unit_that_does_not_exist_is_named() {
        let Some((outcome, ..)) = drained(Some("done"), "missing.service").await else { return };
        assert!(
            matches!(&outcome, Outcome::Failed { error, .. } if error.contains("missing.service")),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn without_a_bus_it_fails() {
        let outcome = super::Systemd::default()
            .run(&BusMode::None, (Job::Start, "backup.service"), &mut second())
            .await;
        assert!(matches!(outcome, Outcome::Failed { retry: Retry::Never, .. }), "{outcome:?}");
    }

    #[test]
    fn a_strange_name_is_no_units() {
        for name in
            ["", ".service", "backup", "backup.timer", "a b.service", "../x.service", "x;y.service"]
        {
            assert!(!is_unit(name, ".service"), "{name:?}");
        }
    }
}
