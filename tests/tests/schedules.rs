//! The program that systemd starts to read what is closed to the agent, as a process over the files of a machine: it prints
//! times and owners, never a command, and nothing that users write makes it fail, hang or say more than it should.

use std::error::Error;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use agent_tests::agent::binary;

type Done = Result<(), Box<dyn Error>>;

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) -> std::io::Result<()> {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap_or(root))?;
    fs::write(path, text)
}

/// What the agent's program prints with these words, over this root.
fn run(root: &Path, words: &[&str]) -> Result<Output, Box<dyn Error>> {
    let program = binary("agentd", "AGENTD_BIN")?;
    let mut command = Command::new(program);
    command.arg("--host-root").arg(root).args(words);
    Ok(command.stdin(Stdio::null()).env_clear().output()?)
}

#[test]
fn schedules_are_printed_without_their_commands() -> Done {
    let root = tempfile::tempdir()?;
    let root = root.path();
    let table = "MAILTO=boss@example.org\nKEY=hunter2\n50 8 * * * /srv/papermill hunter2 %hunter2\nhunter2 hunter2\n";
    write(root, "var/spool/cron/crontabs/alice", table)?;
    write(root, "var/spool/cron/bob", "CRON_TZ=Europe/Berlin\n@daily hunter2\n")?;
    write(root, "var/spool/at/a0000101b2a3e0", "#!/bin/sh\nhunter2\n")?;
    let output = run(root, &["read-schedules"])?;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    for word in ["hunter2", "papermill", "boss", "MAILTO", "KEY"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let printed: serde_json::Value = serde_json::from_str(&text)?;
    assert_eq!(printed["tables"][0]["path"], "/var/spool/cron/crontabs/alice");
    assert_eq!(printed["tables"][0]["jobs"][0]["line"], 3);
    assert_eq!(printed["tables"][0]["nonsense"][0], 4);
    assert_eq!(printed["tables"][1]["jobs"][0]["zone"], "Europe/Berlin");
    assert_eq!(printed["jobs"][0]["name"], "a0000101b2a3e0");
    Ok(())
}

#[test]
fn hostile_tables_cost_their_owners_only() -> Done {
    let root = tempfile::tempdir()?;
    let root = root.path();
    write(root, "var/spool/cron/crontabs/alice", "50 8 * * * x\n")?;
    write(root, "var/spool/cron/crontabs/garbage", [0xff, 0, 0x1b, b'\n', b'*'].repeat(20_000))?;
    write(root, "var/spool/cron/crontabs/huge", "50 8 * * * x\n".repeat(200_000))?;
    write(root, "var/spool/cron/crontabs/zones", "CRON_TZ=../../etc/shadow\n50 8 * * * x\n")?;
    std::os::unix::fs::symlink("/etc/shadow", root.join("var/spool/cron/crontabs/link"))?;
    let made = Command::new("mkfifo").arg(root.join("var/spool/cron/crontabs/pipe")).status()?;
    assert!(made.success());
    let output = run(root, &["read-schedules"])?;
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.len() < 1 << 20, "{}", output.stdout.len());
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let tables: Vec<&str> = printed["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["path"].as_str())
        .collect();
    assert!(tables.contains(&"/var/spool/cron/crontabs/alice"), "{tables:?}");
    let unread: Vec<&str> = printed["unread"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["path"].as_str())
        .collect();
    for user in ["garbage", "huge", "link", "pipe"] {
        assert!(unread.iter().any(|path| path.ends_with(user)), "{user}: {unread:?}");
    }
    Ok(())
}

#[test]
fn a_machine_without_schedules_and_a_user_without_a_manager_have_none() -> Done {
    let root = tempfile::tempdir()?;
    let output = run(root.path(), &["read-schedules"])?;
    assert_eq!(String::from_utf8(output.stdout)?, r#"{"tables":[],"jobs":[],"unread":[]}"#);
    let socket = root.path().join("private");
    let output = run(root.path(), &["read-timers", &socket.to_string_lossy()])?;
    assert!(output.status.success() && output.stdout == b"[]", "{output:?}");
    Ok(())
}

#[test]
fn a_manager_that_hangs_up_or_talks_nonsense_is_a_failure_and_no_list() -> Done {
    for answer in [&b""[..], b"ERROR\r\n", b"OK 0123\r\nAGREE_UNIX_FD\r\n\xff\xff\xff\xff"] {
        let root = tempfile::tempdir()?;
        let socket = root.path().join("private");
        let listener = UnixListener::bind(&socket)?;
        let served = thread::spawn(move || -> std::io::Result<()> {
            use std::io::{Read, Write};
            let (mut peer, _) = listener.accept()?;
            let _ = peer.read(&mut [0; 512])?;
            peer.write_all(answer)
        });
        let output = run(root.path(), &["read-timers", &socket.to_string_lossy()])?;
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("failed to ask"), "{output:?}");
        assert!(served.join().is_ok());
    }
    Ok(())
}
