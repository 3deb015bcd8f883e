//! What EC2 checks before it looks at the instance: signature, permission, ids.

use std::collections::BTreeSet;

use super::query::Query;
use super::refusal::Refusal;
use super::service::Kind;
use crate::wire::Request;

/// A call carries an `AWS4-HMAC-SHA256` signature with a credential and the time of signing (Signature Version 4).
pub(super) fn signed(request: &Request) -> Result<(), Refusal> {
    let authorization = request.header("authorization").unwrap_or_default();
    let whole = authorization.starts_with("AWS4-HMAC-SHA256 ")
        && ["Credential=", "SignedHeaders=", "Signature="]
            .iter()
            .all(|part| authorization.contains(part));
    if whole && request.header("x-amz-date").is_some() {
        return Ok(());
    }
    let absent = authorization.is_empty();
    Err(Refusal::usual(if absent { "MissingAuthenticationToken" } else { "AuthFailure" }))
}

/// The role may carry out the action.
pub(super) fn permitted(
    denied: &BTreeSet<String>,
    service: Kind,
    action: &str,
) -> Result<(), Refusal> {
    if !denied.contains(action) {
        return Ok(());
    }
    let prefix = service.prefix();
    let message = format!(
        "You are not authorized to perform this operation. User: \
         arn:aws:sts::123456789012:assumed-role/agentd/i-simulated is not authorized to perform: {prefix}:{action} \
         because no identity-based policy allows the {prefix}:{action} action"
    );
    Err(Refusal::new("UnauthorizedOperation", 403, message))
}

/// Whether only the permission is asked for.
pub(super) fn is_dry_run(query: &Query) -> bool {
    query.get("DryRun").is_some_and(|dry| dry.eq_ignore_ascii_case("true"))
}

/// The instances that a call names, in whatever parameter.
pub(super) fn named_instances(query: &Query) -> Vec<String> {
    let mut named: Vec<String> = query.list("InstanceId").into_iter().map(str::to_owned).collect();
    named.extend(query.get("InstanceId").map(str::to_owned));
    named.extend(query.list("ResourceId").into_iter().map(str::to_owned));
    named
}

/// `i-` and eight or seventeen lower-case hexadecimal digits.
pub(super) fn is_instance_id(id: &str) -> bool {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    matches!(digits.len(), 8 | 17) && digits.bytes().all(hexadecimal)
}

/// Every named id is well-formed and the instance's own; there is at least one.
pub(super) fn only_own(named: &[String], own: &str, parameter: &str) -> Result<(), Refusal> {
    if named.is_empty() {
        return Err(Refusal::missing(parameter));
    }
    for id in named {
        if !is_instance_id(id) {
            let message = format!("Invalid id: \"{id}\" (expecting \"i-...\")");
            return Err(Refusal::new("InvalidInstanceID.Malformed", 400, message));
        }
        if id != own {
            return Err(Refusal::unknown(id));
        }
    }
    Ok(())
}
