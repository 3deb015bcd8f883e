use super::*;
use crate::sources::Pending;
use agent_core::policy::Combine;
use agent_core::reading::{Signal, Value};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// What the sources of one test share: gates that hold readers, and counts.
#[derive(Default)]
struct Stage {
    closed: Mutex<Vec<&'static str>>,
    moved: Condvar,
    opened: AtomicU64,
    refreshed: AtomicU64,
    panics: AtomicU64,
}

thread_local! {
    static STAGE: RefCell<Arc<Stage>> = RefCell::default();
}

impl Stage {
    fn close(&self, name: &'static str) {
        self.closed.lock().unwrap().push(name);
    }

    fn open(&self, name: &'static str) {
        self.closed.lock().unwrap().retain(|closed| *closed != name);
        self.moved.notify_all();
    }

    fn pass(&self, name: &'static str) {
        let mut closed = self.closed.lock().unwrap();
        while closed.contains(&name) {
            closed = self.moved.wait(closed).unwrap();
        }
    }
}

/// Counts its readings, so that one that was opened anew can be told.
struct Player {
    name: &'static str,
    stage: Arc<Stage>,
    readings: u64,
}

impl Source for Player {
    fn read(&mut self, _now: Stamp) -> Reading {
        self.stage.pass(self.name);
        if self.name == "two" && self.stage.panics.load(Ordering::Relaxed) > 0 {
            self.stage.panics.fetch_sub(1, Ordering::Relaxed);
            // Without the hook, which would write a backtrace.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        self.readings += 1;
        Reading::Signals(vec![Signal::new(self.name, Value::Counter { total: self.readings })])
    }

    fn refresh(&mut self) {
        self.stage.refreshed.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bus {
    stage: Arc<Stage>,
}

impl AsyncSource for Bus {
    fn read(&mut self, _now: Stamp) -> Pending<'_> {
        Box::pin(async {
            let closed = || self.stage.closed.lock().unwrap().contains(&"bus");
            while closed() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if self.stage.panics.load(Ordering::Relaxed) > 0 {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            Reading::Signals(Vec::new())
        })
    }
}

fn player(name: &'static str) -> Opened {
    let stage = STAGE.with_borrow(Arc::clone);
    stage.opened.fetch_add(1, Ordering::Relaxed);
    Opened::Blocking(Box::new(Player { name, stage, readings: 0 }))
}

const fn spec(name: &'static str, lane: Lane, open: fn(&Context) -> Opened) -> SourceSpec {
    SourceSpec {
        name,
        about: "A test.",
        unit: "",
        scale: 1.0,
        combine: Combine::Sum,
        busy_above: 0.0,
        limits: None,
        average: Duration::from_secs(1),
        lane,
        deadline: Duration::from_millis(200),
        options: &[],
        open,
    }
}

static SPECS: [SourceSpec; 5] = [
    spec("one", Lane::Fast, |_| player("one")),
    spec("two", Lane::Fast, |_| player("two")),
    spec("three", Lane::Fast, |_| player("three")),
    spec("slow", Lane::Slow, |_| player("slow")),
    spec("bus", Lane::Async, |_| {
        Opened::Async(Box::new(Bus { stage: STAGE.with_borrow(Arc::clone) }))
    }),
];

const INTERVAL: Duration = Duration::from_secs(10);

fn settings(names: &[&str]) -> BTreeMap<String, SourceSettings> {
    let one = || SourceSettings { enabled: true, interval: INTERVAL, options: toml::Table::new() };
    names.iter().map(|name| ((*name).to_owned(), one())).collect()
}

const EVERY: [&str; 5] = ["one", "two", "three", "slow", "bus"];

fn sampler(names: &[&str]) -> (Sampler, Arc<Stage>) {
    STAGE.set(Arc::default());
    let host = HostRoot::at("/nowhere");
    let sampler = Sampler::of(&SPECS, host, BusMode::None, &settings(names));
    (sampler, STAGE.with_borrow(Arc::clone))
}

fn at(seconds: u64) -> Stamp {
    Stamp::new(1_000_000 + seconds * 1000, 0, 0)
}

/// The observations as `name` or `name: why` if blind.
fn told(observations: &[Observation]) -> Vec<String> {
    let tell = |observation: &Observation| match &observation.reading {
        Reading::Blind { why } => format!("{}: {why}", observation.source),
        _ => observation.source.to_string(),
    };
    observations.iter().map(tell).collect()
}

fn total(observations: &[Observation], name: &str) -> u64 {
    let found = observations.iter().find(|observation| observation.source.as_str() == name);
    match &found.unwrap().reading {
        Reading::Signals(signals) => match signals[0].value {
            Value::Counter { total } => total,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_enabled_source_is_read_in_order() {
    let (mut every, _) = sampler(&EVERY);
    assert_eq!(told(&every.sample(at(0), Which::Due).await), EVERY);
    let (mut some, _) = sampler(&["slow", "one"]);
    assert_eq!(told(&some.sample(at(0), Which::Due).await), ["one", "slow"]);
    let (mut none, _) = sampler(&[]);
    assert_eq!(told(&none.sample(at(0), Which::All).await), Vec::<String>::new());
    assert_eq!(none.next_due(), None);
}

#[tokio::test]
async fn a_source_is_read_when_its_interval_has_passed() {
    let (mut sampler, stage) = sampler(&["one"]);
    assert!(sampler.next_due().unwrap().boot_ms <= at(0).boot_ms);
    sampler.sample(at(0), Which::Due).await;
    assert_eq!(sampler.next_due().unwrap().boot_ms, at(10).boot_ms);
    assert!(sampler.sample(at(5), Which::Due).await.is_empty());
    assert_eq!(sampler.sample(at(9), Which::Due).await.len(), 1, "a little early will do");
    assert_eq!(stage.refreshed.load(Ordering::Relaxed), 0);
    assert_eq!(sampler.sample(at(9), Which::All).await.len(), 1);
    assert_eq!(stage.refreshed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_hung_source_is_blind_alone_and_keeps_what_it_remembers() {
    let (mut sampler, stage) = sampler(&EVERY);
    sampler.sample(at(0), Which::All).await;
    stage.close("two");
    let begun = Instant::now();
    let observations = sampler.sample(at(10), Which::All).await;
    assert!(begun.elapsed() < LIMIT);
    let blind = "two: hung since 0.2s: reading 'two' does not return";
    assert_eq!(told(&observations), ["one", blind, "three", "slow", "bus"]);
    assert_eq!(total(&observations, "three"), 2, "it was not opened anew");
    let observations = sampler.sample(at(40), Which::All).await;
    let blind = "two: hung since 30.0s: reading 'two' does not return";
    assert_eq!(told(&observations), ["one", blind, "three", "slow", "bus"]);
    stage.open("two");
    let observations = back(&mut sampler, at(50)).await;
    assert_eq!(total(&observations, "two"), 3, "the late reading counted for the source only");
    assert_eq!(stage.opened.load(Ordering::Relaxed), 4);
}

/// Samples until no source is blind any more.
async fn back(sampler: &mut Sampler, now: Stamp) -> Vec<Observation> {
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let observations = sampler.sample(now, Which::All).await;
        if !told(&observations).iter().any(|line| line.contains(':')) {
            return observations;
        }
    }
    panic!("it never came back");
}

#[tokio::test]
async fn slow_sources_and_the_bus_hang_alone_too() {
    for name in ["slow", "bus"] {
        let (mut sampler, stage) = sampler(&EVERY);
        stage.close(name);
        let observations = sampler.sample(at(0), Which::All).await;
        let blind: Vec<_> =
            told(&observations).into_iter().filter(|line| line.contains("hung")).collect();
        assert_eq!(blind.len(), 1, "{blind:?}");
        assert!(blind[0].starts_with(name), "{blind:?}");
        stage.open(name);
        back(&mut sampler, at(10)).await;
    }
}

#[tokio::test]
async fn several_hung_sources_do_not_keep_the_others_from_being_read() {
    let (mut sampler, stage) = sampler(&EVERY);
    stage.close("one");
    stage.close("two");
    let observations = sampler.sample(at(0), Which::All).await;
    let told = told(&observations);
    assert!(told[0].contains("hung") && told[1].contains("hung"), "{told:?}");
    assert_eq!(told[2..], ["three", "slow", "bus"]);
    stage.open("one");
    stage.open("two");
    back(&mut sampler, at(10)).await;
}

#[tokio::test]
async fn a_panicking_source_is_blind_once_and_opened_anew() {
    let (mut sampler, stage) = sampler(&["one", "two", "three"]);
    sampler.sample(at(0), Which::All).await;
    stage.panics.store(1, Ordering::Relaxed);
    let observations = sampler.sample(at(10), Which::All).await;
    assert_eq!(told(&observations), ["one", &format!("two: {}", lane::PANICKED), "three"]);
    let observations = sampler.sample(at(20), Which::All).await;
    assert_eq!(total(&observations, "two"), 1);
    assert_eq!(total(&observations, "one"), 3);
}

#[tokio::test]
async fn a_panicking_source_on_the_bus_is_blind_too() {
    let (mut sampler, stage) = sampler(&["bus"]);
    stage.panics.store(1, Ordering::Relaxed);
    let observations = sampler.sample(at(0), Which::All).await;
    assert_eq!(told(&observations), [format!("bus: {}", lane::PANICKED)]);
    stage.panics.store(0, Ordering::Relaxed);
    assert_eq!(told(&sampler.sample(at(10), Which::All).await), ["bus"]);
}

#[tokio::test]
async fn new_settings_open_only_what_changed() {
    let (mut sampler, _) = sampler(&["one", "two"]);
    sampler.sample(at(0), Which::All).await;
    let mut changed = settings(&["one", "two", "three"]);
    changed.get_mut("one").unwrap().interval = Duration::from_secs(99);
    changed.get_mut("two").unwrap().options.insert("x".to_owned(), 1.into());
    sampler.configure(&changed);
    let observations = sampler.sample(at(10), Which::All).await;
    assert_eq!(["one", "two", "three"].map(|name| total(&observations, name)), [2, 1, 1]);
    changed.get_mut("one").unwrap().enabled = false;
    changed.remove("two");
    sampler.configure(&changed);
    assert_eq!(told(&sampler.sample(at(20), Which::All).await), ["three"]);
}

#[tokio::test]
async fn an_old_source_that_comes_back_does_not_replace_the_new_one() {
    let (mut sampler, stage) = sampler(&["one"]);
    stage.close("one");
    sampler.sample(at(0), Which::All).await;
    sampler.configure(&settings(&[]));
    sampler.configure(&settings(&["one"]));
    stage.open("one");
    for seconds in 1..20 {
        let observations = sampler.sample(at(seconds), Which::All).await;
        assert_eq!(total(&observations, "one"), seconds);
    }
}

#[tokio::test]
async fn a_sample_that_is_dropped_loses_no_source() {
    let (mut sampler, stage) = sampler(&EVERY);
    for name in EVERY {
        stage.close(name);
    }
    let dropped =
        tokio::time::timeout(Duration::from_millis(5), sampler.sample(at(0), Which::All)).await;
    assert!(dropped.is_err());
    for name in EVERY {
        stage.open(name);
    }
    assert_eq!(told(&back(&mut sampler, at(10)).await), EVERY);
}

#[tokio::test]
async fn when_everything_hangs_a_sample_still_ends() {
    let (mut sampler, stage) = sampler(&EVERY);
    for name in EVERY {
        stage.close(name);
    }
    let begun = Instant::now();
    let observations = sampler.sample(at(0), Which::All).await;
    assert!(begun.elapsed() < LIMIT + Duration::from_secs(1));
    assert_eq!(observations.len(), EVERY.len());
    assert!(told(&observations).iter().all(|line| line.contains("hung")), "{observations:?}");
    for name in EVERY {
        stage.open(name);
    }
}

#[tokio::test]
async fn the_sources_of_this_machine_can_be_sampled() {
    let names: Vec<_> = ALL.iter().map(|spec| spec.name).collect();
    let mut sampler = Sampler::new(HostRoot::real(), BusMode::None, &settings(&names));
    let observations = sampler.sample(at(0), Which::All).await;
    assert_eq!(told(&observations).len(), ALL.len());
}
