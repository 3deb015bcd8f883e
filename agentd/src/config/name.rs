//! The grammars of names that reach outside agentd: programs, units, users, tag keys.

/// What systemd accepts as the end of a unit name that a hook can start (systemd.unit(5)).
const UNIT_TYPES: [&str; 2] = [".service", ".target"];

/// The longest unit name (systemd.unit(5)).
const LONGEST_UNIT: usize = 255;

/// The longest user name (useradd(8)).
const LONGEST_USER: usize = 32;

/// A tag key has at most 128 characters ("Tag your Amazon EC2 resources", restrictions); the longest name that
/// follows the prefix, `last-action`, must still fit.
const LONGEST_PREFIX: usize = 128 - "last-action".len();

/// Checks an absolute path or a unit name.
pub(super) fn command(text: &str) -> Result<(), String> {
    if text.starts_with('/') { path(text) } else { unit(text) }
}

/// Checks an absolute path, a unit name, or nothing.
pub(super) fn optional_command(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { command(text) }
}

/// Checks a hook of an interruption: an absolute path, a unit name, `start UNIT` or `stop UNIT`.
pub(super) fn hook(text: &str) -> Result<(), String> {
    match text.split_once(' ') {
        Some(("start" | "stop", name)) => unit(name),
        _ => command(text),
    }
}

/// Checks the URL of a webhook or nothing. What it says may be secret, so it is never sent in the clear over a network.
pub(super) fn optional_webhook(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let url = reqwest::Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        "http" => {
            Err("begins with http://, which is for this machine alone; expected https://"
                .to_owned())
        }
        _ => Err("is no address on the web, expected one that begins with https://".to_owned()),
    }
}

/// Checks the ARN of an SNS topic or nothing (Service Authorization Reference, "Resource types defined by Amazon SNS").
pub(super) fn optional_topic(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let parts: Vec<&str> = text.split(':').collect();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match parts.as_slice() {
        ["arn", partition, "sns", region, account, topic]
            if partition.starts_with("aws")
                && !region.is_empty()
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && !topic.is_empty()
                && topic.chars().all(legal) =>
        {
            Ok(())
        }
        _ => Err(
            "is not the ARN of a topic, expected such as \"arn:aws:sns:eu-central-1:123456789012:interruptions\""
                .to_owned(),
        ),
    }
}

fn path(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_whitespace) {
        return Err("contains a blank: a program runs without a shell and without arguments; \
                    name a script that runs it"
            .to_owned());
    }
    if text.split('/').any(|part| part == "..") {
        return Err("contains \"..\", expected the real path".to_owned());
    }
    if text.ends_with('/') {
        return Err("names a folder, expected a program".to_owned());
    }
    Ok(())
}

fn unit(text: &str) -> Result<(), String> {
    let Some(stem) = UNIT_TYPES.iter().find_map(|kind| text.strip_suffix(kind)) else {
        return Err(
            "is neither an absolute path nor the name of a .service or .target unit".to_owned()
        );
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if stem.is_empty() || text.len() > LONGEST_UNIT || !stem.chars().all(legal) {
        return Err("is not a unit name".to_owned());
    }
    if stem.ends_with('@') || stem.starts_with('@') {
        return Err(
            "is a template without an instance, expected such as \"drain@now.service\"".to_owned()
        );
    }
    Ok(())
}

/// The kinds of units that can have processes (systemd.unit(5)).
const WORKING_TYPES: [&str; 4] = ["service", "scope", "mount", "socket"];

/// The longest name of a process: `TASK_COMM_LEN` of `include/linux/sched.h`, less its final zero.
const LONGEST_PROCESS: usize = 15;

/// Checks the name of a unit that may do work, with or without `.service`. A name that could never match is refused: a
/// setting without effect is worse than none.
pub(super) fn work_unit(text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if text.is_empty() || text.len() > LONGEST_UNIT || !text.chars().all(legal) {
        return Err("is not a unit name".to_owned());
    }
    if text.ends_with('@') || text.starts_with('@') || text.contains("@.") {
        return Err(
            "is a template, which never runs; expected such as \"game@one.service\"".to_owned()
        );
    }
    let Some((_, kind)) = text.rsplit_once('.') else { return Ok(()) };
    if WORKING_TYPES.contains(&kind) {
        return Ok(());
    }
    let near = super::nearest::of(kind, WORKING_TYPES.iter().copied());
    let near = near.map(|near| format!("; did you mean .{near}?")).unwrap_or_default();
    Err(format!(
        "can never match: no unit with processes ends with .{kind}{near} (a name with a dot is written with its ending)"
    ))
}

/// Checks the name of a program as the kernel shows it.
pub(super) fn process(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty, expected the name of a program".to_owned());
    }
    if text.len() > LONGEST_PROCESS {
        let cut: String = text.chars().take(LONGEST_PROCESS).collect();
        return Err(format!(
            "can never match: the kernel cuts names of processes at {LONGEST_PROCESS} bytes; expected \"{cut}\""
        ));
    }
    if text.contains('/') {
        return Err("is a path, expected the name of the program alone".to_owned());
    }
    Ok(())
}

/// Whether a checked command is a unit rather than a path.
pub(super) fn is_unit(command: &str) -> bool {
    !command.is_empty() && !command.starts_with('/')
}

/// Checks a user name or nothing.
pub(super) fn optional_user(text: &str) -> Result<(), String> {
    let mut letters = text.chars();
    let first = letters.next().is_none_or(|c| c.is_ascii_lowercase() || c == '_');
    let rest = letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
    if first && rest && text.len() <= LONGEST_USER {
        Ok(())
    } else {
        Err("is not a user name (lower-case letters, digits, - and _)".to_owned())
    }
}

/// Checks the beginning of a tag key.
pub(super) fn tag_prefix(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty, expected the beginning of a tag key such as \"agentd:\"".to_owned());
    }
    if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err("begins with \"aws:\", which AWS keeps for itself".to_owned());
    }
    if let Some(bad) = text.chars().find(|c| !(c.is_alphanumeric() || " _.:/=+-@".contains(*c))) {
        return Err(format!(
            "contains '{}', which a tag key may not; letters, digits, blanks and _ . : / = + - @ are allowed",
            bad.escape_default()
        ));
    }
    if text.chars().count() > LONGEST_PREFIX {
        return Err(format!("is longer than {LONGEST_PREFIX} characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_units_are_commands() {
        for good in [
            "/usr/local/bin/drain",
            "/opt/a..b/run.sh",
            "drain.service",
            "drain@now.service",
            "before-stop.target",
            "a\\x2db.service",
        ] {
            assert_eq!(command(good), Ok(()), "{good}");
        }
        assert_eq!(optional_command(""), Ok(()));
    }

    #[test]
    fn other_texts_are_no_commands() {
        for (bad, expected) in [
            ("", "neither"),
            ("drain", "neither"),
            ("bin/drain", "neither"),
            ("drain.timer", "neither"),
            ("/usr/bin/drain --all", "without arguments"),
            ("/usr/bin/../bin/drain", "\"..\""),
            ("/usr/bin/", "folder"),
            ("/", "folder"),
            (".service", "not a unit name"),
            ("a b.service", "not a unit name"),
            ("dräin.service", "not a unit name"),
            ("drain@.service", "template"),
            ("@x@.service", "template"),
        ] {
            let error = command(bad).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
        assert!(command(&format!("{}.service", "a".repeat(255))).is_err());
    }

    #[test]
    fn units_that_could_never_match_are_refused() {
        for good in
            ["smbd", "smbd.service", "game@one.service", "mnt-data.mount", "docker-0a.scope"]
        {
            assert_eq!(work_unit(good), Ok(()), "{good}");
        }
        for (bad, expected) in [
            ("", "not a unit name"),
            ("smbd.sevice", "did you mean .service?"),
            ("backup.timer", "can never match"),
            ("game@.service", "template"),
            ("a b", "not a unit name"),
        ] {
            let error = work_unit(bad).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn names_of_programs_that_the_kernel_cuts_are_refused() {
        assert_eq!(process("gitlab-runner"), Ok(()));
        for (bad, expected) in [
            ("", "empty"),
            ("amazon-ssm-agent-worker", "expected \"amazon-ssm-agen\""),
            ("/usr/bin/x", "a path"),
        ] {
            let error = process(bad).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn units_are_told_from_paths() {
        assert!(is_unit("drain.service"));
        assert!(!is_unit("/usr/bin/drain"));
        assert!(!is_unit(""));
    }

    #[test]
    fn user_names_are_those_of_useradd() {
        for good in ["", "root", "_apt", "www-data", "a1"] {
            assert_eq!(optional_user(good), Ok(()), "{good}");
        }
        for bad in ["Root", "1a", "a b", "a:b", "-a", &"a".repeat(33)] {
            assert!(optional_user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tag_prefixes_are_what_ec2_accepts() {
        for good in ["agentd:", "team/agent.", "Größe=", "a b"] {
            assert_eq!(tag_prefix(good), Ok(()), "{good}");
        }
        for bad in ["", "aws:", "AWS:x", "a*b", "a<b", "a,b", &"x".repeat(118)] {
            assert!(tag_prefix(bad).is_err(), "{bad}");
        }
        assert_eq!(tag_prefix(&"x".repeat(117)), Ok(()));
    }
}
