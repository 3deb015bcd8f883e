//! Hostile answers and what each is taken for.

use super::{Reading, Reference, autoscaling, maintenance, rebalance, spot};

const NOW: Reference = Reference { wall_ms: 1_795_262_400_000, own_clock: false };
const AT: &str = "2026-11-21T12:02:00Z";

/// What no item of the metadata service ever says.
const NEVER: [&str; 24] = [
    "",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "\"\"",
    "\"terminate\"",
    "[",
    "{",
    "{}",
    "{\"\":\"\"}",
    "[[]]",
    "[1,2]",
    "[null]",
    "404 - Not Found",
    "none",
    "not a time value",
    "<html><body>Sign in to the hotel network</body></html>",
    "<?xml version=\"1.0\"?><Error/>",
    "\u{feff}{}",
    "\0\0\0\0",
    "terminate",
    "2015-01-05T18:02:00Z",
];

fn is_garbled(reading: &Reading) -> bool {
    matches!(reading, Reading::Garbled(why) if !why.is_empty() && why.chars().count() < 400)
}

/// Bodies that are no notice of an interruption, though some are near it.
pub(in crate::notices) fn hostile_about_spot() -> Vec<String> {
    let made = [
        format!(r#"{{"action":"terminate","time":"{AT}""#),
        format!(r#"{{"action":"terminate","time":"{AT}"}}}}"#),
        format!(r#"{{"action":"terminate","time":"{AT}"}} {{}}"#),
        format!(r#"{{"action":"terminate","time":"{AT}"}}<html>"#),
        format!(r#"[{{"action":"terminate","time":"{AT}"}}]"#),
        format!(r#"{{"action":"Terminate","time":"{AT}"}}"#),
        format!(r#"{{"action":"terminate ","time":"{AT}"}}"#),
        format!(r#"{{"action":"","time":"{AT}"}}"#),
        format!(r#"{{"action":"reboot","time":"{AT}"}}"#),
        format!(r#"{{"action":"none","time":"{AT}"}}"#),
        format!(r#"{{"action":null,"time":"{AT}"}}"#),
        format!(r#"{{"action":["terminate"],"time":"{AT}"}}"#),
        format!(r#"{{"action":1,"time":"{AT}"}}"#),
        format!(r#"{{"time":"{AT}"}}"#),
        format!(r#"{{"Action":"terminate","time":"{AT}"}}"#),
        format!(r#"{{"action":"terminate","Time":"{AT}"}}"#),
        format!(r#"{{"action":"terminate","action":"terminate","time":"{AT}"}}"#),
        format!(r#"{{"action":"terminate","action":"stop","time":"{AT}"}}"#),
        format!(r#"{{"action":"terminate","time":"{AT}","time":"{AT}"}}"#),
        format!(r#"{{"action":"terminate","time":"{AT}","x":1,"x":2}}"#),
        format!(r#"{{"action":"terminate","\u0061ction":"stop","time":"{AT}"}}"#),
        format!("{{'action':'terminate','time':'{AT}'}}"),
        format!(r#"{{"action":"terminate","time":"{AT}",}}"#),
        format!(r#"{{"action":"terminate","time":"{AT}"}} // soon"#),
        format!("action=terminate&time={AT}"),
        format!("{{\"action\":\"terminate\",\"time\":\"{AT}\"\0}}"),
        format!(r#"{{"spot":{{"action":"terminate","time":"{AT}"}}}}"#),
        r#"{"action":"terminate"}"#.to_owned(),
        r#"{"action":"terminate","time":""}"#.to_owned(),
        r#"{"action":"terminate","time":null}"#.to_owned(),
        r#"{"action":"terminate","time":1795262520}"#.to_owned(),
        r#"{"action":"terminate","time":"soon"}"#.to_owned(),
        r#"{"action":"terminate","time":"2026-11-21T12:02:00"}"#.to_owned(),
        r#"{"action":"terminate","time":"2026-11-21T12:02:00+01:00"}"#.to_owned(),
        r#"{"action":"terminate","time":"2026-02-30T12:02:00Z"}"#.to_owned(),
        r#"{"action":"terminate","time":"0000-00-00T00:00:00Z"}"#.to_owned(),
        r#"{"action":"terminate","time":"9999-12-31T23:59:59Z"}"#.to_owned(),
        r#"{"action":"terminate","time":"21 Nov 2026 12:02:00 GMT"}"#.to_owned(),
        format!(r#"{{"action":"terminate","time":"{AT}","x":{}"#, "[".repeat(50_000)),
        format!(r#"{{"x":"{}"#, "y".repeat(60_000)),
    ];
    NEVER.into_iter().map(str::to_owned).chain(made).collect()
}

#[test]
fn hostile_answers_about_spot_interruptions_are_garbled() {
    let all = hostile_about_spot();
    for body in &all {
        assert!(is_garbled(&spot::read(body, NOW)), "{body:.200}");
    }
    assert!(all.len() >= 60);
}

#[test]
fn what_ec2_may_add_or_leave_standing_is_read() {
    for body in [
        format!(r#"{{"action":"terminate","time":"{AT}"}}"#),
        format!("{{ \"time\" : \"{AT}\" ,\n \"action\" : \"stop\" }}"),
        format!(r#"{{"action":"hibernate","time":"{AT}","detail":{{"new":[1]}}}}"#),
        r#"{"action":"terminate","time":"2020-01-01T00:00:00Z"}"#.to_owned(),
    ] {
        assert!(matches!(spot::read(&body, NOW), Reading::Notice(_)), "{body}");
    }
}

#[test]
fn hostile_answers_about_recommendations_are_garbled() {
    let made = [
        r#"{"noticeTime":""}"#,
        r#"{"noticeTime":null}"#,
        r#"{"noticeTime":1}"#,
        r#"{"noticeTime":["2026-11-21T12:00:00Z"]}"#,
        r#"{"noticetime":"2026-11-21T12:00:00Z"}"#,
        r#"{"NoticeTime":"2026-11-21T12:00:00Z"}"#,
        r#"{"time":"2026-11-21T12:00:00Z"}"#,
        r#"["2026-11-21T12:00:00Z"]"#,
        r#"[{"noticeTime":"2026-11-21T12:00:00Z"}]"#,
        r#"{"noticeTime":"2026-11-21T12:00:00Z""#,
        r#"{"noticeTime":"2026-11-21T12:00:00Z"}}"#,
        r#"{"noticeTime":"2026-11-21T12:00:00Z"}{"noticeTime":"2026-11-21T12:00:00Z"}"#,
        r#"{"noticeTime":"2026-11-21T12:00:00Z","noticeTime":"2026-11-21T12:00:00Z"}"#,
        r#"{"noticeTime":"2026-11-21"}"#,
        r#"{"noticeTime":"2026-11-21T12:00:00"}"#,
        r#"{"noticeTime":"2026-11-21T25:00:00Z"}"#,
        r#"{"noticeTime":"1970-01-01T00:00:00Z"}"#,
    ];
    for body in NEVER.iter().chain(&made) {
        assert!(is_garbled(&rebalance::read(body, NOW)), "{body}");
    }
    let good = r#"{"noticeTime":"2026-11-21T12:00:00Z"}"#;
    assert!(matches!(rebalance::read(good, NOW), Reading::Notice(_)));
}

#[test]
fn hostile_answers_about_the_target_state_are_garbled() {
    let made = [
        "terminated",
        "TERMINATED",
        "Terminated.",
        "\"Terminated\"",
        "Terminated\nInService",
        "Terminated InService",
        "Terminating",
        "Terminating:Wait",
        "Pending",
        "Pending:Wait",
        "Warmed",
        "Warmed:",
        "Warmed: Stopped",
        "Warmed:Pending",
        "Quarantined",
        "Term\u{200b}inated",
        "Тerminated",
    ];
    for body in NEVER.iter().chain(&made) {
        assert!(is_garbled(&autoscaling::read(body, NOW)), "{body}");
    }
}

#[test]
fn hostile_answers_about_scheduled_events_lead_to_nothing() {
    let event = |from: &str, to: &str| {
        let good = r#"[{"EventId":"e-1","Code":"instance-stop","NotBefore":"1 Dec 2026 00:00:00 GMT","State":"active"}]"#;
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let made = [
        event("e-1", ""),
        event("e-1", "e 1"),
        event("e-1", "../../x"),
        event("\"e-1\"", "7"),
        event("\"e-1\"", "null"),
        event("EventId", "eventId"),
        event("instance-stop", "instance-explosion"),
        event("instance-stop", "Instance-Stop"),
        event("instance-stop", ""),
        event("\"instance-stop\"", "null"),
        event("1 Dec 2026", "2026-12-01"),
        event("1 Dec 2026", "31 Feb 2026"),
        event("1 Dec 2026", "1 Dec 9999"),
        event("1 Dec 2026 00:00:00 GMT", ""),
        event("\"1 Dec 2026 00:00:00 GMT\"", "1795262400"),
        event("NotBefore", "NotAfter"),
        event("active", "pending"),
        event("\"active\"", "[]"),
        event("]", ""),
        event("]", "]]"),
        event("[{", "{"),
        event("\"State\"", "\"Code\""),
    ];
    for body in NEVER.iter().copied().chain(made.iter().map(String::as_str)) {
        match maintenance::read(body, NOW) {
            Ok(events) => {
                assert!(events.active.is_empty() && !events.problems.is_empty(), "{body}");
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}
