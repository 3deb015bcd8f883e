//! The parts of the running daemon that outlive a reload, and what they start.

mod examined;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_core::action::Power;
use agent_core::input::Input;
use agent_core::policy::{Mode, Policy, SourcePolicy};
use agent_core::reading::SourceName;
use agent_core::verdict::View;
use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook_tokio::Signals;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::actuators::{self, ActuatorSettings, Actuators, Drains, Interlock};
use crate::aws::Cloud;
use crate::bus::{self, Voice};
use crate::config::{self, HookCommand, Loaded, RecorderSettings, Settings};
use crate::doctor::{self, Examination, Needs};
use crate::events::{self, ShellEvent};
use crate::hands::DaemonHands;
use crate::host::HostRoot;
use crate::host::logind::{BusMode, ResumeWatch};
use crate::instance::{self, Shown};
use crate::ipc::{self, Accounts, CommandRequest, DoctorRun, IpcContext, Listener};
use crate::notices;
use crate::processes::Watchers;
use crate::publish::{self, AgentInfo, ConfigInfo, Freshener, Published, Publisher, Subscriber};
use crate::run::{INBOX, Options, now, tell_warnings};
use crate::sampling::{self, Ask, Wanted};
use crate::shell::Message;
use crate::sources::{Sampler, SourceSettings};
use crate::store;
use crate::wishes::{self, TagWishes};

/// Decisions of earlier runs that 'agentctl events' still shows.
const REMEMBERED: usize = 200;
/// How often a message bus that is not there is tried again.
const BUS_RETRY: Duration = Duration::from_mins(5);
/// The same after it was lost, as when the bus was started anew.
const BUS_LOST: Duration = Duration::from_secs(10);
/// So long it may take to answer.
const BUS_ANSWER: Duration = Duration::from_secs(10);

/// The parts that outlive a reload.
pub(crate) struct Daemon {
    options: Options,
    loaded: RefCell<Loaded>,
    host: HostRoot,
    bus: BusMode,
    cloud: Arc<Cloud>,
    interlock: Arc<Interlock>,
    drains: Drains,
    voice: Voice,
    actuators: Rc<RefCell<Rc<Actuators>>>,
    shown: Rc<RefCell<Shown>>,
    wishes: Rc<RefCell<TagWishes>>,
    /// What is watched for notices; a reload changes it.
    setting: watch::Sender<notices::Setting>,
    freshener: RefCell<Option<Freshener>>,
    recorder: Rc<Cell<RecorderSettings>>,
    /// What the configuration in force needs, for the doctor.
    needs: Arc<Mutex<Needs>>,
    asks: mpsc::Sender<Ask>,
    asked: RefCell<Option<mpsc::Receiver<Ask>>>,
}

impl Daemon {
    pub(crate) fn new(options: Options, loaded: Loaded, host: HostRoot, cloud: Arc<Cloud>) -> Self {
        // Another root is a fixture: the machine's own message bus would describe the wrong machine.
        let bus = if host.is_real() { BusMode::System } else { BusMode::None };
        let (interlock, voice) = (Interlock::new(host.clone()), Voice::default());
        let drains = Drains::default();
        let around = Around {
            host: &host,
            bus: &bus,
            voice: &voice,
            interlock: &interlock,
            drains: &drains,
        };
        let actuators = make_actuators(&loaded, &around, &cloud);
        actuators.clear_countdown();
        let shown = Shown::new(config_info(&loaded));
        let setting = notices::setting(loaded.settings.policy.interruption.enabled);
        let needs = Arc::new(Mutex::new(needs(&loaded.settings, &actuators)));
        let (asks, asked) = mpsc::channel(4);
        let recorder = Rc::new(Cell::new(loaded.settings.recorder));
        Self {
            options,
            loaded: RefCell::new(loaded),
            host,
            bus,
            cloud,
            interlock,
            drains,
            voice,
            actuators: Rc::new(RefCell::new(Rc::new(actuators))),
            shown: Rc::new(RefCell::new(shown)),
            wishes: Rc::default(),
            setting,
            freshener: RefCell::default(),
            recorder,
            needs,
            asks,
            asked: RefCell::new(Some(asked)),
        }
    }

    /// How is to be recorded; a reload changes it.
    pub(crate) fn recorder(&self) -> Rc<Cell<RecorderSettings>> {
        Rc::clone(&self.recorder)
    }

    /// The picture before the first step, with the story of the runs before.
    pub(crate) fn open_picture(&self, view: View, agent: &AgentInfo) -> (Publisher, Subscriber) {
        let shown = self.shown.borrow();
        let (publisher, subscriber) = publish::channel(Published {
            view,
            agent: agent.clone(),
            instance: None,
            imds: shown.imds.clone(),
            notices: shown.notices.clone(),
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
    pub(crate) fn serve(
        &self,
        listener: Listener,
        subscriber: Subscriber,
        to: mpsc::WeakSender<Message>,
    ) {
        let (commands, mut asked) = mpsc::channel::<CommandRequest>(INBOX);
        let doctor = self.doctor(subscriber.clone());
        let accounts = Accounts::new(self.host.clone());
        let on_bus =
            bus::serve(self.bus.clone(), self.host.clone(), subscriber.clone(), self.voice.clone());
        tokio::task::spawn_local(on_bus);
        let context = IpcContext::new(subscriber, commands, Arc::new(now), doctor, accounts);
        tokio::task::spawn_local(ipc::serve(listener, context, std::future::pending()));
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
        let (cloud, host) = (Arc::clone(&self.cloud), self.host.clone());
        let state_dir = self.options.state_dir.clone();
        let needs = Arc::clone(&self.needs);
        DoctorRun::new(move || {
            let examination = Examination {
                cloud: Arc::clone(&cloud),
                host: host.clone(),
                state_dir: state_dir.clone(),
                needs: needs.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                sources: subscriber
                    .picture()
                    .view
                    .sources
                    .iter()
                    .map(examined::of_source)
                    .collect(),
                accounts: examined::of_accounts(&subscriber.picture().view),
                clock: now,
            };
            async move {
                doctor::examine(&examination).await.into_iter().map(examined::checked).collect()
            }
        })
    }

    pub(crate) fn hands(
        &self,
        publisher: Publisher,
        agent: AgentInfo,
        to: &mpsc::Sender<Message>,
        urgent: &mpsc::Sender<Message>,
    ) -> DaemonHands {
        self.freshener.replace(Some(publisher.freshener()));
        DaemonHands {
            interlock: Arc::clone(&self.interlock),
            actuators: Rc::clone(&self.actuators),
            to: to.downgrade(),
            urgent: urgent.downgrade(),
            asks: self.asks.clone(),
            publisher,
            shown: Rc::clone(&self.shown),
            agent,
            watchers: Watchers::new(self.host.clone(), to.downgrade()),
            wishes: Rc::clone(&self.wishes),
            status: String::new(),
        }
    }

    /// Starts what looks at the world: the notices, the sources, the metadata service, logind's resumes.
    pub(crate) fn watch_the_world(
        &self,
        to: &mpsc::Sender<Message>,
        urgent: &mpsc::Sender<Message>,
    ) {
        let ends = notices::Ends {
            urgent: urgent.downgrade(),
            refresh: to.downgrade(),
            shown: Rc::clone(&self.shown),
            freshener: self.freshener.take(),
            setting: self.setting.clone(),
            clock: now,
            tell: notices::journal,
        };
        notices::spawn(Arc::clone(&self.cloud), ends);
        if let Some(asked) = self.asked.take() {
            let sampler = Sampler::new(self.host.clone(), self.bus.clone(), &self.wanted());
            tokio::task::spawn_local(sampling::run(sampler, asked, to.downgrade(), now));
        }
        let interruption = &self.loaded.borrow().settings.policy.interruption;
        let mut hooks = interruption.hooks.iter().chain(&interruption.fast_hooks);
        if interruption.enabled && hooks.any(|hook| !hook.starts_with('/')) {
            let actuators = Rc::clone(&self.actuators.borrow());
            tokio::task::spawn_local(async move { actuators.prepare().await });
        }
        let (cloud, shown) = (Arc::clone(&self.cloud), Rc::clone(&self.shown));
        let setting = self.setting.clone();
        tokio::task::spawn_local(instance::watch(cloud, shown, setting, to.downgrade(), now));
        let cloud = Arc::clone(&self.cloud);
        tokio::task::spawn_local(wishes::watch(cloud, Rc::clone(&self.wishes), to.downgrade()));
        tokio::task::spawn_local(watch_resumes(
            self.bus.clone(),
            self.host.clone(),
            to.downgrade(),
        ));
    }

    /// How the sources are to be read now.
    fn wanted(&self) -> Wanted {
        let loaded = self.loaded.borrow();
        let settings = &loaded.settings;
        let one = |(name, policy): (&SourceName, &SourcePolicy)| {
            let options = settings.sources.get(name.as_str()).cloned().unwrap_or_default();
            let one =
                SourceSettings { enabled: policy.enabled, interval: policy.interval, options };
            (name.as_str().to_owned(), one)
        };
        settings.policy.sources.iter().map(one).collect()
    }

    /// Takes signals until one asks to end.
    pub(crate) async fn obey(&self, mut signals: Signals, to: mpsc::Sender<Message>) {
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
        // Nobody follows the countdown from here on.
        self.actuators.borrow().clear_countdown();
        let _ = to.send(Message::Shutdown).await;
    }

    /// Reads the configuration again. A bad one is told and changes nothing.
    async fn reload(&self) -> Option<Policy> {
        let result = config::reload(&self.loaded.borrow());
        match result {
            Ok(fresh) => {
                tell_reload(&fresh, &self.loaded.borrow());
                let around = Around {
                    host: &self.host,
                    bus: &self.bus,
                    voice: &self.voice,
                    interlock: &self.interlock,
                    drains: &self.drains,
                };
                let actuators = make_actuators(&fresh, &around, &self.cloud);
                *self.needs.lock().unwrap_or_else(PoisonError::into_inner) =
                    needs(&fresh.settings, &actuators);
                self.actuators.replace(Rc::new(actuators));
                self.shown.borrow_mut().config = config_info(&fresh);
                self.recorder.set(fresh.settings.recorder);
                let policy = fresh.settings.policy.clone();
                notices::switch(&self.setting, policy.interruption.enabled);
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

/// What outlives the actuators of one configuration.
struct Around<'a> {
    host: &'a HostRoot,
    bus: &'a BusMode,
    voice: &'a Voice,
    interlock: &'a Arc<Interlock>,
    drains: &'a Drains,
}

fn make_actuators(loaded: &Loaded, around: &Around<'_>, cloud: &Arc<Cloud>) -> Actuators {
    let settings = &loaded.settings;
    let input = settings.policy.sources.get(&SourceName::new("input"));
    around.interlock.watch(input.is_none_or(|source| source.enabled));
    let hook = settings.hook.as_ref().map(|hook| actuators::HookSettings {
        command: hook.command.to_string(),
        timeout: hook.timeout,
        user: hook.user.clone(),
    });
    let settings = ActuatorSettings {
        tag_prefix: settings.tags.prefix.clone(),
        tag_compat: settings.tags.compat.iter().map(|c| c.as_str().to_owned()).collect(),
        hook,
        standby: settings.policy.idle.standby,
        instance_store: settings.instance_store,
        drain_user: settings.interruption.user.clone(),
        drains: around.drains.clone(),
        warn_command: settings.warn_command.as_ref().map(ToString::to_string),
        notify: settings.notify.clone(),
        enforce: settings.policy.mode == Mode::Enforce,
        voice: around.voice.clone(),
        interlock: Arc::clone(around.interlock),
        host: around.host.clone(),
        bus: around.bus.clone(),
        hostname: nix::unistd::gethostname()
            .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned()),
        clock: now,
    };
    Actuators::new(settings, Arc::clone(cloud))
}

/// What a configuration needs, for the doctor.
fn needs(settings: &Settings, actuators: &Actuators) -> Needs {
    let (policy, notify) = (&settings.policy, &settings.notify);
    let single = [
        ("idle.pre_stop", settings.hook.as_ref().map(|hook| &hook.command)),
        ("idle.warn_command", settings.warn_command.as_ref()),
        ("notify.command", notify.command.as_ref()),
    ];
    let lists = [
        ("interruption.hooks", &policy.interruption.hooks),
        ("interruption.fast_hooks", &policy.interruption.fast_hooks),
    ];
    let single = single.into_iter().filter_map(|(key, command)| match command {
        Some(HookCommand::Program(path)) => Some((key, path.clone())),
        Some(HookCommand::Unit(_)) | None => None,
    });
    let lists = lists.into_iter().flat_map(|(key, hooks)| {
        let programs = hooks.iter().filter(|hook| hook.starts_with('/'));
        programs.map(move |hook| (key, PathBuf::from(hook)))
    });
    Needs {
        hibernation: policy.idle.action == Some(Power::Hibernate),
        standby: policy.idle.standby,
        instance_store: settings.instance_store,
        tag_keys: if policy.tags.enabled { actuators.tag_keys() } else { Vec::new() },
        programs: single.chain(lists).collect(),
    }
}

fn config_info(loaded: &Loaded) -> ConfigInfo {
    let files = loaded.files.iter().map(|file| file.display().to_string()).collect();
    let hook_user = loaded.settings.interruption.user.clone();
    let listed = |table: &toml::Table, key: &str| {
        let list = table.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        list.filter_map(toml::Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let sources = || loaded.settings.sources.iter();
    ConfigInfo {
        files,
        problem: None,
        hook_user,
        upkeep: sources()
            .map(|(_, own)| listed(own, "upkeep"))
            .find(|list| !list.is_empty())
            .unwrap_or_default(),
        work: sources().map(|(name, own)| (name.clone(), listed(own, "units"))).collect(),
    }
}

/// Tells the loop when logind says that the machine woke up. Without logind the kernel's clocks tell it alone. A bus that does not
/// answer, or drops each connection, is asked again after a pause.
async fn watch_resumes(bus: BusMode, host: HostRoot, to: mpsc::WeakSender<Message>) {
    if bus == BusMode::None {
        return;
    }
    loop {
        let subscribed = timeout(BUS_ANSWER, ResumeWatch::subscribe(&bus, &host)).await;
        let mut pause = BUS_RETRY;
        if let Ok(Ok(mut watch)) = subscribed {
            pause = BUS_LOST;
            while watch.resumed().await {
                let Some(to) = to.upgrade() else { return };
                if to.send(Message::Input(Input::Resumed)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}
