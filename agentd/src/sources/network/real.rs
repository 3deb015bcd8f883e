//! The source before a real kernel: the machine in one network namespace, somebody else in another one.
//!
//! The test starts itself once more in a namespace of its own (`unshare --net`), makes another one and joins both by a pair of
//! interfaces. Where that is not allowed it says so and checks nothing. Time is handed in, so nothing waits.

use super::*;
use crate::sources::BusMode;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Set where it runs in the namespace that it looks at.
const INSIDE: &str = "AGENTD_TEST_INSIDE";
/// What serves and calls, in the namespace of the machine and in the other one: it does what it is told by line.
const HELPER: &str = r"
import socket, sys, threading, time
def carry(connection, received, sent):
    while received > 0:
        received -= len(connection.recv(min(received, 65536)))
    connection.sendall(b'x' * sent)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536): pass
    connection.close()
def serve(listener, received, sent):
    while True:
        carry(listener.accept()[0], received, sent)
print('ready', flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == 'serve':
        listener = socket.create_server((words[1], int(words[2])))
        threading.Thread(target=serve, args=(listener, int(words[3]), int(words[4])), daemon=True).start()
    elif words[0] == 'call':
        for _ in range(int(words[5])):
            with socket.create_connection((words[1], int(words[2]))) as connection:
                connection.sendall(b'x' * int(words[3]))
                left = int(words[4])
                while left > 0: left -= len(connection.recv(65536))
    elif words[0] == 'echo':
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((words[1], int(words[2])))
        def echo():
            while True:
                data, other = server.recvfrom(2048)
                server.sendto(data * 2, other)
        threading.Thread(target=echo, daemon=True).start()
    elif words[0] == 'play':
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(5)
        for _ in range(int(words[3])):
            client.sendto(b'x' * 500, (words[1], int(words[2])))
            client.recvfrom(2048)
    print('done', flush=True)
";

struct Helper {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Helper {
    /// Starts one. `before` is run by a shell before it, after a line has come.
    fn start(unshared: bool, before: &str) -> Self {
        let script = format!("read _; {before}; exec python3 -c \"$HELPER\"");
        let mut command = if unshared {
            let mut command = Command::new("unshare");
            command.args(["--net", "sh", "-c"]);
            command
        } else {
            let mut command = Command::new("sh");
            command.arg("-c");
            command
        };
        let command = command.arg(script).env("HELPER", HELPER);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Hands over a line and waits until it is done.
    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.lines.next().unwrap().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn is_missing(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
}

/// The machine, the other one, and the source.
struct Pair {
    network: Network,
    machine: Helper,
    other: Helper,
    /// The ends of connections once more, by which the test knows that the kernel has told of them.
    ends: Ended,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        ip("link set lo up");
        let mut other = Helper::start(
            true,
            "ip addr add 10.77.0.2/24 dev v1; ip link set v1 up; ip link set lo up",
        );
        let pid = other.child.id();
        // Between the fork and its own namespace the child is in this one.
        let root = HostRoot::real();
        let own = crate::host::namespace::own(&root).unwrap();
        let begun = Instant::now();
        while crate::host::namespace::of(&root, pid).unwrap() == own {
            assert!(begun.elapsed() < Duration::from_secs(10), "it stays in this namespace");
            std::thread::yield_now();
        }
        ip(&format!("link add v0 type veth peer name v1 netns {pid}"));
        ip("addr add 10.77.0.1/24 dev v0");
        ip("link set v0 up");
        other.tell("");
        let mut machine = Helper::start(false, "true");
        machine.tell("");
        let options = toml::Table::new();
        let network = Network::new(&Context { host: root, options, bus: BusMode::None });
        let ends = Ended::open(&HostRoot::real()).unwrap().unwrap();
        let mut pair = Self { network, machine, other, ends, now: 0 };
        pair.look();
        pair.look();
        pair
    }

    /// Looks ten seconds later.
    fn look(&mut self) -> Vec<Signal> {
        self.now += 10_000;
        self.network.look(Stamp::new(self.now, 0, 0)).unwrap().unwrap()
    }

    /// What is counted by subject.
    fn totals(&mut self) -> Vec<(String, Role, u64)> {
        let counted = |signal: Signal| match signal.value {
            Value::Counter { total } => Some((signal.subject, signal.role, total)),
            _ => None,
        };
        self.look().into_iter().filter_map(counted).collect()
    }

    /// Waits until the kernel has told of so many ends, which it does a little after them.
    fn await_ends(&mut self, count: usize) {
        let begun = Instant::now();
        let mut told = 0;
        while told < count {
            assert!(self.ends.take(&mut |_| told += 1).unwrap(), "some were lost");
            assert!(begun.elapsed() < Duration::from_secs(10), "{told} of {count} ends were told");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_real_kernel_loses_nothing_between_two_looks() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let allowed = Command::new("unshare").args(["--net", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) || is_missing("python3") || is_missing("ip") {
        eprintln!("skipped: network namespaces, ip(8) or python3 are not to be had here");
        return;
    }
    let test = "sources::network::real::a_real_kernel_loses_nothing_between_two_looks";
    let status = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.unwrap().success());
}

fn inside() {
    let mut pair = Pair::new();
    pair.other.tell("serve 10.77.0.2 80 0 200000");
    pair.machine.tell("serve 10.77.0.1 22 2800 2800");
    pair.machine.tell("serve 10.77.0.1 8080 200 50000");
    pair.machine.tell("echo 10.77.0.1 2456");
    assert_eq!(pair.totals(), [], "nothing was carried yet");

    // Refused logins and a page that is fetched again and again are nobody's.
    pair.other.tell("call 10.77.0.1 22 2800 2800 20");
    pair.other.tell("call 10.77.0.1 8080 200 50000 10");
    pair.await_ends(30);
    let counted: u64 = pair.totals().iter().map(|(_, _, total)| total).sum();
    assert_eq!(counted, 0);

    // A load on twenty connections, none of which lives at a look.
    pair.machine.tell("call 10.77.0.2 80 0 200000 20");
    pair.await_ends(20);
    let totals = pair.totals();
    let unseen = totals.iter().find(|(subject, ..)| subject == payload::UNSEEN).unwrap();
    assert_eq!(unseen.1, Role::Unexplained);
    assert!((4_000_000..4_010_000).contains(&unseen.2), "{totals:?}");
    for _ in 0..6 {
        pair.look();
    }
    let unexplained: u64 =
        pair.totals().iter().filter(|it| it.0 == UNEXPLAINED).map(|it| it.2).sum();
    assert!(unexplained < 40_000, "the account closes to a hundredth: {unexplained}");

    // A game over UDP: 20 kB/s in, 40 kB/s out.
    pair.other.tell("play 10.77.0.1 2456 400");
    let totals = pair.totals();
    let game = totals.iter().find(|(subject, ..)| subject.starts_with("UDP port 2456 of ")).unwrap();
    assert!((590_000..=620_000).contains(&game.2), "{totals:?}");
    assert_eq!(game.1, Role::Workload);
}
