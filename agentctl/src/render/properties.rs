//! What holds for every document, not only for the samples.

use agent_proto::status::{Mode, Power, Prospect, Stage, Status, Verdict};

use super::samples::{self, look};
use super::{status::status, why::why};

/// Every combination of what the headline depends on.
fn all() -> Vec<Status> {
    let powers = [None, Some(Power::Hibernate), Some(Power::Stop), Some(Power::Other)];
    let mut all = Vec::new();
    for prospect in Prospect::ALL.iter().copied().chain([Prospect::Other]) {
        for stage in Stage::ALL.iter().copied().chain([Stage::Other]) {
            for mode in [Mode::Observe, Mode::Enforce, Mode::Other] {
                for power in powers {
                    let mut one = samples::why();
                    one.outlook.prospect = prospect;
                    one.outlook.power = power;
                    one.stage = stage;
                    one.mode = mode;
                    all.push(one);
                }
            }
        }
    }
    all
}

#[test]
fn every_screen_fits_into_80_columns_and_ends_its_lines() {
    for document in all() {
        for screen in [status(&document, &look()), why(&document, &look())] {
            assert!(screen.ends_with('\n') && !screen.contains('\x1b'));
            for line in screen.lines() {
                assert!(line.chars().count() <= 80, "{line}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }
}

#[test]
fn only_what_will_happen_has_a_time_in_the_headline() {
    for document in all() {
        let screen = status(&document, &look());
        let headline = screen.lines().nth(3).unwrap();
        let counts = headline.contains(" in 12 min (at ");
        assert_eq!(counts, document.outlook.prospect == Prospect::WillAct, "{headline}");
    }
}

#[test]
fn who_only_observes_never_says_will() {
    for document in all().into_iter().filter(|document| document.mode == Mode::Observe) {
        let screen = status(&document, &look());
        assert!(
            !screen.contains("\nWill HIBERNATE") && !screen.contains("\nWill STOP"),
            "{screen}"
        );
    }
}

#[test]
fn a_verdict_is_never_shown_as_another() {
    for verdict in Verdict::ALL.iter().copied().chain([Verdict::Other]) {
        let mut document = samples::quiet();
        document.sources = vec![samples::source("gpu", verdict, Some(0.0), Some(5.0), "%")];
        let screen = status(&document, &look());
        let row = screen.lines().find(|line| line.starts_with("gpu")).unwrap();
        assert_eq!(row.contains("idle"), verdict == Verdict::Idle, "{row}");
        assert_eq!(row.contains("UNKNOWN"), verdict == Verdict::Blind, "{row}");
        assert_eq!(row.contains("BUSY"), verdict == Verdict::Busy, "{row}");
    }
}

#[test]
fn absurd_numbers_and_texts_do_not_break_a_screen() {
    for value in [f64::MAX, f64::MIN, f64::NAN, f64::INFINITY, -0.0, 1e-300] {
        let mut document = samples::why();
        document.idle.idle_seconds = value;
        document.idle.act_after_seconds = value;
        document.outlook.in_seconds = Some(value);
        document.sources[0].value = Some(value);
        document.sources[0].for_seconds = value;
        document.sources[0].signals[0].last_activity_seconds = Some(value);
        document.agent.up_seconds = value;
        status(&document, &look());
        why(&document, &look());
    }
    for text in ["", " ", "\u{1f4a4}\u{1f4a4}", &"word ".repeat(400), &"x".repeat(3_000)] {
        let mut document = samples::why();
        document.outlook.because = text.to_owned();
        document.outlook.remedy = Some(text.to_owned());
        document.profile = text.to_owned();
        document.sources[0].source = text.to_owned();
        document.sources[0].unit = text.to_owned();
        document.sources[0].signals[0].subject = text.to_owned();
        document.config.problem = Some(text.to_owned());
        status(&document, &look());
        why(&document, &look());
    }
}

#[test]
fn a_long_name_of_an_instance_gets_a_line_of_its_own() {
    let mut document = samples::quiet();
    document.instance.as_mut().unwrap().name = None;
    let screen = status(&document, &look());
    let first = screen.lines().next().unwrap();
    assert!(first.ends_with("agentd 0.1.0") && first.chars().count() == 80, "{first}");
}
