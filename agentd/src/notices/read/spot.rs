//! `spot/instance-action`: `{"action": "terminate", "time": "2017-09-18T08:22:00Z"}`.
//! (EC2 User Guide: "Spot Instance interruption notices".)

use agent_core::interruption::{Notice, Noticed, SpotAction};

use super::object::{Item, text};
use super::{Reading, Reference, excerpt, time};

/// Reads an answer. A time that has passed is read like any other: EC2 leaves it there when it could not carry it out.
pub fn read(answer: &str, now: Reference) -> Reading {
    match understand(answer, now) {
        Ok(noticed) => Reading::Notice(vec![noticed]),
        Err(why) => Reading::Garbled(format!("{}: {why}", excerpt(answer))),
    }
}

fn understand(answer: &str, now: Reference) -> Result<Noticed, String> {
    let object = Item::parse(answer)?;
    let action = match text(&object, "action") {
        Some("terminate") => SpotAction::Terminate,
        Some("stop") => SpotAction::Stop,
        Some("hibernate") => SpotAction::Hibernate,
        Some(_) => return Err("its action is none that EC2 has".to_owned()),
        None => return Err("it has no action".to_owned()),
    };
    let at = text(&object, "time").ok_or("it has no time")?;
    let at = time::utc(at).ok_or("its time is none")?;
    Ok(Noticed {
        notice: Notice::Spot { action },
        due: Some(now.due(at)),
        own_clock: now.own_clock,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_time_is_left_is_told_by_the_answer_s_own_clock() {
        let now = Reference { wall_ms: 1_505_722_800_000, own_clock: false };
        let Reading::Notice(read) = read(r#"{"action":"stop","time":"2017-09-18T08:22:00Z"}"#, now)
        else {
            panic!("no notice")
        };
        let due = read[0].due.unwrap();
        assert_eq!((due.wall_ms, due.left_ms), (1_505_722_920_000, 120_000));
        assert!(!read[0].own_clock);
    }
}
