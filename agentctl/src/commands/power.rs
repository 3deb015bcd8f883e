//! `hibernate` and `stop`.

use std::io::{self, BufRead, IsTerminal, Read};

use agent_proto::client::{Client, Method};
use agent_proto::command::{PowerReply, PowerRequest};
use agent_proto::status::Power;

use super::{Done, document, fine};
use crate::cli::PowerArgs;
use crate::failure::Failure;
use crate::screen::Screen;

/// The longest answer to the question that is read.
const ANSWER: u64 = 64;

/// `agentctl hibernate` and `agentctl stop`.
pub(super) fn power(client: &Client, screen: &Screen, power: Power, args: PowerArgs) -> Done {
    let verb = power.as_str();
    if !args.dry_run && !args.yes {
        confirm(screen, verb)?;
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

/// Asks at the terminal. Where there is none, nobody can have meant it without `--yes`.
fn confirm(screen: &Screen, verb: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "cannot {verb}: there is no terminal to confirm it at"
        ))
        .with_hint(format!("agentctl {verb} --yes")));
    }
    screen.say(&format!("This machine will {verb}. Go on? [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER).read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::local(format!("cannot {verb}: not confirmed")))
}
