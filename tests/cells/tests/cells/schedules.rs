//! What daemons start for others: cron, at, Run Command, cloud-init, ssh, runners of builds.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use agent_cells::case::{Case, Right};
use agent_cells::cell::Cell;

const WORK: f64 = 0.075;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case::new("cron-job-of-root", Right::Keep, WORK, |cell| {
        cron(cell)?;
        cell.file("/etc/crontab", "0 * * * * root /usr/local/bin/backup\n")?;
        cell.run("system.slice/cron.service", "/usr/sbin/cron", "chain cron,sh,backup cpu 0.07")
    }),
    Case::new("cron-job-of-root-that-ends", Right::StopAfter(25), WORK, |cell| {
        cron(cell)?;
        cell.run("system.slice/cron.service", "/usr/sbin/cron", "chain cron,sh,backup cpu 0.12 25")
    }),
    Case::new("cron-job-that-became-a-daemon", Right::Keep, WORK, |cell| {
        cron(cell)?;
        cell.run("system.slice/cron.service", "/usr/sbin/cron", "sleep")?;
        cell.run("system.slice/cron.service", "sh", "orphan trainer cpu 0.07")
    }),
    Case::new("cron-job-of-short-processes", Right::Keep, 0.15, |cell| {
        cron(cell)?;
        cell.run(
            "system.slice/cron.service",
            "/usr/sbin/cron",
            "chain cron,sh,backup bursts 40 0.07",
        )
    }),
    Case::new("cron-without-a-job", Right::Stop, 0.01, |cell| {
        cron(cell)?;
        cell.run("system.slice/cron.service", "/usr/sbin/cron", "cpu 0.01")
    }),
    Case::new("at-job", Right::Keep, WORK, |cell| {
        cell.packaged_unit("at", "atd.service", "/usr/sbin/atd")?;
        cell.run("system.slice/atd.service", "/usr/sbin/atd", "chain atd,sh,evaluate cpu 0.07")
    }),
    Case::new("run-command", Right::Keep, WORK, |cell| {
        ssm(cell)?;
        let names = "ssm-agent-worker,ssm-document-worker,sh,_script.sh";
        let load = format!("chain {names} cpu 0.07");
        cell.run("system.slice/amazon-ssm-agent.service", "amazon-ssm-agent", &load)
    }),
    Case::new("run-command-left-a-daemon", Right::Keep, WORK, |cell| {
        ssm(cell)?;
        cell.run("system.slice/amazon-ssm-agent.service", "amazon-ssm-agent", "sleep")?;
        cell.run("system.slice/amazon-ssm-agent.service", "_script.sh", "orphan train cpu 0.07")
    }),
    Case::new("run-command-by-snap", Right::Keep, WORK, |cell| {
        let unit = "snap.amazon-ssm-agent.amazon-ssm-agent.service";
        cell.local_unit(unit, "/usr/bin/snap run amazon-ssm-agent")?;
        cell.file("/snap/amazon-ssm-agent/current/meta", "")?;
        let names = "ssm-agent-worker,ssm-document-worker,sh,_script.sh";
        let load = format!("chain {names} cpu 0.07");
        cell.run(&format!("system.slice/{unit}"), "amazon-ssm-agent", &load)
    }),
    Case::new("ssm-agent-itself", Right::Stop, 0.07, |cell| {
        ssm(cell)?;
        let load = "chain ssm-agent-worker cpu 0.07";
        cell.run("system.slice/amazon-ssm-agent.service", "amazon-ssm-agent", load)
    }),
    Case::new("user-data-is-the-job", Right::Keep, WORK, |cell| {
        cell.packaged_unit("cloud-init", "cloud-final.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-final.service", "cloud-init", "chain part-001,train cpu 0.07")
    }),
    Case::new("user-data-left-a-daemon", Right::Keep, WORK, |cell| {
        cell.packaged_unit("cloud-init", "cloud-final.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-final.service", "part-001", "orphan train cpu 0.07")
    }),
    Case::new("user-data-left-a-daemon-that-ends", Right::StopAfter(25), WORK, |cell| {
        cell.packaged_unit("cloud-init", "cloud-final.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-final.service", "part-001", "orphan train cpu 0.12 25")
    }),
    Case::new("rc-local-left-a-daemon", Right::Keep, WORK, |cell| {
        cell.packaged_unit("systemd", "rc-local.service", "/etc/rc.local start")?;
        cell.run("system.slice/rc-local.service", "rc.local", "orphan train cpu 0.07")
    }),
    Case::new("ssh-command-outside-of-a-session", Right::Keep, WORK, |cell| {
        cell.packaged_unit("openssh-server", "ssh.service", "/usr/sbin/sshd")?;
        cell.run("system.slice/ssh.service", "/usr/sbin/sshd", "chain sshd,bash,train cpu 0.07")
    }),
    Case::new("tailscale-ssh-command", Right::Keep, WORK, |cell| {
        cell.packaged_unit("tailscale", "tailscaled.service", "/usr/sbin/tailscaled")?;
        cell.run("system.slice/tailscaled.service", "tailscaled", "chain bash,train cpu 0.07")
    }),
    Case::new("gitlab-runner-job", Right::Keep, WORK, |cell| {
        cell.packaged_unit("gitlab-runner", "gitlab-runner.service", "/usr/bin/gitlab-runner")?;
        cell.run(
            "system.slice/gitlab-runner.service",
            "gitlab-runner",
            "chain bash,make,cc1 cpu 0.07",
        )
    }),
    Case::new("github-runner-job", Right::Keep, WORK, |cell| {
        let unit = "actions.runner.acme-app.host.service";
        cell.local_unit(unit, "/home/alice/actions-runner/runsvc.sh")?;
        let load = "chain Runner.Worker,node cpu 0.07";
        cell.run_as(1000, &format!("system.slice/{unit}"), "Runner.Listener", load)
    }),
    Case::new("azure-agent-job", Right::Keep, 0.16, |cell| {
        let unit = "vsts.agent.acme.default.host.service";
        cell.local_unit(unit, "/opt/agent/runsvc.sh")?;
        let load = "chain Agent.Worker,bash cpu 0.1";
        cell.run(&format!("system.slice/{unit}"), "Agent.Listener", load)
    }),
    Case::new("daily-job-in-the-hour-that-the-clock-skips", Right::Keep, 0.02, skipped_hour),
    Case::new("cron-job-of-orphans", Right::Keep, 0.15, |cell| {
        cron(cell)?;
        let load = "chain cron,sh,backup litter 15 0.1";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
    Case::new("run-command-of-orphans", Right::Keep, 0.15, |cell| {
        ssm(cell)?;
        let load = "chain ssm-agent-worker,ssm-document-worker,sh litter 15 0.1";
        cell.run("system.slice/amazon-ssm-agent.service", "amazon-ssm-agent", load)
    }),
    Case::new("hourly-script-made-here", Right::Keep, WORK, |cell| {
        script(cell, "/etc/cron.hourly/backup")?;
        cron(cell)?;
        let load = "chain cron shell run-parts /etc/cron.hourly";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
    Case::new("daily-script-of-a-package", Right::Stop, WORK, |cell| {
        script(cell, "/etc/cron.daily/plocate")?;
        cell.owned("plocate", "/etc/cron.daily/plocate\n")?;
        cron(cell)?;
        let load = "chain cron shell run-parts /etc/cron.daily";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
];

/// A script that uses a processor in a child.
fn script(cell: &Cell, path: &str) -> io::Result<()> {
    cell.file(path, "#!/bin/sh\nCELL_PART='load cpu 0.07' /opt/cell/part\n")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn cron(cell: &Cell) -> io::Result<()> {
    cell.packaged_unit("cron", "cron.service", "/usr/sbin/cron")
}

fn ssm(cell: &Cell) -> io::Result<()> {
    let start = "/usr/bin/amazon-ssm-agent";
    cell.packaged_unit("amazon-ssm-agent", "amazon-ssm-agent.service", start)
}

/// In a zone whose clock jumps by an hour in eight minutes, a job in the middle of the hour that it skips. cron(8) runs
/// it right after the jump.
fn skipped_hour(cell: &Cell) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
    let jump = now / 60 * 60 + 8 * 60;
    let date = |format: &str, at: u64| -> io::Result<String> {
        let at = format!("@{at}");
        let output =
            Command::new("date").args(["-u", "-d", &at, &format!("+{format}")]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // The names of months that zic knows are English, which `date` speaks in the locale C.
    let rule = date("%Y - %b %d %H:%Mu", jump)?;
    let mut words = rule.split_whitespace();
    let (year, dash, month) = (words.next(), words.next(), words.next());
    let (day, time) = (words.next(), words.next());
    let (Some(year), Some(_), Some(month), Some(day), Some(time)) = (year, dash, month, day, time)
    else {
        return Err(io::Error::other("date(1) told no date"));
    };
    // Rules before and after it keep zic from taking the jump for the time that always was.
    let zone = format!(
        "Rule Jump 2020 only - Jan 1 0:00u 0 -\nRule Jump {year} only - {month} {day} {time} 1:00 S\n\
         Rule Jump 2090 only - Jan 1 0:00u 0 -\nZone Jump 0:00 Jump JM%sT\n"
    );
    cell.file("/tmp/jump.zic", &zone)?;
    let made =
        Command::new("zic").args(["-b", "fat", "-d", "/tmp/zones", "/tmp/jump.zic"]).output()?;
    if !made.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
    }
    fs::remove_file("/etc/localtime").ok();
    fs::copy("/tmp/zones/Jump", "/etc/localtime")?;
    cron(cell)?;
    cell.run("system.slice/cron.service", "/usr/sbin/cron", "sleep")?;
    let at = date("%-M %-H", jump + 20 * 60)?;
    cell.file("/etc/crontab", &format!("{at} * * * root /usr/local/bin/nightly\n"))
}
