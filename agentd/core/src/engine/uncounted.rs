//! What runs and is not counted as use: told before every action, so that a wrong judgement is seen before it is
//! carried out.

use core::fmt::Write as _;

use super::Engine;
use super::words::{of_limit, quantity};
use crate::reading::Role;
use crate::verdict::UncountedView;

/// More of them are not listed in the picture.
const MOST: usize = 20;
/// So many are named in one line …
const NAMED: usize = 6;
/// … of at most so many characters.
const MOST_TEXT: usize = 160;

impl Engine {
    /// What runs and is not counted, the largest share of people's limit first.
    pub(super) fn uncounted(&self) -> Vec<UncountedView> {
        let mut all = Vec::new();
        for (name, track) in &self.tracks {
            track.uncounted(name, &mut all);
        }
        all.sort_by(|a, b| b.share().total_cmp(&a.share()).then_with(|| a.subject.cmp(&b.subject)));
        all.truncate(MOST);
        all
    }

    /// The same in one line: `amazon-ssm-agent 0.02 core; postgresql 0.03 of 0.12 core`. None: nothing to speak of ran.
    pub(super) fn not_counted(&self) -> Option<String> {
        let all = self.uncounted();
        let mut text = String::new();
        for (told, one) in all.iter().enumerate() {
            let part = sentence(one);
            let full = told == NAMED || text.chars().count() + part.chars().count() > MOST_TEXT;
            if told > 0 && full {
                let _ = write!(text, "; and {} more", all.len() - told);
                break;
            }
            if told > 0 {
                text.push_str("; ");
            }
            text.push_str(&part);
        }
        (!text.is_empty()).then(|| super::words::cut(text))
    }
}

impl UncountedView {
    /// How much of people's limit it is.
    fn share(&self) -> f64 {
        if self.work > 0.0 { self.value / self.work } else { 0.0 }
    }
}

/// `postgresql 0.03 of 0.12 core`, `containerd 12 kB/s (disk)`.
fn sentence(one: &UncountedView) -> String {
    let limit = one.limit.filter(|_| one.role != Role::Upkeep);
    let amount = match limit {
        Some(limit) => of_limit(one.value, limit, &one.unit),
        None => quantity(one.value, &one.unit),
    };
    // Bytes a second are those of a network as well as those of a disk.
    let of = if one.unit == "B/s" { format!(" ({})", one.source) } else { String::new() };
    format!("{} {amount}{of}", one.name())
}
