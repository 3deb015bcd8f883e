//! Clocks that are set, and machines that sleep.

use super::scene::{CONFIG, Done, MINUTE, Scene, TICK};

/// Ten years in milliseconds.
const TEN_YEARS: i64 = 315_360_000_000;
/// Fourteen hours in milliseconds.
const NIGHT: u64 = 14 * 60 * MINUTE;

#[test]
fn a_clock_that_is_set_by_ten_years_does_not_move_the_stop_by_a_tick() -> Done {
    let mut plain = Scene::new(CONFIG)?;
    let right = plain.until_stopped(60 * MINUTE)?.ok_or("it was never stopped")?;
    for by in [TEN_YEARS, -TEN_YEARS] {
        for minute in [3, 12, 22, 29] {
            let mut scene = Scene::new(CONFIG)?;
            scene.pass(minute * MINUTE)?;
            let moment = scene.lapse.now.clock_set_by(by);
            scene.jump(moment)?;
            let stopped = scene.until_stopped(60 * MINUTE)?.ok_or("it was never stopped")?;
            assert!(
                stopped.abs_diff(right) <= TICK,
                "set by {by} at {minute}: {stopped}, not {right}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_night_of_sleep_adds_nothing_and_begins_a_grace() -> Done {
    let mut scene = Scene::new(CONFIG)?;
    scene.pass(25 * MINUTE)?;
    assert!(scene.idle_seconds()? > 1480.0);
    let moment = scene.lapse.now.asleep_for(NIGHT);
    scene.jump(moment)?;
    let woke = scene.at();
    let status = scene.status()?;
    assert_eq!(status["stage"], "grace", "{status:#}");
    assert!(scene.idle_seconds()? < 1.0, "the night counts as idle");
    scene.pass(woke + 14 * MINUTE)?;
    assert_eq!(scene.status()?["stage"], "grace");
    scene.pass(woke + 16 * MINUTE)?;
    assert_eq!(scene.status()?["stage"], "quiet", "idleness itself counts during the grace");
    let stopped = scene.until_stopped(woke + 60 * MINUTE)?.ok_or("it was never stopped")?;
    let after = stopped - woke;
    assert!((30 * MINUTE..=30 * MINUTE + 2 * TICK).contains(&after), "{after} ms after it woke");
    Ok(())
}

#[test]
fn a_night_of_sleep_in_the_middle_of_a_warning_calls_the_stop_off() -> Done {
    let mut scene = Scene::new(CONFIG)?;
    scene.pass(28 * MINUTE)?;
    assert_eq!(scene.status()?["stage"], "warned");
    let moment = scene.lapse.now.asleep_for(NIGHT);
    scene.jump(moment)?;
    let woke = scene.at();
    scene.pass(woke + 29 * MINUTE)?;
    assert!(!scene.lapse.has_stopped());
    Ok(())
}
