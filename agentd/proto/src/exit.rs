//! The exit codes of `agentctl` (and of `agentd config …`).

/// Why a program ended. 194 is never used: the SSM agent of EC2 takes it as a request to reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Fine = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The agent cannot be reached.
    NotReachable = 3,
    /// The caller may not do this.
    NotPermitted = 4,
    /// Local policy or a guard refused.
    Refused = 5,
    /// A required source cannot be read.
    Blind = 6,
    /// The configuration is wrong.
    BadConfiguration = 7,
}

impl ExitCode {
    /// Every code, for documentation.
    pub const ALL: [Self; 8] = [
        Self::Fine,
        Self::Failed,
        Self::Usage,
        Self::NotReachable,
        Self::NotPermitted,
        Self::Refused,
        Self::Blind,
        Self::BadConfiguration,
    ];

    /// What it means, as a fragment for a table.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Failed => "failed",
            Self::Usage => "wrong usage",
            Self::NotReachable => "the agent cannot be reached",
            Self::NotPermitted => "not permitted",
            Self::Refused => "refused by policy",
            Self::Blind => "a required source cannot be read",
            Self::BadConfiguration => "bad configuration",
        }
    }

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_scripts_rely_on() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(!codes.contains(&194), "the SSM agent would reboot the machine");
    }

    #[test]
    fn every_code_is_explained() {
        for code in ExitCode::ALL {
            assert!(!code.meaning().is_empty(), "{code:?}");
        }
    }
}
