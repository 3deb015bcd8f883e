use super::*;
use crate::host::tree::{Process, Tree};
use std::time::Duration;

const DOCKER: &str = "system.slice/docker-ab12.scope";
const NAME: &str = "network of docker-ab12.scope";

struct Machine {
    tree: Tree,
    namespaces: Namespaces,
    now: Stamp,
    strangers: (u64, u64),
}

impl Machine {
    /// A machine with one container of one process, number 50.
    fn new() -> Self {
        let tree = Tree::new();
        tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
        write(&tree, "self", "eth0", 0, 0);
        let namespaces = Namespaces::new(tree.root(), Vec::new(), Vec::new());
        let machine = Self { tree, namespaces, now: Stamp::new(1_000_000, 0, 0), strangers: (0, 0) };
        machine.tree.cgroup(DOCKER, 0, &[50]);
        machine
    }

    fn carry(&self, pid: u32, bytes: u64, packets: u64) {
        write(&self.tree, &pid.to_string(), "eth0", bytes, packets);
    }

    fn share(&self, pid: u32, with: &str) {
        self.tree.folder(&format!("/proc/{pid}/net"));
        let (from, to) = (format!("/proc/{with}/net/dev"), format!("/proc/{pid}/net/dev"));
        std::fs::hard_link(self.tree.path(&from), self.tree.path(&to)).unwrap();
    }

    fn try_look(&mut self) -> Result<Vec<(String, u64)>, HostError> {
        self.now = self.now.after(Duration::from_mins(1));
        let grown = self.namespaces.look(self.now, self.strangers)?;
        Ok(grown.into_iter().map(|one| (one.subject, one.counted)).collect())
    }

    fn look(&mut self) -> Vec<(String, u64)> {
        self.try_look().unwrap()
    }
}

fn write(tree: &Tree, pid: &str, interface: &str, bytes: u64, packets: u64) {
    let zeros = "0 0 0 0 0 0";
    let text = format!(
        "Inter-|\n face |\n    lo: 999999 99 {zeros} 999999 99 {zeros}\n{interface}: {bytes} {packets} {zeros} 0 0 {zeros}\n"
    );
    tree.file(&format!("/proc/{pid}/net/dev"), text);
}

fn grew(subject: &str, bytes: u64) -> Vec<(String, u64)> {
    vec![(subject.to_owned(), bytes)]
}

#[test]
fn a_container_counts_what_it_carries_from_the_first_look_on() {
    let mut machine = Machine::new();
    machine.carry(50, 1_000_000, 1000);
    assert_eq!(machine.look(), grew(NAME, 0));
    machine.carry(50, 1_100_000, 1100);
    assert_eq!(machine.look(), grew(NAME, 100_000 - 100 * 66));
    assert_eq!(machine.look(), grew(NAME, 0));
}

#[test]
fn packets_that_carry_nothing_are_no_traffic() {
    let mut machine = Machine::new();
    machine.carry(50, 0, 0);
    machine.look();
    // Acknowledgements, keep-alive probes and ARP.
    machine.carry(50, 66 * 500 + 42 * 500, 1000);
    assert_eq!(machine.look(), grew(NAME, 0));
}

#[test]
fn a_container_that_is_new_counts_from_its_first_byte() {
    let mut machine = Machine::new();
    machine.carry(50, 5, 1);
    machine.look();
    machine.tree.cgroup("system.slice/docker-cd34.scope", 0, &[70]);
    machine.carry(70, 5000, 10);
    let grown = machine.look();
    assert!(grown.contains(&("network of docker-cd34.scope".to_owned(), 5000 - 660)), "{grown:?}");
}

#[test]
fn processes_that_share_a_namespace_count_once() {
    let mut machine = Machine::new();
    machine.carry(50, 0, 0);
    machine.share(51, "50");
    machine.tree.cgroup(DOCKER, 0, &[50, 51]);
    machine.tree.cgroup("system.slice/docker-sidecar.scope", 0, &[52]);
    machine.share(52, "50");
    machine.look();
    machine.carry(50, 10_000, 0);
    let grown = machine.look();
    assert_eq!(grown.len(), 1);
    assert_eq!(grown[0].1, 10_000);
}

#[test]
fn work_in_the_agents_own_namespace_is_known_by_socket() {
    let mut machine = Machine::new();
    machine.share(50, "self");
    assert!(machine.look().is_empty());
    write(&machine.tree, "self", "eth0", 1 << 30, 5);
    assert!(machine.look().is_empty());
}

#[test]
fn upkeep_with_a_network_of_its_own_does_not_count() {
    let mut machine = Machine::new();
    machine.share(50, "self");
    machine.tree.cgroup("system.slice/chrony.service", 0, &[60]);
    machine.carry(60, 1 << 30, 0);
    assert!(machine.look().is_empty());
}

#[test]
fn a_namespace_outlives_the_process_by_which_it_was_known() {
    let mut machine = Machine::new();
    machine.carry(50, 100, 0);
    machine.look();
    machine.tree.cgroup(DOCKER, 0, &[51]);
    machine.share(51, "50");
    machine.tree.remove("/proc/50");
    machine.carry(51, 700, 0);
    assert_eq!(machine.look(), grew(NAME, 600));
}

#[test]
fn a_number_that_was_given_to_another_process_is_not_followed() {
    let mut machine = Machine::new();
    machine.carry(50, 100, 0);
    machine.look();
    machine.tree.cgroup(DOCKER, 0, &[]);
    machine.tree.remove("/proc/50/net/dev");
    machine.share(50, "self");
    assert!(machine.look().is_empty());
    assert!(machine.namespaces.known.is_empty());
}

#[test]
fn a_process_deep_in_a_crowd_is_kept_once_it_was_found() {
    let mut machine = Machine::new();
    let crowd: Vec<u32> = (50..60).collect();
    machine.tree.cgroup(DOCKER, 0, &crowd);
    for pid in crowd.iter().filter(|pid| **pid != 55) {
        machine.share(*pid, "self");
    }
    machine.carry(55, 1000, 0);
    let mut total = 0;
    for look in 0..40 {
        machine.carry(55, 1000 + look * 10, 0);
        total += machine.look().iter().map(|(_, grown)| grown).sum::<u64>();
    }
    assert!((1000..=1390).contains(&total), "counted once from its first byte: {total}");
}

#[test]
fn sums_that_fall_are_no_error_and_no_endless_growth() {
    let mut machine = Machine::new();
    machine.carry(50, 100_000, 0);
    machine.look();
    machine.carry(50, 300, 0);
    assert_eq!(machine.look(), grew(NAME, 300));
    assert_eq!(machine.look(), grew(NAME, 0));
}

#[test]
fn what_cannot_be_understood_is_told() {
    let mut machine = Machine::new();
    machine.carry(50, 0, 0);
    machine.look();
    machine.tree.file("/proc/50/net/dev", "a|\nb|\neth0: garbage\n");
    let error = machine.try_look().unwrap_err().to_string();
    assert!(error.contains("/proc/50/net/dev"), "{error}");
}

#[test]
fn hidden_processes_are_not_taken_for_processes_without_a_network() {
    let mut machine = Machine::new();
    assert!(machine.look().is_empty(), "a process that ended");
    machine.tree.file("/proc/self/mounts", "proc /proc proc rw,hidepid=2 0 0\n");
    assert!(machine.try_look().is_err());
}

#[test]
fn a_machine_without_groups_or_namespaces_has_nothing_to_say() {
    let tree = Tree::new();
    let mut namespaces = Namespaces::new(tree.root(), Vec::new(), Vec::new());
    assert!(namespaces.look(Stamp::default(), (0, 0)).unwrap().is_empty());
    write(&tree, "self", "eth0", 0, 0);
    assert!(namespaces.look(Stamp::default(), (0, 0)).unwrap().is_empty());
}

#[test]
fn a_few_of_many_are_asked_and_everybody_has_a_turn() {
    assert!(some_of(&[], 3).is_empty());
    assert_eq!(some_of(&[7], 3), [7]);
    let many: Vec<u32> = (0..100).collect();
    let asked: std::collections::BTreeSet<_> =
        (0..100).flat_map(|turn| some_of(&many, turn)).collect();
    assert_eq!(asked.len(), 100);
}

/// A connection of a container, as `/proc/PID/net/tcp` has it: it was opened to `remote` if that is not zero, else it is one that
/// listens.
fn connection(remote: u8) -> String {
    let (local, state) = if remote == 0 { ("0050", "0A") } else { ("C350", "01") };
    let remote = u32::from_ne_bytes([10, 0, 0, remote]);
    format!("  sl\n   0: 020011AC:{local} {remote:08X}:01BB {state} 0\n")
}

/// What counts a second of a container that carries so many bytes a second, received and sent, accepts a connection a look,
/// and has opened so many connections before and opens so many in each look.
fn counted(opened: Option<(u64, u64)>, connections: &str, received: u64, sent: u64) -> u64 {
    let mut machine = Machine::new();
    machine.tree.file("/proc/50/net/tcp", connections);
    let mut sum = 0;
    for look in 0..60 {
        let zeros = "0 0 0 0 0 0";
        let (seconds, packets) = (look * 60, look * 60 * 2);
        let line = format!(
            "eth0: {} {packets} {zeros} {} {packets} {zeros}\n",
            received * seconds + packets * 66,
            sent * seconds + packets * 66,
        );
        machine.tree.file("/proc/50/net/dev", format!("Inter-|\n face |\n{line}"));
        if let Some((before, each)) = opened {
            let opened = before + each * look;
            let text = format!(
                "Tcp: ActiveOpens PassiveOpens\nTcp: {opened} {look}\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 0 0 0 0\n"
            );
            machine.tree.file("/proc/50/net/snmp", text);
        }
        sum += machine.look().first().map_or(0, |(_, bytes)| *bytes);
    }
    sum / (59 * 60)
}

#[test]
fn a_container_that_only_serves_is_not_kept_up_by_a_scrape_and_by_work_it_is() {
    let listens = connection(0);
    assert_eq!(counted(Some((0, 0)), &listens, 100, 2000), 0, "a scrape every 15 seconds");
    assert!(counted(Some((0, 0)), &listens, 500, 50_000) > 30_000, "it serves somebody");
    assert!(counted(Some((0, 0)), &listens, 50_000, 500) > 45_000, "somebody sends to it");
    assert!(counted(Some((900, 0)), &listens, 100, 2000) < 80, "it asked somebody before the first look");
    assert_eq!(counted(Some((0, 1)), &listens, 100, 2000), 0, "it checks its own health");
    assert_eq!(counted(Some((0, 2)), &listens, 100, 2000), 2100, "it asks somebody again and again");
    let asks = connection(9);
    assert_eq!(counted(Some((1, 0)), &asks, 100, 2000), 2100, "what it sends may be its own work");
    assert_eq!(counted(None, &listens, 100, 2000), 2100, "nothing tells what it opened");
}

#[test]
fn what_containers_behind_a_bridge_say_to_each_other_is_nobodys() {
    let mut machine = Machine::new();
    let hex = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
    let (network, mask) = (hex([172, 17, 0, 0]), hex([255, 255, 0, 0]));
    let linked = |name: &str| format!("Iface\n{name} {network} 0 1 0 0 0 {mask} 0 0 0\n");
    let elsewhere = format!("Iface\neth0 {} 0 1 0 0 0 {mask} 0 0 0\n", hex([10, 0, 0, 0]));
    machine.tree.folder("/sys/class/net/eth0/device");
    machine.tree.folder("/sys/class/net/docker0/bridge");
    machine.tree.file("/proc/net/route", linked("docker0"));
    let zeros = "0 0 0 0 0 0";
    let mut look = |container: u64, card: u64, behind: bool| {
        machine.carry(50, container, 0);
        let own = if behind { &linked("eth0") } else { &elsewhere };
        machine.tree.file("/proc/50/net/route", own);
        let lines = format!("eth0: {card} 0 {zeros} 0 0 {zeros}\ndocker0: 0 0 {zeros} 0 0 {zeros}\n");
        machine.tree.file("/proc/net/dev", format!("Inter-|\n face |\n{lines}"));
        machine.look().remove(0).1
    };
    for _ in 0..2 {
        look(0, 0, true);
    }
    assert_eq!(look(50_000, 300, true), 300, "no more than the card carried");
    assert_eq!(look(100_000, 90_300, true), 50_000);
    assert_eq!(look(150_000, 90_300, false), 50_000, "it may have a card of its own");
}

#[test]
fn containers_that_talk_to_each_other_share_what_the_cards_carried_and_strangers_did_not() {
    let mut machine = Machine::new();
    let hex = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
    let (network, mask) = (hex([172, 17, 0, 0]), hex([255, 255, 0, 0]));
    let linked = |name: &str| format!("Iface\n{name} {network} 0 1 0 0 0 {mask} 0 0 0\n");
    machine.tree.folder("/sys/class/net/eth0/device");
    machine.tree.folder("/sys/class/net/docker0/bridge");
    machine.tree.file("/proc/net/route", linked("docker0"));
    machine.tree.cgroup("system.slice/docker-cd34.scope", 0, &[70]);
    let zeros = "0 0 0 0 0 0";
    let mut look = |containers: u64, card: u64, strangers: u64| {
        for pid in [50, 70] {
            machine.carry(pid, containers, 0);
            machine.tree.file(&format!("/proc/{pid}/net/route"), linked("eth0"));
        }
        let lines = format!("eth0: {card} 0 {zeros} 0 0 {zeros}\ndocker0: 0 0 {zeros} 0 0 {zeros}\n");
        machine.tree.file("/proc/net/dev", format!("Inter-|\n face |\n{lines}"));
        machine.strangers = (strangers, 0);
        machine.look().iter().map(|(_, counted)| counted).sum::<u64>()
    };
    for _ in 0..2 {
        look(0, 0, 0);
    }
    assert_eq!(look(50_000, 57_000, 0), 57_000, "both carried 50,000, and the card 57,000");
    assert_eq!(look(100_000, 114_000, 57_000), 0, "all of it was refused at sshd");
    assert_eq!(look(150_000, 201_000, 57_000), 30_000);
    assert_eq!(look(200_000, 221_000, 57_000), 20_000, "the strangers' came before");
}

#[test]
fn what_a_daemon_starts_in_a_namespace_of_its_own_is_somebodys() {
    let mut machine = Machine::new();
    machine.carry(50, 0, 0);
    let cron = "system.slice/cron.service";
    machine.tree.cgroup(cron, 0, &[60, 61]);
    for (pid, name) in [(60, "cron"), (61, "wget")] {
        machine.tree.process(&Process::new(pid, name));
    }
    machine.share(60, "self");
    machine.carry(61, 1_000_000, 0);
    machine.look();
    machine.carry(61, 1_400_000, 0);
    machine.now = machine.now.after(Duration::from_mins(1));
    let grown = machine.namespaces.look(machine.now, (0, 0)).unwrap();
    let of_cron: Vec<_> = grown.iter().filter(|one| one.subject.contains("cron")).collect();
    assert_eq!(of_cron.len(), 1, "{grown:?}");
    assert_eq!((of_cron[0].role, of_cron[0].counted), (Role::Workload, 400_000));
}
