//! The counters of a simulated machine, moved on by rates.
//!
//! What a machine does is told in the units in which people think of it (cores, bytes a second), and the sums are written
//! as the kernel shows them: microseconds in `cpu.stat`, bytes in `io.stat`, hundredths of a second in `/proc/stat`
//! (`USER_HZ`), sectors of 512 bytes in `/proc/diskstats`. Files are written in place: it is for machines that are
//! looked at only in between.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::{CGROUPS, Machine};

/// Where the connections of a machine in a folder are told, a socket a line: cookie, state, both ends, user, inode, control
/// group, bytes sent and received, and milliseconds since the other end was heard of.
const CONNECTIONS: &str = "proc/net/sock_diag";
/// What listens.
const LISTENERS: &str = "1 LISTEN 0.0.0.0:22 - 0 5 - 0 0 0\n2 LISTEN 0.0.0.0:8888 - 1000 6 - 0 0 0\n3 LISTEN 0.0.0.0:5432 - 114 7 - 0 0 0\n";
/// Clock ticks a second in `/proc/stat`.
const USER_HZ: f64 = 100.0;
/// Bytes of a sector in `/proc/diskstats`.
const SECTOR: f64 = 512.0;

/// A TCP connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// This end, as `10.0.0.7:22`.
    pub local: String,
    /// The other end.
    pub remote: String,
    /// Who made it.
    pub uid: u32,
    /// The control group in which it was made.
    pub cgroup: String,
    /// Payload that came in, bytes.
    pub received: f64,
    /// Payload that went out and was acknowledged, bytes.
    pub sent: f64,
}

/// Sums of one machine.
#[derive(Debug)]
pub struct Meters {
    machine: Machine,
    processors: u32,
    /// Microseconds and bytes by control group.
    groups: BTreeMap<String, Group>,
    connections: BTreeMap<u64, Connection>,
    /// UDP sockets that wait for datagrams: this end, who made it, and the control group.
    datagrams: Vec<(String, u32, String)>,
    next_cookie: u64,
    /// The connections as they were told last: an unchanged list is not written again.
    told: String,
    /// Seconds of busy, waiting and stolen processor time, and of all time.
    busy: f64,
    waiting: f64,
    stolen: f64,
    passed: f64,
    /// Bytes of the disk and of the network card.
    disk: f64,
    card: f64,
    /// Microseconds in which some and all tasks waited for memory.
    stalled: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    cpu_us: f64,
    bytes: f64,
    stale: bool,
}

impl Meters {
    /// Meters of a machine with so many processors, all at zero.
    pub fn new(machine: &Machine, processors: u32) -> io::Result<Self> {
        machine.write("sys/block/nvme0n1/device/model", "Amazon Elastic Block Store\n")?;
        machine.write(CONNECTIONS, LISTENERS)?;
        Ok(Self {
            machine: machine.clone(),
            processors,
            groups: BTreeMap::new(),
            connections: BTreeMap::new(),
            datagrams: Vec::new(),
            next_cookie: 10,
            told: LISTENERS.to_owned(),
            busy: 0.0,
            waiting: 0.0,
            stolen: 0.0,
            passed: 0.0,
            disk: 0.0,
            card: 0.0,
            stalled: 0.0,
        })
    }

    /// So many seconds pass; in `of` the rates stand that are of no group.
    pub fn pass(&mut self, seconds: f64, of: &Whole) {
        self.passed += seconds;
        self.busy += of.kernel_cpu * seconds;
        self.waiting += of.iowait * seconds;
        self.stolen += of.steal * seconds;
        self.disk += of.kernel_disk * seconds;
        self.card += of.net * seconds;
        self.stalled += of.memory_stall * seconds * 1e6;
    }

    /// A group, and those above it, used so many seconds of processors.
    pub fn compute(&mut self, cgroup: &str, seconds: f64) {
        self.busy += seconds;
        self.each_above(cgroup, |group| group.cpu_us += seconds * 1e6);
    }

    /// A group, and those above it, moved so many bytes from and to the disk.
    pub fn move_bytes(&mut self, cgroup: &str, bytes: f64) {
        self.disk += bytes;
        self.each_above(cgroup, |group| group.bytes += bytes);
    }

    fn each_above(&mut self, cgroup: &str, change: impl Fn(&mut Group)) {
        let ends = cgroup.match_indices('/').map(|(end, _)| end).chain([cgroup.len()]);
        for path in ends.filter_map(|end| cgroup.get(..end)) {
            let group = self.groups.entry(path.to_owned()).or_default();
            change(group);
            group.stale = true;
        }
    }

    /// Something waits for datagrams at an address.
    pub fn bind_udp(&mut self, local: &str, uid: u32, cgroup: &str) {
        self.datagrams.push((local.to_owned(), uid, cgroup.to_owned()));
    }

    /// Everything that waited for datagrams is gone.
    pub fn unbind_udp(&mut self) {
        self.datagrams.clear();
    }

    /// Opens a connection and returns its number.
    pub fn connect(&mut self, connection: Connection) -> u64 {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.connections.insert(cookie, connection);
        cookie
    }

    /// A connection, to move its sums on.
    pub fn connection(&mut self, cookie: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&cookie)
    }

    /// Closes a connection.
    pub fn close(&mut self, cookie: u64) {
        self.connections.remove(&cookie);
    }

    /// The kernel's counters begin anew.
    pub fn reset(&mut self) {
        for group in self.groups.values_mut() {
            *group = Group { stale: true, ..Group::default() };
        }
        for connection in self.connections.values_mut() {
            (connection.received, connection.sent) = (0.0, 0.0);
        }
        (self.busy, self.waiting, self.stolen, self.passed) = (0.0, 0.0, 0.0, 0.0);
        (self.disk, self.card, self.stalled) = (0.0, 0.0, 0.0);
    }

    /// Writes the files of the machine.
    pub fn show(&mut self) -> io::Result<()> {
        for (path, group) in &mut self.groups {
            if !core::mem::take(&mut group.stale) {
                continue;
            }
            let folder = self.machine.path(&format!("{CGROUPS}/{path}"));
            if !folder.is_dir() {
                // It ended, or a test took it away.
                continue;
            }
            let (used, moved) = (whole(group.cpu_us), whole(group.bytes));
            let stat = format!(
                "usage_usec {used}\nuser_usec {used}\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"
            );
            fs::write(folder.join("cpu.stat"), stat)?;
            fs::write(
                folder.join("io.stat"),
                format!("259:0 rbytes=0 wbytes={moved} rios=0 wios=0 dbytes=0 dios=0\n"),
            )?;
        }
        self.show_connections()?;
        self.show_whole()
    }

    fn show_connections(&mut self) -> io::Result<()> {
        let mut list = LISTENERS.to_owned();
        // The kernel's number of a group is its folder's inode.
        let number = |cgroup: &str| {
            let folder = self.machine.path(&format!("{CGROUPS}/{cgroup}"));
            fs::metadata(folder).map_or("-".to_owned(), |at| at.ino().to_string())
        };
        for (local, uid, cgroup) in &self.datagrams {
            let _ = writeln!(list, "4 UDP {local} 0.0.0.0:0 {uid} 8 {} 0 0 0", number(cgroup));
        }
        for (cookie, it) in &self.connections {
            let group = number(&it.cgroup);
            let Connection { local, remote, uid, .. } = it;
            let (sent, received) = (whole(it.sent), whole(it.received));
            let inode = cookie + 10_000;
            let _ = writeln!(
                list,
                "{cookie} ESTAB {local} {remote} {uid} {inode} {group} {sent} {received} 1000"
            );
        }
        if list != self.told {
            fs::write(self.machine.path(CONNECTIONS), &list)?;
            self.told = list;
        }
        Ok(())
    }

    fn show_whole(&self) -> io::Result<()> {
        let ticks = |seconds: f64| whole(seconds * USER_HZ);
        let all = self.passed * f64::from(self.processors);
        let idle = (all - self.busy - self.waiting - self.stolen).max(0.0);
        let line = |name: &str, share: f64| {
            let [busy, idle, waiting, stolen] =
                [self.busy, idle, self.waiting, self.stolen].map(|sum| ticks(sum * share));
            format!("{name} {busy} 0 0 {idle} {waiting} 0 0 {stolen} 0 0\n")
        };
        let mut stat = line("cpu ", 1.0);
        for number in 0..self.processors {
            stat += &line(&format!("cpu{number}"), 1.0 / f64::from(self.processors));
        }
        stat +=
            "intr 0\nctxt 0\nbtime 1700000000\nprocesses 1500\nprocs_running 1\nprocs_blocked 0\n";
        let put = |path: &str, text: String| fs::write(self.machine.path(path), text);
        put("proc/stat", stat)?;
        let sectors = whole(self.disk / SECTOR);
        put(
            "proc/diskstats",
            format!(" 259 0 nvme0n1 0 0 0 0 0 0 {sectors} 0 0 0 0 0 0 0 0 0 0\n"),
        )?;
        let bytes = whole(self.card);
        put(
            "proc/net/dev",
            format!(
                "Inter-|   Receive\n face |bytes\n    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n  ens5: {bytes} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            ),
        )?;
        fs::create_dir_all(self.machine.path("proc/pressure"))?;
        for (name, stalled) in [("cpu", 0), ("io", 0), ("memory", whole(self.stalled))] {
            let averages = "avg10=0.00 avg60=0.00 avg300=0.00";
            let text =
                format!("some {averages} total={stalled}\nfull {averages} total={stalled}\n");
            put(&format!("proc/pressure/{name}"), text)?;
        }
        Ok(())
    }
}

/// Rates of a machine that belong to no control group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole {
    /// Kernel threads, cores.
    pub kernel_cpu: f64,
    /// Waiting for disks, cores.
    pub iowait: f64,
    /// Taken by the hypervisor, cores.
    pub steal: f64,
    /// Traffic of the network card, bytes a second.
    pub net: f64,
    /// Disk traffic of the kernel itself, bytes a second.
    pub kernel_disk: f64,
    /// The part of the time in which every task waits for memory.
    pub memory_stall: f64,
}

/// A sum as a counter shows it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums are positive and far below 2^64; a counter shows whole units"
)]
fn whole(sum: f64) -> u64 {
    sum as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_did_is_in_its_own_files_and_in_those_above_it() {
        let machine = Machine::idle().unwrap();
        let session = "user.slice/user-1000.slice/session-1.scope";
        for group in ["user.slice/user-1000.slice", session] {
            machine.cgroup(group).unwrap();
        }
        let mut meters = Meters::new(&machine, 4).unwrap();
        meters.compute(session, 1.5);
        meters.compute("user.slice", 0.25);
        meters.move_bytes(session, 4096.0);
        meters.pass(10.0, &Whole { steal: 0.5, memory_stall: 0.1, ..Whole::default() });
        meters.show().unwrap();
        let read = |path: &str| fs::read_to_string(machine.path(path)).unwrap();
        assert!(read(&format!("{CGROUPS}/{session}/cpu.stat")).starts_with("usage_usec 1500000\n"));
        assert!(
            read(&format!("{CGROUPS}/user.slice/cpu.stat")).starts_with("usage_usec 1750000\n")
        );
        assert!(read(&format!("{CGROUPS}/user.slice/io.stat")).contains("wbytes=4096"));
        assert!(read("proc/stat").starts_with("cpu  175 0 0 3325 0 0 0 500 0 0\n"));
        assert!(read("proc/diskstats").contains(" nvme0n1 0 0 0 0 0 0 8 "));
        assert!(
            read("proc/pressure/memory")
                .contains("full avg10=0.00 avg60=0.00 avg300=0.00 total=1000000")
        );
        meters.reset();
        meters.show().unwrap();
        assert!(read(&format!("{CGROUPS}/{session}/cpu.stat")).starts_with("usage_usec 0\n"));
    }

    #[test]
    fn a_connection_is_told_with_the_number_of_its_group() {
        let machine = Machine::idle().unwrap();
        let mut meters = Meters::new(&machine, 4).unwrap();
        let cookie = meters.connect(Connection {
            local: "10.0.0.7:22".into(),
            remote: "203.0.113.9:51544".into(),
            uid: 0,
            cgroup: "system.slice/sshd.service".into(),
            received: 0.0,
            sent: 0.0,
        });
        meters.connection(cookie).unwrap().received += 70.5;
        meters.show().unwrap();
        let folder = machine.path("sys/fs/cgroup/system.slice/sshd.service");
        let group = fs::metadata(folder).unwrap().ino();
        let line = format!(
            "{cookie} ESTAB 10.0.0.7:22 203.0.113.9:51544 0 {} {group} 0 70 1000\n",
            cookie + 10_000
        );
        let told = || fs::read_to_string(machine.path(CONNECTIONS)).unwrap();
        assert!(told().ends_with(&line), "{}", told());
        meters.close(cookie);
        meters.show().unwrap();
        assert_eq!(told(), LISTENERS);
    }
}
