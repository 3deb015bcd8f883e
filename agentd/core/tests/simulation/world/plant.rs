//! Faults that are planted on purpose, outside of the engine: the checks must find each of them.

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A blind source is taken for one that saw nothing.
    BlindIsNothing,
    /// The recheck answers from a cache.
    StaleRecheck,
    /// Only the first durable state is ever saved, and actions run all the same.
    SavedOnce,
    /// The durable state is saved after the actions have begun.
    SavedTooLate,
    /// A restarted agent forgets that the hook was started.
    HookForgotten,
    /// Holds are promised and not kept.
    HoldsIgnored,
    /// A lost answer is taken for a failure that may be tried again.
    LostIsFailed,
    /// Warnings are not delivered.
    SilentWarnings,
    /// The clock stops while the machine sleeps, and nobody tells of the resume.
    ClockThatSleeps,
    /// A reloaded policy does not reach the engine.
    PolicyIgnored,
    /// Jobs in the foreground are not told.
    PresenceIgnored,
}

/// All of them.
pub const ALL: [Plant; 11] = [
    Plant::BlindIsNothing,
    Plant::StaleRecheck,
    Plant::SavedOnce,
    Plant::SavedTooLate,
    Plant::HookForgotten,
    Plant::HoldsIgnored,
    Plant::LostIsFailed,
    Plant::SilentWarnings,
    Plant::ClockThatSleeps,
    Plant::PolicyIgnored,
    Plant::PresenceIgnored,
];
