//! `cargo xtask bench interruptions`: how soon the agent sees a notice and starts its hook, and what the watch costs.
//!
//! The real program, against simulated metadata services on loopback. Every sample is an agent of its own, and many agents run
//! side by side, because a notice comes once and an outage lasts as long as it lasts. The spans are therefore those of a busy
//! machine.

pub(crate) mod hook;
mod load;
mod moment;
mod probe;
mod relay;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use agent_tests::agent::BINARY_VARIABLE;
use agent_tests::instance::Instance;

use crate::steps::Trouble;
use crate::workspace::Workspace;
use load::Requests;
use moment::{Dice, Spans};
use probe::{Probe, Sample, Trial};
use relay::Death;

/// Everything that is drawn is drawn from this.
const SEED: u64 = 20_261_125;
/// The agent asks for a notice this often: the phases are drawn from it.
const PERIOD: Duration = Duration::from_secs(2);

/// After so many samples that failed a row is given up.
const MOST_FAILED: usize = 10;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A short one: a tenth of the samples, no outage of ten minutes. About four minutes instead of twenty.
    #[arg(long)]
    quick: bool,
    /// Measure the agentd in this folder instead of building a release.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Only this; everything unless it is said.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Agents that run side by side.
    #[arg(long, default_value_t = 40)]
    at_once: usize,
}

/// What can be measured on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// From a notice to its event and its hook.
    Latency,
    /// The same after an outage of ten minutes, which is part of it unless --quick is given.
    Outage,
    /// Requests a second, and tokens.
    Requests,
    /// Descriptors and memory over many polls.
    Polls,
}

impl Options {
    fn want(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Builds the release unless told otherwise, and measures it in a process of its own, which knows where it is.
pub(crate) fn run(workspace: &Workspace, options: &Options, words: &[String]) -> ExitCode {
    if std::env::var_os(BINARY_VARIABLE).is_some() {
        return said(measure(workspace, options));
    }
    said(again(workspace, options, words))
}

fn said(ended: Result<(), Trouble>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("interruptions: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Failed(format!("{what}: {error}"))
}

/// The simulated world takes the agent's place from a variable, which a process cannot change for itself.
fn again(workspace: &Workspace, options: &Options, words: &[String]) -> Result<(), Trouble> {
    let folder = if let Some(folder) = &options.programs {
        folder.clone()
    } else {
        println!("{}", crate::rings::release(workspace)?);
        workspace.target.join("release")
    };
    let agentd = folder.join("agentd");
    let agentd =
        agentd.canonicalize().map_err(|error| failed(&agentd.display().to_string(), &error))?;
    let own = std::env::current_exe().map_err(|error| failed("find this program", &error))?;
    let mut command = Command::new(own);
    command.args(words).env(BINARY_VARIABLE, agentd);
    let status = command.status().map_err(|error| failed("measure", &error))?;
    if status.success() { Ok(()) } else { Err(Trouble::Failed(format!("it ended with {status}"))) }
}

/// A row of the table of latencies.
#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    faults_percent: u64,
    outage: Option<Duration>,
    others_hang: bool,
    samples: usize,
}

/// The rows, with so many samples each.
fn rows(quick: bool) -> (Vec<Row>, Option<Row>) {
    let row = |name, faults_percent, outage: Option<u64>, samples: usize| Row {
        name,
        faults_percent,
        outage: outage.map(Duration::from_secs),
        others_hang: false,
        samples: if quick { samples.div_ceil(10) } else { samples },
    };
    let hung = Row { others_hang: true, ..row("EC2 and the webhook hang", 0, None, 200) };
    let short = vec![
        row("a healthy metadata service", 0, None, 200),
        hung,
        row("30 % of the requests fail", 30, None, 200),
        row("after an outage of 10 s", 0, Some(10), 200),
        row("after an outage of 60 s", 0, Some(60), 80),
    ];
    let long = (!quick).then(|| row("after an outage of 600 s", 0, Some(600), 40));
    (short, long)
}

/// Where everything is measured.
#[derive(Debug)]
struct Site {
    agentd: PathBuf,
    folder: PathBuf,
    /// Folders handed out so far.
    numbered: AtomicUsize,
}

impl Site {
    fn new(workspace: &Workspace) -> Result<Self, Trouble> {
        let agentd = std::env::var_os(BINARY_VARIABLE).map(PathBuf::from).unwrap_or_default();
        // Another measurement may be under way.
        let name = format!("bench/interruptions-{}", std::process::id());
        let folder = workspace.target.join(name);
        fs::create_dir_all(&folder).map_err(|error| failed("make a folder", &error))?;
        Ok(Self { agentd, folder, numbered: AtomicUsize::new(0) })
    }

    fn fresh_folder(&self) -> PathBuf {
        self.folder.join(self.numbered.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// One sample: an agent, a phase, a notice.
    fn sample(&self, row: &Row, number: usize) -> Result<Sample, String> {
        let mut dice = Dice(SEED.wrapping_add(u64::try_from(number).unwrap_or_default()));
        let trial = Trial {
            faults_percent: row.faults_percent,
            seed: dice.below(u64::MAX),
            others_hang: row.others_hang,
        };
        let spot = Instance::on_spot("persistent");
        let probe = Probe::start(&self.agentd, self.fresh_folder(), spot, trial);
        let mut probe = probe.map_err(|error| format!("failed to start an agent: {error}"))?;
        probe.greet()?;
        // Past its start, in which it asks for many things at once.
        thread::sleep(PERIOD + PERIOD / 2);
        let deaths = [Death::Refused, Death::Hung, Death::Unavailable];
        let death = deaths.get(number % deaths.len()).copied().unwrap_or(Death::Refused);
        probe.interrupt(row.outage.map(|span| (death, span)), dice.span(PERIOD))
    }

    /// All samples of a row, `at_once` side by side, told as a row.
    fn measure(&self, row: &Row, at_once: usize) -> Result<(), Trouble> {
        let (next, good, bad) =
            (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for worker in 0..at_once.min(row.samples) {
                let (next, good, bad) = (&next, &good, &bad);
                scope.spawn(move || {
                    // Not all at the same moment: starting costs the processor most.
                    thread::sleep(Duration::from_millis(50 * u64::try_from(worker).unwrap_or(0)));
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        // An agent that fails always would be waited for at every sample.
                        if number >= row.samples || held(bad).len() >= MOST_FAILED {
                            return;
                        }
                        match self.sample(row, number) {
                            Ok(sample) => held(good).push(sample),
                            Err(why) => {
                                eprintln!("{}, sample {number}: {why}", row.name);
                                held(bad).push(number);
                            }
                        }
                    }
                });
            }
        });
        let (good, bad) = (held(&good).clone(), held(&bad).clone());
        println!("{}", told(row, &good));
        if bad.is_empty() {
            return Ok(());
        }
        Err(Trouble::Failed(format!("{}: {} samples failed", row.name, bad.len())))
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A row of the table.
fn told(row: &Row, samples: &[Sample]) -> String {
    let event = Spans::of(samples.iter().copied().map(Sample::to_event));
    let hook = Spans::of(samples.iter().copied().map(Sample::to_hook));
    let between = Spans::of(samples.iter().copied().map(Sample::answer_to_hook));
    format!(
        "| {} | {} | {} | {} | {} |",
        row.name,
        event.count(),
        event.in_seconds(),
        hook.in_seconds(),
        between.in_milliseconds()
    )
}

/// Measures what is wanted.
fn measure(workspace: &Workspace, options: &Options) -> Result<(), Trouble> {
    let site = Site::new(workspace)?;
    let polls = if options.quick { 10_000 } else { 100_000 };
    let mut ended = Vec::new();
    if options.want(Part::Latency) {
        ended.push(latencies(&site, options));
    }
    if options.only == Some(Part::Outage) {
        let long = rows(false).1;
        ended.extend(long.map(|row| site.measure(&row, row.samples)));
    }
    if options.want(Part::Requests) {
        ended.push(requests(&site));
    }
    if options.want(Part::Polls) {
        ended.push(holding(polls));
    }
    let _left_behind = fs::remove_dir_all(&site.folder);
    all(ended)
}

/// The table of latencies. Its rows come as they are ready; the long outage lasts beside all others.
fn latencies(site: &Site, options: &Options) -> Result<(), Trouble> {
    let (short, long) = rows(options.quick);
    println!(
        "| notice after | samples | to the event: p50 | p99 | max | to the hook: p50 | p99 | max | answer to hook: p50 | p99 | max |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut ended = Vec::new();
    thread::scope(|scope| {
        let waiting = long.as_ref().map(|row| scope.spawn(move || site.measure(row, row.samples)));
        for row in &short {
            ended.push(site.measure(row, options.at_once));
        }
        let broke = || Err(Trouble::Failed("a row broke".to_owned()));
        ended.extend(waiting.map(|row| row.join().unwrap_or_else(|_| broke())));
    });
    all(ended)
}

/// Well if all were.
fn all(ended: Vec<Result<(), Trouble>>) -> Result<(), Trouble> {
    let troubles: Vec<String> =
        ended.into_iter().filter_map(|ended| ended.err().map(|why| why.to_string())).collect();
    if troubles.is_empty() { Ok(()) } else { Err(Trouble::Failed(troubles.join("\n"))) }
}

/// Requests of agents at rest: on spot, on demand, and on spot with a slow service.
fn requests(site: &Site) -> Result<(), Trouble> {
    const SPAN: Duration = Duration::from_mins(1);
    let spot = || Instance::on_spot("persistent");
    let slow = Duration::from_millis(700);
    let cases = [
        ("on spot", spot(), Duration::ZERO),
        ("on demand", Instance::default(), Duration::ZERO),
        ("on spot, every answer 0.7 s late", spot(), slow),
    ];
    let counted: Vec<(&str, Result<Requests, String>)> = thread::scope(|scope| {
        let started: Vec<_> = cases
            .into_iter()
            .map(|(name, instance, late)| {
                let folder = site.fresh_folder();
                let count = move || Requests::count(&site.agentd, &folder, instance, late, SPAN);
                (name, scope.spawn(count))
            })
            .collect();
        let broke = || Err("the count broke".to_owned());
        started
            .into_iter()
            .map(|(name, count)| (name, count.join().unwrap_or_else(|_| broke())))
            .collect()
    });
    for (name, counted) in counted {
        let requests = counted.map_err(|why| failed(name, &why))?;
        let (most, path) = &requests.most_open;
        println!(
            "requests {name}: {:.2} a second ({} in {} s: {}), {} for tokens ({} since the start), at most {most} at once for one \
             path ({path})",
            requests.rate(),
            requests.count,
            requests.span.as_secs(),
            requests.spelt_out(),
            requests.tokens,
            requests.all_tokens,
        );
    }
    Ok(())
}

/// Descriptors and memory over many polls.
fn holding(polls: usize) -> Result<(), Trouble> {
    let told = load::held_over(polls, SEED, |one| {
        println!(
            "after {} polls: {} descriptors, RSS {} KiB, PSS {} KiB",
            one.polls, one.descriptors, one.resident, one.proportional
        );
    });
    told.map_err(|why| failed("descriptors and memory", &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_one_has_a_tenth_of_the_samples_and_no_long_outage() {
        let (short, long) = rows(true);
        assert!(long.is_none());
        assert_eq!(short.iter().map(|row| row.samples).collect::<Vec<_>>(), [20, 20, 20, 20, 8]);
        assert_eq!(rows(false).1.map(|row| row.samples), Some(40));
    }
}
