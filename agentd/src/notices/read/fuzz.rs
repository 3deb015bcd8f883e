//! Bodies at random: none makes a parser panic, and none gives a notice that the [oracle](super::oracle) does not know.

use super::{Reading, Reference, autoscaling, maintenance, oracle, rebalance, spot};

const NOW: Reference = Reference { wall_ms: 1_795_262_400_000, own_clock: false };

/// The documents that are spoilt.
const VALID: [&str; 6] = [
    r#"{"action":"terminate","time":"2026-11-21T12:02:00Z"}"#,
    r#"{"action": "hibernate", "time": "2026-11-21T12:02:00Z"}"#,
    r#"{"noticeTime":"2026-11-21T12:00:00Z"}"#,
    "Terminated",
    "Warmed:Stopped",
    r#"[{"NotBefore":"1 Dec 2026 09:00:43 GMT","Code":"system-reboot","Description":"scheduled reboot","EventId":"instance-event-0d59937288b749b32","NotAfter":"","State":"active"},{"EventId":"e-2","Code":"instance-stop","NotBefore":"21 Dec 2026 09:00:43 GMT","State":"canceled"}]"#,
];

/// Pieces that are put in.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1e999",
    "\\u0000",
    "\\ud800",
    "terminate",
    "stop",
    "2026-11-21T12:02:00Z",
    "1 Dec 2026 09:00:43 GMT",
    "\"action\":\"stop\",",
    "\"time\":0,",
    "\u{feff}",
    "é",
    "<html>",
    "60",
    "State",
    "9999",
];

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

fn body(random: &mut Random) -> String {
    let mut bytes = VALID[random.below(VALID.len())].as_bytes().to_vec();
    match random.below(8) {
        0 => bytes = (0..random.below(80)).map(|_| random.next().to_le_bytes()[0]).collect(),
        1 => bytes.truncate(random.below(bytes.len())),
        2 => {
            let deep = 1 + random.below(300);
            bytes = "[{\"a\":".repeat(deep).into_bytes();
        }
        3 => bytes = (0..random.below(12)).flat_map(|_| PIECES[random.below(24)].bytes()).collect(),
        _ => {
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
                    1 if !bytes.is_empty() => drop(bytes.remove(at)),
                    2 if !bytes.is_empty() => {
                        bytes[at] = b'0' + u8::try_from(random.below(10)).unwrap();
                    }
                    _ => drop(bytes.splice(at..at, PIECES[random.below(24)].bytes())),
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// How many of so many bodies gave a notice of each kind.
fn run(seed: u64, bodies: u32) -> [u32; 4] {
    let mut random = Random(seed);
    let mut notices = [0; 4];
    for _ in 0..bodies {
        let body = body(&mut random);
        let mut count = |kind: usize, reading: &Reading, valid: bool| {
            if matches!(reading, Reading::Notice(_)) {
                assert!(valid, "a phantom: {body:?}");
                notices[kind] += 1;
            }
        };
        count(0, &spot::read(&body, NOW), oracle::is_spot(&body));
        count(1, &rebalance::read(&body, NOW), oracle::is_rebalance(&body));
        count(2, &autoscaling::read(&body, NOW), oracle::is_state(&body));
        if let Ok(events) = maintenance::read(&body, NOW) {
            assert!(events.active.len() <= oracle::active_events(&body), "a phantom: {body:?}");
            notices[3] += u32::try_from(events.active.len().min(1)).unwrap();
        }
    }
    notices
}

#[test]
fn no_body_gives_a_notice_that_it_is_not() {
    let notices = run(1, 100_000);
    assert!(notices.iter().all(|count| *count > 100), "the bodies are no good test: {notices:?}");
}

/// `cargo test -p agentd --lib -- --ignored a_million_bodies`
#[test]
#[ignore = "it takes longer than a test should: 1,000,000 bodies"]
fn a_million_bodies_give_no_notice_that_they_are_not() {
    println!("notices by kind: {:?}", run(2, 1_000_000));
}
