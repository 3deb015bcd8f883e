//! An agent that is killed again and again.

use super::scene::{CONFIG, Done, Failure, MINUTE, Scene, TICK};

/// A new process needs so long until it looks.
const START: u64 = 3000;

/// People are warned for so long at least; an agent that is killed in that time warns anew.
const NOTICE: u64 = 2 * MINUTE;

/// When an idle machine is stopped whose agent is killed every ten minutes from minute `first` on, and how often it was
/// killed until then.
fn stopped_with_kills(first: u64) -> Result<(u64, u64), Failure> {
    let mut scene = Scene::new(CONFIG)?;
    let mut until = first * MINUTE;
    let mut kills = 0;
    loop {
        if let Some(stopped) = scene.until_stopped(until)? {
            return Ok((stopped, kills));
        }
        if until > 60 * MINUTE {
            return Err("it was never stopped".into());
        }
        let idle = scene.idle_seconds()?;
        scene.lapse.kill();
        let moment = scene.lapse.now.after(START);
        scene.jump(moment)?;
        scene.lapse.start()?;
        kills += 1;
        until += 10 * MINUTE;
        let kept = scene.idle_seconds()?;
        if (kept - idle).abs() > 15.0 {
            return Err(format!("{idle} s of idleness became {kept} s").into());
        }
    }
}

#[test]
fn an_agent_that_is_killed_every_ten_minutes_still_stops_an_idle_machine_in_time() -> Done {
    let mut plain = Scene::new(CONFIG)?;
    let right = plain.until_stopped(60 * MINUTE)?.ok_or("it was never stopped")?;
    for first in 1..=10 {
        let (stopped, kills) = stopped_with_kills(first)?;
        let last = (first + 10 * (kills - 1)) * MINUTE;
        let anew = if last + NOTICE > right { NOTICE + START + TICK } else { 0 };
        // Between its last look and the kill lies up to a tick, and counters say nothing before their second reading.
        let most = right + kills * (START + 2 * TICK) + anew;
        println!("killed {kills} times from minute {first}: {stopped} ms, {right} without");
        assert!((right..=most).contains(&stopped), "{stopped}, not within {right} and {most}");
    }
    Ok(())
}

#[test]
fn an_agent_that_is_killed_during_a_warning_goes_on_with_it() -> Done {
    let mut scene = Scene::new(CONFIG)?;
    scene.pass(28 * MINUTE)?;
    assert_eq!(scene.status()?["stage"], "warned");
    scene.lapse.kill();
    let moment = scene.lapse.now.after(START);
    scene.jump(moment)?;
    scene.lapse.start()?;
    let stopped = scene.until_stopped(60 * MINUTE)?.ok_or("it was never stopped")?;
    assert!(stopped <= 31 * MINUTE, "{stopped}");
    assert_eq!(scene.lapse.agent.stops(), 1);
    Ok(())
}

#[test]
fn an_agent_that_was_away_for_long_begins_anew() -> Done {
    let mut scene = Scene::new(CONFIG)?;
    scene.pass(25 * MINUTE)?;
    scene.lapse.kill();
    let moment = scene.lapse.now.after(5 * MINUTE);
    scene.jump(moment)?;
    scene.lapse.start()?;
    assert!(scene.idle_seconds()? < 1.0, "nobody knows what happened in five minutes");
    scene.pass(59 * MINUTE)?;
    assert!(!scene.lapse.has_stopped());
    assert!(scene.until_stopped(62 * MINUTE)?.is_some());
    Ok(())
}
