//! Looking changes nothing: the ledger of a run beside which everybody reads is that of a run beside which nobody does,
//! byte by byte.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::scene::{CONFIG, Done, Failure, MINUTE, Scene};

/// Readers at once.
const READERS: usize = 4;
/// Each pauses so long between two questions: together they ask more than a thousand times a second.
const PAUSE: Duration = Duration::from_millis(2);
/// What they ask for.
const DOCUMENTS: [&str; 3] = ["/v1/status", "/v1/why", "/metrics"];
/// So many questions at least, so that the run is not over before they begin.
const QUESTIONS: u64 = 8000;

/// The story has more steps than this.
const STEPS: u64 = 300;

/// What readers did.
#[derive(Debug, Default)]
struct Reading {
    answered: AtomicU64,
    /// Beyond what one user may ask in a second.
    refused: AtomicU64,
    over: AtomicBool,
}

/// Asks over one connection after the other until it is over.
fn read_on(socket: &Path, reading: &Reading) {
    while !reading.over.load(Ordering::Relaxed) {
        let Ok(mut stream) = UnixStream::connect(socket) else { return };
        let _set = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let Ok(copy) = stream.try_clone() else { return };
        let mut answers = BufReader::new(copy);
        for document in DOCUMENTS.iter().cycle().take(3000) {
            if reading.over.load(Ordering::Relaxed) {
                return;
            }
            let asked = write!(stream, "GET {document} HTTP/1.1\r\nHost: agentd\r\n\r\n");
            match asked.ok().and_then(|()| answer(&mut answers)) {
                Some(200) => reading.answered.fetch_add(1, Ordering::Relaxed),
                Some(429) => reading.refused.fetch_add(1, Ordering::Relaxed),
                _ => break,
            };
            thread::sleep(PAUSE);
        }
    }
}

/// Reads one answer to its end, and gives its status.
fn answer(from: &mut impl BufRead) -> Option<u16> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        from.read_line(&mut line).ok()?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    from.read_exact(&mut vec![0; length]).ok()?;
    Some(status)
}

/// An hour with a job, a key, an idle window, a warning and a stop.
fn story(scene: &mut Scene, pace: &dyn Fn()) -> Done {
    let begin = scene.lapse.now;
    scene.work = 0.8;
    scene.pass_with(10 * MINUTE, &mut |_| {
        pace();
        Ok(())
    })?;
    scene.work = 0.0;
    let machine = scene.machine().clone();
    let mut pressed = false;
    scene.pass_with(70 * MINUTE, &mut |moment| {
        pace();
        if !pressed && moment.boot_ms >= begin.boot_ms + 20 * MINUTE {
            pressed = true;
            let since = Duration::from_secs(u64::try_from(moment.wall_seconds()).unwrap_or(0));
            machine.press_key_at(0, std::time::UNIX_EPOCH + since)?;
        }
        Ok(())
    })?;
    assert!(scene.lapse.has_stopped(), "{}", scene.status()?);
    // What became of the call is told, too.
    scene.lapse.agent.world.instance.with(|instance| {
        instance.state = agent_tests::instance::State::Running;
        instance.turns = None;
    });
    let end = scene.at() + 5 * MINUTE;
    scene.pass_with(end, &mut |_| {
        pace();
        Ok(())
    })
}

/// The files of the ledger, in order.
fn ledger(scene: &Scene) -> Result<Vec<u8>, Failure> {
    let folder = scene.lapse.agent.state_dir().join("ledger");
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<std::io::Result<Vec<PathBuf>>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        all.extend(fs::read(file)?);
    }
    Ok(all)
}

#[test]
fn a_thousand_questions_a_second_change_no_byte_of_the_decisions() -> Done {
    let mut alone = Scene::new(CONFIG)?;
    story(&mut alone, &|| {})?;
    let alone = ledger(&alone)?;
    let mut scene = Scene::new(CONFIG)?;
    let reading = Reading::default();
    let socket = scene.lapse.agent.socket_path();
    let begin = Instant::now();
    // The readers are given their time in each step.
    let asked =
        || reading.answered.load(Ordering::Relaxed) + reading.refused.load(Ordering::Relaxed);
    let steps = AtomicU64::new(0);
    let pace = || {
        let due = steps.fetch_add(1, Ordering::Relaxed) * QUESTIONS / STEPS;
        while asked() < due.min(QUESTIONS) && begin.elapsed() < Duration::from_mins(2) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let told = thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| read_on(&socket, &reading));
        }
        let told = story(&mut scene, &pace);
        reading.over.store(true, Ordering::Relaxed);
        told
    });
    told?;
    let seconds = begin.elapsed().as_secs_f64();
    let read = ledger(&scene)?;
    println!(
        "{} answered, {} refused in {seconds:.1} s",
        reading.answered.load(Ordering::Relaxed),
        reading.refused.load(Ordering::Relaxed)
    );
    assert!(asked() >= QUESTIONS, "{} questions only", asked());
    assert!(reading.answered.load(Ordering::Relaxed) > 1000, "{reading:?}");
    assert!(alone.len() > 1000, "a ledger of {} bytes", alone.len());
    if alone != read {
        let [alone, read] = [alone, read].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let differs = alone.lines().zip(read.lines()).find(|(a, b)| a != b);
        return Err(format!(
            "the ledgers differ ({} and {} lines): {differs:#?}",
            alone.lines().count(),
            read.lines().count()
        )
        .into());
    }
    Ok(())
}
