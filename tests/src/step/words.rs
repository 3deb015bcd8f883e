//! The words of one step, taken from the left.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use super::{StepError, When};
use crate::fault::Fault;

/// What is left of a step.
pub(super) struct Words {
    step: String,
    left: VecDeque<String>,
}

impl Words {
    /// The words of a step: separated by spaces, except within single or double quotes.
    pub(super) fn new(step: &str) -> Self {
        let mut left = VecDeque::new();
        let (mut word, mut quote) = (None::<String>, None);
        for letter in step.trim().chars() {
            match (letter, quote) {
                (mark, Some(open)) if mark == open => quote = None,
                ('"' | '\'', None) if word.as_deref().is_none_or(|word| word.ends_with('=')) => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (space, None) if space.is_whitespace() => left.extend(word.take()),
                _ => word.get_or_insert_default().push(letter),
            }
        }
        left.extend(word);
        Self { step: step.trim().to_owned(), left }
    }

    /// The error that a word is wrong.
    pub(super) fn wrong(&self, word: &str, expected: &'static str) -> StepError {
        StepError::Word { step: self.step.clone(), word: word.to_owned(), expected }
    }

    /// The next word, which must be there.
    pub(super) fn next(&mut self, expected: &'static str) -> Result<String, StepError> {
        let missing = || StepError::Missing { step: self.step.clone(), expected };
        self.left.pop_front().ok_or_else(missing)
    }

    /// The next word, if there is one.
    pub(super) fn maybe(&mut self) -> Option<String> {
        self.left.pop_front()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), StepError> {
        self.left.front().map_or(Ok(()), |word| Err(self.wrong(word, "the end of the step")))
    }

    /// All that is left as one text; none where that is `gone`.
    pub(super) fn rest_or_gone(&mut self) -> Result<Option<String>, StepError> {
        let first = self.next("a text, or gone")?;
        let rest = self.left.drain(..).fold(first, |text, word| text + " " + &word);
        Ok((rest != "gone").then_some(rest))
    }

    /// A number.
    pub(super) fn number<T: FromStr>(&mut self) -> Result<T, StepError> {
        let word = self.next("a number")?;
        word.parse().map_err(|_| self.wrong(&word, "a number"))
    }

    /// A span of time.
    pub(super) fn span(&mut self) -> Result<Duration, StepError> {
        let word = self.next("a span such as 3s")?;
        span(&word).ok_or_else(|| self.wrong(&word, "a span such as 3s"))
    }

    /// A span of time that may be negative.
    pub(super) fn signed(&mut self) -> Result<SignedDuration, StepError> {
        let word = self.next("a span such as 3s")?;
        let length = span(word.trim_start_matches(['+', '-']));
        let length = length.and_then(|length| SignedDuration::try_from(length).ok());
        let length = length.ok_or_else(|| self.wrong(&word, "a span such as 3s"))?;
        Ok(if word.starts_with('-') { -length } else { length })
    }

    /// A fault.
    pub(super) fn fault(&mut self) -> Result<Fault, StepError> {
        let word = self.next("a fault")?;
        word.parse().map_err(|_| self.wrong(&word, "a fault, see 'cargo sim --help'"))
    }

    /// A fault where the next word is one.
    pub(super) fn fault_or(&mut self, otherwise: Fault) -> Fault {
        let named = self.left.front().and_then(|word| word.parse().ok());
        if named.is_some() {
            self.left.pop_front();
        }
        named.unwrap_or(otherwise)
    }

    /// When a fault strikes.
    pub(super) fn when(&mut self) -> Result<When, StepError> {
        let Some(word) = self.maybe() else { return Ok(When::Always) };
        match word.as_str() {
            "for" => self.span().map(When::For),
            "times" => self.number().map(When::Next),
            "chance" => {
                let word = self.next("a percentage such as 30%")?;
                let percent = word.trim_end_matches('%').parse().ok().filter(|share| *share <= 100);
                percent
                    .map(When::Chance)
                    .ok_or_else(|| self.wrong(&word, "a percentage such as 30%"))
            }
            other => Err(self.wrong(other, "for SPAN, times N or chance N%")),
        }
    }
}

/// A span such as `500ms`, `3s`, `1h30m` or `2d`.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = rest.split_at_checked(digits)?;
        let length = unit.find(|letter: char| letter.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, left) = unit.split_at_checked(length)?;
        let number: u64 = number.parse().ok()?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = left;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(span("2d"), Some(Duration::from_hours(48)));
        for wrong in ["", "3", "s", "3x", "-3s", "3 s", "99999999999999999999s"] {
            assert_eq!(span(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn quotes_keep_words_together() {
        let words = Words::new("imds fault /x body='{\"a\": 1}' times 2");
        assert_eq!(words.left, ["imds", "fault", "/x", "body={\"a\": 1}", "times", "2"]);
        assert_eq!(Words::new("a 'b c' it's").left, ["a", "b c", "it's"]);
    }
}
