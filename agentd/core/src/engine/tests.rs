//! What the engine does, as scenes in text: what happens to a machine, and what the agent does about it.

mod acting;
mod arbitrary;
mod blindness;
mod causes;
mod clocks;
mod holding;
mod interrupted;
mod interruption;
mod interruption_killed;
mod longer;
mod notice;
mod operator;
mod preflight;
mod recovery;
mod scene;
mod tags;
mod uncounted;
mod waiting;
mod waking;
mod wording;

use scene::{Scene, time};

/// Plays a script and compares all that the agent did with what is expected.
///
/// A line of the script is `MM:SS what happens`; lines without a time come before the agent starts, and `MM:SS end`
/// ends it. A line of the expectation is `MM:SS what the agent did`; `MM:SS …` stands for anything more in that second.
/// Whatever the script, predictions, notice, replay and the checks of every step are checked too.
#[track_caller]
fn check(script: &str, expected: &str) {
    let scene = play(script);
    let did: Vec<String> = scene.trace.iter().map(|(at, line)| shown(*at, line)).collect();
    let wanted: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert!(
        did == wanted,
        "the agent did\n    {}\nand not\n    {}",
        did.join("\n    "),
        wanted.join("\n    ")
    );
}

/// Plays a script with the checks that need no expectation.
#[track_caller]
fn play(script: &str) -> Scene {
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let timed = |line: &str| line.split_whitespace().next().is_some_and(|w| w.contains(':'));
    let (events, settings): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| timed(line));
    let mut scene = Scene::new(&settings);
    for line in events {
        let mut words = line.split_whitespace();
        let at = time(words.next().unwrap_or_default());
        scene.run_to(at);
        let words: Vec<&str> = words.collect();
        if words != ["end"] {
            scene.happen(&words);
        }
    }
    scene.replay();
    scene.check_predictions();
    scene.check_notice();
    scene
}

fn shown(at_ms: u64, line: &str) -> String {
    format!("{:02}:{:02} {line}", at_ms / 60_000, at_ms / 1000 % 60)
}
