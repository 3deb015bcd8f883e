//! The `MESSAGE_ID`s: 128 random bits each (sd-id128, `systemd-id128 new`), fixed for ever. Others search by them, so
//! an id is never given to another event.

/// The id of a kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The name, as in the field `AGENTD_EVENT`.
    pub name: &'static str,
    /// 32 hexadecimal digits.
    pub hex: &'static str,
}

macro_rules! message_ids {
    ($($(#[$about:meta])+ $name:ident = $word:literal, $hex:literal;)+) => {
        $($(#[$about])+ pub const $name: MessageId = MessageId { name: $word, hex: $hex };)+

        /// Every id.
        pub const ALL: &[MessageId] = &[$($name),+];
    };
}

message_ids! {
    /// Something uses the machine again.
    BECAME_ACTIVE = "became-active", "383f715cba11430abcfa73106e219925";
    /// Nothing has used the machine for a while.
    BECAME_QUIET = "became-quiet", "70ccaa9a0e344b7ba4b2d7a794392c66";
    /// People were warned.
    WARNED = "warned", "ed3005b443ab4184874631150d2480b0";
    /// A due action was called off.
    CALLED_OFF = "called-off", "7e6c59daf41e47278a5da4981e7d1816";
    /// The pre-stop hook starts.
    HOOK_STARTED = "hook-started", "8591e58cb2884df5857ccd127687ee23";
    /// The pre-stop hook ended, well or not.
    HOOK_ENDED = "hook-ended", "1ac00c8918ed410290562a279e0872e4";
    /// The pre-stop hook of an earlier run is not run again.
    HOOK_NOT_REPEATED = "hook-not-repeated", "56767647f2b34f89a0772f3eb35b0945";
    /// EC2 is being asked.
    ASKING = "asking", "f6c2991b698b438883f4d8c2c7280455";
    /// EC2 accepted.
    ACCEPTED = "accepted", "373bfe5ebe664e6caef5a19e05fcd68c";
    /// EC2 or preflight refused for good.
    REFUSED = "refused", "ba173f1a37f346ed97e7edbf20e0fa8f";
    /// The call failed.
    FAILED = "failed", "400975d894854dcb8f7a4d1fb4016b03";
    /// A stop takes the place of a hibernation.
    FELL_BACK = "fell-back", "370a58f9f64c4deb8ae61662dda5bc33";
    /// Only observing: it would have acted.
    WOULD_ACT = "would-act", "da98df7f29ca4dc9b5de483f5d0203b5";
    /// Back from hibernation with its memory.
    HIBERNATED = "hibernated", "192ee74ce7944e9a95aa16985902f344";
    /// To be hibernated, came back without its memory.
    COLD_BOOT = "cold-boot", "3610aa9ac63a4e3eaf7678f3a7c98917";
    /// Stopped as asked and started again.
    STOPPED_AND_STARTED = "stopped-and-started", "f159fb4609564ba5bcdfcfde41695fa4";
    /// Accepted, and the machine never went down.
    NEVER_STOPPED = "never-stopped", "dda17da266fa4d24a614a65050ffdf13";
    /// The machine was resumed.
    RESUMED = "resumed", "a90e6bf5b473480aae10cdc45981f0ae";
    /// The agent could not look for a while.
    GAP = "gap", "fbd2c56904ca473e87d01c3d80f50dce";
    /// A source became blind.
    SOURCE_BLIND = "source-blind", "d6825f50e75b4dc995fb86a9b4d6fbfc";
    /// A source can be read again.
    SOURCE_BACK = "source-back", "b6f6cfcca6e047cfa6e04b859f8008d6";
    /// A hold was made.
    HOLD_MADE = "hold-made", "2561980bc8ca49909ad5c2ccd98c41cc";
    /// A hold ended.
    HOLD_ENDED = "hold-ended", "1f1d61cd5bcb4c5d9bbbe7d29ffa9df5";
    /// A block outlived its cap.
    BLOCK_EXPIRED = "block-expired", "8d4d7ec3b5e04d53a3b4d08d9adb8dbf";
    /// Stopped and started again by people in a loop.
    LOOPING = "looping", "d36649c7d42b46de9df9189076b2541f";
    /// The instance's tags ask for something else.
    WISHED = "wished", "fd88d93fa8314d15a5c058916577eeb5";
    /// A changed policy is in force.
    POLICY_CHANGED = "policy-changed", "816e699ffc2e4671aabc06b514b74019";
    /// Something that cannot happen did.
    UNEXPECTED = "unexpected", "7cd90a5b3d474895a2726a580bf1d558";
    /// The agent started.
    STARTED = "started", "a652d47a62484ade9ce79caae4e57d38";
    /// The agent stops.
    STOPPING = "stopping", "eabf575fe2ba4e3686af9e3f741478b2";
    /// A configuration was loaded.
    CONFIG_LOADED = "config-loaded", "28ecdb12174a4b32bc2025485e0e2ebb";
    /// A value of the configuration is unsafe.
    CONFIG_WARNING = "config-warning", "87fbba11690746c986eb24ddb8866a24";
    /// A configuration was refused.
    CONFIG_REJECTED = "config-rejected", "03717d7d571643f0badfa42674cf079f";
    /// The instance knows who it is.
    IDENTITY_KNOWN = "identity-known", "39a19469152d4496bc570fb94c24d92d";
    /// The instance does not know who it is.
    IDENTITY_UNKNOWN = "identity-unknown", "9d8118f1653745c9aef53c3496d8d936";
    /// Preflight found out what this instance can do.
    PREFLIGHT_RESULT = "preflight-result", "a19cd31f63f84035b3e01964841a3f55";
    /// Preflight could not find out.
    PREFLIGHT_FAILED = "preflight-failed", "04b2990dea564bab80f6ad149347f77a";
    /// The state of an earlier run was taken over.
    STATE_RESTORED = "state-restored", "a8adda91b1804ea3b58d4e5d5fe25ca6";
    /// The state file cannot be believed.
    STATE_CORRUPT = "state-corrupt", "b4287f5ecf5c4306a00dc9afd8ff6f5b";
    /// The state or the ledger cannot be written.
    STATE_UNWRITABLE = "state-unwritable", "ada38b1ba0a94dd1b1c3e80898358470";
    /// The end of the ledger was torn by a crash.
    LEDGER_TORN = "ledger-torn", "f9af1b3a192744ff85018bb392c70013";
    /// A source was opened.
    SOURCE_OPENED = "source-opened", "559f656b48884a9d859970cd7b7db3ec";
    /// The machine does not have what a source reads.
    SOURCE_ABSENT = "source-absent", "429cf1f060424b2db7013685f8717210";
    /// The system bus cannot be reached.
    BUS_UNAVAILABLE = "bus-unavailable", "7bbb4db4a620416c9c18a60f22b50ba6";
    /// The local interface cannot be served.
    SOCKET_FAILED = "socket-failed", "384905f9305b4f16921275c9abe7a8b1";
    /// The tags were written.
    TAGS_WRITTEN = "tags-written", "fee6b55f404449ec9ca375a67dfce1b0";
    /// The tags could not be written.
    TAGS_FAILED = "tags-failed", "e0b04de243864bbfa0b7dd032f15c0c7";
    /// To whom a warning went.
    WARNING_DELIVERED = "warning-delivered", "1fa66cae1dec4b5a974b22e739c7a3a3";
    /// A tag of the instance is not understood.
    TAG_REJECTED = "tag-rejected", "6ba9934f41584a309a3092e3c7373c5c";
    /// A report was written.
    REPORT_WRITTEN = "report-written", "a65f8969b4014285ad14ae36b016f906";
    /// A person gave a command.
    COMMAND_GIVEN = "command-given", "f757879fc13a4308b7ddf5baf1f2436e";
    /// Another agent runs already.
    ALREADY_RUNNING = "already-running", "5e7f84e65e604c41a2dd91d5f5c9ed79";
    // Interruptions and who was told of them.
    /// EC2 announces something.
    NOTICED = "noticed", "98ca0499e68a421f96e0fdfa7182f2a2";
    /// The deadline of a notice moved to an earlier time.
    NOTICE_MOVED = "notice-moved", "c5d0f476ed5c4bc99bd2aa7bd89cf0db";
    /// A notice that cannot be true any more, or not yet.
    NOTICE_STALE = "notice-stale", "3ee2e2afe6384ceebaffd4ea7b19a7c3";
    /// A notice has passed.
    ALERT_OVER = "alert-over", "702ecdff31bd4fba902d0f3a5ad42903";
    /// The hooks of a notice begin.
    DRAIN_STARTED = "drain-started", "e699af257c174193b2c16c24c7440a39";
    /// One hook of a notice ended.
    DRAIN_HOOK_ENDED = "drain-hook-ended", "b285fef5a78b44b2a2c9f064acdc54d3";
    /// The last hook of a notice ended.
    DRAIN_ENDED = "drain-ended", "794a84a3b1f0497a8bea6b864095cbba";
    /// Only observing: the hooks would have run.
    WOULD_DRAIN = "would-drain", "dd51a9010be74cf8a3cd80d437463fe2";
    /// The Auto Scaling group has another plan for this instance.
    TARGET_CHANGED = "target-changed", "2a27ac4489d041d9a4070959a1d0c23e";
    /// Auto Scaling answered.
    GROUP_ANSWERED = "group-answered", "a65f531409274be7a115b6285e770f0a";
    /// Who was told of a notice, and who was not.
    NOTIFICATION_DELIVERED = "notification-delivered", "62e47553159e41439a523ee8d446829e";
    /// Nothing can be said about a kind of notice.
    NOTICES_BLIND = "notices-blind", "175cad8ccd4a44619fb051126d3a1171";
    /// A kind of notice can be seen again.
    NOTICES_SEEN = "notices-seen", "20ebab8996d640eebbb9f49da84683d0";
    /// EC2 says something about an interruption that cannot be understood.
    NOTICE_GARBLED = "notice-garbled", "d5cb25204a45498293608a6847880d2c";
}
