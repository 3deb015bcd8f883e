//! The tokens of version 2: made with a lifetime, checked byte for byte.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use crate::wire::Request;

/// The header that asks for, and tells, a token's lifetime in seconds.
pub(super) const TTL: &str = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds";
/// The header that carries a token.
const TOKEN: &str = "X-Aws-Ec2-Metadata-Token";
/// The longest lifetime, seconds: six hours.
const LONGEST: u64 = 21_600;

/// Why a request was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has no token header.
    Missing,
    /// It has more than one.
    Doubled,
    /// Its token was never handed out, or is no longer valid.
    Invalid,
}

/// The tokens that were handed out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    valid: HashMap<String, Instant>,
    made: u64,
    seed: RandomState,
    cap: Option<Duration>,
}

impl Tokens {
    /// Makes a token as a request asks for it; none when the request does not ask properly.
    pub(super) fn make(&mut self, request: &Request, now: Instant) -> Option<(String, Duration)> {
        let asked = request.header_values(TTL);
        let [only] = asked.as_slice() else { return None };
        let seconds: u64 = only.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds))?;
        let life = Duration::from_secs(seconds).min(self.cap.unwrap_or(Duration::MAX));
        self.made += 1;
        let mut hash = self.seed.build_hasher();
        hash.write_u64(self.made);
        let token = format!("AQAEA{:05}{:016x}{:016x}==", self.made, hash.finish(), !hash.finish());
        self.valid.insert(token.clone(), now + life);
        Some((token, life))
    }

    /// Checks a request's token and tells how long it still lives.
    pub(super) fn check(&self, request: &Request, now: Instant) -> Result<Duration, Refused> {
        let carried = request.header_values(TOKEN);
        let token = match carried.as_slice() {
            [] => return Err(Refused::Missing),
            [token] => *token,
            _ => return Err(Refused::Doubled),
        };
        let ends = self.valid.get(token).ok_or(Refused::Invalid)?;
        ends.checked_duration_since(now).filter(|left| !left.is_zero()).ok_or(Refused::Invalid)
    }

    /// Forgets every token.
    pub(super) fn revoke(&mut self) {
        self.valid.clear();
    }

    /// Limits the lifetime of tokens to come.
    pub(super) fn cap(&mut self, most: Duration) {
        self.cap = Some(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(ttl: &[&str]) -> Request {
        let put = Request::new("PUT", "/latest/api/token");
        ttl.iter().fold(put, |put, ttl| put.with_header(TTL, ttl))
    }

    fn get(tokens: &[&str]) -> Request {
        let get = Request::new("GET", "/latest/meta-data/instance-id");
        tokens.iter().fold(get, |get, token| get.with_header(TOKEN, token))
    }

    #[test]
    fn a_lifetime_is_one_to_21600_whole_seconds_asked_for_once() {
        let mut tokens = Tokens::default();
        let now = Instant::now();
        for bad in [&[][..], &["0"], &["21601"], &["-1"], &["6h"], &["60", "60"]] {
            assert!(tokens.make(&put(bad), now).is_none(), "{bad:?} gave a token");
        }
        let (first, life) = tokens.make(&put(&["21600"]), now).unwrap();
        assert_eq!(life, Duration::from_hours(6));
        let (second, _) = tokens.make(&put(&["1"]), now).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn a_token_is_checked_byte_for_byte_and_exactly_once() {
        let mut tokens = Tokens::default();
        let now = Instant::now();
        let (token, _) = tokens.make(&put(&["60"]), now).unwrap();
        assert_eq!(tokens.check(&get(&[&token]), now), Ok(Duration::from_mins(1)));
        assert_eq!(tokens.check(&get(&[]), now), Err(Refused::Missing));
        assert_eq!(tokens.check(&get(&[&token, &token]), now), Err(Refused::Doubled));
        let lower = token.to_ascii_lowercase();
        for wrong in ["", "x", &token[1..], &lower] {
            assert_eq!(tokens.check(&get(&[wrong]), now), Err(Refused::Invalid), "{wrong:?}");
        }
    }

    #[test]
    fn expired_and_revoked_tokens_are_invalid() {
        let mut tokens = Tokens::default();
        tokens.cap(Duration::from_secs(5));
        let now = Instant::now();
        let (token, life) = tokens.make(&put(&["21600"]), now).unwrap();
        assert_eq!(life, Duration::from_secs(5));
        assert!(tokens.check(&get(&[&token]), now + Duration::from_millis(4_999)).is_ok());
        assert_eq!(tokens.check(&get(&[&token]), now + life), Err(Refused::Invalid));
        tokens.revoke();
        assert_eq!(tokens.check(&get(&[&token]), now), Err(Refused::Invalid));
    }
}
