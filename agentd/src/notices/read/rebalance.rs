//! `events/recommendations/rebalance`: `{"noticeTime": "2020-10-27T08:22:00Z"}`.
//! (EC2 User Guide: "EC2 instance rebalance recommendations".)

use agent_core::interruption::{Notice, Noticed};

use super::object::{Item, text};
use super::{Reading, Reference, excerpt, time};

/// Reads an answer. A recommendation has no time at which anything happens.
pub fn read(answer: &str, now: Reference) -> Reading {
    let said = Item::parse(answer).and_then(|object| {
        let said = text(&object, "noticeTime").ok_or("it has no noticeTime")?;
        time::utc(said).ok_or_else(|| "its noticeTime is none".to_owned())
    });
    match said {
        Ok(said_wall_ms) => Reading::Notice(vec![Noticed {
            notice: Notice::Rebalance { said_wall_ms },
            due: None,
            own_clock: now.own_clock,
        }]),
        Err(why) => Reading::Garbled(format!("{}: {why}", excerpt(answer))),
    }
}
