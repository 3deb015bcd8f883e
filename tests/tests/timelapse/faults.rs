//! Every source, broken in every way that files can be: no stop while it lasts, a word about it, and nobody waits.
//!
//! Not every fault exists for every source. `stat(2)` neither hangs nor gives an input/output error on a file system of
//! one's own, so what only looks whether a file is there (`cloudinit`, terminals) is led into a loop of links. A missing
//! lock or a control group that ended is no fault. Inhibitors come over D-Bus, which a machine in a folder does not have.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use agent_tests::agent::{Agent, beside_agent};
use agent_tests::instance::Instance;
use agent_tests::procfs::Machine;
use agent_tests::timelapse::keep_files_in_memory;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::scene::{CONFIG, CONTAINER, Done, Failure, MINUTE, Scene};

/// Nobody waits longer for an answer.
const LATEST: Duration = Duration::from_secs(2);
/// What the test itself and a loaded machine add to it.
const ALLOWANCE: Duration = Duration::from_millis(700);
/// Agents at once.
const AT_ONCE: usize = 2;

/// What is wrong.
#[derive(Clone, Debug)]
enum Fault {
    /// The file or folder is not there.
    Gone,
    /// Reading it is an input/output error.
    Unreadable,
    /// Its name leads into a loop of links.
    Loop,
    /// Opening it does not return.
    Hang,
    /// There is something else in it.
    Garbage(&'static str),
    /// Its counter falls with every look.
    Backwards(fn(u64) -> String),
    /// The GPUs say this.
    Gpus(&'static str),
}

/// One case.
#[derive(Clone, Debug)]
struct Case {
    source: &'static str,
    path: String,
    fault: Fault,
}

fn case(source: &'static str, path: impl Into<String>, fault: Fault) -> Case {
    Case { source, path: path.into(), fault }
}

fn cases() -> Vec<Case> {
    let cpu = format!("sys/fs/cgroup/{CONTAINER}/cpu.stat");
    let io = format!("sys/fs/cgroup/{CONTAINER}/io.stat");
    let shell = "proc/SHELL/stat";
    let sockets = "proc/net/sock_diag";
    vec![
        case("cpu", "sys/fs/cgroup", Fault::Gone),
        case("cpu", &cpu, Fault::Unreadable),
        case("cpu", &cpu, Fault::Hang),
        case("cpu", &cpu, Fault::Garbage("usage_usec many\n")),
        case("cpu", &cpu, Fault::Backwards(|n| format!("usage_usec {}\n", 9_000_000 - n))),
        case("cpu", &cpu, Fault::Loop),
        case("disk", &io, Fault::Unreadable),
        case("disk", &io, Fault::Hang),
        case("disk", &io, Fault::Garbage("259:0 rbytes=few wbytes=0\n")),
        case(
            "disk",
            &io,
            Fault::Backwards(|n| format!("259:0 rbytes=0 wbytes={}\n", 9_000_000 - n)),
        ),
        case("network", sockets, Fault::Unreadable),
        case("network", sockets, Fault::Hang),
        case("network", sockets, Fault::Garbage("no socket\n")),
        case("clients", sockets, Fault::Unreadable),
        case("clients", sockets, Fault::Garbage("no socket\n")),
        case("input", "dev/pts", Fault::Gone),
        case("input", "dev/pts", Fault::Loop),
        case("input", shell, Fault::Unreadable),
        case("input", shell, Fault::Hang),
        case("input", shell, Fault::Garbage("garbage\n")),
        case("sessions", shell, Fault::Unreadable),
        case("sessions", shell, Fault::Garbage("garbage\n")),
        case("sessions", "run/systemd/sessions", Fault::Loop),
        case("packages", "var/lib/dpkg/lock-frontend", Fault::Hang),
        case("packages", "var/lib/dpkg", Fault::Loop),
        case("cloudinit", "run/cloud-init", Fault::Loop),
        // NVML_ERROR_GPU_IS_LOST, NVML_ERROR_UNKNOWN, a call that takes a minute, an unloaded driver, nonsense.
        case("gpu", "", Fault::Gpus("count 15\n")),
        case("gpu", "", Fault::Gpus("device util=!999 compute=77\n")),
        case("gpu", "", Fault::Gpus("hang 60000\ndevice util=0\n")),
        case("gpu", "", Fault::Gpus("init 9\n")),
        case("gpu", "", Fault::Gpus("device util=some\n")),
    ]
}

/// A fault that is in force until it is healed.
struct Broken {
    path: PathBuf,
    aside: PathBuf,
    hangs: bool,
}

impl Broken {
    fn new(machine: &Machine, case: &Case, shell: u32) -> io::Result<Self> {
        let path = machine.path(&case.path.replace("SHELL", &shell.to_string()));
        let aside = path.with_extension("aside");
        if path.exists() {
            fs::rename(&path, &aside)?;
        } else if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        match &case.fault {
            Fault::Gone | Fault::Gpus(_) => {}
            Fault::Unreadable => symlink("/proc/self/mem", &path)?,
            Fault::Loop => symlink(&path, &path)?,
            Fault::Hang => mkfifo(&path, Mode::from_bits_truncate(0o644))?,
            Fault::Garbage(text) => fs::write(&path, text)?,
            Fault::Backwards(text) => fs::write(&path, text(0))?,
        }
        Ok(Self { path, aside, hangs: matches!(case.fault, Fault::Hang) })
    }

    fn heal(&self) -> io::Result<()> {
        if self.hangs {
            // Whoever waits at it is let go, with an empty file.
            let flags = OFlag::O_NONBLOCK.bits();
            drop(File::options().write(true).custom_flags(flags).open(&self.path));
        }
        if self.path.is_symlink() || self.path.exists() {
            fs::remove_file(&self.path)?;
        }
        if self.aside.exists() { fs::rename(&self.aside, &self.path) } else { Ok(()) }
    }
}

/// Looks at the agent as long as a story goes on, and notes the longest wait.
fn watched<T>(scene: &mut Scene, story: impl FnOnce(&mut Scene) -> T) -> (T, Duration) {
    let client = scene.lapse.agent.client();
    let (over, longest) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let _answer = client.ask("GET", "/v1/status", "");
                let mut longest = longest.lock().unwrap_or_else(PoisonError::into_inner);
                *longest = begin.elapsed().max(*longest);
                drop(longest);
                thread::sleep(Duration::from_millis(10));
            }
        });
        let told = story(scene);
        over.store(true, Ordering::Relaxed);
        told
    });
    (told, longest.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The agent on a machine with one idle GPU; the file that tells it.
fn with_gpu() -> Result<(Scene, PathBuf), Failure> {
    keep_files_in_memory();
    let library = beside_agent("libnvidia_ml.so")?;
    let config = format!("{CONFIG}[source.gpu]\nlibrary = \"{}\"\n", library.display());
    let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
    let told = agent.folder().join("gpus");
    fs::write(&told, "device util=0\n")?;
    agent.set_variable("FAKE_NVML_STATE", &told.to_string_lossy());
    agent.machine().write("dev/nvidia0", "")?;
    agent.machine().write("dev/nvidiactl", "")?;
    Ok((Scene::of(agent)?, told))
}

/// Lets an hour pass with a fault. The slowest step of the clock comes back.
fn endure(scene: &mut Scene, case: &Case) -> Result<Duration, Failure> {
    let file = scene.machine().path(&case.path);
    let mut count = 0;
    let mut slowest = Duration::ZERO;
    let mut begin = Instant::now();
    scene.pass_with(80 * MINUTE, &mut |_| {
        slowest = slowest.max(begin.elapsed());
        begin = Instant::now();
        count += 10;
        match case.fault {
            Fault::Backwards(text) => fs::write(&file, text(count)),
            _ => Ok(()),
        }
    })?;
    Ok(slowest)
}

fn check(case: &Case) -> Done {
    let (mut scene, told) = match case.fault {
        Fault::Gpus(_) => with_gpu().map(|(scene, told)| (scene, Some(told)))?,
        _ => (Scene::new(CONFIG)?, None),
    };
    scene.pass(20 * MINUTE)?;
    let quiet = scene.status()?;
    if quiet["stage"] != "warned" && quiet["stage"] != "quiet" {
        return Err(format!("it was not quiet before: {quiet:#}").into());
    }
    let broken = match (&case.fault, &told) {
        (Fault::Gpus(state), Some(told)) => fs::write(told, state).map(|()| None)?,
        _ => Some(Broken::new(scene.machine(), case, scene.shell)?),
    };
    let (endured, longest) = watched(&mut scene, |scene| endure(scene, case));
    let slowest = endured?;
    let status = scene.status()?;
    if scene.lapse.has_stopped() || scene.lapse.agent.stops() > 0 {
        return Err(format!("it was stopped at {} ms: {status:#}", scene.at()).into());
    }
    let blind = status["blind"].as_array().into_iter().flatten();
    if !blind.into_iter().any(|name| name == case.source) {
        return Err(format!("'{}' is not called blind: {status:#}", case.source).into());
    }
    let why = scene.lapse.agent.client().ask("GET", "/v1/why", "")?.body_text();
    if !why.contains(case.source) || !why.contains("blind") {
        return Err(format!("why does not tell it: {why}").into());
    }
    if longest.max(slowest) > LATEST + ALLOWANCE {
        return Err(format!("an answer took {longest:?}, a round {slowest:?}").into());
    }
    match (&broken, &told) {
        (Some(broken), _) => broken.heal()?,
        (None, Some(told)) => fs::write(told, "device util=0\n")?,
        (None, None) => {}
    }
    let healed = scene.at();
    if matches!(case.fault, Fault::Gpus(state) if state.starts_with("hang")) {
        // A thread that sleeps in a library cannot be called back; it is let go with the process.
        return Ok(());
    }
    let stopped = scene.until_stopped(healed + 45 * MINUTE)?;
    match stopped {
        Some(at) if at >= healed + 29 * MINUTE => Ok(()),
        other => {
            Err(format!("healed at {healed}, stopped at {other:?}: {:#}", scene.status()?).into())
        }
    }
}

#[test]
fn no_fault_of_a_source_stops_a_machine_and_each_is_told() -> Done {
    let waiting = Mutex::new(cases().into_iter().collect::<VecDeque<_>>());
    let faults = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = waiting.lock().unwrap().pop_front() else { return };
                    let begin = Instant::now();
                    let result = check(&case);
                    println!(
                        "{} {} {:?}: {:.1} s",
                        case.source,
                        case.path,
                        case.fault,
                        begin.elapsed().as_secs_f64()
                    );
                    if let Err(why) = result {
                        faults.lock().unwrap().push(format!("=== {case:?} ===\n{why}"));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}
