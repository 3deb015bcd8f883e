//! All notifiers together: who is told what, once, and that none waits for another.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

use agent_core::interruption::{HookRun, Moment, RunState};
use serde_json::Value;

use super::*;
use crate::aws::testec2::{ID, cloud_with_sns};
use crate::aws::testserver::{Reply, Server, imds_script, refusing_url};
use crate::config::HookCommand;
use crate::host::tree::Tree;

/// Two seconds after a notice was published for 12:02.
pub(super) const NOW: Stamp = Stamp::new(0, 0, 1_795_262_402_000);
const DEADLINE: i64 = 1_795_262_520_000;
const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:interruptions";
const DOCUMENT: &str =
    r#"{"instanceId":"i-0123456789abcdef0","region":"eu-central-1","accountId":"123456789012"}"#;

pub(super) fn run(hook: &str, state: RunState, took_ms: u64) -> HookRun {
    HookRun {
        hook: hook.to_owned(),
        state,
        started: Some(NOW),
        took_ms: Some(took_ms),
        detail: "exit status 0".to_owned(),
    }
}

pub(super) fn noticed(drill: bool) -> Notification {
    Notification {
        moment: Moment::Noticed,
        alert: "spot-terminate".to_owned(),
        event: "spot-interruption".to_owned(),
        action: "terminate".to_owned(),
        what: "spot interruption (terminate)".to_owned(),
        deadline_wall_ms: Some(DEADLINE),
        left_ms: Some(118_000),
        because: "The hooks run until 12:01:40 UTC".to_owned(),
        drill,
        hooks: vec![
            run("/opt/save", RunState::Started, 0),
            run("sync.service", RunState::Waiting, 0),
        ],
    }
}

pub(super) fn back() -> Notification {
    Notification {
        moment: Moment::CameBack,
        left_ms: Some(0),
        because: "It was stopped at 12:02 and started at 13:00".to_owned(),
        hooks: vec![
            run("/opt/save", RunState::Done, 4_200),
            run("sync.service", RunState::Failed, 20_000),
        ],
        ..noticed(false)
    }
}

/// A program where the guard accepts one.
fn program(body: &str) -> (tempfile::TempDir, PathBuf) {
    let home = std::env::var_os("HOME").map_or_else(|| "/root".into(), PathBuf::from);
    let home = fs::canonicalize(home).unwrap();
    let folder = tempfile::Builder::new().prefix(".agentd-notify-").tempdir_in(home).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("tell");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

fn published() -> Reply {
    Reply::ok(
        "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>",
    )
}

/// A webhook, a topic and an instance that are there for one test.
struct Scene {
    webhook: Server,
    sns: Server,
    tree: Tree,
    cloud: Arc<Cloud>,
}

impl Scene {
    async fn start(webhook: Reply, sns: Reply) -> Self {
        let documents = [("dynamic/instance-identity/document", DOCUMENT)];
        let imds = Server::start(imds_script(&documents)).await;
        let webhook = Server::start(move |_| webhook.clone()).await;
        let sns = Server::start(move |_| sns.clone()).await;
        let cloud = Arc::new(cloud_with_sns(&imds.url(), &sns.url()));
        cloud.identify().await.unwrap();
        Self { webhook, sns, tree: Tree::new(), cloud }
    }

    fn secret_url(&self) -> String {
        format!("{}/services/s3cret?key=s3cret", self.webhook.url())
    }

    fn notifiers(&self, notify: NotifySettings) -> Notifiers {
        let settings = NotifierSettings {
            notify,
            enforce: true,
            host: self.tree.root(),
            hostname: "box".to_owned(),
            bus: BusMode::None,
            voice: Voice::default(),
        };
        Notifiers::new(&settings, Arc::clone(&self.cloud))
    }

    /// Everything that can be configured but the command.
    fn all(&self) -> NotifySettings {
        NotifySettings {
            webhook: Some(self.secret_url()),
            sns_topic: Some(TOPIC.to_owned()),
            command: None,
        }
    }

    fn webhook_alone(&self) -> NotifySettings {
        NotifySettings { sns_topic: None, ..self.all() }
    }
}

async fn detail(notifiers: &Notifiers, notification: &Notification) -> String {
    let Outcome::Done { detail } = notifiers.tell(NOW, notification).await else { panic!() };
    detail
}

#[test]
fn every_notifier_is_described_and_has_its_cap() {
    let names: Vec<&str> = SPECS.iter().map(|spec| spec.name).collect();
    assert_eq!(names, ["journal", "terminals", "bus", "webhook", "sns", "command"]);
    for spec in SPECS {
        let most = if spec.name == "command" { 11 } else { 2 };
        assert_eq!(spec.deadline, Duration::from_secs(most), "{}", spec.name);
        assert!(!spec.about.is_empty(), "{}", spec.name);
    }
}

#[test]
fn the_policy_allows_exactly_what_notifiers_call() {
    let policy = include_str!("../../../packaging/iam/sns.json");
    let policy: Value = serde_json::from_str(policy).unwrap();
    let allowed: Vec<&Value> =
        policy["Statement"].as_array().unwrap().iter().map(|one| &one["Action"]).collect();
    let called: Vec<&str> = SPECS.iter().flat_map(|spec| spec.iam).copied().collect();
    assert_eq!(allowed, called);
}

#[tokio::test]
async fn with_nothing_configured_and_nobody_there_the_journal_alone_knows() {
    let scene = Scene::start(Reply::ok(""), published()).await;
    let told = detail(&scene.notifiers(NotifySettings::default()), &noticed(false)).await;
    assert_eq!(told, "nobody else");
    assert!(scene.webhook.seen().is_empty() && scene.sns.seen().is_empty());
}

#[tokio::test]
async fn everybody_gets_the_same_document_once() {
    let scene = Scene::start(Reply::status(204, ""), published()).await;
    let (folder, path) = program("cat > \"$0.in\"; env | grep AGENTD_ > \"$0.env\"");
    let command = Some(HookCommand::Program(path.clone()));
    let notifiers = scene.notifiers(NotifySettings { command, ..scene.all() });
    let told = detail(&notifiers, &noticed(true)).await;
    let (webhook, path) = (scene.webhook.url(), path.display());
    assert_eq!(
        told,
        format!("webhook: {webhook} answered 204; sns: published as m-1; command: {path}")
    );
    let (posted, published) = (scene.webhook.seen(), scene.sns.seen());
    assert_eq!((posted.len(), published.len()), (1, 1));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(posted[0].body, read("tell.in"));
    assert_eq!(published[0].parameter("Message").as_deref(), Some(posted[0].body.as_str()));
    let document: Value = serde_json::from_str(&posted[0].body).unwrap();
    assert_eq!((&document["instance_id"], &document["drill"]), (&ID.into(), &true.into()));
    assert_eq!(document["sent_at"], "2026-11-21T12:00:02Z");
    let environment = read("tell.env");
    let mut environment: Vec<&str> = environment.lines().collect();
    environment.sort_unstable();
    let expected = [
        "AGENTD_ACTION=terminate",
        "AGENTD_DRILL=1",
        "AGENTD_EVENT=spot-interruption",
        "AGENTD_MOMENT=noticed",
    ];
    assert_eq!(environment, expected);
    let subject = published[0].parameter("Subject").unwrap();
    assert_eq!(subject, format!("DRILL: {ID}: spot-interruption (terminate) noticed"));
}

#[tokio::test]
async fn nothing_but_success_counts_and_nothing_is_sent_twice_or_elsewhere() {
    let elsewhere = Server::start(|_| Reply::ok("")).await;
    let redirect = Reply::status(307, "").with("Location", elsewhere.url());
    let cut = Reply::Raw(b"HTTP/1.1 2".to_vec());
    let replies =
        [Reply::status(500, "s3cret"), Reply::status(404, "/s3cret"), redirect, Reply::Drop, cut];
    for reply in replies {
        let scene = Scene::start(reply.clone(), published()).await;
        let told = detail(&scene.notifiers(scene.webhook_alone()), &noticed(false)).await;
        assert!(told.starts_with("webhook: not reached: http://127.0.0.1:"), "{reply:?}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
        assert_eq!(scene.webhook.seen().len(), 1, "{reply:?}");
    }
    assert!(elsewhere.seen().is_empty());
    let scene = Scene::start(Reply::ok(""), published()).await;
    let nowhere = format!("{}/s3cret", refusing_url().await);
    let notify = NotifySettings { webhook: Some(nowhere), ..NotifySettings::default() };
    let notifiers = scene.notifiers(notify);
    let told = detail(&notifiers, &noticed(false)).await;
    assert!(told.contains("failed to send the request") && !told.contains("s3cret"), "{told}");
    assert!(!format!("{notifiers:?}").contains("s3cret"));
}

#[tokio::test]
async fn whatever_hangs_delays_no_other_and_is_given_up() {
    let scene = Scene::start(Reply::Hang, Reply::Hang).await;
    let (folder, path) = program("cat > \"$0.in\"; : > \"$0.done\"; sleep 60");
    let command = Some(HookCommand::Program(path));
    let mut notifiers = scene.notifiers(NotifySettings { command, ..scene.all() });
    let limit = Duration::from_millis(300);
    notifiers.set_longest(limit);
    let begun = Instant::now();
    let written = async {
        while !folder.path().join("tell.done").exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        begun.elapsed()
    };
    let notification = noticed(false);
    let (told, other) = tokio::join!(detail(&notifiers, &notification), written);
    assert!(other < limit, "the command waited for the others: {other:?}");
    assert!(begun.elapsed() < 3 * limit, "{:?}", begun.elapsed());
    for name in ["webhook", "sns", "command"] {
        let late = format!("{name}: not reached: not finished within 0.3 s");
        assert!(told.contains(&late), "{told}");
    }
    assert_eq!((scene.webhook.seen().len(), scene.sns.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_webhook_that_is_silent_is_left_alone_after_two_seconds() {
    let scene = Scene::start(Reply::Hang, published()).await;
    let begun = Instant::now();
    let told = detail(&scene.notifiers(scene.all()), &noticed(false)).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_900) && took < Duration::from_secs(3), "{took:?}");
    assert!(told.contains("sns: published as m-1"), "{told}");
    assert!(told.contains("webhook: not reached: ") && !told.contains("s3cret"), "{told}");
}

#[tokio::test]
async fn a_command_that_fails_reads_nothing_or_may_not_be_run_is_told_and_changes_nothing() {
    let scene = Scene::start(Reply::ok(""), published()).await;
    let (_folder, path) = program("exec <&-; echo no pager >&2; exit 3");
    let command = Some(HookCommand::Program(path.clone()));
    let notifiers = scene.notifiers(NotifySettings { command, ..scene.all() });
    let told = detail(&notifiers, &noticed(false)).await;
    assert!(told.contains("answered 200; sns: published as m-1; command: not reached: "), "{told}");
    assert!(told.ends_with("exit status: 3") && !told.contains("no pager"), "{told}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let told = detail(&notifiers, &noticed(false)).await;
    assert!(told.contains("can be written by its group or by everybody"), "{told}");
}

/// The longest that the loop stood still while everybody was told for the first time, certificates and all.
async fn standstill() -> Duration {
    let scene = Scene::start(Reply::Hang, Reply::Hang).await;
    let mut notifiers = scene.notifiers(scene.all());
    notifiers.set_longest(Duration::from_millis(300));
    let longest = Cell::new(Duration::ZERO);
    let ticks = async {
        loop {
            let begun = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            longest.set(longest.get().max(begun.elapsed()));
        }
    };
    let notification = noticed(false);
    tokio::select! {
        _ = detail(&notifiers, &notification) => longest.get(),
        () = ticks => longest.get(),
    }
}

#[tokio::test]
async fn a_hook_that_is_due_is_not_kept_waiting_while_everybody_is_told() {
    let mut least = Duration::MAX;
    // A busy machine can stand still for other reasons, but hardly each time.
    for _ in 0..3 {
        least = least.min(standstill().await);
    }
    assert!(least < Duration::from_millis(50), "{least:?}");
}
