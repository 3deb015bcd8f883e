//! The profiles: presets of keys for kinds of machines. `research` is the defaults themselves.

/// A named set of presets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name, as in `profile = "batch"`.
    pub name: &'static str,
    /// What kind of machine it is for, one sentence.
    pub about: &'static str,
    /// Keys and their values as TOML, where they differ from the defaults. Keys of sources that this agentd does not
    /// have are passed over.
    pub presets: &'static [(&'static str, &'static str)],
}

/// Every profile.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "research",
        about: "A person's workstation in the cloud: thirty minutes, hibernate, else stop.",
        presets: &[],
    },
    Profile {
        name: "ml-training",
        about: "An expensive machine with a clear GPU signal; GPU memory is lost anyway, so it stops.",
        presets: &[
            ("idle.act_after", "\"20m\""),
            ("idle.connected_after", "\"1h\""),
            ("idle.action", "\"stop\""),
        ],
    },
    Profile {
        name: "desktop",
        about: "A remote desktop, whose compositor and encoder are never quite idle.",
        presets: &[
            ("idle.connected_after", "\"30m\""),
            ("source.cpu.busy_above", "0.5"),
            ("source.gpu.busy_above", "10"),
        ],
    },
    Profile {
        name: "batch",
        about: "Jobs that end crisply: stop ten minutes after the last.",
        presets: &[
            ("idle.quiet_after", "\"2m\""),
            ("idle.act_after", "\"10m\""),
            ("idle.connected_after", "\"1h\""),
            ("idle.action", "\"stop\""),
            ("idle.warn_before", "[\"5m\", \"1m\"]"),
        ],
    },
    Profile {
        name: "notebook",
        about: "Notebooks: people think longer between two cells.",
        presets: &[("idle.act_after", "\"45m\"")],
    },
    Profile {
        name: "ci-runner",
        about: "Short jobs without people: stop after ten minutes.",
        presets: &[
            ("idle.quiet_after", "\"2m\""),
            ("idle.act_after", "\"10m\""),
            ("idle.action", "\"stop\""),
            ("idle.warn_before", "[\"2m\"]"),
        ],
    },
    Profile {
        name: "service",
        about: "A server or a database, which cannot be told from an idle machine: never acts.",
        presets: &[("idle.action", "\"none\"")],
    },
    Profile {
        name: "sandbox",
        about: "A machine to try things on: stop after fifteen minutes.",
        presets: &[
            ("idle.act_after", "\"15m\""),
            ("idle.action", "\"stop\""),
            ("idle.warn_before", "[\"5m\", \"1m\"]"),
        ],
    },
];

/// The profile of a name.
pub fn named(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::keys::PROFILE_NAMES;
    use super::super::tests::schema;
    use super::super::value::read_literal;
    use super::*;

    #[test]
    fn the_names_are_those_that_the_key_accepts() {
        let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
        assert_eq!(names, PROFILE_NAMES);
    }

    #[test]
    fn every_preset_is_of_a_known_key_and_fits_it() {
        let schema = schema();
        for profile in PROFILES {
            assert!(profile.about.ends_with('.'), "{}", profile.name);
            for (name, literal) in profile.presets {
                let key = schema.key(name).unwrap_or_else(|| panic!("{}: {name}", profile.name));
                let value = read_literal(key.kind, literal);
                assert!(value.is_ok(), "{}: {name} = {literal}: {value:?}", profile.name);
                assert_ne!(value.ok().as_ref(), Some(&key.default), "{}: {name}", profile.name);
            }
        }
    }
}
