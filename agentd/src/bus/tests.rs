//! A private message bus: the name, the properties, the signals, and a bus that goes away.

use std::process::Stdio;

use agent_core::verdict::Stage;
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use zbus::MessageStream;
use zbus::fdo::{IntrospectableProxy, PropertiesProxy};
use zbus::names::InterfaceName;

use super::*;
use crate::publish::{Publisher, channel, tests::ahead, tests::quiet};

#[zbus::proxy(
    interface = "org.agentd.Agent1",
    default_service = "org.agentd.Agent1",
    default_path = "/org/agentd/Agent1"
)]
trait Agent1 {
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn because(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn act_at(&self) -> zbus::Result<i64>;
    #[zbus(signal)]
    fn idle_warning(
        &self,
        action: &str,
        seconds_left: u64,
        at_wall_usec: i64,
        because: &str,
    ) -> zbus::Result<()>;
    #[zbus(signal)]
    fn called_off(&self, because: &str) -> zbus::Result<()>;
    #[zbus(signal)]
    fn notified(
        &self,
        moment: &str,
        event: &str,
        action: &str,
        deadline_usec: i64,
        drill: bool,
        text: &str,
    ) -> zbus::Result<()>;
}

/// A bus of one test at a place that outlives it.
async fn daemon(address: &str) -> Option<Child> {
    let spawned = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--print-address"])
        .arg(format!("--address={address}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut daemon) = spawned else {
        eprintln!("not run: there is no dbus-daemon on this machine");
        return None;
    };
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    Some(daemon)
}

struct Scene {
    daemon: Child,
    folder: tempfile::TempDir,
    publisher: Publisher,
    voice: Voice,
}

impl Scene {
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}/bus", folder.path().display());
        let daemon = daemon(&address).await?;
        let (publisher, pictures) = channel(quiet());
        let voice = Voice::default();
        let root = HostRoot::at(folder.path());
        tokio::spawn(serve(BusMode::Address(address), root, pictures, voice.clone()));
        let scene = Self { daemon, folder, publisher, voice };
        scene.spoken_for().await;
        Some(scene)
    }

    fn address(&self) -> String {
        format!("unix:path={}/bus", self.folder.path().display())
    }

    async fn client(&self) -> Connection {
        Builder::address(self.address().as_str()).build().await.unwrap()
    }

    /// Waits until the agent has its name.
    async fn spoken_for(&self) {
        let have = async {
            while self.voice.get().is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), have).await.unwrap();
    }
}

fn warning() -> Spoken {
    Spoken::IdleWarning {
        action: "hibernate",
        seconds_left: 600,
        at_wall_usec: 1_795_263_000_000_000,
        because: "no use for 20m".to_owned(),
    }
}

#[tokio::test]
async fn the_properties_are_those_of_the_picture_and_their_change_is_told() {
    let Some(scene) = Scene::start().await else { return };
    let client = scene.client().await;
    let agent = Agent1Proxy::new(&client).await.unwrap();
    assert_eq!(agent.state().await.unwrap(), "quiet");
    assert_eq!(agent.because().await.unwrap(), "nobody has used it for 18 min");
    assert_eq!(agent.act_at().await.unwrap(), ahead(720).wall_ms * 1000);
    let mut states = agent.receive_state_changed().await;
    assert_eq!(
        states.next().await.unwrap().get().await.unwrap(),
        "quiet",
        "the first is the value"
    );
    let mut next = quiet();
    next.view.stage = Stage::Warned;
    scene.publisher.publish(next);
    let changed = timeout(Duration::from_secs(10), states.next()).await.unwrap().unwrap();
    assert_eq!(changed.get().await.unwrap(), "warned");
}

#[tokio::test]
async fn a_picture_that_says_the_same_is_no_signal() {
    let Some(scene) = Scene::start().await else { return };
    let client = scene.client().await;
    let agent = Agent1Proxy::new(&client).await.unwrap();
    let mut messages = MessageStream::from(client.clone());
    let properties = PropertiesProxy::builder(&client).destination(NAME).path(PATH);
    let properties = properties.build().await.unwrap();
    let mut changes = properties.receive_properties_changed().await.unwrap();
    for n in 0..50 {
        let mut same = quiet();
        same.view.because = format!("cpu 0.0{n}");
        same.view.act_at = Some(ahead(720).after(Duration::from_millis(10 * n)));
        scene.publisher.publish(same);
        tokio::task::yield_now().await;
    }
    // A call is answered after everything that was sent before it.
    let (state, act_at) = (agent.state().await.unwrap(), agent.act_at().await.unwrap());
    assert_eq!((state.as_str(), act_at), ("quiet", (ahead(720).wall_ms + 490) * 1000));
    let none = timeout(Duration::from_millis(100), changes.next()).await;
    assert!(none.is_err(), "{none:?}");
    drop(messages.next());
}

#[tokio::test]
async fn warnings_and_call_offs_are_signals() {
    let Some(scene) = Scene::start().await else { return };
    let client = scene.client().await;
    let agent = Agent1Proxy::new(&client).await.unwrap();
    let mut warnings = agent.receive_idle_warning().await.unwrap();
    let mut call_offs = agent.receive_called_off().await.unwrap();
    assert_eq!(scene.voice.say(&warning()).await, Ok(true));
    let signal = warnings.next().await.unwrap();
    let args = signal.args().unwrap();
    assert_eq!((*args.action(), *args.seconds_left()), ("hibernate", 600));
    assert_eq!(*args.at_wall_usec(), 1_795_263_000_000_000);
    assert_eq!(*args.because(), "no use for 20m");
    let off = Spoken::CalledOff { because: "ada typed".to_owned() };
    assert_eq!(scene.voice.say(&off).await, Ok(true));
    let signal = call_offs.next().await.unwrap();
    assert_eq!(*signal.args().unwrap().because(), "ada typed");
}

#[tokio::test]
async fn what_ec2_announces_is_a_signal() {
    let Some(scene) = Scene::start().await else { return };
    let client = scene.client().await;
    let agent = Agent1Proxy::new(&client).await.unwrap();
    let mut notices = agent.receive_notified().await.unwrap();
    let notified = Spoken::Notified {
        moment: "noticed",
        event: "spot-interruption".to_owned(),
        action: "terminate".to_owned(),
        deadline_usec: 1_795_263_000_000_000,
        drill: true,
        text: "DRILL: EC2 will terminate this instance".to_owned(),
    };
    assert_eq!(scene.voice.say(&notified).await, Ok(true));
    let signal = notices.next().await.unwrap();
    let args = signal.args().unwrap();
    assert_eq!(
        (*args.moment(), *args.event(), *args.action()),
        ("noticed", "spot-interruption", "terminate")
    );
    assert_eq!(*args.deadline_usec(), 1_795_263_000_000_000);
    assert_eq!((*args.drill(), *args.text()), (true, "DRILL: EC2 will terminate this instance"));
}

#[tokio::test]
async fn nothing_can_be_written_and_nothing_else_is_offered() {
    let Some(scene) = Scene::start().await else { return };
    let client = scene.client().await;
    let properties = PropertiesProxy::builder(&client).destination(NAME).path(PATH);
    let properties = properties.build().await.unwrap();
    let interface = InterfaceName::try_from(NAME).unwrap();
    for name in ["State", "Because", "ActAt"] {
        let set = properties.set(interface.clone(), name, &zbus::Variant::from("x")).await;
        assert!(set.is_err(), "{name} was written");
    }
    let introspect = IntrospectableProxy::builder(&client).destination(NAME);
    let introspect = introspect.path(PATH).build().await.unwrap();
    let told = introspect.introspect().await.unwrap();
    let ours = |text: &str| {
        let text = text.split("<interface name=\"org.agentd.Agent1\">").nth(1).unwrap();
        let text = text.split("</interface>").next().unwrap();
        let mut words: Vec<String> = text
            .split('<')
            .map(|tag| tag.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|tag| {
                ["arg ", "property ", "signal ", "method "].iter().any(|w| tag.starts_with(w))
            })
            .map(|tag| tag.trim_end_matches(['/', '>', ' ']).to_owned())
            .collect();
        words.sort();
        words
    };
    let documented = include_str!("../../../packaging/dbus/org.agentd.Agent1.xml");
    assert_eq!(ours(&told), ours(documented), "packaging/dbus/org.agentd.Agent1.xml differs");
}

#[tokio::test]
async fn a_bus_that_goes_away_is_found_again_and_nobody_waits_for_it() {
    let Some(mut scene) = Scene::start().await else { return };
    scene.daemon.kill().await.unwrap();
    let gone = async {
        while scene.voice.get().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(scene.voice.say(&warning()).await, Ok(false));
    assert!(begun.elapsed() < Duration::from_millis(100));
    let _ = std::fs::remove_file(scene.folder.path().join("bus"));
    let Some(anew) = daemon(&scene.address()).await else { return };
    scene.daemon = anew;
    scene.spoken_for().await;
    assert_eq!(scene.voice.say(&warning()).await, Ok(true));
}

#[tokio::test]
async fn without_a_bus_nothing_is_tried() {
    let (_publisher, pictures) = channel(quiet());
    serve(BusMode::None, HostRoot::at("/nowhere"), pictures, Voice::default()).await;
    assert_eq!(Voice::default().say(&warning()).await, Ok(false));
}
