//! Behaviour of the whole: files in, settings or problems out.

use core::time::Duration;
use std::fs;

use agent_core::action::Power;
use agent_core::interruption::Reaction;
use agent_core::policy::{Combine, Mode, RoleLimits};
use agent_core::reading::Role;
use proptest::prelude::*;

use super::*;

/// Stand-ins for the real sources, of every shape that a source can have.
pub(in crate::config) fn sources() -> Vec<SourceKnown> {
    let source = |name, about, unit, busy_above, options| SourceKnown {
        name,
        about,
        unit,
        scale: 1.0,
        combine: Combine::Sum,
        busy_above,
        limits: None,
        average: Duration::from_mins(1),
        options,
    };
    let option = |key, kind, default| OptionKnown { key, kind, default, about: "An option." };
    vec![
        SourceKnown {
            scale: 1e-6,
            limits: Some(RoleLimits {
                local_above: 0.08,
                server_above: 0.12,
                upkeep_above: 0.15,
                upkeep_together: 0.4,
                unexplained_above: 0.05,
            }),
            ..source(
                "cpu",
                "CPU time of the workload.",
                "core",
                0.05,
                vec![option("units", OptionKind::TextList, "[]")],
            )
        },
        source("input", "Keys that people press.", "", 0.0, vec![]),
        source(
            "gpu",
            "Use of the GPUs.",
            "%",
            1.0,
            vec![
                option("library", OptionKind::Text, "\"\""),
                option("deadline", OptionKind::Duration, "\"2s\""),
                option("graphics", OptionKind::Bool, "false"),
                option("floor", OptionKind::Number, "0"),
            ],
        ),
    ]
}

pub(in crate::config) fn schema() -> Schema {
    Schema::new(&sources()).unwrap()
}

fn try_load(text: &str) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    fs::write(&file, text).unwrap();
    load(&LoadFrom::File(file), &sources())
}

#[test]
fn a_unit_may_have_a_limit_of_its_own() {
    let text = "[source.cpu]\nbusy_above = 0.1\n[source.cpu.unit.\"game.service\"]\nbusy_above = 0.3\n[source.cpu.unit.db]\nbusy_above = 1\n";
    let cpu = settings(text).policy.sources[&"cpu".into()].clone();
    let limits = cpu.limits.clone().unwrap();
    assert_eq!(
        limits.units,
        [("db.service".to_owned(), 1.0), ("game.service".to_owned(), 0.3)].into()
    );
    assert!(limits.roles.local_above >= 0.1, "never below people's own");
    for (subject, role, expected) in [
        ("system.slice/game.service", Role::Server, Some(0.3)),
        ("system.slice/other.service", Role::Server, Some(0.12)),
        ("user.slice/user-1000.slice/session-1.scope", Role::Workload, Some(0.1)),
        ("system.slice/game.service", Role::Ignored, None),
    ] {
        assert_eq!(cpu.limit_of(subject, role), expected, "{subject}");
    }
}

#[test]
fn a_limit_of_a_unit_that_makes_no_sense_is_told_with_its_place() {
    for (text, expected) in [
        ("source.cpu.unit.\"game.sevice\".busy_above = 1", "did you mean .service?"),
        ("source.cpu.unit.\"game@.service\".busy_above = 1", "template"),
        ("source.cpu.unit.game.busy_abov = 1", "unknown key"),
        ("source.cpu.unit.game = 1", "expected the section"),
        ("source.cpu.unit = 1", "a section for each unit"),
        ("source.cpu.unit.game.busy_above = 0", "source.cpu.unit.\"game\".busy_above"),
        ("source.input.unit.game.busy_above = 1", "unknown"),
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|it| it.starts_with("f:1:") && it.contains(expected)),
            "{text}: {found:?}"
        );
    }
}

fn settings(text: &str) -> Settings {
    try_load(text).unwrap_or_else(|error| panic!("{text}\n{error}")).settings
}

/// All problems without the folder of the file: "f:1:2: key = value: …".
fn problems(text: &str) -> Vec<String> {
    let problems = match try_load(text) {
        Ok(loaded) => loaded.warnings,
        Err(error) => error.problems,
    };
    let shown = problems.iter().map(Problem::to_string);
    shown
        .map(|line| line.split_once("/f").map_or(line.clone(), |(_, rest)| format!("f{rest}")))
        .collect()
}

#[test]
fn no_file_gives_the_documented_defaults() {
    let settings = settings("");
    let policy = &settings.policy;
    assert_eq!(policy.mode, Mode::Observe);
    assert_eq!(policy.profile, "research");
    assert_eq!(policy.gap, Duration::from_mins(1));
    assert_eq!(policy.idle.act_after, Duration::from_mins(30));
    assert_eq!(policy.idle.quiet_after, Duration::from_mins(5));
    assert_eq!(policy.idle.action, Some(Power::Hibernate));
    assert!(policy.idle.fallback_stop && policy.idle.enabled && !policy.idle.hook);
    assert_eq!(policy.idle.warn_before, [10, 5, 1].map(Duration::from_mins));
    assert_eq!(policy.idle.verify_after, Duration::from_mins(10));
    assert_eq!(policy.hold.user_max, Duration::from_hours(2));
    assert_eq!(policy.hold.admin_max, Duration::from_hours(72));
    assert_eq!(policy.tags.interval, Duration::from_mins(1));
    assert_eq!(settings.tags, TagSettings { prefix: "agentd:".into(), compat: vec![] });
    assert_eq!(settings.sampling, Duration::from_secs(10));
    assert_eq!(settings.hook, None);
    let interruption = &policy.interruption;
    assert!(interruption.enabled && interruption.hooks.is_empty());
    assert_eq!(interruption.rebalance, Reaction::Notify);
    assert_eq!(interruption.maintenance_lead, Duration::from_mins(10));
    assert!(!policy.idle.standby);
    assert_eq!(settings.notify, NotifySettings::default());
    let cpu = &policy.sources[&"cpu".into()];
    assert!(cpu.enabled);
    assert_eq!((cpu.busy_above, cpu.scale, cpu.unit.as_str()), (0.05, 1e-6, "core"));
    assert_eq!((cpu.average, cpu.interval), (Duration::from_mins(1), Duration::from_secs(10)));
}

#[test]
fn everything_can_be_set() {
    let settings = settings(
        r#"
        mode = "enforce"
        profile = "notebook"
        [idle]
        act_after = "1h"
        action = "stop"
        warn_before = ["1m", "10m"]
        pre_stop = "/usr/local/bin/save"
        pre_stop_user = "alice"
        pre_stop_timeout = "2m"
        [interruption]
        hooks = ["/opt/drain", "drain.service", "stop worker@1.service"]
        fast_hooks = ["/opt/sync"]
        user = "alice"
        rebalance = "drain"
        [notify]
        webhook = "https://hooks.example.com/agentd?key=1"
        sns_topic = "arn:aws:sns:eu-central-1:123456789012:spot"
        command = "/opt/tell"
        [sampling]
        interval = "5s"
        [tags]
        prefix = "team:"
        compat = ["cloudworkstation"]
        [source.cpu]
        busy_above = 1
        units = ["jupyter.service"]
        interval = "2s"
        [source.input]
        enabled = false
        [source.gpu]
        deadline = "90s"
        "#,
    );
    assert_eq!(settings.policy.mode, Mode::Enforce);
    assert_eq!(settings.policy.idle.warn_before, [10, 1].map(Duration::from_mins), "longest first");
    assert!(settings.policy.idle.hook);
    let hook = HookSettings {
        command: HookCommand::Program("/usr/local/bin/save".into()),
        timeout: Duration::from_mins(2),
        user: Some("alice".into()),
    };
    assert_eq!(settings.hook, Some(hook));
    let interruption = &settings.policy.interruption;
    assert_eq!(interruption.hooks, ["/opt/drain", "drain.service", "stop worker@1.service"]);
    assert_eq!(interruption.fast_hooks, ["/opt/sync"]);
    assert_eq!(interruption.rebalance, Reaction::Drain);
    assert_eq!(settings.interruption.user.as_deref(), Some("alice"));
    assert_eq!(settings.notify.command, Some(HookCommand::Program("/opt/tell".into())));
    assert_eq!(settings.tags.compat, [TagCompat::CloudWorkstation]);
    let source = |name: &'static str| &settings.policy.sources[&name.into()];
    assert_eq!(source("cpu").interval, Duration::from_secs(2));
    assert_eq!(source("gpu").interval, Duration::from_secs(5), "the section's interval");
    assert!(!source("input").enabled);
    assert_eq!(settings.sources["cpu"]["units"][0].as_str(), Some("jupyter.service"));
    assert_eq!(settings.sources["gpu"]["deadline"].as_str(), Some("1m30s"));
    assert_eq!(settings.sources["gpu"]["library"].as_str(), Some(""), "defaults are filled in");
    assert!(settings.sources["input"].is_empty());
}

#[test]
fn a_short_window_shortens_readings_averages_and_gap() {
    let settings = settings("[idle]\nact_after = \"20s\"");
    assert_eq!(settings.sampling, Duration::from_millis(500));
    assert_eq!(settings.policy.gap, Duration::from_secs(5));
    let cpu = &settings.policy.sources[&"cpu".into()];
    assert_eq!(cpu.average, Duration::from_millis(3_333));
    assert_eq!(cpu.interval, Duration::from_millis(500));
    assert_eq!(settings.policy.tags.interval, Duration::from_secs(2));
    assert!(settings.policy.idle.warn_before.iter().all(|w| *w < settings.policy.idle.act_after));
}

#[test]
fn every_profile_is_usable_and_service_never_acts() {
    for profile in profile::PROFILES {
        let loaded = try_load(&format!("profile = \"{}\"", profile.name)).unwrap();
        assert!(loaded.warnings.is_empty(), "{}: {:?}", profile.name, loaded.warnings);
        let acts = loaded.settings.policy.idle.action.is_some();
        assert_eq!(acts, profile.name != "service", "{}", profile.name);
    }
}

/// Text, place and key, part of the message.
const INVALID: &[(&str, &str, &str)] = &[
    // Syntax.
    ("mode", "f:1:", "not TOML"),
    ("mode = ", "f:1:", "not TOML"),
    ("mode = observe", "f:1:", "not TOML"),
    ("= 1", "f:1:", "not TOML"),
    ("[idle", "f:1:", "not TOML"),
    ("[idle]\nact_after = \"10m", "f:2:", "not TOML"),
    ("[idle]\nact_after = 10m", "f:2:", "not TOML"),
    ("[idle]\nwarn_before = [\"1m\"", "f:2:", "not TOML"),
    ("mode = \"observe\"\nmode = \"enforce\"", "f:2:1: ", "duplicate key"),
    ("[idle]\n[idle]", "f:2:", "duplicate key"),
    ("[idle]\nact_after = \"1m\"\nact_after = \"2m\"", "f:3:1: ", "duplicate key"),
    ("mode = \"\u{0}\"", "f:1:", "not TOML"),
    // Unknown keys and sections.
    ("mod = \"observe\"", "f:1:1: mod: ", "unknown key; did you mean mode?"),
    ("MODE = \"observe\"", "f:1:1: MODE: ", "did you mean mode?"),
    ("profil = \"batch\"", "f:1:1: profil: ", "did you mean profile?"),
    ("colour = 1", "f:1:1: colour: ", "unknown key"),
    ("act_after = \"10m\"", "f:1:1: act_after: ", "did you mean idle.act_after?"),
    ("\"idle.act_after\" = \"10m\"", "f:1:1: \"idle.act_after\": ", "unknown key"),
    ("\"\" = 1", "f:1:1: \"\": ", "unknown key"),
    ("\"a\\nb\" = 1", "f:1:1: \"a\\nb\": ", "unknown key"),
    ("[idel]\nact_after = \"10m\"", "f:1:2: idel: ", "unknown section; did you mean idle?"),
    ("[tag]", "f:1:2: tag: ", "did you mean tags?"),
    ("[cpu]\nbusy_above = 1", "f:1:2: cpu: ", "did you mean source.cpu?"),
    ("[idle]\n\nact_aftr = \"10m\"", "f:3:1: idle.act_aftr: ", "did you mean idle.act_after?"),
    ("[idle]\nact-after = \"10m\"", "f:2:1: idle.act-after: ", "did you mean idle.act_after?"),
    ("[idle]\nenable = true", "f:2:1: idle.enable: ", "did you mean idle.enabled?"),
    ("[idle]\nwarnbefore = []", "f:2:1: idle.warnbefore: ", "did you mean idle.warn_before?"),
    ("idle.fall_back = \"stop\"", "f:1:6: idle.fall_back: ", "did you mean idle.fallback?"),
    ("[hold]\nuser = \"2h\"", "f:2:1: hold.user: ", "unknown key"),
    ("[hold]\nusermax = \"2h\"", "f:2:1: hold.usermax: ", "did you mean hold.user_max?"),
    ("[interruption]\nhook = []", "f:2:1: interruption.hook: ", "did you mean interruption.hooks?"),
    ("[tags]\nprefx = \"a\"", "f:2:1: tags.prefx: ", "did you mean tags.prefix?"),
    ("[source.gpus]", "f:1:9: source.gpus: ", "did you mean source.gpu?"),
    ("[source.floppy]", "f:1:9: source.floppy: ", "the sources are cpu, input, gpu"),
    ("[sources.cpu]", "f:1:2: sources: ", "did you mean source?"),
    (
        "[source.cpu]\nbusy_abov = 1",
        "f:2:1: source.cpu.busy_abov: ",
        "did you mean source.cpu.busy_above?",
    ),
    ("[source.cpu]\nlibrary = \"x\"", "f:2:1: source.cpu.library: ", "unknown key"),
    ("[source.input]\nbusy_above = 1", "f:2:1: source.input.busy_above: ", "unknown key"),
    ("[idle.act_after.x]", "f:1:", "is a table"),
    ("[source]\nenabled = true", "f:2:1: source.enabled: ", "unknown key"),
    // Tables, lists and values in each other's place.
    ("idle = true", "f:1:8: idle = true: ", "expected the section [idle]"),
    ("[[idle]]\nact_after = \"10m\"", "f:1:", "is a list, expected the section [idle]"),
    ("source = []", "f:1:10: source = []: ", "expected the section [source]"),
    ("[source]\ncpu = 1", "f:2:7: source.cpu = 1: ", "expected the section [source.cpu]"),
    (
        "mode = true",
        "f:1:8: mode = true: ",
        "is a true/false value, expected \"observe\" or \"enforce\"",
    ),
    ("mode = []", "f:1:8: mode = []: ", "is a list"),
    ("mode = {}", "f:1:8: mode = {}: ", "is a table"),
    ("mode = 1979-05-27", "f:1:8: mode = 1979-05-27: ", "is a date"),
    // Words.
    ("mode = \"enforced\"", "f:1:8: mode = \"enforced\": ", "did you mean \"enforce\"?"),
    ("mode = \"\"", "f:1:8: mode = \"\": ", "expected \"observe\" or \"enforce\""),
    ("mode = \"Enforce\"", "f:1:8: mode", "did you mean \"enforce\"?"),
    ("profile = \"reserch\"", "f:1:11: profile", "did you mean \"research\"?"),
    (
        "profile = \"gaming\"",
        "f:1:11: profile = \"gaming\": ",
        "is unknown, expected \"research\", ",
    ),
    ("[idle]\naction = \"hibernat\"", "f:2:10: idle.action", "did you mean \"hibernate\"?"),
    (
        "[idle]\naction = \"terminate\"",
        "f:2:10: idle.action",
        "expected \"hibernate\", \"stop\" or \"none\"",
    ),
    ("[idle]\naction = \"shutdown\"", "f:2:10: idle.action", "is unknown"),
    ("[idle]\naction = false", "f:2:10: idle.action = false: ", "is a true/false value"),
    ("[idle]\nfallback = \"hibernate\"", "f:2:12: idle.fallback", "expected \"stop\" or \"none\""),
    ("[idle]\nfallback = true", "f:2:12: idle.fallback = true: ", "is a true/false value"),
    (
        "[tags]\ncompat = [\"cloudworkstatoin\"]",
        "f:2:11: tags.compat",
        "did you mean \"cloudworkstation\"?",
    ),
    ("[tags]\ncompat = \"cloudworkstation\"", "f:2:10: tags.compat", "is text, expected a list"),
    (
        "[tags]\ncompat = [\"cloudworkstation\", \"cloudworkstation\"]",
        "f:2:10: tags.compat",
        "the most is 1",
    ),
    // Switches.
    (
        "[idle]\nenabled = \"yes\"",
        "f:2:11: idle.enabled = \"yes\": ",
        "is text, expected true or false",
    ),
    ("[idle]\nenabled = 1", "f:2:11: idle.enabled = 1: ", "is a number, expected true or false"),
    ("[tags]\nenabled = \"true\"", "f:2:11: tags.enabled", "expected true or false"),
    ("[interruption]\nenabled = 0", "f:2:11: interruption.enabled", "expected true or false"),
    ("[source.cpu]\nenabled = \"no\"", "f:2:11: source.cpu.enabled", "expected true or false"),
    ("[source.gpu]\ngraphics = 1", "f:2:12: source.gpu.graphics", "expected true or false"),
    // Durations.
    (
        "[idle]\nact_after = \"10 minuts\"",
        "f:2:13: idle.act_after = \"10 minuts\": ",
        "did you mean \"minute\"?",
    ),
    ("[idle]\nact_after = 10", "f:2:13: idle.act_after = 10: ", "has no unit"),
    ("[idle]\nact_after = 1.5", "f:2:13: idle.act_after = 1.5: ", "has no unit"),
    (
        "[idle]\nact_after = \"10\"",
        "f:2:13: idle.act_after = \"10\": ",
        "has no unit; write \"10s\" or \"10m\"",
    ),
    ("[idle]\nact_after = \"\"", "f:2:13: idle.act_after = \"\": ", "is empty"),
    ("[idle]\nact_after = \"-5m\"", "f:2:13: idle.act_after = \"-5m\": ", "is negative"),
    ("[idle]\nact_after = -5", "f:2:13: idle.act_after = -5: ", "is negative"),
    (
        "[idle]\nact_after = \"0s\"",
        "f:2:13: idle.act_after = \"0s\": ",
        "is zero, the shortest is 1s",
    ),
    ("[idle]\nact_after = \"999ms\"", "f:2:13: idle.act_after", "is too short, the shortest is 1s"),
    (
        "[idle]\nact_after = \"31d\"",
        "f:2:13: idle.act_after = \"31d\": ",
        "is too long, the longest is 30d",
    ),
    (
        "[idle]\nact_after = \"1000000h\"",
        "f:2:13: idle.act_after",
        "is too long, the longest is 30d",
    ),
    (
        "[idle]\nact_after = \"99999999999999999999d\"",
        "f:2:13: idle.act_after",
        "is too long to count",
    ),
    (
        "[idle]\nact_after = \"soon\"",
        "f:2:13: idle.act_after = \"soon\": ",
        "does not begin with a number",
    ),
    ("[idle]\nact_after = \"10M\"", "f:2:13: idle.act_after", "unknown unit \"M\""),
    ("[idle]\nact_after = \"never\"", "f:2:13: idle.act_after", "does not begin with a number"),
    ("[idle]\nact_after = true", "f:2:13: idle.act_after = true: ", "expected a duration"),
    ("[idle]\nact_after = [\"10m\"]", "f:2:13: idle.act_after", "is a list, expected a duration"),
    ("[idle]\nact_after = \"1m1h\"", "f:2:13: idle.act_after", "wrong order"),
    ("[idle]\nact_after = \"1.00001s\"", "f:2:13: idle.act_after", "finer than a millisecond"),
    ("[idle]\nact_after = 07:32:00", "f:2:13: idle.act_after", "is a date"),
    ("[idle]\nquiet_after = \"0m\"", "f:2:15: idle.quiet_after", "is zero"),
    ("[idle]\nboot_grace = \"25h\"", "f:2:14: idle.boot_grace", "the longest is 24h"),
    ("[idle]\nresume_grace = 900", "f:2:16: idle.resume_grace = 900: ", "has no unit"),
    ("[idle]\npre_stop_timeout = \"2h\"", "f:2:20: idle.pre_stop_timeout", "the longest is 1h"),
    ("[idle]\nverify_after = \"0s\"", "f:2:16: idle.verify_after", "is zero"),
    ("[hold]\nuser_max = \"forever\"", "f:2:12: hold.user_max", "does not begin with a number"),
    ("[hold]\nadmin_max = \"0s\"", "f:2:13: hold.admin_max", "is zero"),
    ("[hold]\nadmin_max = \"1y\"", "f:2:13: hold.admin_max", "unknown unit \"y\""),
    ("[sampling]\ninterval = \"1ms\"", "f:2:12: sampling.interval", "the shortest is 100ms"),
    ("[sampling]\ninterval = \"1h\"", "f:2:12: sampling.interval", "the longest is 5m"),
    (
        "[sampling]\ninterval = \"Auto\"",
        "f:2:12: sampling.interval",
        "does not begin with a number",
    ),
    (
        "[sampling]\ninterval = 5",
        "f:2:12: sampling.interval = 5: ",
        "has no unit, expected \"auto\" or",
    ),
    ("[tags]\ninterval = \"100ms\"", "f:2:12: tags.interval", "the shortest is 1s"),
    (
        "[source.cpu]\ninterval = true",
        "f:2:12: source.cpu.interval",
        "expected \"auto\" or a duration",
    ),
    ("[source.gpu]\ndeadline = 2", "f:2:12: source.gpu.deadline = 2: ", "has no unit"),
    // Lists of durations.
    (
        "[idle]\nwarn_before = \"10m\"",
        "f:2:15: idle.warn_before = \"10m\": ",
        "is text, expected a list of durations",
    ),
    ("[idle]\nwarn_before = [10]", "f:2:16: idle.warn_before = 10: ", "has no unit"),
    (
        "[idle]\nwarn_before = [\"10m\", \"5 mins\"]",
        "f:2:23: idle.warn_before = \"5 mins\": ",
        "unknown unit \"mins\"",
    ),
    (
        "[idle]\nwarn_before = [\"5m\", \"300s\"]",
        "f:2:22: idle.warn_before = \"300s\": ",
        "is listed twice",
    ),
    ("[idle]\nwarn_before = [\"0s\"]", "f:2:16: idle.warn_before = \"0s\": ", "is zero"),
    (
        "[idle]\nwarn_before = [\"1s\",\"2s\",\"3s\",\"4s\",\"5s\",\"6s\",\"7s\",\"8s\",\"9s\"]",
        "f:2:15: idle.warn_before",
        "has 9 entries, the most is 8",
    ),
    // Numbers.
    ("[source.cpu]\nbusy_above = \"0.05\"", "f:2:14: source.cpu.busy_above", "without quotes"),
    (
        "[source.cpu]\nbusy_above = \"5%\"",
        "f:2:14: source.cpu.busy_above",
        "is text, expected a number above 0",
    ),
    ("[source.cpu]\nbusy_above = -1", "f:2:14: source.cpu.busy_above = -1: ", "is negative"),
    ("[source.cpu]\nbusy_above = 0", "f:2:14: source.cpu.busy_above = 0: ", "set enabled = false"),
    ("[source.cpu]\nbusy_above = 0.0", "f:2:14: source.cpu.busy_above = 0.0: ", "is zero"),
    (
        "[source.cpu]\nbusy_above = nan",
        "f:2:14: source.cpu.busy_above = nan: ",
        "not a finite number",
    ),
    (
        "[source.cpu]\nbusy_above = inf",
        "f:2:14: source.cpu.busy_above = inf: ",
        "not a finite number",
    ),
    ("[source.cpu]\nbusy_above = 1e400", "f:2:14: source.cpu.busy_above", "not a finite number"),
    ("[source.cpu]\nbusy_above = 1e16", "f:2:14: source.cpu.busy_above", "is too large"),
    (
        "[source.cpu]\nbusy_above = 0x10",
        "f:2:14: source.cpu.busy_above",
        "expected a number above 0",
    ),
    (
        "[source.cpu]\nbusy_above = true",
        "f:2:14: source.cpu.busy_above",
        "expected a number above 0",
    ),
    ("[source.gpu]\nbusy_above = 101", "f:2:14: source.gpu.busy_above", "the largest is 100"),
    ("[source.gpu]\nfloor = -0.5", "f:2:9: source.gpu.floor", "is negative"),
    // Text, lists of text, names.
    ("[source.gpu]\nlibrary = 7", "f:2:11: source.gpu.library = 7: ", "expected text"),
    ("[source.gpu]\nlibrary = \"a\\u001bb\"", "f:2:11: source.gpu.library", "control character"),
    ("[source.cpu]\nunits = \"a.service\"", "f:2:9: source.cpu.units", "expected a list of texts"),
    ("[source.cpu]\nunits = [1]", "f:2:10: source.cpu.units = 1: ", "is a number"),
    (
        "[source.cpu]\nunits = [\"a\", \"a\"]",
        "f:2:15: source.cpu.units = \"a\": ",
        "is listed twice",
    ),
    ("[idle]\npre_stop = \"save.sh\"", "f:2:12: idle.pre_stop", "neither an absolute path nor"),
    ("[idle]\npre_stop = \"/opt/save --now\"", "f:2:12: idle.pre_stop", "without arguments"),
    ("[idle]\npre_stop = \"/opt/../save\"", "f:2:12: idle.pre_stop", "\"..\""),
    ("[idle]\npre_stop = [\"/opt/save\"]", "f:2:12: idle.pre_stop", "is a list"),
    ("[idle]\npre_stop = \"drain@.service\"", "f:2:12: idle.pre_stop", "template"),
    ("[idle]\npre_stop_user = \"Alice Smith\"", "f:2:17: idle.pre_stop_user", "is not a user name"),
    ("[idle]\npre_stop_user = 1000", "f:2:17: idle.pre_stop_user = 1000: ", "is a number"),
    (
        "[interruption]\nhooks = \"/opt/drain\"",
        "f:2:9: interruption.hooks",
        "is text, expected a list",
    ),
    ("[interruption]\nhooks = [\"drain\"]", "f:2:10: interruption.hooks = \"drain\": ", "neither"),
    ("[interruption]\nhooks = [\"\"]", "f:2:10: interruption.hooks = \"\": ", "neither"),
    ("[interruption]\nhooks = [\"stop worker\"]", "f:2:10: interruption.hooks", "neither"),
    (
        "[interruption]\nhooks = [\"kill a.service\"]",
        "f:2:10: interruption.hooks",
        "not a unit name",
    ),
    ("[interruption]\nrebalance = \"stop\"", "f:2:13: interruption.rebalance", "drain"),
    ("[notify]\nwebhook = \"http://example.com\"", "f:2:11: notify.webhook", "this machine alone"),
    ("[notify]\nwebhook = \"/hook\"", "f:2:11: notify.webhook", "not a URL"),
    ("[notify]\nsns_topic = \"spot\"", "f:2:13: notify.sns_topic", "arn:aws:sns:"),
    ("[tags]\nprefix = \"\"", "f:2:10: tags.prefix = \"\": ", "is empty"),
    ("[tags]\nprefix = \"aws:agent:\"", "f:2:10: tags.prefix", "AWS keeps"),
    ("[tags]\nprefix = \"a*\"", "f:2:10: tags.prefix", "contains '*'"),
    ("[tags]\nprefix = 1", "f:2:10: tags.prefix = 1: ", "is a number"),
    // Contradictions.
    (
        "[idle]\nquiet_after = \"40m\"",
        "f:2:15: idle.quiet_after = \"40m\": ",
        "is longer than idle.act_after = \"30m\" (default)",
    ),
    (
        "profile = \"batch\"\n[idle]\nquiet_after = \"11m\"",
        "f:3:15: idle.quiet_after",
        "is longer than idle.act_after = \"10m\" (profile batch)",
    ),
    (
        "[idle]\nact_after = \"10m\"\nwarn_before = [\"1m\", \"10m\"]",
        "f:3:15: idle.warn_before",
        "has 10m, which is not shorter than idle.act_after = \"10m\"",
    ),
    (
        "[hold]\nuser_max = \"73h\"",
        "f:2:12: hold.user_max",
        "is longer than hold.admin_max = \"72h\" (default)",
    ),
    (
        "[hold]\nuser_max = \"2h\"\nadmin_max = \"1h\"",
        "f:2:12: hold.user_max",
        "longer than hold.admin_max",
    ),
    (
        "[idle]\nact_after = \"10s\"\n[sampling]\ninterval = \"5s\"",
        "f:4:12: sampling.interval",
        "fewer than 3 readings",
    ),
    (
        "[idle]\nact_after = \"10m\"\n[source.gpu]\ninterval = \"5m\"",
        "f:4:12: source.gpu.interval",
        "fewer than 3 readings",
    ),
    (
        "[idle]\naction = \"none\"\nfallback = \"stop\"",
        "f:3:12: idle.fallback",
        "contradicts idle.action = \"none\"",
    ),
    (
        "profile = \"service\"\n[idle]\nfallback = \"stop\"",
        "f:3:12: idle.fallback",
        "contradicts idle.action = \"none\" (profile service)",
    ),
    (
        "[idle]\npre_stop = \"save.service\"\npre_stop_user = \"alice\"",
        "f:3:17: idle.pre_stop_user",
        "a unit says itself",
    ),
    (
        "[source.cpu]\nenabled = false\n[source.input]\nenabled = false\n[source.gpu]\nenabled = false",
        "f:6:11: source: ",
        "no source is enabled",
    ),
];

#[test]
fn invalid_configurations_are_refused_with_place_key_and_reason() {
    assert!(INVALID.len() >= 100, "{}", INVALID.len());
    for (text, place, message) in INVALID {
        assert!(try_load(text).is_err(), "accepted:\n{text}");
        let problems = problems(text);
        let told = problems.iter().any(|line| line.starts_with(place) && line.contains(message));
        assert!(told, "\n{text}\nexpected {place:?} … {message:?}, got\n{problems:#?}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_their_lines() {
    let problems = problems(
        "mod = 1\nmode = 2\n[idle]\nact_after = 5\naction = \"x\"\nfoo = 1\n[source.cpu]\nbusy_above = -1\n[x]",
    );
    let lines: Vec<&str> = problems.iter().filter_map(|line| line.split(':').nth(1)).collect();
    assert_eq!(lines, ["1", "2", "4", "5", "6", "8", "9"], "{problems:#?}");
}

#[test]
fn unsafe_values_are_warned_about_and_used() {
    for (text, place, message) in [
        (
            "[interruption]\nhooks = [\"/opt/x\"]\nenabled = false",
            "f:2:9: warning: interruption.hooks",
            "never run",
        ),
        (
            "[idle]\nact_after = \"299s\"",
            "f:2:13: warning: idle.act_after",
            "unsafe for production",
        ),
        ("[idle]\nboot_grace = \"0s\"", "f:2:14: warning: idle.boot_grace", "at least 5m is safe"),
        ("[idle]\nresume_grace = \"1m\"", "f:2:16: warning: idle.resume_grace", "unsafe"),
        ("[idle]\nverify_after = \"30s\"", "f:2:16: warning: idle.verify_after", "unsafe"),
        ("[idle]\nwarn_before = []", "f:2:15: warning: idle.warn_before = []", "no time"),
        ("[idle]\nwarn_before = [\"30s\"]", "f:2:15: warning: idle.warn_before", "no time"),
        ("[idle]\npre_stop_user = \"bob\"", "f:2:17: warning: idle.pre_stop_user", "has no effect"),
        (
            "[idle]\npre_stop_timeout = \"5s\"",
            "f:2:20: warning: idle.pre_stop_timeout",
            "has no effect",
        ),
        (
            "[idle]\naction = \"none\"\npre_stop = \"/opt/x\"",
            "f:3:12: warning: idle.pre_stop",
            "never runs",
        ),
        (
            "[source.input]\nenabled = false",
            "f:2:11: warning: source.input.enabled",
            "no longer keeps",
        ),
        ("[source.cpu]\nbusy_above = 4", "f:2:14: warning: source.cpu.busy_above", "can look idle"),
    ] {
        assert!(try_load(text).is_ok(), "{text}: {:?}", problems(text));
        let problems = problems(text);
        let told = problems.iter().any(|line| line.starts_with(place) && line.contains(message));
        assert!(told, "\n{text}\nexpected {place:?} … {message:?}, got\n{problems:#?}");
    }
}

#[test]
fn a_file_that_is_not_used_is_checked_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc/agentd/config.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("1.toml"), "mode = \"enforcing\"").unwrap();
    fs::write(folder.join("2.toml"), "mode = \"observe\"").unwrap();
    let from = LoadFrom::System { root: root.path().to_path_buf() };
    let error = load(&from, &sources()).unwrap_err();
    assert_eq!(error.files.len(), 2);
    assert!(error.problems[0].to_string().contains("1.toml:1:8: mode"), "{error}");
}

#[test]
fn files_that_contradict_each_other_are_told_with_both_places() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc/agentd/config.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("1.toml"), "[idle]\nact_after = \"10m\"").unwrap();
    fs::write(folder.join("2.toml"), "[idle]\nwarn_before = [\"15m\"]").unwrap();
    let from = LoadFrom::System { root: root.path().to_path_buf() };
    let text = load(&from, &sources()).unwrap_err().problems[0].to_string();
    assert!(text.contains("2.toml:2:15: ") && text.contains("1.toml:2:13)"), "{text}");
}

#[test]
fn a_reload_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agentd.toml");
    fs::write(&file, "[idle]\nact_after = \"20m\"").unwrap();
    let old = load(&LoadFrom::File(file.clone()), &sources()).unwrap();

    fs::write(&file, "mode = \"enforce\"\n[idle]\nact_after = \"soon\"").unwrap();
    let error = reload(&old).unwrap_err();
    assert!(error.to_string().contains("idle.act_after"), "{error}");
    assert_eq!(old.settings.policy.idle.act_after, Duration::from_mins(20));

    fs::write(&file, "mode = \"enforce\"\n[idle]\nact_after = \"25m\"").unwrap();
    let new = reload(&old).unwrap();
    let changes = new.changes(&old);
    let expected =
        [("mode", "\"observe\"", "\"enforce\""), ("idle.act_after", "\"20m\"", "\"25m\"")];
    let seen: Vec<(&str, &str, &str)> =
        changes.iter().map(|(key, old, new)| (key.as_str(), old.as_str(), new.as_str())).collect();
    assert_eq!(seen, expected);

    fs::remove_file(&file).unwrap();
    assert!(reload(&new).is_err(), "a named file must exist");
}

#[test]
fn the_address_of_a_webhook_is_no_part_of_what_the_journal_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agentd.toml");
    fs::write(&file, "").unwrap();
    let old = load(&LoadFrom::File(file.clone()), &sources()).unwrap();
    fs::write(&file, "[notify]\nwebhook = \"https://example.com/s3cret\"").unwrap();
    let new = reload(&old).unwrap();
    let expected = ("notify.webhook".to_owned(), "\"\"".to_owned(), "(not shown)".to_owned());
    assert_eq!(new.changes(&old), [expected]);
    fs::write(&file, "[notify]\nwebhook = \"https:// /s3cret\"").unwrap();
    assert!(!reload(&new).unwrap_err().to_string().contains("s3cret"));
}

#[test]
fn a_flood_of_problems_is_bounded() {
    let lines: Vec<String> = (0..5_000).map(|number| format!("k{number} = 1")).collect();
    let text = lines.join("\n");
    let error = try_load(&text).unwrap_err();
    assert_eq!(error.problems.len(), MOST_PROBLEMS);
    assert_eq!(error.more, 5_000 - MOST_PROBLEMS);
    let deep = format!("a = {}1{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(try_load(&deep).is_err());
    let long = format!("{} = 1", "k".repeat(200_000));
    assert!(problems(&long)[0].len() < 400);
}

fn fragment() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("mode"),
        Just("idle"),
        Just("act_after"),
        Just("warn_before"),
        Just("source"),
        Just("cpu"),
        Just("busy_above"),
        Just("[idle]"),
        Just("[[idle]]"),
        Just("[source.gpu]"),
        Just("="),
        Just("\n"),
        Just("\"10m\""),
        Just("\"enforce\""),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just("."),
        Just(","),
        Just("-1"),
        Just("1e9"),
        Just("nan"),
        Just("true"),
        Just("#"),
        Just("\""),
        Just("'''"),
        Just("\u{feff}"),
        Just("interval"),
        Just("\"auto\""),
        Just("ß"),
        Just(" "),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = try_load(&text).map(|loaded| show(&loaded));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, bytes).unwrap();
        let _ = check(&load(&LoadFrom::File(file), &sources()));
    }

    #[test]
    fn nothing_like_a_configuration_panics(text in fragment()) {
        let _ = check(&try_load(&text));
    }

    #[test]
    fn whatever_is_accepted_keeps_the_promises_of_the_policy(
        act in 1_u64..3_000, quiet in proptest::option::of(1_u64..3_000), warn in 1_u64..3_000,
    ) {
        let quiet = quiet.map(|quiet| format!("quiet_after = \"{quiet}s\"\n")).unwrap_or_default();
        let text = format!("[idle]\nact_after = \"{act}s\"\n{quiet}warn_before = [\"{warn}s\"]");
        if let Ok(loaded) = try_load(&text) {
            let idle = &loaded.settings.policy.idle;
            prop_assert!(idle.quiet_after <= idle.act_after);
            prop_assert!(idle.warn_before.iter().all(|before| *before < idle.act_after));
            prop_assert!(loaded.settings.sampling * 2 <= idle.act_after);
            prop_assert!(loaded.settings.policy.gap >= loaded.settings.sampling * 6
                || loaded.settings.policy.gap == Duration::from_mins(1));
        }
    }
}
