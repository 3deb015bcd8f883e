use super::*;
use crate::host::tree::{Process, Tree};
use crate::sources::BusMode;
use agent_core::reading::Role;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";
const SSHD: &str = "system.slice/ssh.service";
/// Seconds between two looks.
const STEP: u64 = 10;

/// A connection that is written down anew at every look.
#[derive(Clone, Debug)]
struct Line {
    local: String,
    remote: String,
    group: String,
    uid: u32,
    received: u64,
    silent_ms: u32,
    state: &'static str,
}

struct Machine {
    tree: Tree,
    clients: Clients,
    now: Stamp,
    lines: Vec<Line>,
    /// What the engine would compare with the limit: received in the last minute, by subject.
    past: Vec<BTreeMap<String, u64>>,
}

impl Machine {
    fn new() -> Self {
        let tree = Tree::new();
        tree.file("/etc/passwd", "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n");
        tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
        for group in [SESSION, SSHD] {
            tree.cgroup(group, 0, &[]);
        }
        let options = toml::Table::new();
        let clients = Clients::new(&Context { host: tree.root(), options, bus: BusMode::None });
        let now = Stamp::new(1_000_000, 0, 0);
        Self { tree, clients, now, lines: Vec::new(), past: Vec::new() }
    }

    /// A process of a group.
    fn process(&mut self, group: &str, pid: u32, arguments: &str) {
        self.tree.cgroup(group, 0, &[pid]);
        self.tree.process(&Process::new(pid, "x").called(arguments));
    }

    /// A connection of a group at a port on which something listens.
    fn connect(&mut self, group: &str, uid: u32, port: u16, remote: &str) -> usize {
        self.tree.cgroup(group, 0, &[]);
        self.lines.push(Line {
            local: format!("10.0.0.5:{port}"),
            remote: remote.to_owned(),
            group: group.to_owned(),
            uid,
            received: 0,
            silent_ms: 0,
            state: "ESTAB",
        });
        self.lines.len() - 1
    }

    fn group(&self, group: &str) -> u64 {
        std::fs::metadata(self.tree.path(&format!("/sys/fs/cgroup/{group}"))).unwrap().ino()
    }

    fn read(&mut self) -> Reading {
        let mut text = String::new();
        for port in [22, 2222, 5432, 8888, 9100] {
            let group = match port {
                8888 => self.group(SESSION),
                _ => self.group(SSHD),
            };
            writeln!(text, "{port} LISTEN [::]:{port} - 1000 0 {group}").unwrap();
            writeln!(text, "{port} LISTEN 0.0.0.0:{port} - 1000 0 {group}").unwrap();
        }
        for (cookie, line) in self.lines.iter().enumerate() {
            let group = self.group(&line.group);
            let Line { local, remote, uid, received, silent_ms, state, .. } = line;
            writeln!(
                text,
                "{cookie} {state} {local} {remote} {uid} 0 {group} 0 {received} {silent_ms}"
            )
            .unwrap();
        }
        self.tree.file("/proc/net/sock_diag", text);
        self.now = self.now.after(Duration::from_secs(STEP));
        self.clients.read(self.now)
    }

    fn signals(&mut self) -> Vec<Signal> {
        let reading = self.read();
        let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
        let counted = signals.iter().filter(|signal| signal.role == Role::Workload);
        let totals = counted.filter_map(|signal| match signal.value {
            Value::Counter { total } => Some((signal.subject.clone(), total)),
            _ => None,
        });
        self.past.push(totals.collect());
        signals
    }

    /// Looks once, and says who is connected.
    fn connected(&mut self) -> Vec<String> {
        let signals = self.signals();
        let stretches = |signal: &Signal| {
            signal.value == Value::Stretches { by: Stretch::Connected }
                && signal.role == Role::Workload
        };
        signals.into_iter().filter(stretches).map(|signal| signal.subject).collect()
    }

    /// The most that one connection sent in some minute, in bytes.
    fn busiest_minute(&self) -> u64 {
        let looks = usize::try_from(60 / STEP).unwrap();
        let grown = |window: &[BTreeMap<String, u64>]| {
            let (first, last) = (&window[0], &window[window.len() - 1]);
            let of = |(subject, total): (&String, &u64)| {
                total - first.get(subject).copied().unwrap_or(0)
            };
            last.iter().map(of).max().unwrap_or(0)
        };
        self.past.windows(looks + 1).map(grown).max().unwrap_or(0)
    }

    /// Lets a connection send so many bytes every so many seconds for a quarter of an hour.
    fn send(&mut self, connection: usize, bytes: u64, every: u64) {
        for second in 1..=900 {
            if second % every == 0 {
                self.lines[connection].received += bytes;
            }
            if second % STEP == 0 {
                self.signals();
            }
        }
    }

    /// Whether the engine would see a use.
    fn used(&self) -> bool {
        f64::from(u32::try_from(self.busiest_minute()).unwrap()) / 60.0 >= SPEC.busy_above
    }
}

/// Whether a client of alice's that sends like this counts as a use.
fn is_use(group: &str, port: u16, bytes: u64, every: u64) -> bool {
    let mut machine = Machine::new();
    let connection = machine.connect(group, 1000, port, "203.0.113.5:50022");
    // Whoever is there at the first look is no stranger after three minutes.
    for _ in 0..20 {
        machine.signals();
    }
    machine.past.clear();
    machine.signals();
    machine.send(connection, bytes, every);
    machine.used()
}

#[test]
fn keep_alives_of_applications_never_count() {
    for (what, bytes, every) in [
        ("TCP keep-alive carries nothing", 0, 1),
        ("ServerAliveInterval 60 of ssh, encrypted", 100, 60),
        ("an editor's 120 bytes every 5 seconds", 120, 5),
        ("a ping of a web socket every 30 seconds", 60, 30),
        ("a page that asks once every 50 seconds", 1500, 50),
    ] {
        assert!(!is_use(SSHD, 22, bytes, every), "{what}");
        assert!(!is_use(SESSION, 8888, bytes, every), "{what}");
    }
}

#[test]
fn people_at_work_count() {
    for (what, bytes, every) in [
        ("1 KB a second", 1024, 1),
        ("an editor in use, 900 bytes a second", 900, 1),
        ("typing three keys a second over ssh", 3 * 36, 1),
        ("the limit itself", 4002, 60),
    ] {
        assert!(is_use(SSHD, 22, bytes, every), "{what}");
        assert!(is_use(SESSION, 8888, bytes, every), "{what}");
    }
    assert!(!is_use(SESSION, 8888, 3999, 60));
}

#[test]
fn one_minute_of_a_kilobyte_a_second_is_enough() {
    let mut machine = Machine::new();
    let connection = machine.connect(SESSION, 1000, 8888, "203.0.113.5:50022");
    machine.signals();
    for _ in 0..6 {
        machine.lines[connection].received += 1024 * STEP;
        machine.signals();
    }
    assert!(machine.used());
}

#[test]
fn many_connections_that_are_kept_open_are_no_use() {
    let mut machine = Machine::new();
    for client in 0..300_u32 {
        machine.connect(SESSION, 1000, 8888, &format!("203.0.113.5:{}", 40_000 + client));
    }
    for look in 0..60 {
        for (number, line) in machine.lines.iter_mut().enumerate() {
            line.received += if (look + number) % 3 == 0 { 300 } else { 0 };
        }
        machine.signals();
    }
    assert!(!machine.used(), "{}", machine.busiest_minute());
}

#[test]
fn strangers_at_sshd_do_not_count_and_a_session_is_owned_by_nobody_yet() {
    let mut machine = Machine::new();
    machine.signals();
    for attempt in 0..100 {
        machine.lines.clear();
        let connection = machine.connect(SSHD, 0, 22, &format!("198.51.100.1:{}", 1000 + attempt));
        machine.lines[connection].received = 6000;
        machine.signals();
    }
    assert_eq!(machine.busiest_minute(), 0);
}

#[test]
fn a_new_session_that_uploads_counts_beyond_what_strangers_may() {
    let mut machine = Machine::new();
    machine.signals();
    let connection = machine.connect(SSHD, 0, 22, "203.0.113.5:50022");
    machine.lines[connection].received = 20_000_000;
    machine.signals();
    machine.past.insert(0, BTreeMap::new());
    for _ in 0..6 {
        machine.signals();
    }
    assert!(machine.used());
}

#[test]
fn only_what_belongs_to_people_has_clients() {
    let cases = [
        // A database, a web server and a metrics exporter of the system, with their own users and with root.
        ("system.slice/postgresql.service", 114, false),
        ("system.slice/nginx.service", 33, false),
        ("system.slice/prometheus-node-exporter.service", 113, false),
        ("system.slice/amazon-ssm-agent.service", 0, false),
        ("init.scope", 0, false),
        // What people run.
        (SESSION, 1000, true),
        ("system.slice/jupyter-alice.service", 1000, true),
        ("system.slice/docker-1.scope", 0, true),
        // What people use although the system runs it.
        ("system.slice/rstudio-server.service", 0, true),
        ("system.slice/jupyterhub.service", 0, true),
        ("system.slice/dcvserver.service", 977, true),
        ("system.slice/system-code\\x2dserver.slice/code-server@alice.service", 0, true),
        ("system.slice/system-vncserver.slice/vncserver@:1.service", 0, true),
    ];
    for (group, uid, counts) in cases {
        let mut machine = Machine::new();
        for client in 0..20 {
            machine.connect(group, uid, 5432, &format!("203.0.113.5:{}", 50_000 + client));
        }
        machine.signals();
        for _ in 0..20 {
            machine.lines.iter_mut().for_each(|line| line.received += 5000);
            machine.signals();
        }
        assert_eq!(machine.used(), counts, "{group}");
        assert_eq!(!machine.connected().is_empty(), counts, "{group}");
    }
}

#[test]
fn what_work_opens_itself_is_no_client() {
    let mut machine = Machine::new();
    let connection = machine.connect(SESSION, 1000, 41_000, "198.51.100.7:443");
    machine.signals();
    machine.lines[connection].received = 1 << 30;
    machine.signals();
    assert_eq!(machine.busiest_minute(), 0);
    assert!(machine.connected().is_empty());
}

#[test]
fn a_conversation_on_the_machine_counts_once() {
    let mut machine = Machine::new();
    // sshd's session forwards to a notebook: the client counts at sshd.
    machine.connect(SESSION, 1000, 8888, "10.0.0.5:40000");
    machine.connect(SESSION, 1000, 40_000, "10.0.0.5:8888");
    // A web server of the system stands before a notebook: the client counts at the notebook.
    let proxied = machine.connect(SESSION, 1000, 8888, "10.0.0.5:40001");
    machine.connect("system.slice/nginx.service", 33, 40_001, "10.0.0.5:8888");
    machine.signals();
    machine.lines.iter_mut().for_each(|line| line.received += 10_000);
    let counted: Vec<_> =
        machine.signals().into_iter().filter(|it| it.role == Role::Workload).collect();
    assert_eq!(counted.len(), 2, "one counter and who is connected: {counted:?}");
    assert_eq!(counted[0].value, Value::Counter { total: 10_000 });
    assert!(counted[0].subject.contains(&machine.lines[proxied].remote), "{counted:?}");
}

#[test]
fn a_silent_client_stretches_while_its_peer_answers() {
    let mut machine = Machine::new();
    let tab = machine.connect(SESSION, 1000, 8888, "203.0.113.5:50022");
    assert_eq!(machine.connected(), ["clients of alice"]);
    machine.lines[tab].silent_ms = 299_000;
    assert_eq!(machine.connected(), ["clients of alice"]);
    // The laptop was closed. Nothing tells the machine, but nothing is acknowledged either.
    machine.lines[tab].silent_ms = 300_000;
    let looks = (0..60).take_while(|_| !machine.connected().is_empty()).count();
    assert_eq!(looks, 29, "it lingers for five minutes");
}

#[test]
fn a_tab_that_connects_again_was_never_away() {
    let mut machine = Machine::new();
    for reconnect in 0..20_u32 {
        machine.lines.clear();
        machine.connect(SESSION, 1000, 8888, &format!("203.0.113.5:{}", 50_000 + reconnect));
        assert_eq!(machine.connected(), ["clients of alice"]);
        machine.lines.clear();
        for _ in 0..20 {
            assert_eq!(machine.connected(), ["clients of alice"]);
        }
    }
}

#[test]
fn half_closed_connections_and_sessions_of_ssh_are_not_shown_as_connected() {
    let mut machine = Machine::new();
    let closing = machine.connect(SESSION, 1000, 8888, "203.0.113.5:50022");
    machine.lines[closing].state = "CLOSE-WAIT";
    machine.connect(SSHD, 0, 22, "203.0.113.5:50023");
    assert!(machine.connected().is_empty());
}

#[test]
fn both_families_and_mapped_addresses_are_met() {
    for (local, remote) in [
        ("[2001:db8::5]:8888", "[2001:db8::9]:50022"),
        ("[::ffff:10.0.0.5]:8888", "[::ffff:203.0.113.5]:50022"),
    ] {
        let mut machine = Machine::new();
        let connection = machine.connect(SESSION, 1000, 8888, remote);
        machine.lines[connection].local = local.to_owned();
        machine.signals();
        machine.lines[connection].received = 9000;
        machine.signals();
        machine.past.insert(0, BTreeMap::new());
        for _ in 0..5 {
            machine.signals();
        }
        assert!(machine.used(), "{local}");
    }
}

#[test]
fn garbage_is_blind_and_another_machine_is_absent() {
    let mut machine = Machine::new();
    machine.read();
    machine.tree.file("/proc/net/sock_diag", "garbage\n");
    let reading = machine.clients.read(machine.now.after(Duration::from_secs(1)));
    assert!(matches!(&reading, Reading::Blind { why } if why.contains("sock_diag")), "{reading:?}");
    machine.tree.remove("/proc/net/sock_diag");
    let reading = machine.clients.read(machine.now.after(Duration::from_secs(2)));
    assert!(matches!(reading, Reading::Absent { .. }), "{reading:?}");
}

#[test]
fn a_count_that_runs_backwards_is_no_growth() {
    let mut machine = Machine::new();
    let connection = machine.connect(SESSION, 1000, 8888, "203.0.113.5:50022");
    machine.lines[connection].received = 1 << 40;
    machine.signals();
    machine.lines[connection].received = 5;
    machine.signals();
    machine.signals();
    assert_eq!(machine.past.iter().flat_map(BTreeMap::values).max(), Some(&0));
}

#[test]
fn this_machine_can_be_read() {
    let options = toml::Table::new();
    let mut clients = Clients::new(&Context { host: HostRoot::real(), options, bus: BusMode::None });
    let reading = clients.read(Stamp::default());
    assert!(matches!(reading, Reading::Signals(_)), "{reading:?}");
}

/// Whether somebody is seen at work and whether somebody is seen connected over a program that calls a relay, on whose
/// connection so many bytes come in each second.
fn over_relay(program: &str, received: u64) -> (bool, bool) {
    let group = "user.slice/user-1000.slice/user@1000.service/app.slice/code-tunnel.service";
    let mut machine = Machine::new();
    let connection = machine.connect(group, 1000, 41_000, "198.51.100.7:443");
    machine.process(group, 50, program);
    machine.signals();
    for _ in 0..30 {
        machine.lines[connection].received += received * STEP;
        machine.signals();
    }
    (machine.used(), !machine.connected().is_empty())
}

#[test]
fn somebody_who_comes_over_a_relay_is_seen_and_one_who_sleeps_is_merely_connected() {
    let code = "/home/alice/.vscode/cli/servers/Stable-1/server/node out/server-main.js";
    for program in [code, "/usr/bin/code tunnel", "/opt/x/chrome-remote-desktop-host", "ngrok http 80"] {
        assert_eq!(over_relay(program, 5000), (true, true), "{program}");
        assert_eq!(over_relay(program, 120), (false, true), "{program}");
        assert_eq!(over_relay(program, 40), (false, false), "{program}");
    }
    assert_eq!(over_relay("python3 fetch.py", 5000), (false, false), "its own work counts in network");
}

#[test]
fn units_serve_somebody_who_sends_and_a_pool_that_is_kept_open_is_nothing() {
    for (what, bytes, every, serves) in [
        ("a pool that is pinged", 90, 10, false),
        ("a scrape", 300, 15, false),
        ("a client at work", 2500, 1, true),
    ] {
        let mut machine = Machine::new();
        machine.tree.file("/etc/systemd/system/shop.service", "[Service]\nExecStart=/opt/shop\n");
        for client in 0..20 {
            machine.connect("system.slice/shop.service", 0, 5432, &format!("203.0.113.5:{}", 50_000 + client));
        }
        let mut most = 0;
        machine.signals();
        for second in 1..=600_u64 {
            let sent = if second % every == 0 { bytes } else { 0 };
            machine.lines.iter_mut().for_each(|line| line.received += sent);
            if second % STEP == 0 {
                for signal in machine.signals() {
                    assert_ne!(signal.role, Role::Workload, "{signal:?}");
                    if let (Role::Local, Value::Counter { total }) = (signal.role, signal.value) {
                        most = most.max(total);
                    }
                }
            }
        }
        let limits = SPEC.limits.unwrap();
        let a_second = f64::from(u32::try_from(most / 600).unwrap());
        assert_eq!(a_second >= limits.local_above, serves, "{what}: {a_second} B/s");
        assert!(machine.connected().is_empty(), "{what}");
    }
}

#[test]
fn where_ends_are_lost_somebody_may_be_connected() {
    let mut machine = Machine::new();
    let file = "/proc/net/sock_diag_ended";
    machine.tree.file(file, "");
    assert!(machine.connected().is_empty());
    machine.tree.file(file, "LOST\n");
    assert_eq!(machine.connected(), ["clients of connections that ended untold"]);
    let looks = (0..60).take_while(|_| !machine.connected().is_empty()).count();
    assert_eq!(looks, 29, "it lingers for five minutes");
}

#[test]
fn requests_on_a_connection_each_count_as_those_on_one_do() {
    let mut machine = Machine::new();
    let file = "/proc/net/sock_diag_ended";
    machine.tree.file(file, "");
    machine.signals();
    let mut ended = String::new();
    for request in 0..120 {
        // Every second one of 2 kB, which is over before the next look.
        writeln!(ended, "{} CLOSE 10.0.0.5:8888 203.0.113.5:{} 0 0 - 9000 2000 0", 1000 + request, 40_000 + request).unwrap();
        if request % 10 == 0 {
            machine.tree.file(file, &ended);
            machine.signals();
        }
    }
    assert!(machine.used(), "{}", machine.busiest_minute());
    let subjects: Vec<_> = machine.past.last().unwrap().keys().cloned().collect();
    assert_eq!(subjects, ["alice 203.0.113.5 to port 8888, short connections"]);
}
