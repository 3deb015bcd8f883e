//! Told by what changed is told whole.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::reading::Role;

/// Whatever is read, with subjects that stay, come and go.
fn signals() -> impl Strategy<Value = Vec<Signal>> {
    let value = prop_oneof![
        6 => (0_u64..1_000_000).prop_map(|total| Value::Counter { total }),
        1 => any::<u64>().prop_map(|total| Value::Counter { total }),
        2 => (0_u8..5).prop_map(|value| Value::Level { value: f64::from(value) / 3.0 }),
        1 => any::<f64>().prop_map(|value| Value::Shown { value }),
        3 => (0_u64..3, proptest::option::of(0_u64..100_000))
            .prop_map(|(mark, age_ms)| Value::Mark { mark, age_ms }),
        1 => Just(Value::Blocks { cap_ms: 5 }),
    ];
    let signal = ("[a-f]", any::<Option<bool>>(), any::<bool>(), value);
    let signal = signal.prop_map(|(subject, owner, ignored, value)| Signal {
        subject,
        owner: owner.map(|a| if a { "alice" } else { "\u{1b}[2Jbob" }.to_owned()),
        role: if ignored { Role::Ignored } else { Role::Workload },
        value,
    });
    vec(signal, 0..8)
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        20 => signals().prop_map(Reading::Signals),
        1 => Just(Reading::blind("gone")),
        1 => Just(Reading::absent("never was")),
    ]
}

#[derive(Clone, Debug)]
enum Act {
    Read(usize, Reading),
    Again(usize),
    Other(Input),
    Anew,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => (0_usize..3, reading()).prop_map(|(source, reading)| Act::Read(source, reading)),
        5 => (0_usize..3).prop_map(Act::Again),
        1 => Just(Act::Other(Input::Resumed)),
        1 => any::<u32>().prop_map(|pid| Act::Other(Input::ProcessGone { pid })),
        1 => Just(Act::Anew),
    ]
}

/// Steps of the clocks; none keeps the moment.
fn step() -> impl Strategy<Value = (i64, i64, i64)> {
    prop_oneof![
        10 => Just((0, 0, 0)),
        10 => Just((10_000, 0, 10_000)),
        3 => Just((10_001, 0, 10_000)),
        1 => any::<(i32, i32, i64)>().prop_map(|(a, b, c)| (i64::from(a), i64::from(b), c)),
    ]
}

proptest! {
    #[test]
    fn what_is_told_by_changes_is_told_whole(story in vec((step(), act()), 1..60)) {
        let sources = ["cpu", "gpu", "input"];
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut at = Stamp::new(u64::from(u32::MAX), u64::from(u32::MAX), 0);
        let (mut told, mut lines): (Vec<(Stamp, Input)>, Vec<Line>) = (Vec::new(), Vec::new());
        let mut last: BTreeMap<usize, Reading> = BTreeMap::new();
        for ((boot, asleep, wall), act) in story {
            at = Step::Each(boot, asleep, wall).from(at);
            let input = match act {
                Act::Anew => {
                    lines.extend(encoder.begin_anew());
                    continue;
                }
                Act::Other(input) => input,
                Act::Read(n, reading) => {
                    last.insert(n, reading.clone());
                    Input::Observed(Observation { source: SourceName::new(sources[n]), reading })
                }
                Act::Again(n) => {
                    let reading = last.get(&n).cloned().unwrap_or(Reading::Signals(Vec::new()));
                    Input::Observed(Observation { source: SourceName::new(sources[n]), reading })
                }
            };
            lines.extend(encoder.add(at, &input));
            told.push((at, writable(&input)));
        }
        lines.extend(encoder.end());
        let mut read = Vec::new();
        for line in lines {
            let text = serde_json::to_string(&line).unwrap();
            let back: Line = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&back, &line, "{}", text);
            let record = decoder.record(back).unwrap().unwrap();
            let Content::Inputs(inputs) = record.content else { panic!("a boot") };
            read.extend(inputs.into_iter().map(|input| (record.at, input)));
        }
        prop_assert_eq!(read, told);
    }

    #[test]
    fn no_line_panics(text in r#"\{"after":[0-9]{1,20},"seen":\["cpu",\{"source":"cpu","(gone|new|grown|aged|values)":\[(9|\[0,5\]|\[9,7\])\]\}\]\}"#) {
        let mut decoder = Decoder::default();
        let signals = vec![Signal::new("a", Value::Counter { total: u64::MAX })];
        let observation =
            Observation { source: SourceName::new("cpu"), reading: Reading::Signals(signals) };
        let record = Record::inputs(Stamp::default(), vec![Input::Observed(observation)]);
        decoder.record(Line::Record(record)).unwrap();
        if let Ok(line) = serde_json::from_str::<Line>(&text) {
            let _ = decoder.record(line);
        }
    }
}

fn counters(totals: &[u64]) -> Input {
    let signal = |(n, total): (usize, &u64)| {
        Signal::new(format!("user-{n}.slice"), Value::Counter { total: *total }).owned_by("alice")
    };
    let reading = Reading::Signals(totals.iter().enumerate().map(signal).collect());
    Input::Observed(Observation { source: SourceName::new("cpu"), reading })
}

#[test]
fn what_did_not_change_costs_a_word() {
    let mut encoder = Encoder::default();
    let at = |n: u64| Stamp::new(n * 10_000, 0, 1_800_000_000_000 + n.cast_signed() * 10_000);
    assert!(encoder.add(at(0), &counters(&[5, 6, 7])).is_none());
    let first = encoder.add(at(1), &counters(&[5, 6, 7])).unwrap();
    assert!(serde_json::to_string(&first).unwrap().starts_with(r#"{"at":{"#));
    let second = encoder.add(at(2), &counters(&[5, 9, 7])).unwrap();
    assert_eq!(serde_json::to_string(&second).unwrap(), r#"{"after":10000,"seen":["cpu"]}"#);
    let third = encoder.add(at(3), &counters(&[5, 9])).unwrap();
    assert_eq!(
        serde_json::to_string(&third).unwrap(),
        r#"{"after":10000,"seen":[{"source":"cpu","grown":[[1,3]]}]}"#
    );
    let fourth = encoder.end().unwrap();
    assert_eq!(
        serde_json::to_string(&fourth).unwrap(),
        r#"{"after":10000,"seen":[{"source":"cpu","gone":[2]}]}"#
    );
}

#[test]
fn after_a_lost_line_nothing_is_believed_until_a_line_that_begins_anew() {
    let mut encoder = Encoder::default();
    let mut lines = Vec::new();
    for n in 0..6_u64 {
        if n == 4 {
            lines.extend(encoder.begin_anew());
        }
        lines.extend(encoder.add(Stamp::new(n, 0, 0), &counters(&[n])));
    }
    lines.extend(encoder.end());
    assert_eq!(lines.len(), 6);
    let mut decoder = Decoder::default();
    let mut good = Vec::new();
    for (n, line) in lines.into_iter().enumerate() {
        if n == 1 {
            decoder.lost();
        } else if let Ok(Some(record)) = decoder.record(line) {
            good.push((n, record));
        }
    }
    assert_eq!(good.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 4, 5]);
    assert_eq!(good[2].1, Record::inputs(Stamp::new(5, 0, 0), vec![counters(&[5])]));
}
