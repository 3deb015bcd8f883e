//! How EC2 says no: a code, a message, a status ("Error codes for the Amazon EC2 API").

use crate::ec2::xml;
use crate::wire::Reply;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// The message.
    pub message: String,
}

impl Refusal {
    /// A refusal in full.
    pub fn new(code: &str, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into() }
    }

    /// A code with the status and the message that EC2 usually gives it.
    pub fn usual(code: &str) -> Self {
        let (status, message) = match code {
            "DryRunOperation" => (412, "Request would have succeeded, but DryRun flag is set."),
            "UnauthorizedOperation" => (
                403,
                "You are not authorized to perform this operation. Encoded authorization failure message: c2ltdWxhdGVk",
            ),
            "AuthFailure" => (401, "AWS was not able to validate the provided access credentials"),
            "MissingAuthenticationToken" => (403, "Request is missing Authentication Token"),
            "RequestExpired" => (400, "Request has expired."),
            "RequestLimitExceeded" => (503, "Request limit exceeded."),
            "InternalError" => (500, "An internal error has occurred"),
            "InternalFailure" => {
                (500, "The request processing has failed because of an unknown error.")
            }
            "Unavailable" => (503, "The server is overloaded and can't handle the request."),
            "ServiceUnavailable" => {
                (503, "The request has failed due to a temporary failure of the server.")
            }
            "InsufficientInstanceCapacity" => {
                (500, "There is no Spot capacity available that matches your request.")
            }
            "UnsupportedOperation" => {
                (400, "The instance is not ready to hibernate yet, retry in a few minutes.")
            }
            "UnsupportedHibernationConfiguration" => {
                (400, "The instance is not enabled for hibernation.")
            }
            "IncorrectInstanceState" => {
                (400, "The instance is not in a state from which it can be stopped.")
            }
            "IncorrectSpotRequestState" => (
                400,
                "The Spot Instance request is not in a state that allows this. Only EC2 can restart it.",
            ),
            "OperationNotPermitted" => (
                400,
                "The instance may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
            ),
            "InvalidInstanceID.NotFound" => (400, "The instance ID does not exist"),
            "TagLimitExceeded" => {
                (400, "The maximum number of tags for a resource has been reached.")
            }
            _ => (400, "The request was refused."),
        };
        Self::new(code, status, message)
    }

    /// The instance does not exist, or not here.
    pub fn unknown(id: &str) -> Self {
        Self::new(
            "InvalidInstanceID.NotFound",
            400,
            format!("The instance ID '{id}' does not exist"),
        )
    }

    /// Hibernation was not configured when the instance was launched.
    pub fn not_configured(id: &str) -> Self {
        let message = format!("The instance '{id}' is not enabled for hibernation.");
        Self::new("UnsupportedHibernationConfiguration", 400, message)
    }

    /// The instance's own agent has not prepared it yet.
    pub fn not_ready(id: &str) -> Self {
        let message =
            format!("The instance '{id}' is not ready to hibernate yet, retry in a few minutes.");
        Self::new("UnsupportedOperation", 400, message)
    }

    /// A one-time spot request does not allow stops.
    pub fn one_time_spot(id: &str) -> Self {
        let message = format!(
            "You can't stop the Spot Instance '{id}' because it is associated with a one-time Spot Instance \
             request. You can only stop Spot Instances associated with persistent Spot Instance requests."
        );
        Self::new("UnsupportedOperation", 400, message)
    }

    /// A fleet owns the instance.
    pub fn in_fleet(id: &str) -> Self {
        let message = format!(
            "You can't stop the instance '{id}' because it is in a fleet, which does not support stop."
        );
        Self::new("UnsupportedOperation", 400, message)
    }

    /// The instance is protected against stops.
    pub fn protected(id: &str) -> Self {
        let message = format!(
            "The instance '{id}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again."
        );
        Self::new("OperationNotPermitted", 400, message)
    }

    /// The state does not allow the call.
    pub fn wrong_state(id: &str, verb: &str) -> Self {
        let message =
            format!("This instance '{id}' is not in a state from which it can be {verb}.");
        Self::new("IncorrectInstanceState", 400, message)
    }

    /// A parameter is missing.
    pub fn missing(name: &str) -> Self {
        let message = format!("The request must contain the parameter {name}");
        Self::new("MissingParameter", 400, message)
    }

    /// The reply that says so.
    pub fn reply(&self, request_id: &str) -> Reply {
        let body = xml::refusal(&self.code, &self.message, request_id);
        Reply::new(self.status, "text/xml;charset=UTF-8", body)
    }
}
