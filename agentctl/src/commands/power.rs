//! `hibernate` and `stop`.

use agent_proto::client::{Client, Method};
use agent_proto::command::{PowerReply, PowerRequest};
use agent_proto::status::Power;

use super::{Done, confirm, document, fine};
use crate::cli::PowerArgs;
use crate::failure::Failure;
use crate::screen::Screen;

/// `agentctl hibernate` and `agentctl stop`.
pub(super) fn power(client: &Client, screen: &Screen, power: Power, args: PowerArgs) -> Done {
    let verb = power.as_str();
    if !args.dry_run && !args.yes {
        let question = format!("This machine will {verb}.");
        confirm(screen, verb, &question, &format!("agentctl {verb} --yes"))?;
    }
    let body = serde_json::to_vec(&PowerRequest { dry_run: args.dry_run })
        .map_err(|error| Failure::local(format!("cannot {verb}: {error}")))?;
    let bytes = client
        .request(Method::Post, &format!("/v1/{verb}"), &body)
        .map_err(|error| Failure::asking(verb, &error))?;
    let reply: PowerReply = document(verb, &bytes)?;
    screen.document(&bytes, || {
        if reply.dry_run {
            format!("It would {verb}: nothing stands in the way. Nothing was done.\n")
        } else {
            format!("It will {verb}. To see how it goes: agentctl events --follow\n")
        }
    })?;
    Ok(fine())
}
