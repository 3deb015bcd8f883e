//! The timers of systemd over D-Bus (org.freedesktop.systemd1(5)): of the system's manager over the system bus, of a
//! user's over its private socket, without a bus between.
//!
//! The runtime folder of a user manager belongs to that user alone and its socket speaks with nobody else: it is for a
//! process of that user to ask.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant};

use super::logind::{BusMode, LogindError, connect};
use super::{HostRoot, peer};

/// The most timers that are looked at.
const TIMERS: usize = 500;
/// What is known of a unit's files is asked again after this long, milliseconds.
const FILES_FOR_MS: u64 = 10 * 60 * 1000;
/// Where units come from that nobody on the machine wrote: packages, and generators that translate other files.
const VENDORS: [&str; 7] = [
    "/usr/lib/systemd/system/",
    "/lib/systemd/system/",
    "/usr/local/lib/systemd/system/snap.",
    "/run/systemd/generator",
    "/usr/lib/systemd/user/",
    "/lib/systemd/user/",
    "/usr/share/systemd/user/",
];
/// Where packages put units; a copy in `/etc` of the same name is a vendor's unit that somebody changed.
const PACKAGED: [&str; 4] = [
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/user",
    "/lib/systemd/user",
];

const SYSTEMD: &str = "org.freedesktop.systemd1";

/// Why systemd gave no answer.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// No bus is wanted, or the machine has none.
    #[error(transparent)]
    NoBus(LogindError),
    /// There is a bus, and systemd did not boot the machine.
    #[error("reach systemd: it did not boot the machine ({0})")]
    NoSystemd(zbus::Error),
    /// Anything else.
    #[error("ask systemd for its timers over D-Bus: {0}")]
    Failed(zbus::Error),
}

/// One timer that somebody on the machine made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// The unit's name.
    pub name: String,
    /// When its calendar fires next, microseconds since 1970; none if it does not.
    pub next_wall_us: Option<u64>,
    /// When it fires next by `CLOCK_MONOTONIC`, microseconds; none if it does not.
    pub next_monotonic_us: Option<u64>,
    /// When it fired last, microseconds since 1970; none if it never did.
    pub last_wall_us: Option<u64>,
    /// It fires again so long after each run (`OnUnitActiveSec=`, `OnUnitInactiveSec=`), microseconds.
    pub repeats_us: Option<u64>,
    /// What it started runs now (the timer's own state is `running` then, `timer_enter_running` of systemd's timer.c).
    pub runs: bool,
}

/// `ListUnitsByPatterns`: name, description, load state, active state, sub state, following, path, job id, job type,
/// job path.
type Unit =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Whose manager is asked.
#[derive(Debug)]
enum Manager {
    /// The system's, over a bus.
    System(BusMode),
    /// A user's, at its private socket.
    User(PathBuf),
}

/// A client that keeps its connection, and connects anew after a failure.
#[derive(Debug)]
pub struct Systemd {
    manager: Manager,
    root: HostRoot,
    connection: Option<Connection>,
    /// Whether a timer is a vendor's, and when that was found out.
    vendors: HashMap<String, (bool, u64)>,
}

impl Systemd {
    /// A client that has not connected yet.
    pub fn new(mode: BusMode, root: HostRoot) -> Self {
        Self { manager: Manager::System(mode), root, connection: None, vendors: HashMap::new() }
    }

    /// The same for the manager of a user at its private socket.
    pub fn of_user(socket: &Path, root: HostRoot) -> Self {
        let manager = Manager::User(socket.to_owned());
        Self { manager, root, connection: None, vendors: HashMap::new() }
    }

    /// The active timers that did not come with the system. `now_ms` is any clock that only goes forward.
    pub async fn timers(&mut self, now_ms: u64) -> Result<Vec<Timer>, SystemdError> {
        // Taken out for the call: if the caller gives up waiting, the next call uses a new connection.
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => match &self.manager {
                Manager::System(mode) => connect(mode, &self.root).await.map_err(unreachable)?,
                Manager::User(socket) => {
                    peer::connect(socket).await.map_err(SystemdError::Failed)?
                }
            },
        };
        let asked = self.ask(&connection, now_ms).await;
        let timers = asked.map_err(|error| self.classify(error))?;
        self.connection = Some(connection);
        Ok(timers)
    }

    async fn ask(&mut self, bus: &Connection, now_ms: u64) -> zbus::Result<Vec<Timer>> {
        let none: [&str; 0] = [];
        let asked = (none.as_slice(), ["*.timer"].as_slice());
        let manager = "org.freedesktop.systemd1.Manager";
        let answer = bus
            .call_method(
                Some(SYSTEMD),
                "/org/freedesktop/systemd1",
                Some(manager),
                "ListUnitsByPatterns",
                &asked,
            )
            .await?;
        let units: Vec<Unit> = answer.body().deserialize()?;
        if units.len() > TIMERS {
            return Err(zbus::Error::Failure(format!("more than {TIMERS} timers")));
        }
        let mut timers = Vec::new();
        for (name, _, _, active, state, _, path, ..) in units {
            if active != "active" || self.is_vendors(bus, &name, &path, now_ms).await? {
                continue;
            }
            let properties = properties(bus, &path, "org.freedesktop.systemd1.Timer").await?;
            timers.push(Timer { runs: state == "running", ..timer(name, &properties) });
        }
        self.vendors.retain(|_, (_, at)| now_ms.saturating_sub(*at) <= FILES_FOR_MS);
        Ok(timers)
    }

    async fn is_vendors(
        &mut self,
        bus: &Connection,
        name: &str,
        path: &OwnedObjectPath,
        now_ms: u64,
    ) -> zbus::Result<bool> {
        let known = self.vendors.get(name);
        if let Some((vendors, _)) =
            known.filter(|(_, at)| now_ms.saturating_sub(*at) <= FILES_FOR_MS)
        {
            return Ok(*vendors);
        }
        let properties = properties(bus, path, "org.freedesktop.systemd1.Unit").await?;
        let fragment = match properties.get("FragmentPath").map(|value| &**value) {
            Some(Variant::Str(fragment)) => fragment.as_str(),
            _ => "",
        };
        let vendors = self.came_with_the_system(name, fragment);
        self.vendors.insert(name.to_owned(), (vendors, now_ms));
        Ok(vendors)
    }

    /// snapd writes the timers of snaps to `/etc`.
    fn came_with_the_system(&self, name: &str, fragment: &str) -> bool {
        let copied = || {
            PACKAGED
                .iter()
                .any(|folder| self.root.exists(&format!("{folder}/{name}")).unwrap_or(false))
        };
        let generated =
            fragment.starts_with("/run/user/") && fragment.contains("/systemd/generator");
        VENDORS.iter().any(|place| fragment.starts_with(place))
            || generated
            || name.starts_with("snap.")
            || copied()
    }

    /// systemd makes `/run/systemd/system` when it has booted the machine (`sd_booted(3)`).
    fn classify(&self, error: zbus::Error) -> SystemdError {
        let answered = matches!(error, zbus::Error::MethodError(..) | zbus::Error::FDO(_));
        if answered && !self.root.exists("/run/systemd/system").unwrap_or(true) {
            SystemdError::NoSystemd(error)
        } else {
            SystemdError::Failed(error)
        }
    }
}

fn unreachable(error: LogindError) -> SystemdError {
    match error {
        LogindError::NoBus(_) => SystemdError::NoBus(error),
        LogindError::NoLogind(error) | LogindError::Failed { error, .. } => {
            SystemdError::Failed(error)
        }
    }
}

async fn properties(
    bus: &Connection,
    path: &OwnedObjectPath,
    interface: &str,
) -> zbus::Result<HashMap<String, OwnedVariant>> {
    let of = Some("org.freedesktop.DBus.Properties");
    let answer = bus.call_method(Some(SYSTEMD), path, of, "GetAll", &(interface,)).await?;
    answer.body().deserialize()
}

/// A time that is 0 or infinity is none.
fn timer(name: String, properties: &HashMap<String, OwnedVariant>) -> Timer {
    let time = |key: &str| match properties.get(key).map(|value| &**value) {
        Some(Variant::U64(time)) => Some(*time).filter(|time| ![0, u64::MAX].contains(time)),
        _ => None,
    };
    let mut repeats_us = None;
    if let Some(list) = properties.get("TimersMonotonic")
        && let Ok(list) = list.try_clone()
        && let Ok(list) = Vec::<(String, u64, u64)>::try_from(list)
    {
        let again = |base: &str| ["OnUnitActiveUSec", "OnUnitInactiveUSec"].contains(&base);
        let spans = list.into_iter().filter(|(base, ..)| again(base)).map(|(_, span, _)| span);
        repeats_us = spans.min();
    }
    Timer {
        name,
        next_wall_us: time("NextElapseUSecRealtime"),
        next_monotonic_us: time("NextElapseUSecMonotonic"),
        last_wall_us: time("LastTriggerUSec"),
        repeats_us,
        runs: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::logind::tests::Bus;
    use crate::host::tree::Tree;
    use zbus::connection::Builder;

    fn client(tree: &Tree) -> Systemd {
        Systemd::new(BusMode::None, tree.root())
    }

    #[test]
    fn vendors_timers_are_told_from_those_of_people() {
        let tree = Tree::new();
        tree.file("/usr/lib/systemd/system/apt-daily.timer", "");
        let systemd = client(&tree);
        for (name, fragment, vendors) in [
            ("apt-daily.timer", "/usr/lib/systemd/system/apt-daily.timer", true),
            ("apt-daily.timer", "/etc/systemd/system/apt-daily.timer", true),
            ("fstrim.timer", "/lib/systemd/system/fstrim.timer", true),
            ("snap.lxd.daily.timer", "/etc/systemd/system/snap.lxd.daily.timer", true),
            ("backup.timer", "/etc/systemd/system/backup.timer", false),
            ("run-u7.timer", "/run/systemd/transient/run-u7.timer", false),
            ("x.timer", "/usr/local/lib/systemd/system/x.timer", false),
            ("x.timer", "/usr/lib/systemd/user/x.timer", true),
            ("x.timer", "/run/user/1000/systemd/generator.late/x.timer", true),
            ("run-u7.timer", "/run/user/1000/systemd/transient/run-u7.timer", false),
            ("x.timer", "/home/alice/.config/systemd/user/x.timer", false),
            ("x.timer", "", false),
        ] {
            assert_eq!(systemd.came_with_the_system(name, fragment), vendors, "{name} {fragment}");
        }
    }

    #[test]
    fn the_properties_of_a_timer_are_understood() {
        let value = |value: Variant<'_>| value.try_to_owned().unwrap();
        let monotonic = vec![("OnBootUSec", 5_u64, 5_u64), ("OnUnitActiveUSec", 600_000_000, 0)];
        let properties = HashMap::from([
            ("NextElapseUSecRealtime".to_owned(), value(Variant::U64(u64::MAX))),
            ("NextElapseUSecMonotonic".to_owned(), value(Variant::U64(77))),
            ("LastTriggerUSec".to_owned(), value(Variant::U64(0))),
            ("TimersMonotonic".to_owned(), value(Variant::from(monotonic))),
        ]);
        let expected = Timer {
            name: "x.timer".to_owned(),
            next_monotonic_us: Some(77),
            repeats_us: Some(600_000_000),
            ..Timer::default()
        };
        assert_eq!(timer("x.timer".to_owned(), &properties), expected);
        let nothing = timer("x.timer".to_owned(), &HashMap::new());
        assert_eq!(nothing, Timer { name: "x.timer".to_owned(), ..Timer::default() });
    }

    #[tokio::test]
    async fn without_a_bus_nothing_is_asked() {
        let mut systemd = client(&Tree::new());
        assert!(matches!(systemd.timers(0).await, Err(SystemdError::NoBus(_))));
    }

    /// A systemd with one timer of a package, one of somebody's, and one that is not active.
    struct FakeManager;

    #[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
    impl FakeManager {
        #[expect(
            clippy::unused_self,
            clippy::needless_pass_by_value,
            reason = "the macro wants a method that owns its arguments"
        )]
        fn list_units_by_patterns(&self, states: Vec<String>, patterns: Vec<String>) -> Vec<Unit> {
            assert!(states.is_empty() && patterns == ["*.timer"]);
            let path = |name: &str| OwnedObjectPath::try_from(format!("{UNITS}{name}")).unwrap();
            let unit = |name: &str, active: &str| {
                let text = |text: &str| text.to_owned();
                let job = OwnedObjectPath::try_from("/").unwrap();
                let state = if name == "backup" { "running" } else { "waiting" };
                let words = (text("loaded"), text(active), text(state), String::new());
                let name = format!("{name}.timer");
                let object = path(name.split('.').next().unwrap());
                (name, text("x"), words.0, words.1, words.2, words.3, object, 0, text(""), job)
            };
            vec![unit("fstrim", "active"), unit("backup", "active"), unit("off", "inactive")]
        }
    }

    const UNITS: &str = "/org/freedesktop/systemd1/unit/";

    struct FakeUnit(&'static str);

    #[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
    impl FakeUnit {
        #[zbus(property)]
        fn fragment_path(&self) -> String {
            self.0.to_owned()
        }
    }

    struct FakeTimer;

    #[zbus::interface(name = "org.freedesktop.systemd1.Timer")]
    #[expect(clippy::unused_self, reason = "the macro wants methods")]
    impl FakeTimer {
        #[zbus(property, name = "NextElapseUSecRealtime")]
        fn next_wall(&self) -> u64 {
            1_795_700_000_000_000
        }

        #[zbus(property, name = "NextElapseUSecMonotonic")]
        fn next_monotonic(&self) -> u64 {
            u64::MAX
        }

        #[zbus(property, name = "LastTriggerUSec")]
        fn last(&self) -> u64 {
            0
        }

        #[zbus(property, name = "TimersMonotonic")]
        fn monotonic(&self) -> Vec<(String, u64, u64)> {
            vec![("OnUnitActiveUSec".to_owned(), 3_600_000_000, 0)]
        }
    }

    async fn systemd(bus: &Bus) -> Connection {
        let builder = Builder::address(bus.address.as_str());
        let mut builder = builder.name(SYSTEMD).serve_at("/org/freedesktop/systemd1", FakeManager);
        for (name, fragment) in [
            ("fstrim", "/usr/lib/systemd/system/fstrim.timer"),
            ("backup", "/etc/systemd/system/backup.timer"),
        ] {
            let path = format!("{UNITS}{name}");
            builder = builder.serve_at(path.clone(), FakeUnit(fragment)).serve_at(path, FakeTimer);
        }
        builder.build().await.unwrap()
    }

    #[tokio::test]
    async fn timers_are_asked_for_also_after_the_bus_was_lost() {
        let (bus, tree) = (Bus::start().await, Tree::new());
        tree.folder("/run/systemd/system");
        let mut client = Systemd::new(bus.mode.clone(), tree.root());
        let error = client.timers(0).await.unwrap_err();
        assert!(matches!(error, SystemdError::Failed(_)), "systemd booted the machine: {error}");
        let backup = Timer {
            name: "backup.timer".to_owned(),
            next_wall_us: Some(1_795_700_000_000_000),
            next_monotonic_us: None,
            last_wall_us: None,
            repeats_us: Some(3_600_000_000),
            runs: true,
        };
        for moment in [0, 1000, FILES_FOR_MS * 2] {
            let server = systemd(&bus).await;
            assert_eq!(client.timers(moment).await.unwrap(), std::slice::from_ref(&backup));
            server.close().await.unwrap();
            assert!(client.timers(moment).await.is_err());
        }
    }

    /// A user's manager at its private socket: one peer, no bus. It speaks with processes of its own user alone.
    async fn manager(listener: tokio::net::UnixListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let guid = zbus::Guid::generate();
        let path = format!("{UNITS}backup");
        let stream = stream.into_std().unwrap();
        let builder = Builder::unix_stream(stream).server(guid).p2p();
        let builder = builder.serve_at("/org/freedesktop/systemd1", FakeManager);
        let builder = builder
            .serve_at(path.clone(), FakeUnit("/run/user/1000/systemd/transient/backup.timer"))
            .serve_at(path, FakeTimer)
            .serve_at(format!("{UNITS}fstrim"), FakeUnit("/usr/lib/systemd/user/fstrim.timer"));
        let _connection = builder.build().await.unwrap();
        core::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn a_users_manager_is_asked_at_its_private_socket() {
        let tree = Tree::new();
        let socket = tree.path("/private");
        let served = tokio::spawn(manager(tokio::net::UnixListener::bind(&socket).unwrap()));
        let timers = Systemd::of_user(&socket, tree.root()).timers(0).await.unwrap();
        assert_eq!(timers.len(), 1, "the package's timer is none of the user's: {timers:?}");
        assert!(timers[0].name == "backup.timer" && timers[0].runs);
        served.abort();
        let nobody = Systemd::of_user(&tree.path("/nobody"), tree.root()).timers(0).await;
        assert!(matches!(nobody, Err(SystemdError::Failed(_))));
    }

    #[tokio::test]
    async fn a_machine_that_systemd_did_not_boot_has_no_timers() {
        let (bus, tree) = (Bus::start().await, Tree::new());
        let error = Systemd::new(bus.mode.clone(), tree.root()).timers(0).await.unwrap_err();
        assert!(matches!(error, SystemdError::NoSystemd(_)), "{error}");
    }
}
