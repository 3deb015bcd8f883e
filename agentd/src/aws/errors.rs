//! What a failed EC2 call means: try again, look first, or never.
//!
//! The same code can mean opposite things (`UnsupportedOperation` is "not ready to hibernate yet" and "a one-time spot
//! request cannot be stopped"), so the message decides where the code does not. Codes: AWS, "Error codes for the Amazon
//! EC2 API".

use core::error::Error;
use core::time::Duration;

use agent_core::action::{Outcome, Refusal, Retry};
use thiserror::Error;

/// How long to leave EC2 alone after a throttled or failed call, before the engine's growth.
const PAUSE: Duration = Duration::from_secs(5);
/// How long to wait for something that only AWS, or a person at AWS, can change.
const LONG_PAUSE: Duration = Duration::from_mins(1);
/// The first wait for the hibernation agent of a young instance, milliseconds.
const NOT_READY_MS: u64 = 15_000;

/// Why an EC2 call failed. The messages fit after "failed to".
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// EC2 answered with an error.
    #[error("call {}: {code} ({status}): {message}", iam(action))]
    Api {
        /// The API action, `StopInstances`.
        action: &'static str,
        /// The error code; empty when the answer had none.
        code: String,
        /// The message, without control characters and encoded details.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// The request never left: no credentials, no connection.
    #[error("call {}: nothing was sent: {why}", iam(action))]
    NotSent {
        /// The API action.
        action: &'static str,
        /// The cause.
        why: String,
    },
    /// It was held back at the last moment; nothing left the machine.
    #[error("call {}: it was held back: {why}", iam(action))]
    Withheld {
        /// The API action.
        action: &'static str,
        /// What was seen.
        why: String,
    },
    /// The answer was lost; the call may have been carried out.
    #[error("call {}: the answer was lost: {why}", iam(action))]
    Lost {
        /// The API action.
        action: &'static str,
        /// The cause.
        why: String,
    },
    /// EC2 answered something that cannot be used.
    #[error("understand the answer to {}: {why}", iam(action))]
    Garbled {
        /// The API action.
        action: &'static str,
        /// What is wrong.
        why: String,
    },
    /// This agent has made as many calls as it allows itself.
    #[error("call {}: the agent's own limit of calls is used up", iam(action))]
    Budget {
        /// The API action.
        action: &'static str,
        /// When there is room again.
        room_in: Duration,
    },
}

impl CallError {
    /// What the engine is to make of it.
    pub fn outcome(&self) -> Outcome {
        let error = self.to_string();
        match self {
            Self::Api { action, code, message, status } => classify(action, code, message, *status),
            Self::NotSent { .. } => Outcome::Failed { error, retry: Retry::after(PAUSE) },
            Self::Withheld { why, .. } => Outcome::Withheld { because: why.clone() },
            Self::Lost { .. } | Self::Garbled { .. } => {
                Outcome::Failed { error, retry: Retry::InDoubt }
            }
            Self::Budget { room_in, .. } => {
                Outcome::Failed { error, retry: Retry::after(*room_in) }
            }
        }
    }

    /// Whether EC2, or Auto Scaling with its own word, said that the role lacks the permission.
    pub fn is_unauthorized(&self) -> bool {
        let words = ["UnauthorizedOperation", "AccessDenied"];
        matches!(self, Self::Api { code, .. } if words.contains(&code.as_str()))
    }

    /// Whether this is the success of a dry run.
    pub fn is_dry_run_success(&self) -> bool {
        matches!(self, Self::Api { code, .. } if code == "DryRunOperation")
    }
}

/// The calls of Auto Scaling; every other one is EC2's.
const AUTO_SCALING: [&str; 6] = [
    "CompleteLifecycleAction",
    "DescribeAutoScalingInstances",
    "DescribeLifecycleHooks",
    "EnterStandby",
    "ExitStandby",
    "RecordLifecycleActionHeartbeat",
];

/// The IAM action of an API action, `ec2:StopInstances`.
fn iam(action: &str) -> String {
    let service = if AUTO_SCALING.contains(&action) { "autoscaling" } else { "ec2" };
    format!("{service}:{action}")
}

/// The table: an EC2 error as the outcome of `action`.
pub fn classify(action: &str, code: &str, message: &str, status: u16) -> Outcome {
    let message = readable(message);
    let name = iam(action);
    let error = format!("call {name}: {code} ({status}): {message}");
    let failed = |retry| Outcome::Failed { error: error.clone(), retry };
    match code {
        "DryRunOperation" => Outcome::Done { detail: format!("{name} is permitted") },
        "UnsupportedHibernationConfiguration" => refused(
            "hibernation-not-configured",
            format!("{message}; hibernation can only be switched on at launch"),
            true,
        ),
        "UnsupportedOperation" => unsupported(&error, &message),
        "IncorrectInstanceState" => failed(Retry::InDoubt),
        "IncorrectSpotRequestState" => refused("spot-request-state", message, false),
        "OperationNotPermitted" => refused(
            "stop-protection",
            format!("{message}; the agent never clears a protection itself"),
            false,
        ),
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => refused(
            "unauthorized",
            format!(
                "the instance's role may not call {name}; add it to the role's policy. {message}"
            ),
            false,
        ),
        "OptInRequired" | "Blocked" | "PendingVerification" => refused("account", message, false),
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "Unavailable"
        | "ServiceUnavailable"
        | "InternalError"
        | "InternalFailure"
        | "RequestExpired"
        | "EC2ThrottledException" => failed(Retry::after(PAUSE)),
        // New role credentials, a set clock or eventual consistency heal these. A machine that can ask has not gone, so
        // NotFound is the wrong Region or an instance too young to be known everywhere.
        "InvalidInstanceID.NotFound"
        | "AuthFailure"
        | "ExpiredToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InsufficientInstanceCapacity" => failed(Retry::after(LONG_PAUSE)),
        _ => failed(by_status(status)),
    }
}

/// An unknown code: the HTTP status is all there is. A gateway's error says nothing about what happened behind it.
fn by_status(status: u16) -> Retry {
    match status {
        429 | 503 => Retry::after(PAUSE),
        400..=499 => Retry::Never,
        _ => Retry::InDoubt,
    }
}

/// `UnsupportedOperation` by its message. The texts are as EC2's public callers quote them; only the words that carry the
/// meaning are looked for, and what none of them explains is refused for good.
fn unsupported(error: &str, message: &str) -> Outcome {
    let text = message.to_ascii_lowercase();
    let says = |words: &str| text.contains(words);
    if says("not ready to hibernate") || (says("hibernat") && says("retry in a few minutes")) {
        return Outcome::Failed {
            error: error.to_owned(),
            retry: Retry::NotReady { ms: NOT_READY_MS },
        };
    }
    if says("fleet") {
        return refused("fleet-member", message.to_owned(), false);
    }
    if says("spot") {
        return refused(
            "spot-one-time",
            format!("{message}; only instances of a persistent spot request can be stopped"),
            false,
        );
    }
    if says("root device") || says("'ebs'") {
        return refused("instance-store-root", message.to_owned(), false);
    }
    if says("hibernat") {
        return refused("hibernation-unsupported", message.to_owned(), true);
    }
    refused("unsupported", message.to_owned(), false)
}

fn refused(code: &str, detail: String, hibernation_only: bool) -> Outcome {
    Outcome::Refused(Refusal { code: code.to_owned(), detail, hibernation_only })
}

/// A message from outside as one line for people: without control characters and without the encoded appendix of an
/// authorization failure, which only `sts:DecodeAuthorizationMessage` can read.
pub(crate) fn readable(message: &str) -> String {
    let message = message.split("Encoded authorization failure message").next().unwrap_or_default();
    let printable = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(400).collect::<String>().trim().to_owned()
}

/// The cause at the bottom: what the kernel or the TLS library said, without the layers above it.
pub(crate) fn bottom(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    readable(&cause.to_string())
}

/// An error with all its causes in one line. Causes that repeat what was said are left out.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    readable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(code: &str, message: &str, status: u16) -> Outcome {
        classify("StopInstances", code, message, status)
    }

    fn refusal(outcome: Outcome) -> (String, bool) {
        match outcome {
            Outcome::Refused(Refusal { code, hibernation_only, detail }) => {
                assert!(!detail.is_empty());
                (code, hibernation_only)
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn retry(outcome: Outcome) -> Retry {
        match outcome {
            Outcome::Failed { error, retry } => {
                assert!(error.contains("ec2:StopInstances"), "{error}");
                retry
            }
            other => panic!("not failed: {other:?}"),
        }
    }

    #[test]
    fn hibernation_that_was_never_configured_is_refused_but_a_stop_may_work() {
        let message = "Hibernation is not enabled for the instance 'i-01234567'";
        let (code, only) = refusal(stop("UnsupportedHibernationConfiguration", message, 400));
        assert_eq!((code.as_str(), only), ("hibernation-not-configured", true));
    }

    #[test]
    fn one_code_has_opposite_meanings() {
        let not_ready =
            "The instance i-01234567 is not ready to hibernate yet, retry in a few minutes";
        assert_eq!(
            retry(stop("UnsupportedOperation", not_ready, 400)),
            Retry::NotReady { ms: 15_000 }
        );

        let one_time = "You can't stop the Spot Instance 'i-01234567' because it is associated with a one-time Spot \
                        Instance request. You can only stop Spot Instances associated with persistent requests.";
        assert_eq!(
            refusal(stop("UnsupportedOperation", one_time, 400)),
            ("spot-one-time".to_owned(), false)
        );

        let fleet = "The instance 'i-01234567' is in a fleet, which does not support stop.";
        assert_eq!(
            refusal(stop("UnsupportedOperation", fleet, 400)),
            ("fleet-member".to_owned(), false)
        );

        let store = "The instance 'i-01234567' does not have an 'ebs' root device type and cannot be stopped.";
        assert_eq!(
            refusal(stop("UnsupportedOperation", store, 400)),
            ("instance-store-root".to_owned(), false)
        );

        let uefi = "Hibernation is not supported for this boot mode.";
        assert_eq!(
            refusal(stop("UnsupportedOperation", uefi, 400)),
            ("hibernation-unsupported".to_owned(), true)
        );

        assert_eq!(
            refusal(stop("UnsupportedOperation", "no", 400)),
            ("unsupported".to_owned(), false)
        );
    }

    #[test]
    fn a_wrong_state_is_looked_at_before_anything_else() {
        let message = "The instance 'i-01234567' is not in a state from which it can be stopped.";
        assert_eq!(retry(stop("IncorrectInstanceState", message, 400)), Retry::InDoubt);
    }

    #[test]
    fn a_spot_request_in_the_wrong_state_is_refused() {
        assert_eq!(
            refusal(stop("IncorrectSpotRequestState", "cancelled", 400)),
            ("spot-request-state".to_owned(), false)
        );
    }

    #[test]
    fn protection_is_reported_and_never_cleared() {
        let message = "The instance 'i-01234567' may not be stopped. Modify its 'disableApiStop' instance attribute.";
        assert_eq!(
            refusal(stop("OperationNotPermitted", message, 400)),
            ("stop-protection".to_owned(), false)
        );
    }

    #[test]
    fn a_missing_permission_is_named_without_the_encoded_appendix() {
        let message = "You are not authorized to perform this operation. Encoded authorization failure message: XyZ";
        let Outcome::Refused(refusal) = stop("UnauthorizedOperation", message, 403) else {
            panic!()
        };
        assert_eq!(refusal.code, "unauthorized");
        assert!(
            refusal.detail.contains("ec2:StopInstances") && !refusal.detail.contains("XyZ"),
            "{}",
            refusal.detail
        );
    }

    #[test]
    fn passing_conditions_are_tried_again() {
        for (code, status) in [
            ("RequestLimitExceeded", 503),
            ("InternalError", 500),
            ("Unavailable", 503),
            ("ServiceUnavailable", 503),
            ("RequestExpired", 400),
        ] {
            assert_eq!(retry(stop(code, "later", status)), Retry::After { ms: 5_000 }, "{code}");
        }
        for code in [
            "InvalidInstanceID.NotFound",
            "AuthFailure",
            "ExpiredToken",
            "InsufficientInstanceCapacity",
        ] {
            assert_eq!(retry(stop(code, "later", 400)), Retry::After { ms: 60_000 }, "{code}");
        }
    }

    #[test]
    fn accounts_that_may_not_use_the_region_are_refused() {
        assert_eq!(refusal(stop("OptInRequired", "not subscribed", 401)).0, "account");
    }

    #[test]
    fn unknown_codes_go_by_their_status() {
        assert_eq!(retry(stop("InvalidParameterCombination", "no", 400)), Retry::Never);
        assert_eq!(retry(stop("", "Bad Gateway", 502)), Retry::InDoubt);
        assert_eq!(retry(stop("", "slow down", 429)), Retry::After { ms: 5_000 });
        assert_eq!(retry(stop("", "", 503)), Retry::After { ms: 5_000 });
        assert_eq!(retry(stop("", "", 200)), Retry::InDoubt);
    }

    #[test]
    fn a_dry_run_that_would_have_worked_is_done() {
        assert!(matches!(stop("DryRunOperation", "", 412), Outcome::Done { .. }));
    }

    #[test]
    fn a_lost_answer_is_in_doubt_and_an_unsent_request_is_not() {
        let (action, why) = ("StopInstances", "connection reset".to_owned());
        assert_eq!(retry(CallError::Lost { action, why: why.clone() }.outcome()), Retry::InDoubt);
        assert_eq!(
            retry(CallError::Garbled { action, why: why.clone() }.outcome()),
            Retry::InDoubt
        );
        assert_eq!(retry(CallError::NotSent { action, why }.outcome()), Retry::After { ms: 5_000 });
        let budget = CallError::Budget { action, room_in: Duration::from_secs(7) };
        assert_eq!(retry(budget.outcome()), Retry::After { ms: 7_000 });
    }

    #[test]
    fn messages_from_outside_are_one_short_line() {
        let text = readable(&format!("a\nb\x1b[31m{}", "x".repeat(1_000)));
        assert!(
            text.starts_with("a b [31m")
                && text.chars().count() <= 400
                && !text.contains(char::is_control)
        );
    }
}
