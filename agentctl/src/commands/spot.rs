//! `spot` and `spot drill`.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::process::ExitCode as ProcessCode;
use std::time::{Duration, Instant};

use agent_proto::client::{Client, Method};
use agent_proto::command::{DrillReply, DrillRequest, SpotAction};
use agent_proto::exit::ExitCode;
use agent_proto::span::long;
use agent_proto::spot::{Hook, HookState, Notice, NoticeState, Spot};
use agent_proto::status::Mode;

use super::{Done, confirm, document, fine};
use crate::cli::DrillArgs;
use crate::failure::Failure;
use crate::render;
use crate::screen::Screen;

const DOING: &str = "show the interruptions";
const DRILLING: &str = "begin a drill";

/// Between two looks at a drill.
const PAUSE: Duration = Duration::from_secs(1);

/// For so long after its deadline the end of a drill is waited for.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// For so long an agent that does not answer is waited for.
const SILENCE: Duration = Duration::from_secs(15);

/// `agentctl spot`.
pub(super) fn spot(client: &Client, screen: &Screen) -> Done {
    let (bytes, spot) = fetch(client, DOING)?;
    screen.document(&bytes, || render::spot::spot(&spot, &screen.look))?;
    Ok(code(&spot).into())
}

/// 6 while an interruption of some kind would not be seen.
fn code(spot: &Spot) -> ExitCode {
    if spot.interruption.blind.is_empty() { ExitCode::Fine } else { ExitCode::Blind }
}

fn fetch(client: &Client, doing: &str) -> Result<(Vec<u8>, Spot), Failure> {
    let bytes = client.get("/v1/spot").map_err(|error| Failure::asking(doing, &error))?;
    let spot = document(doing, &bytes)?;
    Ok((bytes, spot))
}

/// `agentctl spot drill`: begins one, and waits until its hooks have ended.
pub(super) fn drill(client: &Client, screen: &Screen, args: &DrillArgs) -> Done {
    let action: SpotAction = args.action.into();
    let request = DrillRequest { action, in_seconds: Some(args.within.as_secs_f64()) };
    let (_, before) = fetch(client, DRILLING)?;
    screen.say(&announcement(&before, action, args.within));
    if !args.yes {
        let command = format!("agentctl spot drill --action {} --yes", action.as_str());
        confirm(screen, DRILLING, "The hooks run for real.", &command)?;
    }
    let body = serde_json::to_vec(&request)
        .map_err(|error| Failure::local(format!("cannot {DRILLING}: {error}")))?;
    let bytes = client
        .request(Method::Post, "/v1/spot/drill", &body)
        .map_err(|error| Failure::asking(DRILLING, &error))?;
    let mut reply: DrillReply = document(DRILLING, &bytes)?;
    if args.no_wait {
        screen.document(&bytes, || begun(&reply))?;
        return Ok(fine());
    }
    let mut progress = Progress::new(screen);
    let patience = args.within + AFTERWARDS;
    let end = follow(client, &reply, &before, patience, &mut progress);
    progress.clear();
    let notice = end?;
    let code = outcome(&notice, reply.hooks);
    let text = format!("The drill is over: {}.\n", render::spot::drained(&notice));
    reply.result = Some(Box::new(notice));
    let bytes = serde_json::to_vec(&reply)
        .map_err(|error| Failure::local(format!("cannot {DRILLING}: {error}")))?;
    screen.document(&bytes, || text)?;
    Ok(code)
}

/// What a drill is, and what it runs, before anything runs.
fn announcement(spot: &Spot, action: SpotAction, within: Duration) -> String {
    let plan = &spot.plan;
    let span = long(within.as_secs_f64());
    let verb = action.as_str();
    let mut out = format!(
        "This is a DRILL, as if EC2 would {verb} this instance in {span}. Nothing happens to the instance.\n"
    );
    let hooks = if action == SpotAction::Hibernate { &plan.fast_hooks } else { &plan.hooks };
    if hooks.is_empty() {
        out.push_str("No hooks are configured for it; people and programs are told.\n");
    } else {
        let user = if plan.user.is_empty() { "root" } else { &plan.user };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "These hooks run FOR REAL, programs as {user}:");
        for (n, hook) in hooks.iter().enumerate() {
            let _ = writeln!(out, "  {}. {hook}", n + 1);
        }
    }
    if plan.mode == Mode::Observe {
        out.push_str("The mode is \"observe\": in an interruption they would NOT run.\n");
    }
    out
}

fn begun(reply: &DrillReply) -> String {
    format!(
        "The drill {} has begun; {} run. To see how it goes: agentctl spot\n",
        reply.alert,
        match reply.hooks {
            0 => "no hooks".to_owned(),
            1 => "1 hook".to_owned(),
            many => format!("{many} hooks"),
        }
    )
}

/// Waits until the hooks of a drill have ended, and tells of each as it does.
fn follow(
    client: &Client,
    drill: &DrillReply,
    before: &Spot,
    patience: Duration,
    progress: &mut Progress<'_>,
) -> Result<Notice, Failure> {
    let alert = drill.alert.as_str();
    let began = Instant::now();
    let mut heard = began;
    loop {
        match fetch(client, "follow the drill") {
            Ok((_, spot)) => {
                heard = Instant::now();
                if let Some(notice) = found(&spot, alert, before) {
                    progress.show(notice);
                    if is_over(notice, drill.hooks) || in_the_past(&spot, alert, before) {
                        return Ok(notice.clone());
                    }
                }
            }
            // It may be restarted, by one of its own hooks even.
            Err(failure) if failure.code != ExitCode::NotReachable => return Err(failure),
            Err(failure) if heard.elapsed() > SILENCE => return Err(failure),
            Err(_) => {}
        }
        if began.elapsed() > patience {
            return Err(Failure::local("cannot follow the drill: it does not end")
                .with_hint("agentctl spot, or agentctl events"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The drill among what is announced, or else among what has passed since.
fn found<'a>(spot: &'a Spot, alert: &str, before: &Spot) -> Option<&'a Notice> {
    let now = spot.notices.iter().find(|notice| notice.id == alert && notice.drill);
    now.or_else(|| past(spot, alert, before))
}

fn in_the_past(spot: &Spot, alert: &str, before: &Spot) -> bool {
    !spot.notices.iter().any(|notice| notice.id == alert) && past(spot, alert, before).is_some()
}

/// An earlier drill may have had the same id.
fn past<'a>(spot: &'a Spot, alert: &str, before: &Spot) -> Option<&'a Notice> {
    let mut past = spot.last.iter().map(|past| &past.notice);
    past.find(|notice| notice.id == alert && notice.drill && notice.seen >= before.now)
}

/// Whether no more hooks will run for it, of so many that the agent said it would run.
fn is_over(notice: &Notice, hooks: u32) -> bool {
    match notice.state {
        NoticeState::Draining | NoticeState::Waiting => false,
        NoticeState::Drained | NoticeState::Observing | NoticeState::Stale => true,
        _ if notice.hooks.is_empty() => hooks == 0,
        _ => notice.hooks.iter().all(|hook| render::spot::has_ended(hook.state)),
    }
}

/// 0 if every hook ended well, of so many that the agent said it would run.
fn outcome(notice: &Notice, hooks: u32) -> ProcessCode {
    let well = notice.hooks.iter().all(|hook| hook.state == HookState::Done);
    let all = u32::try_from(notice.hooks.len()).is_ok_and(|count| count >= hooks);
    if well && all { fine() } else { ExitCode::Failed.into() }
}

/// What is told while a drill goes on, on stderr: a line a hook, and at a terminal one that counts down.
struct Progress<'a> {
    screen: &'a Screen,
    told: usize,
    at_terminal: bool,
    drawn: bool,
}

impl<'a> Progress<'a> {
    fn new(screen: &'a Screen) -> Self {
        Self { screen, told: 0, at_terminal: io::stderr().is_terminal(), drawn: false }
    }

    fn show(&mut self, notice: &Notice) {
        let ended = |hook: &&Hook| render::spot::has_ended(hook.state);
        let news: Vec<&Hook> = notice.hooks.iter().take_while(ended).skip(self.told).collect();
        if !news.is_empty() {
            self.clear();
        }
        for hook in news {
            self.told += 1;
            self.screen.say(&format!("  {}. {}\n", self.told, render::spot::hook(hook)));
        }
        let running = notice.hooks.iter().position(|hook| hook.state == HookState::Started);
        if let (true, Some(n)) = (self.at_terminal, running) {
            let name = notice.hooks.get(n).map_or("", |hook| &hook.hook);
            let left = notice
                .seconds_left
                .map_or_else(String::new, |left| format!(", {} to the deadline", long(left)));
            let line = format!("  {}. {name}: runs{left}", n + 1);
            // Carriage return, and everything behind it erased (ECMA-48 §8.3.41, EL).
            self.screen.say(&format!("\r\x1b[K{}", render::text::fit(&line, 79)));
            self.drawn = true;
        }
    }

    fn clear(&mut self) {
        if self.drawn {
            self.screen.say("\r\x1b[K");
            self.drawn = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use agent_proto::limits::DRILL_DEFAULT;

    use super::*;
    use crate::render::samples;

    fn drill(state: NoticeState, hooks: &[HookState]) -> Notice {
        let mut notice = samples::draining().notices.remove(0);
        notice.drill = true;
        notice.state = state;
        let hooks = hooks.iter().map(|state| samples::hook("/opt/drain", *state, Some(1.0), None));
        notice.hooks = hooks.collect();
        notice
    }

    #[test]
    fn a_blind_path_is_6_also_while_something_is_announced() {
        assert_eq!(code(&samples::spot()), ExitCode::Fine);
        let mut spot = samples::draining();
        assert_eq!(code(&spot), ExitCode::Fine);
        spot.interruption.blind = vec!["rebalance".into()];
        assert_eq!(code(&spot), ExitCode::Blind);
    }

    #[test]
    fn a_drill_is_over_when_no_more_hooks_will_run() {
        for (state, hooks, over) in [
            (NoticeState::Draining, &[HookState::Done, HookState::Started][..], false),
            (NoticeState::Draining, &[HookState::Done, HookState::Waiting], false),
            (NoticeState::Drained, &[HookState::Done, HookState::Failed], true),
            (NoticeState::Notified, &[], false),
            (NoticeState::Observing, &[], true),
        ] {
            assert_eq!(is_over(&drill(state, hooks), 2), over, "{state:?} {hooks:?}");
        }
        assert!(is_over(&drill(NoticeState::Notified, &[]), 0), "none was to run");
    }

    #[test]
    fn an_earlier_drill_with_the_same_id_is_not_taken_for_this_one() {
        let before = samples::spot();
        let mut after = samples::spot();
        let old = drill(NoticeState::Drained, &[HookState::Done]);
        let past = |notice: Notice| agent_proto::spot::PastNotice {
            notice,
            closed: samples::at(5),
            end: agent_proto::spot::EndWord::DrillOver,
            because: String::new(),
        };
        after.last = vec![past(old.clone())];
        assert!(found(&after, &old.id, &before).is_none(), "it was seen before");
        let new = Notice { seen: samples::at(1), ..old.clone() };
        after.last.insert(0, past(new.clone()));
        assert_eq!(found(&after, &old.id, &before), Some(&new));
        assert!(in_the_past(&after, &old.id, &before));
    }

    #[test]
    fn who_begins_a_drill_reads_first_what_it_runs() {
        let spot = samples::spot();
        let text = announcement(&spot, SpotAction::Terminate, DRILL_DEFAULT);
        assert_eq!(
            text,
            "This is a DRILL, as if EC2 would terminate this instance in 2 min. Nothing happens to the instance.\n\
             These hooks run FOR REAL, programs as alice:\n\
             \x20 1. /opt/drain\n\x20 2. stop worker.service\n\x20 3. save.service\n"
        );
        let text = announcement(&spot, SpotAction::Hibernate, DRILL_DEFAULT);
        assert!(text.contains("  1. /opt/sync\n") && !text.contains("/opt/drain"), "{text}");
    }
}
