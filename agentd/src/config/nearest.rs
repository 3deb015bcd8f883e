//! The known word that a misspelt one resembles most.

/// Only so much of a word is compared; nobody misspells a key of a kilobyte.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, if it is near enough to be what was meant: at most one edit in three characters,
/// a transposition counting as one, letter case and `-` for `_` as none.
pub(super) fn of<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    let (distance, candidate) = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    let longer = word.chars().count().max(candidate.chars().count());
    (distance <= (longer / 3).max(1) && distance < longer).then_some(candidate)
}

fn plain(word: &str) -> String {
    word.chars()
        .take(LONGEST)
        .map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 4] = ["act_after", "quiet_after", "action", "enabled"];

    #[test]
    fn a_slip_is_recognised() {
        for (word, expected) in [
            ("act_aftr", "act_after"),
            ("act-after", "act_after"),
            ("ACT_AFTER", "act_after"),
            ("acton", "action"),
            ("enabeld", "enabled"),
        ] {
            assert_eq!(of(word, WORDS), Some(expected), "{word}");
        }
    }

    #[test]
    fn another_word_is_not_guessed_at() {
        for word in ["colour", "x", "", "shutdown_command"] {
            assert_eq!(of(word, WORDS), None, "{word}");
        }
        assert_eq!(of("action", []), None);
    }
}
