//! SNS: publishing to a topic of the account (SNS API Reference, `Publish`).

use super::query::Query;
use super::refusal::Refusal;
use super::xml::{Node, text};
use crate::instance::Instance;

/// The longest message, bytes.
const LONGEST: usize = 256 * 1024;

/// Carries out one call. A topic whose name is `missing` does not exist; every other one of the account and region does.
pub(super) fn carry_out(
    action: &str,
    query: &Query,
    instance: &Instance,
) -> Result<Vec<Node>, Refusal> {
    if action != "Publish" {
        let message = format!("Could not find operation {action} for version 2010-03-31");
        return Err(Refusal::new("InvalidAction", 400, message));
    }
    let wrong = |message: &str| Refusal::new("InvalidParameter", 400, message);
    let arn = query.get("TopicArn").unwrap_or_default();
    let parts: Vec<_> = arn.split(':').collect();
    let ["arn", _, "sns", region, account, name] = parts.as_slice() else {
        return Err(wrong("Invalid parameter: TopicArn"));
    };
    if *region != instance.region {
        return Err(wrong(&format!(
            "Invalid parameter: TopicArn Reason: region {region} is another"
        )));
    }
    if *account != instance.account || *name == "missing" {
        return Err(Refusal::new("NotFound", 404, "Topic does not exist"));
    }
    let message = query.get("Message").unwrap_or_default();
    if message.is_empty() {
        return Err(wrong("Invalid parameter: Empty message"));
    }
    if message.len() > LONGEST {
        return Err(wrong("Invalid parameter: Message too long"));
    }
    if query.get("Subject").is_some_and(|subject| subject.len() >= 100 || !subject.is_ascii()) {
        return Err(wrong("Invalid parameter: Subject"));
    }
    Ok(vec![text("MessageId", "00000000-0000-4000-8000-0000000005e5")])
}
