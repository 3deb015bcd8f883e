//! The SDK's error as a [`CallError`]: above all, whether the request can have reached EC2.

use core::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use super::errors::{CallError, chain, readable};
use super::http::TransportError;

/// What became of the call `action`. Whatever is not known to have stayed here counts as sent.
pub(crate) fn call_error<E>(action: &'static str, error: &SdkError<E>) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => CallError::Api {
            action,
            code: readable(answer.err().code().unwrap_or_default()),
            message: readable(answer.err().message().unwrap_or("the answer has no message")),
            status: answer.raw().status().as_u16(),
        },
        SdkError::ResponseError(answer) if !answer.raw().status().is_success() => CallError::Api {
            action,
            code: String::new(),
            message: "the answer is not one of AWS's".to_owned(),
            status: answer.raw().status().as_u16(),
        },
        SdkError::ConstructionFailure(_) => CallError::NotSent { action, why: causes(error) },
        SdkError::DispatchFailure(_) if stayed_here(error) => match withheld(error) {
            Some(why) => CallError::Withheld { action, why },
            None => CallError::NotSent { action, why: causes(error) },
        },
        _ => CallError::Lost { action, why: causes(error) },
    }
}

/// The causes without the SDK's own words for the kind of error.
fn causes(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| chain(error), chain)
}

/// Why the gate was shut, if it was.
fn withheld(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(TransportError::Withheld(why)) = cause.downcast_ref::<TransportError>() {
            return Some(why.clone());
        }
        next = cause.source();
    }
    None
}

/// Whether one of the causes says that nothing was sent.
fn stayed_here(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(transport) = cause.downcast_ref::<TransportError>() {
            return !matches!(transport, TransportError::Lost(_));
        }
        if cause.downcast_ref::<CredentialsError>().is_some() {
            return true;
        }
        next = cause.source();
    }
    false
}
