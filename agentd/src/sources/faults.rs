//! What goes wrong with a source never stops the machine: every source with every fault, through the real sampler and the
//! real engine.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::os::unix::fs::{OpenOptionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::panic::AssertUnwindSafe;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use agent_core::action::{ActionKind, ActionRequest, Outcome};
    use agent_core::decision::Decision;
    use agent_core::engine::Engine;
    use agent_core::input::{Abilities, Ability, Input};
    use agent_core::memory::Recovery;
    use agent_core::policy::{Mode, Policy};
    use agent_core::reading::{Observation, Reading};
    use agent_core::reason::Event;
    use agent_core::stamp::Stamp;
    use futures_util::FutureExt;
    use nix::sys::stat::Mode as Permissions;
    use nix::unistd::mkfifo;

    use crate::config::{LoadFrom, Settings, load};
    use crate::config_command::known_sources;
    use crate::host::tree::{Process, Tree};
    use crate::sources::{ALL, BusMode, Sampler, SourceSettings, Which};

    /// What can go wrong with a file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fault {
        /// It is gone.
        Missing,
        /// Reading it fails: `/proc/self/mem` gives EIO where nothing is mapped.
        Eio,
        /// It cannot even be looked at: a link to itself.
        Loop,
        /// Opening it never returns: a FIFO without a writer.
        Hang,
        /// It makes no sense.
        Garbage,
        /// Its counter falls with every look.
        Backwards,
        /// Its counter begins anew, once: in a test of its own.
        Reset,
        /// Half of it is missing.
        Truncated,
        /// It is larger than anything sound.
        Huge,
    }
    use Fault::{Backwards, Eio, Garbage, Hang, Huge, Loop, Missing, Reset, Truncated};

    /// A file that a source needs, and what can go wrong with it.
    struct Target {
        source: &'static str,
        path: &'static str,
        /// What is in it, with this count; nothing for a file that a healthy machine does not have.
        content: Option<fn(u64) -> String>,
        faults: &'static [Fault],
    }

    const COUNTED: &[Fault] = &[Eio, Hang, Garbage, Backwards, Reset, Truncated, Huge];
    const PLAIN: &[Fault] = &[Eio, Hang, Garbage, Truncated, Huge];
    const GONE: &[Fault] = &[Missing, Loop];
    /// A fixture's answer to the socket diagnosis.
    const SOCKETS: &str = "/proc/net/sock_diag";
    const NOTHING: Option<fn(u64) -> String> = None;

    /// What is not here is no fault: a control group without `io.stat` has the controller off, a process without a
    /// file has ended, a table of cron that is gone or makes no sense is one that cron does not run.
    const TARGETS: &[Target] = &[
        Target {
            source: "cpu",
            path: "/sys/fs/cgroup/user.slice/cpu.stat",
            content: Some(|us| format!("usage_usec {us}\nuser_usec {us}\nsystem_usec 0\n")),
            faults: COUNTED,
        },
        Target {
            source: "cpu",
            path: "/sys/fs/cgroup/user.slice/cpu.stat",
            content: NOTHING,
            faults: &[Missing],
        },
        Target { source: "cpu", path: "/sys/fs/cgroup", content: NOTHING, faults: GONE },
        Target { source: "input", path: "/proc/812/stat", content: NOTHING, faults: PLAIN },
        Target { source: "input", path: "/dev/pts", content: NOTHING, faults: GONE },
        Target { source: "sessions", path: "/proc/50/stat", content: NOTHING, faults: PLAIN },
        Target { source: "sessions", path: "/dev/pts", content: NOTHING, faults: GONE },
        Target {
            source: "sessions",
            path: "/run/systemd/sessions",
            content: NOTHING,
            faults: &[Loop],
        },
        Target {
            source: "network",
            path: SOCKETS,
            content: NOTHING,
            faults: &[Eio, Hang, Garbage, Huge],
        },
        Target {
            source: "clients",
            path: SOCKETS,
            content: NOTHING,
            faults: &[Eio, Garbage, Huge],
        },
        Target { source: "gpu", path: "/dev/nvidia0", content: NOTHING, faults: &[Garbage] },
        Target {
            source: "disk",
            path: "/sys/fs/cgroup/user.slice/io.stat",
            content: Some(|bytes| format!("259:0 rbytes={bytes}00 wbytes=7\n")),
            faults: &[Eio, Hang, Backwards, Reset, Truncated, Huge],
        },
        Target {
            source: "packages",
            path: "/run/dnf.pid",
            content: NOTHING,
            faults: &[Eio, Hang, Garbage, Huge],
        },
        Target {
            source: "packages",
            path: "/var/lib/dpkg/lock",
            content: NOTHING,
            faults: &[Hang, Loop],
        },
        Target { source: "packages", path: "/var/lib/dpkg", content: NOTHING, faults: GONE },
        Target { source: "cloudinit", path: "/run/cloud-init", content: NOTHING, faults: GONE },
        Target {
            source: "pressure",
            path: "/sys/fs/cgroup/user.slice/memory.pressure",
            content: Some(|us| {
                format!("some avg10=0.00 total={us}0\nfull avg10=0.00 total={us}0\n")
            }),
            faults: COUNTED,
        },
        Target {
            source: "pressure",
            path: "/proc/pressure/memory",
            content: NOTHING,
            faults: &[Missing, Loop, Eio, Hang, Garbage, Truncated, Huge],
        },
        Target {
            source: "steal",
            path: "/proc/stat",
            content: Some(|ticks| {
                format!("cpu  9 9 9 9 9 9 9 {ticks} 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n")
            }),
            faults: COUNTED,
        },
        Target { source: "steal", path: "/proc/stat", content: NOTHING, faults: GONE },
        Target {
            source: "cron",
            path: "/var/spool/cron/crontabs/alice",
            content: NOTHING,
            faults: &[Eio, Loop, Hang, Huge],
        },
        Target { source: "batch", path: "/proc/50/stat", content: NOTHING, faults: PLAIN },
        Target { source: "batch", path: "/proc", content: NOTHING, faults: &[Missing] },
        Target {
            source: "jupyter",
            path: "/root/.local/share/jupyter/runtime/jpserver-60.json",
            content: NOTHING,
            faults: &[Eio, Loop, Hang, Garbage, Huge],
        },
    ];

    /// What is read over the message bus; its faults are in a test of their own.
    const ON_THE_BUS: &[&str] = &["inhibitors", "timers"];
    /// A source whose object is a program; its own tests have the faults.
    const ELSEWHERE: &[&str] = &["exec"];

    /// The count in every counter of the healthy machine.
    const COUNT: u64 = 5_000_000;

    /// A machine that nobody uses and on which everything can be read.
    fn machine() -> Tree {
        let tree = Tree::new();
        tree.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\n");
        tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
        for (group, pids) in [
            ("init.scope", &[1][..]),
            ("system.slice", &[]),
            ("system.slice/cron.service", &[400]),
            ("user.slice", &[]),
            ("user.slice/user-1000.slice/session-3.scope", &[50, 812]),
        ] {
            tree.cgroup(group, COUNT, pids);
            tree.file(&format!("/sys/fs/cgroup/{group}/io.stat"), "259:0 rbytes=5 wbytes=7\n");
        }
        // In a fixture a terminal has no number, so a leader without one is its leader.
        let member = |pid, comm| Process::new(pid, comm).with(|p| p.session = 0);
        tree.process(&member(1, "systemd"));
        tree.process(&member(50, "bash"));
        tree.process(&member(400, "cron"));
        tree.process(&Process::new(812, "bash").with(|p| p.uid = 1000));
        tree.file("/dev/pts/0", "");
        tree.file(SOCKETS, "1 LISTEN [::]:22\n");
        tree.file("/var/lib/dpkg/lock", "");
        tree.file("/run/cloud-init/result.json", "{}");
        tree.file("/proc/pressure/memory", "some avg10=0.00 total=5\nfull avg10=0.00 total=5\n");
        tree.file("/var/spool/cron/crontabs/alice", "@reboot train\n");
        for target in TARGETS {
            if let Some(content) = target.content {
                tree.file(target.path, content(COUNT));
            }
        }
        tree
    }

    /// The defaults, but enforced, and read every half minute, so that an hour is a hundred looks.
    fn settings() -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agentd.toml");
        std::fs::write(&file, "mode = 'enforce'\nsampling.interval = '30s'\n").unwrap();
        load(&LoadFrom::File(file), &known_sources()).unwrap().settings
    }

    /// The agent on one machine: sampler and engine, with injected time.
    struct World {
        sampler: Sampler,
        engine: Engine,
        policy: Policy,
        now: Stamp,
        /// What was asked for that people notice, and when.
        asked: Vec<(Stamp, ActionKind)>,
        /// The slowest round.
        slowest: Duration,
        blind: BTreeSet<String>,
    }

    const TICK: Duration = Duration::from_secs(30);

    impl World {
        fn new(tree: &Tree, bus: BusMode) -> Self {
            let settings = settings();
            let policy = settings.policy;
            assert_eq!(policy.mode, Mode::Enforce);
            let of = |(name, policy): (
                &agent_core::reading::SourceName,
                &agent_core::policy::SourcePolicy,
            )| {
                let options = settings.sources.get(name.as_str()).cloned().unwrap_or_default();
                let one =
                    SourceSettings { enabled: policy.enabled, interval: policy.interval, options };
                (name.as_str().to_owned(), one)
            };
            let wanted = policy.sources.iter().map(of).collect();
            let now = Stamp::new(36_000_000, 0, 1_795_694_400_000);
            let mut engine = Engine::new(policy.clone(), Recovery::default(), now);
            let able = Abilities {
                instance_id: Some("i-0123456789abcdef0".to_owned()),
                hibernate: Ability::Can,
                stop: Ability::Can,
                member: false,
            };
            engine.step(now, Input::Abilities(able));
            Self {
                sampler: Sampler::new(tree.root(), bus, &wanted),
                engine,
                policy,
                now,
                asked: Vec::new(),
                slowest: Duration::ZERO,
                blind: BTreeSet::new(),
            }
        }

        async fn sample(&mut self, which: Which) -> Vec<Observation> {
            let begun = Instant::now();
            let observations = self.sampler.sample(self.now, which).await;
            self.slowest = self.slowest.max(begun.elapsed());
            for Observation { source, reading } in &observations {
                if let Reading::Blind { why } = reading {
                    self.blind.insert(format!("{source}: {why}"));
                }
            }
            observations
        }

        /// Half a minute later: one round.
        async fn tick(&mut self) {
            self.now = self.now.after(TICK);
            let observations = self.sample(Which::Due).await;
            self.digest(observations).await;
        }

        async fn digest(&mut self, observations: Vec<Observation>) {
            let mut waiting: Vec<ActionRequest> = Vec::new();
            for observation in observations {
                waiting.extend(self.step(Input::Observed(observation)));
            }
            waiting.extend(self.step(Input::Tick));
            while let Some(ActionRequest { key, kind }) = waiting.pop() {
                if kind == ActionKind::Reread {
                    for observation in self.sample(Which::All).await {
                        waiting.extend(self.step(Input::Observed(observation)));
                    }
                } else if matches!(
                    kind,
                    ActionKind::Warn(_) | ActionKind::Hook { .. } | ActionKind::Power { .. }
                ) {
                    self.asked.push((self.now, kind));
                }
                let outcome = Outcome::Done { detail: String::new() };
                waiting.extend(self.step(Input::Finished { key, outcome }));
            }
        }

        fn step(&mut self, input: Input) -> Vec<ActionRequest> {
            let Decision { actions, events, .. } = self.engine.step(self.now, input);
            // The engine is who sees that a counter fell.
            for event in events {
                if let Event::SourceBlind { source, why } = event {
                    self.blind.insert(format!("{source}: {why}"));
                }
            }
            actions
        }

        async fn minutes(&mut self, minutes: u64) {
            for _ in 0..minutes * 2 {
                self.tick().await;
            }
        }

        fn stopped_at(&self) -> Option<Stamp> {
            let power = |(at, kind): &(Stamp, ActionKind)| {
                matches!(kind, ActionKind::Power { .. }).then_some(*at)
            };
            self.asked.iter().find_map(power)
        }
    }

    /// A fault that is in force until it is mended.
    struct Damage<'a> {
        tree: &'a Tree,
        target: &'a Target,
        fault: Fault,
        there: bool,
    }

    const SAVED: &str = "/saved";

    /// In the middle of the last number of the first of several lines, or of a single one.
    fn cut(content: &[u8]) -> usize {
        let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        if end + 1 < content.len() { end - 2 } else { content.len() / 2 }
    }

    impl<'a> Damage<'a> {
        fn do_to(tree: &'a Tree, target: &'a Target, fault: Fault) -> Self {
            let path = tree.path(target.path);
            let there = path.exists();
            let content =
                if there && path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            if there {
                std::fs::rename(&path, tree.path(SAVED)).unwrap();
            }
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match fault {
                Missing => {}
                Eio => symlink("/proc/self/mem", &path).unwrap(),
                Loop => symlink(&path, &path).unwrap(),
                Hang => mkfifo(&path, Permissions::S_IRWXU).unwrap(),
                Garbage | Backwards | Reset => tree.file(target.path, b"\xff\xfe usage garbage\n"),
                Truncated => tree.file(target.path, &content[..cut(&content)]),
                Huge => tree.file(target.path, vec![b'x'; (4 << 20) + 1]),
            }
            Self { tree, target, fault, there }
        }

        /// Before each look.
        fn go_on(&self, look: u64) {
            let Some(content) = self.target.content else { return };
            if self.fault == Backwards {
                self.tree.file(self.target.path, content(COUNT - 1 - look));
            }
        }

        fn mend(self) {
            let path = self.tree.path(self.target.path);
            // Whoever waits for a writer is let go.
            let fifo = (self.fault == Hang).then(|| {
                let mut options = File::options();
                options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
                options.open(&path).unwrap()
            });
            if self.fault != Missing {
                std::fs::remove_file(&path).unwrap();
            }
            if self.there {
                std::fs::rename(self.tree.path(SAVED), &path).unwrap();
            }
            drop(fifo);
        }
    }

    /// Five minutes at rest, thirty-five with the fault, then health again.
    async fn suffer(target: &Target, fault: Fault) {
        let name = format!("{} with {fault:?} of {}", target.source, target.path);
        let tree = machine();
        let mut world = World::new(&tree, BusMode::None);
        world.minutes(5).await;
        assert!(world.blind.is_empty(), "{name}: before it {:?}", world.blind);
        let damage = Damage::do_to(&tree, target, fault);
        for look in 0..70 {
            damage.go_on(look);
            world.tick().await;
        }
        assert!(world.asked.is_empty(), "{name}: {:?}", world.asked);
        let told = |why: &String| {
            let object =
                why.contains(target.path) || why.contains("went backwards") || why.contains("hung");
            why.starts_with(target.source) && object
        };
        assert!(world.blind.iter().any(told), "{name} is not told: {:?}", world.blind);
        damage.mend();
        let mended = world.now;
        // A reader that was let go comes back within moments.
        if fault == Hang {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for _ in 0..100 {
            world.tick().await;
            if world.stopped_at().is_some() {
                break;
            }
        }
        let stopped = world
            .stopped_at()
            .unwrap_or_else(|| panic!("{name}: it never recovers: {:?}", world.blind));
        let idle = world.policy.idle.act_after;
        assert!(
            stopped.since(mended) + TICK >= idle,
            "{name}: stopped {:?} after",
            stopped.since(mended)
        );
        let warned = world.asked.first().unwrap().0;
        let notice = world.policy.idle.warn_before[0];
        assert!(
            warned.since(mended) + TICK >= idle.saturating_sub(notice),
            "{name}: warned at once"
        );
        assert!(
            world.slowest < Duration::from_millis(2500),
            "{name}: a round took {:?}",
            world.slowest
        );
    }

    /// How long threads of this program waited for a processor at the most. Deadlines are real time: what misses one because the
    /// machine of the test had no processor for it says nothing about the sampler.
    struct Stalls {
        worst_ms: Arc<AtomicU64>,
    }

    impl Stalls {
        const STEP: Duration = Duration::from_millis(10);

        fn watch() -> Self {
            let worst_ms = Arc::new(AtomicU64::new(0));
            let weak = Arc::downgrade(&worst_ms);
            std::thread::spawn(move || {
                loop {
                    let begun = Instant::now();
                    std::thread::sleep(Self::STEP);
                    let late = begun.elapsed().saturating_sub(Self::STEP).as_millis();
                    let Some(worst) = weak.upgrade() else { return };
                    worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
                }
            });
            Self { worst_ms }
        }

        /// Whether there was one that may have cost somebody a deadline, which is half a second for the shortest.
        fn any(&self) -> bool {
            self.worst_ms.load(Ordering::Relaxed) >= 100
        }
    }

    /// One case; once more where the machine of the test stalled meanwhile.
    async fn suffer_steadily(target: &Target, fault: Fault) {
        const TRIES: u32 = 10;
        for attempt in 1.. {
            let stalls = Stalls::watch();
            match AssertUnwindSafe(suffer(target, fault)).catch_unwind().await {
                Ok(()) => return,
                Err(_) if attempt < TRIES && stalls.any() => {}
                Err(why) => std::panic::resume_unwind(why),
            }
        }
    }

    async fn suffer_every(faults: &[Fault]) {
        let mut count = 0;
        for target in TARGETS {
            for fault in faults.iter().filter(|fault| target.faults.contains(fault)) {
                suffer_steadily(target, *fault).await;
                count += 1;
            }
        }
        assert!(count > 0);
    }

    #[tokio::test]
    async fn a_healthy_machine_is_stopped_when_its_time_has_come() {
        let tree = machine();
        let mut world = World::new(&tree, BusMode::None);
        let begun = world.now;
        world.minutes(35).await;
        assert!(world.blind.is_empty(), "{:?}", world.blind);
        let idle = world.stopped_at().expect("it is stopped").since(begun);
        assert!(idle.abs_diff(world.policy.idle.act_after) <= TICK * 3, "{idle:?}");
    }

    #[tokio::test]
    async fn what_vanishes_stops_nothing() {
        suffer_every(&[Missing, Loop]).await;
    }

    #[tokio::test]
    async fn what_cannot_be_read_stops_nothing() {
        suffer_every(&[Eio]).await;
    }

    #[tokio::test]
    async fn what_hangs_stops_nothing_and_delays_nothing() {
        suffer_every(&[Hang]).await;
    }

    #[tokio::test]
    async fn garbage_stops_nothing() {
        suffer_every(&[Garbage, Truncated, Huge]).await;
    }

    #[tokio::test]
    async fn counters_that_run_backwards_stop_nothing() {
        suffer_every(&[Backwards]).await;
    }

    #[tokio::test]
    async fn a_counter_that_begins_anew_at_the_last_moment_puts_the_stop_off() {
        let tree = machine();
        let mut world = World::new(&tree, BusMode::None);
        let begun = world.now;
        world.minutes(35).await;
        let due = world.stopped_at().unwrap();
        for target in TARGETS.iter().filter(|target| target.faults.contains(&Reset)) {
            let name = format!("{} with a reset of {}", target.source, target.path);
            let tree = machine();
            let mut world = World::new(&tree, BusMode::None);
            assert_eq!(world.now, begun);
            while world.now.after(TICK) < due {
                world.tick().await;
            }
            tree.file(target.path, (target.content.unwrap())(0));
            world.tick().await;
            assert_eq!(world.stopped_at(), None, "{name}");
            let told = |why: &String| why.starts_with(target.source) && why.contains("backwards");
            assert!(world.blind.iter().any(told), "{name} is not told: {:?}", world.blind);
            world.minutes(5).await;
            assert!(world.stopped_at().is_some(), "{name}: it never recovers");
        }
    }

    /// What a peer on the message bus does to whoever connects.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Peer {
        Nobody,
        Silent,
        Babbling,
        HangingUp,
    }

    #[tokio::test]
    async fn a_message_bus_that_fails_stops_nothing() {
        for peer in [Peer::Nobody, Peer::Silent, Peer::Babbling, Peer::HangingUp] {
            let tree = machine();
            let path = tree.path("/bus");
            let listener = (peer != Peer::Nobody).then(|| UnixListener::bind(&path).unwrap());
            let address = format!("unix:path={}", path.display());
            let babble = listener.map(|listener| {
                std::thread::spawn(move || {
                    use std::io::Write;
                    let mut open = Vec::new();
                    // Two sources connect, each in two rounds.
                    for mut stream in listener.incoming().take(4).flatten() {
                        match peer {
                            Peer::Babbling => drop(stream.write_all(b"\xff\x00OK garbage\r\n")),
                            Peer::HangingUp => continue,
                            Peer::Silent | Peer::Nobody => {}
                        }
                        open.push(stream);
                    }
                    std::thread::sleep(Duration::from_millis(200));
                })
            });
            let mut world = World::new(&tree, BusMode::Address(address));
            let mut last = Vec::new();
            for _ in 0..2 {
                world.now = world.now.after(TICK);
                last = world.sample(Which::Due).await;
                world.digest(last.clone()).await;
            }
            for source in ON_THE_BUS {
                let of = |it: &&Observation| it.source.as_str() == *source;
                let reading = &last.iter().find(of).unwrap().reading;
                assert!(
                    matches!(reading, Reading::Blind { .. }),
                    "{peer:?}: {source}: {reading:?}"
                );
            }
            assert!(world.slowest < Duration::from_millis(2500), "{peer:?}: {:?}", world.slowest);
            // What was read is read again for an hour.
            for _ in 0..120 {
                world.now = world.now.after(TICK);
                world.digest(last.clone()).await;
            }
            assert!(world.asked.is_empty(), "{peer:?}: {:?}", world.asked);
            drop(babble);
        }
    }

    #[test]
    fn every_source_has_its_faults() {
        let mut have: BTreeSet<&str> = TARGETS.iter().map(|target| target.source).collect();
        have.extend(ON_THE_BUS.iter().chain(ELSEWHERE));
        let all: BTreeSet<&str> = ALL.iter().map(|spec| spec.name).collect();
        assert_eq!(have, all, "a source without faults, or faults of no source");
    }
}
