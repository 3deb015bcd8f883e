//! `events`.

use agent_proto::client::Client;
use agent_proto::event::EventLine;
use agent_proto::{Timestamp, exit::ExitCode};
use serde_json::Value;

use super::{Done, fine};
use crate::cli::EventsArgs;
use crate::failure::Failure;
use crate::render;
use crate::render::text::defuse;
use crate::screen::Screen;

const DOING: &str = "show the events";

/// `agentctl events`. With `--json` every line is a document.
pub(super) fn events(client: &Client, screen: &Screen, args: &EventsArgs) -> Done {
    let oldest =
        args.since.map(|span| Timestamp::now().saturating_sub(span).unwrap_or(Timestamp::MIN));
    let failed = |error| Failure::asking(DOING, &error);
    for event in client.events(args.after, args.follow).map_err(failed)? {
        let event = event.map_err(failed)?;
        if oldest.is_some_and(|oldest| event.at < oldest) {
            continue;
        }
        screen.print(line(&event, screen)?)?;
        if screen.reader_has_gone() {
            return Ok(fine());
        }
    }
    if args.follow {
        let mut failure = Failure::local(format!("cannot {DOING}: agentd has closed the stream"));
        failure.code = ExitCode::NotReachable;
        return Err(failure.with_hint("journalctl -u agentd -n 20"));
    }
    Ok(fine())
}

fn line(event: &EventLine, screen: &Screen) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::local(format!("cannot {DOING}: {error}"));
    if screen.json {
        return serde_json::to_string(event).map(|text| text + "\n").map_err(failed);
    }
    let mut value: Value = serde_json::to_value(event).map_err(failed)?;
    defuse(&mut value);
    let event: EventLine = serde_json::from_value(value).map_err(failed)?;
    Ok(render::events::event(&event, &screen.look))
}
