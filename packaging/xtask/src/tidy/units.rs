//! The systemd units and the package: what must be in them, and what must never be.

use super::read;

fn directives(unit: &str) -> Vec<String> {
    read(unit)
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#') && line.contains('='))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_service_has_what_the_daemon_relies_on() {
    let service = directives("systemd/agentd.service");
    for needed in [
        "Type=notify",
        "NotifyAccess=main",
        "ExecStart=/usr/sbin/agentd",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
        "WatchdogSec=30s",
        "WatchdogSignal=SIGABRT",
        "Requires=agentd.socket",
        "StateDirectory=agentd",
        "StateDirectoryMode=0700",
        "RuntimeDirectory=agentd",
        "RuntimeDirectoryPreserve=yes",
        "SupplementaryGroups=tty",
        "CapabilityBoundingSet=",
        "IOAccounting=yes",
    ] {
        assert!(service.iter().any(|line| line == needed), "agentd.service lacks '{needed}'");
    }
}

#[test]
fn nothing_waits_for_what_installs_the_package() {
    for unit in ["systemd/agentd.service", "systemd/agentd.socket"] {
        for line in directives(unit) {
            let orders = ["After=", "Before=", "Requires=", "Wants=", "BindsTo=", "Requisite="];
            if orders.iter().any(|order| line.starts_with(order)) {
                for forbidden in
                    ["cloud-", "cloud-init", "multi-user.target", "network-online.target"]
                {
                    assert!(
                        !line.contains(forbidden),
                        "{unit}: '{line}' would make an installation wait for itself"
                    );
                }
            }
        }
    }
}

#[test]
fn every_local_user_may_ask_and_a_question_does_not_start_a_stopped_agent() {
    let socket = directives("systemd/agentd.socket");
    for needed in
        ["ListenStream=/run/agentd/agentd.sock", "SocketMode=0666", "PartOf=agentd.service"]
    {
        assert!(socket.iter().any(|line| line == needed), "agentd.socket lacks '{needed}'");
    }
}

#[test]
fn no_secret_is_in_the_environment_of_a_unit() {
    for line in directives("systemd/agentd.service") {
        assert!(!line.starts_with("Environment="), "every local user can read '{line}'");
    }
}

#[test]
fn the_package_installs_what_the_units_name() {
    let rules = read("debian/rules");
    assert!(rules.contains("debian/agentd/usr/sbin/agentd"));
    assert!(rules.contains("debian/agentd/usr/bin/agentctl"));
    assert!(rules.contains("dh_installsysusers"));
    let files = read("packaging/doc/files.txt");
    for path in [
        "/usr/sbin/agentd",
        "/usr/bin/agentctl",
        "/etc/agentd/agentd.toml",
        "/lib/systemd/system/agentd.socket",
    ] {
        assert!(files.lines().any(|line| line == path), "packaging/doc/files.txt lacks '{path}'");
    }
    assert!(files.lines().is_sorted(), "packaging/doc/files.txt is not sorted");
}

#[test]
fn a_fresh_installation_only_observes() {
    let config = read("packaging/config.d/agentd.toml");
    let mode = config
        .lines()
        .map(str::trim)
        .find(|line| line.trim_start_matches(['#', ' ']).starts_with("mode ="));
    assert!(mode.is_some_and(|line| line.contains("\"observe\"")), "{mode:?}");
    assert!(
        !config
            .lines()
            .any(|line| line.trim_start().starts_with("mode") && line.contains("enforce"))
    );
}

#[test]
fn the_role_may_act_on_itself_only() {
    let policy: serde_json::Value = serde_json::from_str(&read("packaging/iam/idle.json")).unwrap();
    let statements = policy.get("Statement").unwrap().as_array().unwrap();
    for statement in statements {
        let text = statement.to_string();
        let only_looks = !text.contains("ec2:Stop") && !text.contains("ec2:CreateTags");
        let itself = text.contains("ec2:SourceInstanceARN") && text.contains("${ec2:InstanceID}");
        assert!(only_looks || itself, "not limited to the instance itself: {text}");
        let actions = statement.get("Action").unwrap().to_string();
        assert!(!actions.contains("Terminate") && !actions.contains('*'), "too much: {actions}");
    }
}
