//! The session token of IMDSv2.

use core::fmt;
use core::time::Duration;

use reqwest::header::HeaderValue;
use tokio::sync::watch;

use super::ImdsError;

/// The longest time-to-live that IMDS grants, seconds.
pub(super) const LONGEST_TTL: &str = "21600";
const LONGEST_TTL_SECONDS: u64 = 21_600;

/// A token and when it ends. Whoever has it can read the credentials of the instance's role, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    header: HeaderValue,
    /// `CLOCK_BOOTTIME` from which on it is not used any more: a tenth of its life before its end.
    stale_at: Duration,
}

/// An attempt to make a token, and its result for everybody who waits for it.
pub(super) type Attempt = watch::Receiver<Option<Result<Token, ImdsError>>>;

/// What there is of a token.
pub(super) enum Slot {
    /// Nothing.
    Empty,
    /// One that was accepted when it was last used.
    Ready(Token),
    /// One is being made.
    Making(Attempt),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("header", &"…").field("stale_at", &self.stale_at).finish()
    }
}

impl Token {
    /// A token that was asked for at `asked_at` and lives for `ttl` from then on.
    pub(super) fn new(text: &str, asked_at: Duration, ttl: Duration) -> Result<Self, String> {
        let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || text.len() > 1024 {
            return Err("the answer is not a token".to_owned());
        }
        let mut header = HeaderValue::from_str(text).map_err(|error| error.to_string())?;
        header.set_sensitive(true);
        Ok(Self { header, stale_at: asked_at.saturating_add(ttl.mul_f64(0.9)) })
    }

    /// Whether it may be used now.
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        now < self.stale_at
    }

    /// The value of the token header.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// The time-to-live from the header of the token's reply. A reply without it does not come from IMDSv2.
pub(super) fn ttl(header: Option<&HeaderValue>) -> Result<Duration, String> {
    let header = header.ok_or("the token came without its time-to-live header")?;
    let seconds = header.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
    match seconds {
        Some(seconds @ 1..=LONGEST_TTL_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err("the token came with a time-to-live header that makes no sense".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &'static str) -> Result<Duration, String> {
        ttl(Some(&HeaderValue::from_static(text)))
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new("AQAEAsecret==", Duration::ZERO, Duration::from_mins(1)).unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        assert!(!format!("{:?}", token.header()).contains("secret"));
    }

    #[test]
    fn the_time_to_live_must_be_there_and_make_sense() {
        assert_eq!(header("21600"), Ok(Duration::from_hours(6)));
        assert!(ttl(None).is_err());
        for bad in ["", "0", "-1", "21601", "six hours", "99999999999999999999"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_replaced_before_its_end() {
        let token = Token::new("t", Duration::from_secs(1_000), Duration::from_secs(100)).unwrap();
        assert!(token.is_usable(Duration::from_secs(1_089)));
        assert!(!token.is_usable(Duration::from_secs(1_090)));
    }

    #[test]
    fn what_cannot_be_a_header_is_no_token() {
        for bad in ["", "two words", "line\nbreak", "<html>é</html>", &"x".repeat(1025)] {
            assert!(Token::new(bad, Duration::ZERO, Duration::from_mins(1)).is_err(), "{bad:?}");
        }
    }
}
