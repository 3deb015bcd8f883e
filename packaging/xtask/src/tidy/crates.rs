//! Dependencies: permissive licences, no second TLS or HTTP stack, and nothing heavy where it must not be.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::{none, read, workspace};
use crate::graph::{Graph, Package};
use crate::licence::is_permissive;

/// Crates whose presence means that a feature pulled in a second stack, by the start of name and version.
const BANNED: &[(&str, &str, &str)] = &[
    ("hyper", "0.", "hyper 1 is the HTTP implementation"),
    ("rustls", "0.21.", "rustls 0.23 is the TLS implementation"),
    ("aws-lc-rs", "", "ring is the provider of cryptography"),
    ("aws-lc-sys", "", "ring is the provider of cryptography"),
    ("openssl-sys", "", "rustls is the TLS implementation"),
    ("native-tls", "", "rustls is the TLS implementation"),
];

fn graph() -> &'static Graph {
    static GRAPH: OnceLock<Graph> = OnceLock::new();
    GRAPH.get_or_init(|| Graph::read(&workspace()).unwrap())
}

fn names<'a>(packages: &BTreeSet<&'a Package>) -> BTreeSet<&'a str> {
    packages.iter().map(|package| package.name.as_str()).collect()
}

#[test]
fn every_crate_in_the_programs_has_a_permissive_licence() {
    let graph = graph();
    let shipped = graph.beneath(&["agentd", "agentctl"]);
    assert!(shipped.len() > 50, "only {} crates were found", shipped.len());
    let faults = shipped
        .into_iter()
        .filter(|package| !package.licence.as_deref().is_some_and(is_permissive))
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.licence))
        .collect::<Vec<_>>();
    none("crates whose licence is not known to be permissive", &faults);
}

#[test]
fn no_second_stack_is_locked() {
    let lock = read("Cargo.lock");
    let packages = lock.split("[[package]]").filter_map(|entry| {
        let field = |key: &str| {
            let line = entry.lines().find(|line| line.starts_with(key))?;
            Some(line.split('"').nth(1)?.to_owned())
        };
        Some((field("name = ")?, field("version = ")?))
    });
    let faults = packages
        .filter_map(|(name, version)| {
            let ban = BANNED
                .iter()
                .find(|(banned, start, _)| *banned == name && version.starts_with(start))?;
            Some(format!("{name} {version}: {}", ban.2))
        })
        .collect::<Vec<_>>();
    none("banned crates in Cargo.lock", &faults);
}

#[test]
fn the_engine_depends_on_serde_alone() {
    assert_eq!(graph().direct("agent-core"), BTreeSet::from(["serde"]));
}

#[test]
fn the_client_is_small() {
    let graph = graph();
    let used = graph.beneath(&["agentctl"]);
    let heavy =
        ["agentd", "agent-core", "aws-sdk-ec2", "hyper", "reqwest", "rustls", "tokio", "zbus"];
    let found = names(&used)
        .into_iter()
        .filter(|name| heavy.contains(name))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    none("crates that agentctl must not pull in", &found);
}

#[test]
fn the_daemon_really_uses_what_it_is_built_on() {
    let used = graph();
    let direct = used.direct("agentd");
    let promised = [
        "tokio",
        "nix",
        "procfs",
        "reqwest",
        "zbus",
        "aws-sdk-ec2",
        "serde",
        "tracing-journald",
        "nvml-wrapper",
        "signal-hook",
    ];
    let missing = promised
        .into_iter()
        .filter(|name| !direct.contains(name))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    none("crates that agentd should depend on", &missing);
}

#[test]
fn simulators_need_neither_the_sdk_nor_the_daemon() {
    let graph = graph();
    let used = graph.beneath(&["agent-tests"]);
    let found = names(&used)
        .into_iter()
        .filter(|name| ["agentd", "aws-sdk-ec2"].contains(name))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    none("crates that agent-tests must not pull in", &found);
}
