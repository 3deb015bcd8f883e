//! The figures of `SPECIFICATION.md`: the release programs at rest on this machine, with simulated IMDS and EC2.
//!
//! Processor time and wake-ups are `getrusage(2)` of the whole process, exited threads included, as the difference between
//! a long and a short life, so that starting and ending do not count. Memory is `/proc/PID/smaps_rollup`.

pub(crate) mod interruptions;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent_tests::ec2::Ec2;
use agent_tests::imds::Imds;
use agent_tests::instance::{Instance, SharedInstance};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

use crate::steps::Trouble;
use crate::workspace::Workspace;

/// How long the agent settles before it is measured.
const SETTLE: Duration = Duration::from_secs(15);
/// How long it is measured.
const WINDOW: Duration = Duration::from_mins(1);
/// How often starting is measured.
const STARTS: usize = 21;
/// How often `agentctl status` is measured.
const ASKS: usize = 101;
/// The longest that a start may take before it counts as failed.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Measures everything and prints one line a figure.
pub(crate) fn measure(workspace: &Workspace) -> Result<String, Trouble> {
    let bench = Bench::new(workspace).map_err(|error| failed("prepare the measurement", &error))?;
    bench.sizes()?;
    bench.starts()?;
    for sleepers in [0, 100, 1000] {
        bench.rest(sleepers)?;
    }
    bench.after_calls()?;
    Ok(String::new())
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Failed(format!("{what}: {error}"))
}

/// The programs, a folder for their state, and the simulated services.
#[derive(Debug)]
struct Bench {
    agentd: PathBuf,
    agentctl: PathBuf,
    folder: PathBuf,
    imds: Imds,
    ec2: Ec2,
}

impl Bench {
    fn new(workspace: &Workspace) -> io::Result<Self> {
        let folder = workspace.target.join("bench");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("agentd.toml"), "mode = \"observe\"\n")?;
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let instance = SharedInstance::new(Instance::default());
        let release = workspace.target.join("release");
        Ok(Self {
            agentd: release.join("agentd"),
            agentctl: release.join("agentctl"),
            imds: Imds::of_shared(anywhere, instance.clone())?,
            ec2: Ec2::of_shared(anywhere, instance)?,
            folder,
        })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.imds.endpoint())
            .env("AWS_ENDPOINT_URL_EC2", self.ec2.endpoint())
            .env("AWS_ACCESS_KEY_ID", "simulated")
            .env("AWS_SECRET_ACCESS_KEY", "simulated")
            .env("AGENTD_SOCKET", self.folder.join("agentd.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Starts the agent and waits until it says `READY=1`; gives how long that took.
    fn start(&self) -> Result<(Agent, Duration), Trouble> {
        let inbox = self.folder.join("notify");
        let _ = fs::remove_file(&inbox);
        let socket =
            UnixDatagram::bind(&inbox).map_err(|error| failed("listen for READY=1", &error))?;
        socket
            .set_read_timeout(Some(START_LIMIT))
            .map_err(|error| failed("listen for READY=1", &error))?;
        let mut command = self.command(&self.agentd);
        command.arg("--config").arg(self.folder.join("agentd.toml"));
        command.arg("--state-dir").arg(self.folder.join("state")).env("NOTIFY_SOCKET", &inbox);
        let began = Instant::now();
        let child =
            command.spawn().map_err(|error| failed(&self.agentd.display().to_string(), &error))?;
        let agent = Agent(child);
        let mut text = [0_u8; 4096];
        loop {
            let size = socket.recv(&mut text).map_err(|error| failed("see READY=1", &error))?;
            if text.get(..size).unwrap_or_default().windows(7).any(|part| part == b"READY=1") {
                return Ok((agent, began.elapsed()));
            }
        }
    }

    fn sizes(&self) -> Result<(), Trouble> {
        for program in [&self.agentd, &self.agentctl] {
            let name = program.display();
            let size =
                fs::metadata(program).map_err(|error| failed(&name.to_string(), &error))?.len();
            println!("{name}: {:.2} MB", f(size) / 1e6);
        }
        Ok(())
    }

    fn starts(&self) -> Result<(), Trouble> {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            times.push(self.start()?.1);
        }
        println!("start to READY=1: {}", Spread::of(times));
        let _agent = self.start()?;
        let mut times = Vec::new();
        for _ in 0..ASKS {
            let began = Instant::now();
            let status = self.command(&self.agentctl).arg("status").status();
            status.map_err(|error| failed("run agentctl status", &error))?;
            times.push(began.elapsed());
        }
        println!("agentctl status, as a process: {}", Spread::of(times));
        Ok(())
    }

    /// Memory, processor time, wake-ups and threads at rest, beside this many sleeping processes.
    fn rest(&self, sleepers: usize) -> Result<(), Trouble> {
        let crowd =
            Crowd::start(sleepers).map_err(|error| failed("start sleeping processes", &error))?;
        let (agent, _) = self.start()?;
        sleep(SETTLE);
        let short = agent.end()?;
        let (agent, _) = self.start()?;
        sleep(SETTLE);
        let until = Instant::now() + WINDOW;
        let mut threads = Vec::new();
        while Instant::now() < until {
            threads.push(agent.threads());
            sleep(Duration::from_millis(100));
        }
        let memory = agent.memory()?;
        let long = agent.end()?;
        drop(crowd);
        threads.sort_unstable();
        let usual = threads.get(threads.len() / 2).copied().unwrap_or_default();
        println!(
            "at rest beside {sleepers} sleeping processes, a minute: {memory}, CPU {:.1} ms, {} wake-ups, threads usually \
             {usual}, at most {}",
            (long.cpu.saturating_sub(short.cpu)).as_secs_f64() * 1e3,
            long.wakeups - short.wakeups,
            threads.last().copied().unwrap_or_default(),
        );
        Ok(())
    }

    /// Memory after the calls of `agentctl doctor`, which asks EC2.
    fn after_calls(&self) -> Result<(), Trouble> {
        let (agent, _) = self.start()?;
        sleep(SETTLE);
        let before = self.ec2.log().lines().lines().count();
        let asked = self.command(&self.agentctl).arg("doctor").status();
        asked.map_err(|error| failed("run agentctl doctor", &error))?;
        let calls = self.ec2.log().lines().lines().count() - before;
        println!("after {calls} calls of EC2: {}", agent.memory()?);
        Ok(())
    }
}

/// A running agent; it is killed with this value.
#[derive(Debug)]
struct Agent(Child);

/// What a process used in its life.
#[derive(Clone, Copy, Debug)]
struct Used {
    cpu: Duration,
    wakeups: i64,
}

impl Used {
    /// All children that were waited for.
    fn so_far() -> Result<Self, Trouble> {
        let usage =
            getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| failed("getrusage", &error))?;
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        let cpu = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
        Ok(Self { cpu, wakeups: usage.voluntary_context_switches() })
    }
}

impl Agent {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(i32::MAX))
    }

    /// Ends it in order and says what it used.
    fn end(mut self) -> Result<Used, Trouble> {
        let before = Used::so_far()?;
        kill(self.pid(), Signal::SIGTERM).map_err(|error| failed("end agentd", &error))?;
        self.0.wait().map_err(|error| failed("wait for agentd", &error))?;
        let after = Used::so_far()?;
        Ok(Used {
            cpu: after.cpu.saturating_sub(before.cpu),
            wakeups: after.wakeups - before.wakeups,
        })
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.0.id())).map_or(0, Iterator::count)
    }

    fn memory(&self) -> Result<Memory, Trouble> {
        let path = format!("/proc/{}/smaps_rollup", self.0.id());
        let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        Memory::of(&text).ok_or_else(|| failed(&path, &"Pss or Private_Dirty is missing"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Memory of a process, in kibibytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    proportional: u64,
    private_dirty: u64,
}

impl Memory {
    /// From the lines `Pss:  3900 kB` and `Private_Dirty:  1200 kB` (proc(5)).
    fn of(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Some(Self { proportional: field("Pss:")?, private_dirty: field("Private_Dirty:")? })
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |kib: u64| self::f(kib) / 1024.0;
        write!(
            f,
            "PSS {:.2} MiB, private dirty {:.2} MiB",
            mib(self.proportional),
            mib(self.private_dirty)
        )
    }
}

/// Sleeping processes; they end with this value.
#[derive(Debug)]
struct Crowd(Vec<Child>);

impl Crowd {
    fn start(count: usize) -> io::Result<Self> {
        let mut crowd = Self(Vec::new());
        for _ in 0..count {
            crowd.0.push(Command::new("sleep").arg("3600").stdin(Stdio::null()).spawn()?);
        }
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Median, best and worst of some times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spread {
    best: Duration,
    median: Duration,
    worst: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        Self { best: at(0), median: at(times.len() / 2), worst: at(times.len().saturating_sub(1)) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        write!(f, "median {:.1} ms, {:.1} to {:.1}", ms(self.median), ms(self.best), ms(self.worst))
    }
}

/// A count as a number for division.
#[expect(clippy::cast_precision_loss, reason = "sizes of files and of memory are far below 2^52")]
fn f(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_rollup() {
        let text = "00400000-7fff [rollup]\nRss:  9000 kB\nPss:  3994 kB\nPss_Dirty:  1 kB\nPrivate_Dirty:  1536 kB\n";
        let memory = Memory::of(text).unwrap();
        assert_eq!(memory, Memory { proportional: 3994, private_dirty: 1536 });
        assert_eq!(memory.to_string(), "PSS 3.90 MiB, private dirty 1.50 MiB");
    }

    #[test]
    fn a_rollup_without_the_fields_gives_no_figure_rather_than_zero() {
        assert_eq!(Memory::of("Pss:  12 kB\n"), None);
        assert_eq!(Memory::of("Pss:  twelve kB\nPrivate_Dirty:  1 kB\n"), None);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let spread = Spread::of([5, 1, 9].map(Duration::from_millis).to_vec());
        assert_eq!(spread.to_string(), "median 5.0 ms, 1.0 to 9.0");
    }

    #[test]
    fn a_crowd_ends_with_its_value() {
        let crowd = Crowd::start(2).unwrap();
        let pids: Vec<u32> = crowd.0.iter().map(Child::id).collect();
        drop(crowd);
        assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
    }
}
