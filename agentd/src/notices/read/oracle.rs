//! What a valid notice is, said a second time and in another way than the parsers say it.

use serde_json::Value;

/// `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, from 2006 to 2099, of the calendar.
pub(super) fn is_utc(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[bytes.len() - 1] != b'Z' || !text.is_ascii() {
        return false;
    }
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return false;
    }
    let fraction = &bytes[19..bytes.len() - 1];
    let fraction_fits = match fraction.split_first() {
        None => true,
        Some((b'.', digits)) => {
            (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
        Some(_) => false,
    };
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    fraction_fits
        && (2006..2100).contains(&year)
        && (1..=days_of(year, month)).contains(&day)
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) <= 60
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 0,
    }
}

/// `D Mon YYYY HH:MM:SS GMT`.
fn is_gmt(text: &str) -> bool {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split(' ').collect();
    let [day, month, year, clock, "GMT"] = words[..] else { return false };
    let Some(month) = MONTHS.find(month).filter(|at| at % 3 == 0 && month.len() == 3) else {
        return false;
    };
    let padded = format!("{year}-{:02}-{day:0>2}T{clock}Z", month / 3 + 1);
    clock.len() == 8 && !clock.ends_with(":60") && (1..=2).contains(&day.len()) && is_utc(&padded)
}

fn text_at<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.as_object()?.get(key)?.as_str()
}

/// Whether this may be read as a spot notice.
pub(super) fn is_spot(body: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(body) else { return false };
    let action = text_at(&value, "action");
    matches!(action, Some("terminate" | "stop" | "hibernate"))
        && text_at(&value, "time").is_some_and(is_utc)
}

/// Whether this may be read as a rebalance recommendation.
pub(super) fn is_rebalance(body: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(body) else { return false };
    text_at(&value, "noticeTime").is_some_and(is_utc)
}

/// Whether this may be read as a target state.
pub(super) fn is_state(body: &str) -> bool {
    const STATES: &str = "Detached InService Standby Terminated Warmed:Hibernated Warmed:Running Warmed:Stopped \
                          Warmed:Terminated";
    STATES.split(' ').any(|state| state == body)
}

/// So many events of a list may be acted on; none where it is no list.
pub(super) fn active_events(body: &str) -> usize {
    const CODES: [&str; 5] = [
        "instance-reboot",
        "system-reboot",
        "system-maintenance",
        "instance-retirement",
        "instance-stop",
    ];
    let Ok(Value::Array(items)) = serde_json::from_str::<Value>(body) else { return 0 };
    let is_active = |item: &&Value| {
        let state = item.get("State").cloned().unwrap_or(Value::Null);
        text_at(item, "EventId").is_some_and(|id| !id.is_empty() && id.len() <= 100)
            && text_at(item, "Code").is_some_and(|code| CODES.contains(&code))
            && text_at(item, "NotBefore").is_some_and(is_gmt)
            && (state.is_null() || state == "" || state == "active")
            && !text_at(item, "Description").is_some_and(|text| text.starts_with("[C"))
    };
    items.iter().filter(is_active).count()
}
