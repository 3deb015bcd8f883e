//! `org.agentd.Agent1` on the system bus: what desktops and other programs follow. Reading it changes nothing.
//!
//! The object `/org/agentd/Agent1` has the properties `State`, `Because` and `ActAt` and the signals `IdleWarning`,
//! `CalledOff` and `Notified`; `packaging/dbus/org.agentd.Agent1.xml` describes them. The interface only ever grows. A bus that is not
//! there, or goes away, costs nothing but the signals: the name is taken again, later and later, and no decision waits.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::timeout;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::object_server::SignalEmitter;

use crate::events::{self, ShellEvent};
use crate::host::HostRoot;
use crate::host::logind::BusMode;
use crate::publish::{Published, Subscriber};

/// The name on the bus, and the interface.
pub const NAME: &str = "org.agentd.Agent1";
/// The object.
pub const PATH: &str = "/org/agentd/Agent1";

/// A bus that does not take a message for so long is left alone.
const PATIENCE: Duration = Duration::from_millis(900);
/// The first pause before a bus that was lost is tried again; each is twice the one before …
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// … up to this one.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Times that are nearer to each other than this are the same, microseconds: a moment is foreseen anew at every reading.
const SAME_MOMENT_USEC: i64 = 2_000_000;

/// What is said by a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// `IdleWarning(s action, t seconds_left, x at_wall_usec, s because)`.
    IdleWarning {
        /// `hibernate` or `stop`.
        action: &'static str,
        /// Seconds from now.
        seconds_left: u64,
        /// When, microseconds since 1970.
        at_wall_usec: i64,
        /// Why, one line.
        because: String,
    },
    /// `CalledOff(s because)`.
    CalledOff {
        /// Why, one line.
        because: String,
    },
    /// `Notified(s moment, s event, s action, x deadline_usec, b drill, s text)`.
    Notified {
        /// `noticed`, `drained`, `withdrawn`, `came-back` or `never-came`.
        moment: &'static str,
        /// `spot-interruption`, `rebalance-recommendation`, `scheduled-event` or `autoscaling`.
        event: String,
        /// What happens to the instance: `terminate`, `stop`, `hibernate`, `reboot` …
        action: String,
        /// When EC2 acts, microseconds since 1970; 0 where it does not say.
        deadline_usec: i64,
        /// A drill: nothing happens to the instance.
        drill: bool,
        /// The whole for people, one line.
        text: String,
    },
}

/// Speaks on the bus while there is one. It is cloned freely.
#[derive(Clone, Debug, Default)]
pub struct Voice(Arc<Mutex<Option<Connection>>>);

impl Voice {
    /// Sends a signal. `false`: there is no bus to send it on.
    pub async fn say(&self, spoken: &Spoken) -> Result<bool, String> {
        let Some(connection) = self.get() else { return Ok(false) };
        let sent = timeout(PATIENCE, emit(&connection, spoken)).await;
        let sent = sent.map_err(|_| "it takes no message".to_owned())?;
        sent.map(|()| true).map_err(|error| error.to_string())
    }

    fn get(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, connection: Option<Connection>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

async fn emit(connection: &Connection, spoken: &Spoken) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, PATH)?;
    match spoken {
        Spoken::IdleWarning { action, seconds_left, at_wall_usec, because } => {
            Agent::idle_warning(&emitter, action, *seconds_left, *at_wall_usec, because).await
        }
        Spoken::CalledOff { because } => Agent::called_off(&emitter, because).await,
        Spoken::Notified { moment, event, action, deadline_usec, drill, text } => {
            Agent::notified(&emitter, moment, event, action, *deadline_usec, *drill, text).await
        }
    }
}

/// The object.
struct Agent {
    pictures: Subscriber,
}

#[zbus::interface(name = "org.agentd.Agent1")]
impl Agent {
    /// The stage, as `agentctl status` says it: `active`, `quiet`, `warned` …
    #[zbus(property)]
    fn state(&self) -> String {
        self.pictures.picture().view.stage.as_str().to_owned()
    }

    /// Why, one line.
    #[zbus(property)]
    fn because(&self) -> String {
        self.pictures.picture().view.because.clone()
    }

    /// When the action is due if nothing changes, microseconds since 1970; 0 when none is foreseen.
    #[zbus(property)]
    fn act_at(&self) -> i64 {
        act_at(&self.pictures.picture())
    }

    /// An action is due.
    #[zbus(signal)]
    async fn idle_warning(
        emitter: &SignalEmitter<'_>,
        action: &str,
        seconds_left: u64,
        at_wall_usec: i64,
        because: &str,
    ) -> zbus::Result<()>;

    /// The action that was announced will not happen.
    #[zbus(signal)]
    async fn called_off(emitter: &SignalEmitter<'_>, because: &str) -> zbus::Result<()>;

    /// EC2 announced something, or it is over.
    #[zbus(signal)]
    async fn notified(
        emitter: &SignalEmitter<'_>,
        moment: &str,
        event: &str,
        action: &str,
        deadline_usec: i64,
        drill: bool,
        text: &str,
    ) -> zbus::Result<()>;
}

fn act_at(picture: &Published) -> i64 {
    picture.view.act_at.map_or(0, |at| at.wall_ms.saturating_mul(1000))
}

/// Serves the object until the loop has ended, on whatever bus there is.
pub async fn serve(bus: BusMode, host: HostRoot, pictures: Subscriber, voice: Voice) {
    if bus == BusMode::None {
        return;
    }
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        match connect(&bus, &host, &pictures).await {
            Ok(connection) => {
                (pause, told) = (FIRST_PAUSE, false);
                voice.set(Some(connection.clone()));
                let ended = follow(&connection, pictures.clone()).await;
                voice.set(None);
                if ended {
                    return;
                }
            }
            Err(error) if !told => {
                told = true;
                events::emit(ShellEvent::BusUnavailable { error });
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

async fn connect(
    bus: &BusMode,
    host: &HostRoot,
    pictures: &Subscriber,
) -> Result<Connection, String> {
    let builder = match bus {
        BusMode::None => return Err("none is wanted".to_owned()),
        BusMode::Address(address) => Builder::address(address.as_str()),
        BusMode::System => {
            let elsewhere = std::env::var_os("DBUS_SYSTEM_BUS_ADDRESS").is_some();
            if !elsewhere && matches!(host.exists("/run/dbus/system_bus_socket"), Ok(false)) {
                return Err("there is no '/run/dbus/system_bus_socket'".to_owned());
            }
            Builder::system()
        }
    };
    let agent = Agent { pictures: pictures.clone() };
    let built = builder.serve_at(PATH, agent).name(NAME).build();
    let built =
        timeout(LONGEST_CONNECT, built).await.map_err(|_| "it does not answer".to_owned())?;
    built.map_err(|error| format!("take the name {NAME}: {error}"))
}

/// For the connection, the greeting and the name.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// Tells of changes until the bus is lost (`false`) or the loop has ended (`true`).
async fn follow(connection: &Connection, mut pictures: Subscriber) -> bool {
    let mut shown = Shown::of(&pictures.picture());
    loop {
        let picture = tokio::select! {
            picture = pictures.changed() => picture,
            () = connection.closed() => return false,
        };
        let Some(picture) = picture else { return true };
        let now = Shown::of(&picture);
        if now.differs(&shown) {
            // What cannot be sent is lost with its connection, which is noticed above.
            let _ = timeout(PATIENCE, tell_change(connection)).await;
            shown = now;
        }
    }
}

async fn tell_change(connection: &Connection) -> zbus::Result<()> {
    let agent = connection.object_server().interface::<_, Agent>(PATH).await?;
    let object = agent.get().await;
    object.state_changed(agent.signal_emitter()).await?;
    object.because_changed(agent.signal_emitter()).await?;
    object.act_at_changed(agent.signal_emitter()).await
}

/// What followers were told last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    state: &'static str,
    act_at: i64,
}

impl Shown {
    fn of(picture: &Published) -> Self {
        Self { state: picture.view.stage.as_str(), act_at: act_at(picture) }
    }

    /// Whether that is worth a signal. The reason alone is not: its numbers change with every reading.
    fn differs(&self, before: &Self) -> bool {
        let known = |at: i64| at != 0;
        self.state != before.state
            || known(self.act_at) != known(before.act_at)
            || self.act_at.abs_diff(before.act_at) > SAME_MOMENT_USEC.unsigned_abs()
    }
}

#[cfg(test)]
mod tests;
