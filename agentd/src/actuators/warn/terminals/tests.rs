//! On real pseudo-terminals, named in a folder that stands for the machine.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};

use agent_core::action::Power;
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{FlowArg, tcflow};

use super::*;
use crate::host::tree::Tree;

/// A real pseudo-terminal, named in a folder that stands for the machine, so that no terminal of anybody is written to.
struct Pty {
    master: PtyMaster,
    /// Kept open as a shell keeps it.
    slave: File,
}

fn pty(tree: &Tree, number: usize) -> Pty {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname_r(&master).unwrap();
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(&name)
        .unwrap();
    let folder = tree.path("/dev/pts");
    std::fs::create_dir_all(&folder).unwrap();
    symlink(&name, folder.join(number.to_string())).unwrap();
    Pty { master, slave }
}

fn read(pty: &mut Pty) -> String {
    let mut buffer = [0; 8192];
    let count = pty.master.read(&mut buffer).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

fn crier(tree: &Tree) -> Channel {
    Channel {
        host: tree.root(),
        hostname: "box".to_owned(),
        starter: Starter::Agent,
        deadline: Duration::from_millis(150),
        as_root: Duration::from_millis(150),
    }
}

fn off() -> Word<'static> {
    Word::CalledOff { because: "ada typed" }
}

/// What it says of whom it reached and missed, whatever the name of the user of this test is.
async fn told(tree: &Tree) -> (Option<String>, Option<String>) {
    let user = Users::new(tree.root()).name(nix::unistd::geteuid().as_raw());
    let told = crier(tree).tell(now(), &off()).await;
    let plain = |text: Option<String>| text.map(|text| text.replace(&user, "me"));
    (plain(told.reached), plain(told.missed))
}

#[expect(clippy::unnecessary_wraps, reason = "what it is compared with may be missing")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn now() -> Stamp {
    Stamp::new(0, 0, 1_795_262_400_000)
}

fn warning(power: Power, because: &str) -> Warning {
    let (because, not_counted) = (because.to_owned(), None);
    Warning { power, in_ms: 600_000, at_wall_ms: 1_795_263_000_000, because, not_counted }
}

#[test]
fn the_warning_says_what_when_why_and_how_to_stop_it() {
    let text =
        crier(&Tree::new()).warning(now(), &warning(Power::Hibernate, "idle for 30 minutes"));
    assert_eq!(
        text,
        "\r\n\x07Message from agentd@box (2026-11-21T12:00:00Z):\r\n  This machine will hibernate in 10 minutes, at \
         12:10:00 UTC. Memory will be kept.\r\n  Why: idle for 30 minutes\r\n  To stop this: press a key, or run \
         `agentctl hold 2h`.\r\n\r\n"
    );
    let beside = Some("postgresql 0.03 of 0.12 core\x1b[2J".to_owned());
    let told = Warning { not_counted: beside, ..warning(Power::Hibernate, "idle") };
    let text = crier(&Tree::new()).warning(now(), &told);
    assert!(
        text.contains(
            "\r\n  Not counted as use: postgresql 0.03 of 0.12 core\\u{1b}[2J\r\n  To stop"
        ),
        "{text:?}"
    );
    let stop = crier(&Tree::new()).warning(now(), &warning(Power::Stop, "x"));
    assert!(stop.contains("will stop") && stop.contains("will be lost"));
}

#[test]
fn a_reason_cannot_steer_the_terminal() {
    let text =
        crier(&Tree::new()).warning(now(), &warning(Power::Stop, "\x1b]0;owned\x07\r\nroot#"));
    assert!(!text.contains('\x1b') && text.matches('\x07').count() == 1, "{text:?}");
    assert!(text.contains("\\u{1b}]0;owned\\u{7}\\r\\nroot#"));
    assert!(!crier(&Tree::new()).call_off(now(), "\x1b[2J").contains('\x1b'));
}

#[tokio::test]
async fn every_terminal_gets_it_and_everybody_who_did_is_named() {
    let tree = Tree::new();
    let mut terminals = [pty(&tree, 0), pty(&tree, 7)];
    let (reached, missed) = told(&tree).await;
    let reached = reached.unwrap();
    assert!(reached.contains("me on pts/0") && reached.contains("me on pts/7"), "{reached}");
    assert_eq!(missed, None);
    for pty in &mut terminals {
        assert!(read(pty).contains("Called off, this machine stays up: ada typed"));
    }
}

#[tokio::test]
async fn lines_of_others_are_written_as_they_are_given() {
    let tree = Tree::new();
    let mut terminal = pty(&tree, 0);
    let said = crier(&tree).say(now(), &["EC2 will stop this instance.", "Save your work."]).await;
    assert!(said.reached.is_some_and(|who| who.ends_with(" on pts/0")) && said.missed.is_none());
    let text = read(&mut terminal);
    assert!(
        text.contains("\n  EC2 will stop this instance.") && text.contains("\n  Save your work."),
        "{text:?}"
    );
}

#[tokio::test]
async fn a_warning_is_not_input() {
    let tree = Tree::new();
    let pty = pty(&tree, 0);
    let accessed =
        |pty: &Pty| pty.slave.metadata().map(|data| (data.atime(), data.atime_nsec())).unwrap();
    let before = accessed(&pty);
    told(&tree).await;
    assert_eq!(accessed(&pty), before);
}

#[tokio::test]
async fn a_stopped_terminal_is_given_up_at_the_deadline_and_holds_up_nobody() {
    let tree = Tree::new();
    let (stopped, mut free) = (pty(&tree, 0), pty(&tree, 1));
    tcflow(&stopped.slave, FlowArg::TCOOFF).unwrap();
    let begun = std::time::Instant::now();
    let told = told(&tree).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(told, (some("me on pts/1"), some("me on pts/0 (its output is stopped)")));
    assert!(read(&mut free).contains("ada typed"));
}

#[tokio::test]
async fn a_terminal_whose_buffer_is_full_is_given_up_at_the_deadline() {
    let tree = Tree::new();
    let mut full = pty(&tree, 0);
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let path = tree.path("/dev/pts/0");
    let mut filler = OpenOptions::new().write(true).custom_flags(flags.bits()).open(&path).unwrap();
    // The kernel makes room behind the scenes for a while (flush_to_ldisc in tty_buffer.c).
    for _ in 0..10 {
        while std::io::Write::write(&mut filler, &[b'x'; 4096]).is_ok_and(|count| count > 0) {}
        while std::io::Write::write(&mut filler, b"x").is_ok_and(|count| count > 0) {}
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (reached, missed) = told(&tree).await;
    assert_eq!((reached, missed), (None, some("me on pts/0 (its output is stopped)")));
    // Its reader comes back, and the next word reaches it.
    while read(&mut full).len() > 1 {}
    assert_eq!(told(&tree).await.0, some("me on pts/0"));
}

#[tokio::test]
async fn a_terminal_that_takes_no_messages_is_told_of_where_the_agent_may_not_write() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("not run: root may write to every terminal");
        return;
    }
    let tree = Tree::new();
    let _pty = pty(&tree, 0);
    let path = std::fs::canonicalize(tree.path("/dev/pts/0")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o0)).unwrap();
    assert_eq!(told(&tree).await, (None, some("me on pts/0 (it takes no messages: mesg n)")));
}

#[tokio::test]
async fn what_is_no_terminal_is_not_written_to() {
    let tree = Tree::new();
    tree.file("/dev/pts/3", "untouched");
    nix::unistd::mkfifo(&tree.path("/dev/pts/4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(told(&tree).await, (None, None));
    assert_eq!(std::fs::read_to_string(tree.path("/dev/pts/3")).unwrap(), "untouched");
}

#[tokio::test]
async fn nobody_logged_in_is_fine() {
    assert_eq!(told(&Tree::new()).await, (None, None));
}

#[tokio::test]
async fn a_terminal_that_is_gone_is_left_out() {
    let tree = Tree::new();
    drop(pty(&tree, 0));
    let results = write_all(&[tree.path("/dev/pts/0")], b"x", DEADLINE).await;
    assert_eq!(results, [Err(Miss::Gone)]);
}

#[test]
fn many_terminals_are_counted_and_not_all_named() {
    let all: Vec<String> = (0..25).map(|n| format!("alice on pts/{n}")).collect();
    let text = listed(&all).unwrap();
    assert!(text.starts_with("alice on pts/0, ") && text.ends_with("pts/19 and 5 more"), "{text}");
}

#[test]
fn everybodys_latest_terminal_comes_first_and_nobody_has_more_than_a_few() {
    let terminal = |uid: u32, index: i128| Terminal {
        name: format!("pts/{index}"),
        number: 0,
        accessed_ns: index,
        uid,
    };
    let mut all: Vec<Terminal> = (0..1500).map(|index| terminal(1001, index)).collect();
    all.extend([terminal(1000, 7), terminal(1000, 3)]);
    let (turns, left_out) = in_turn(all);
    let order: Vec<(u32, &str)> = turns.iter().map(|it| (it.uid, &*it.name)).take(4).collect();
    assert_eq!(order, [(1001, "pts/1499"), (1000, "pts/7"), (1001, "pts/1498"), (1000, "pts/3")]);
    assert_eq!(turns.len(), EACH + 2);
    assert_eq!(left_out, BTreeMap::from([(1001, 1500 - EACH)]));
    assert_eq!(in_turn((0..16).map(|index| terminal(0, index)).collect()).1, BTreeMap::new());
}

#[tokio::test]
async fn more_terminals_than_are_open_at_once_are_written_to_and_stuck_ones_hold_up_their_own_places()
 {
    let tree = Tree::new();
    let mut terminals: Vec<Pty> = (0..70).map(|number| pty(&tree, number)).collect();
    for stuck in &terminals[..63] {
        tcflow(&stuck.slave, FlowArg::TCOOFF).unwrap();
    }
    let paths: Vec<PathBuf> =
        (0..70).map(|number| tree.path(&format!("/dev/pts/{number}"))).collect();
    let results = write_all(&paths, b"word", Duration::from_millis(150)).await;
    assert!(results[..63].iter().all(|result| *result == Err(Miss::Stuck)), "{results:?}");
    assert!(results[63..].iter().all(Result::is_ok), "{results:?}");
    assert!(terminals[63..].iter_mut().all(|pty| read(pty).contains("word")));
    tcflow(&terminals[63].slave, FlowArg::TCOOFF).unwrap();
    let results = write_all(&paths, b"word", Duration::from_millis(150)).await;
    assert!(
        results[64..].iter().all(|result| *result == Err(Miss::NoRoom)),
        "the sixty-four places are taken"
    );
}
