//! `hold` and `release`.

use agent_proto::client::{Client, Method};
use agent_proto::command::{HoldReply, HoldRequest, ReleaseReply};
use agent_proto::span::long;

use super::{Done, document, fine};
use crate::cli::{HoldArgs, ReleaseArgs};
use crate::failure::Failure;
use crate::render::times::moment;
use crate::screen::Screen;

/// `agentctl hold`.
pub(super) fn hold(client: &Client, screen: &Screen, args: &HoldArgs) -> Done {
    let request = HoldRequest {
        for_seconds: args.duration.as_secs_f64(),
        reason: args.reason.clone(),
        pid: None,
    };
    let body = serde_json::to_vec(&request)
        .map_err(|error| Failure::local(format!("cannot hold: {error}")))?;
    let bytes = client
        .request(Method::Post, "/v1/hold", &body)
        .map_err(|error| Failure::asking("hold", &error))?;
    let reply: HoldReply = document("hold", &bytes)?;
    screen.document(&bytes, || told(&reply, args, screen))?;
    Ok(fine())
}

fn told(reply: &HoldReply, args: &HoldArgs, screen: &Screen) -> String {
    let until = moment(&screen.look, reply.until, agent_proto::Timestamp::now());
    let shortened = if reply.capped {
        let asked = long(args.duration.as_secs_f64());
        format!("That is less than the {asked} that you asked for: see hold.user_max.\n")
    } else {
        String::new()
    };
    format!("Held until {until}.\n{shortened}  to end it: agentctl release {}\n", reply.id)
}

/// `agentctl release`.
pub(super) fn release(client: &Client, screen: &Screen, args: &ReleaseArgs) -> Done {
    let asked = match args.id {
        Some(id) => client.request(Method::Delete, &format!("/v1/hold/{id}"), &[]),
        None => client.request(Method::Post, "/v1/release", b"{}"),
    };
    let bytes = asked.map_err(|error| Failure::asking("release", &error))?;
    let reply: ReleaseReply = document("release", &bytes)?;
    screen.document(&bytes, || match reply.released {
        0 => "You hold nothing.\n".to_owned(),
        1 => "Ended 1 hold.\n".to_owned(),
        many => format!("Ended {many} holds.\n"),
    })?;
    Ok(fine())
}
