//! What looking at a machine costs: one pass of every source over crowds of processes, sockets, terminals and GPUs, beside
//! the kernel's own share of a walk, the `procfs` crate and psutil; and an hour at rest in virtual time.
//!
//! `cargo run --release -p agentd --example sampling -- [PROCESSES…]` (300, 1000 and 10000 unless told otherwise). As root,
//! with a limit of at least 11,000 open files, on a machine that has nothing else to do. `FAKE_NVML` names the library of
//! `tests/fake-nvml` and `FAKE_NVML_STATE` a file for it, `PYTHON` a Python with psutil; what is missing is left out and said.
#![expect(clippy::print_stdout, reason = "the figures are its purpose")]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent_core::stamp::Stamp;
use agentd::host::process::Processes;
use agentd::host::{HostRoot, tcp};
use agentd::sources::{ALL, BusMode, Context, Opened, Source};
use nix::time::{ClockId, clock_gettime};

type Done<T = ()> = Result<T, Box<dyn Error>>;

/// How often each thing is measured.
const RUNS: usize = 15;
const SOCKETS: usize = 10_000;
const TERMINALS: usize = 200;
const GPUS: usize = 8;
/// What the program that holds the connections is told.
const HOLD: &str = "hold-connections";
/// The sources are read so often by default.
const INTERVAL: Duration = Duration::from_secs(10);

fn main() -> Done {
    if std::env::args().nth(1).as_deref() == Some(HOLD) {
        return hold();
    }
    let numbers: Result<Vec<usize>, _> =
        std::env::args().skip(1).map(|text| text.parse()).collect();
    let mut sizes = numbers?;
    if sizes.is_empty() {
        sizes = vec![300, 1000, 10_000];
    }
    sockets()?;
    gpus()?;
    for size in sizes {
        let crowd = Crowd::start(size)?;
        processes(size)?;
        an_hour(size)?;
        drop(crowd);
    }
    let _terminals = terminals()?;
    a_pass(&format!("{TERMINALS} sessions on terminals"))
}

/// Times of several runs: the median on the clock, and CPU time with the part of it that is the kernel's.
fn measure(name: &str, each: usize, mut run: impl FnMut() -> Done) -> Done {
    run()?;
    let mut clock = Vec::new();
    let before = Used::so_far()?;
    for _ in 0..RUNS {
        let begun = Instant::now();
        run()?;
        clock.push(begun.elapsed());
    }
    let used = Used::so_far()?.since(before);
    clock.sort_unstable();
    let runs = u32::try_from(RUNS)? * u32::try_from(each.max(1))?;
    let part = |span: Duration| span.as_secs_f64() * 1e6 / f64::from(runs);
    let median = clock.get(RUNS / 2).copied().unwrap_or_default();
    println!(
        "{name}: median {:.2} ms; CPU {:.2} µs each, in the kernel {:.0} %",
        median.as_secs_f64() * 1e3,
        part(used.all),
        used.kernel_percent(),
    );
    Ok(())
}

/// CPU time of this process.
#[derive(Clone, Copy)]
struct Used {
    all: Duration,
    /// In steps of 10 ms (`proc_pid_stat(5)`).
    user: Duration,
    kernel: Duration,
}

impl Used {
    fn so_far() -> Done<Self> {
        let stat = procfs::process::Process::myself()?.stat()?;
        let ticks = |ticks: u64| Duration::from_millis(ticks.saturating_mul(10));
        let all = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
        Ok(Self { all, user: ticks(stat.utime), kernel: ticks(stat.stime) })
    }

    fn since(self, before: Self) -> Self {
        Self {
            all: self.all.saturating_sub(before.all),
            user: self.user.saturating_sub(before.user),
            kernel: self.kernel.saturating_sub(before.kernel),
        }
    }

    fn kernel_percent(self) -> f64 {
        let both = (self.user + self.kernel).as_secs_f64();
        if both > 0.0 { self.kernel.as_secs_f64() * 100.0 / both } else { 0.0 }
    }
}

fn processes(size: usize) -> Done {
    println!("\n{size} sleeping processes");
    let mut walker = Processes::new(HostRoot::real());
    let mut pids = Vec::new();
    let total = walker.walk(&mut |stat| pids.push(stat.pid))?;
    println!("{total} processes in all");
    measure("walk", total, || {
        walker.walk(&mut |stat| {
            std::hint::black_box(stat.own_us);
        })?;
        Ok(())
    })?;
    let mut buffer = [0_u8; 2048];
    measure("the kernel's own share: open, read, close", total, || {
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            if name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
                && let Ok(mut file) =
                    File::open(std::path::Path::new("/proc").join(name).join("stat"))
            {
                let _ = file.read(&mut buffer);
            }
        }
        Ok(())
    })?;
    measure("procfs crate, all_processes() and stat()", total, || {
        for process in procfs::process::all_processes()? {
            if let Ok(stat) = process.and_then(|process| process.stat()) {
                std::hint::black_box(stat.utime);
            }
        }
        Ok(())
    })?;
    psutil(
        "for p in psutil.process_iter(['cpu_times','ppid','name','terminal','create_time']): pass",
        "process_iter",
    );
    a_pass(&format!("{size} processes"))
}

/// One pass of every source that is read with blocking calls, each as if nothing were remembered.
fn a_pass(what: &str) -> Done {
    let now = Stamp::new(1_000_000, 0, 1_700_000_000_000);
    let mut pass: Vec<_> = open();
    for (name, source) in &mut pass {
        let mut moment = now;
        measure(&format!("  source {name}, {what}"), 1, || {
            source.refresh();
            moment = moment.after(INTERVAL);
            std::hint::black_box(source.read(moment));
            Ok(())
        })?;
    }
    let mut moment = now.after(Duration::from_hours(1));
    measure(&format!("all sources, {what}"), 1, || {
        moment = moment.after(INTERVAL);
        for (_, source) in &mut pass {
            source.refresh();
            std::hint::black_box(source.read(moment));
        }
        Ok(())
    })
}

/// What an hour at rest costs: looks in virtual time, paced as the agent paces them.
fn an_hour(size: usize) -> Done {
    let mut pass = open();
    let mut moment = Stamp::new(1_000_000, 0, 1_700_000_000_000);
    for (_, source) in &mut pass {
        source.read(moment);
    }
    let before = Used::so_far()?;
    for _ in 0..360 {
        moment = moment.after(INTERVAL);
        for (_, source) in &mut pass {
            std::hint::black_box(source.read(moment));
        }
    }
    let used = Used::so_far()?.since(before);
    let total = used.all.as_secs_f64();
    println!(
        "an hour at rest beside {size} processes: {:.0} ms of CPU, {:.4} % of a core, in the kernel {:.0} %",
        total * 1e3,
        total * 100.0 / 3600.0,
        used.kernel_percent(),
    );
    Ok(())
}

fn open() -> Vec<(&'static str, Box<dyn Source>)> {
    let mut opened = Vec::new();
    for spec in ALL {
        let mut options = toml::Table::new();
        if spec.name == "gpu"
            && let Ok(library) = std::env::var("FAKE_NVML")
        {
            options.insert("library".to_owned(), library.into());
        }
        let context = Context { host: HostRoot::real(), options, bus: BusMode::None };
        if let Opened::Blocking(source) = (spec.open)(&context) {
            opened.push((spec.name, source));
        }
    }
    opened
}

/// Opens connections until standard input ends: they must not be this process's own, of which the agent has few.
fn hold() -> Done {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut pairs = Vec::new();
    let connections: usize = std::env::args().nth(2).ok_or("how many")?.parse()?;
    for _ in 0..connections / 2 {
        let client = TcpStream::connect(listener.local_addr()?)?;
        pairs.push((client, listener.accept()?.0));
    }
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn sockets() -> Done {
    for connections in [0, 100, SOCKETS] {
        with_sockets(connections)?;
    }
    psutil("psutil.net_connections('tcp')", "net_connections");
    Ok(())
}

/// What looking at so many connections of somebody else's costs.
fn with_sockets(connections: usize) -> Done {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(HOLD).arg(connections.to_string());
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut ready = [0_u8; 6];
    holder.stdout.as_mut().ok_or("no output")?.read_exact(&mut ready)?;
    let _holder = Crowd(vec![holder]);
    let root = HostRoot::real();
    let count = tcp::dump(&root)?.map_or(0, |dump| dump.connections.len());
    println!("{count} sockets");
    measure("socket diagnosis", count, || {
        std::hint::black_box(tcp::dump(&root)?);
        Ok(())
    })?;
    let mut both: Vec<_> = open();
    both.retain(|(name, _)| ["network", "clients"].contains(name));
    let mut moment = Stamp::new(1_000_000, 0, 1_700_000_000_000);
    measure("sources network and clients together", count, || {
        moment = moment.after(INTERVAL);
        for (_, source) in &mut both {
            std::hint::black_box(source.read(moment));
        }
        Ok(())
    })?;
    Ok(())
}

fn gpus() -> Done {
    let state = std::env::var_os("FAKE_NVML_STATE");
    let Some(state) = state.filter(|_| std::env::var_os("FAKE_NVML").is_some()) else {
        println!("\nno GPUs: FAKE_NVML and FAKE_NVML_STATE name no library and no file");
        return Ok(());
    };
    std::fs::write(state, "device util=0 memory=1/9 power=1/9\n".repeat(GPUS))?;
    println!("\n{GPUS} GPUs are among the sources");
    Ok(())
}

/// Sessions on terminals of their own, as `script(1)` makes them.
fn terminals() -> Done<Crowd> {
    let mut crowd = Crowd(Vec::new());
    for _ in 0..TERMINALS {
        let mut command = Command::new("script");
        command.args(["-q", "-c", "sleep 3600", "/dev/null"]);
        crowd.0.push(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?);
    }
    std::thread::sleep(Duration::from_secs(2));
    println!("\n{TERMINALS} sessions on terminals");
    Ok(crowd)
}

/// The same with psutil: the median of several runs in one Python.
fn psutil(what: &str, name: &str) {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let program = format!(
        "import psutil, resource, statistics, time\n\
         def run():\n    {what}\n\
         run()\nclock = []\na = resource.getrusage(resource.RUSAGE_SELF)\n\
         for _ in range(5):\n    begun = time.perf_counter()\n    run()\n    clock.append(time.perf_counter() - begun)\n\
         b = resource.getrusage(resource.RUSAGE_SELF)\n\
         print('psutil %s {name}: median %.2f ms; CPU %.2f ms a run: own %.2f, kernel %.2f' % (psutil.__version__, \
         statistics.median(clock) * 1e3, (b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime) * 200, \
         (b.ru_utime - a.ru_utime) * 200, (b.ru_stime - a.ru_stime) * 200))"
    );
    let output = Command::new(&python).args(["-c", &program]).output();
    match output {
        Ok(output) if output.status.success() => {
            println!("{}", String::from_utf8_lossy(&output.stdout).trim());
        }
        _ => println!("no psutil to compare {name} with: '{python}' has none"),
    }
}

/// Sleeping processes; they end with this value.
struct Crowd(Vec<Child>);

impl Crowd {
    fn start(count: usize) -> Done<Self> {
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
