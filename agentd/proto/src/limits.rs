//! What the agent accepts at most. Everything that a client controls has a limit: bytes, connections, rate, time.

use core::time::Duration;

/// Bytes of a request's head (request line and headers).
pub const HEAD_BYTES: usize = 8 * 1024;

/// Headers of a request.
pub const HEADERS: usize = 32;

/// Bytes of a request's body.
pub const BODY_BYTES: usize = 4 * 1024;

/// Bytes of a path with its query.
pub const PATH_BYTES: usize = 512;

/// Connections in all.
pub const CONNECTIONS: usize = 64;

/// Connections of all that are kept for root, so that an administrator can always look.
pub const ROOT_RESERVE: usize = 8;

/// Connections of one user other than root.
pub const CONNECTIONS_PER_USER: usize = 16;

/// Event streams in all.
pub const STREAMS: usize = 8;

/// Event streams of one user other than root.
pub const STREAMS_PER_USER: usize = 4;

/// Requests of one user, a second, on average.
pub const REQUESTS_PER_SECOND: u32 = 20;

/// Requests of one user at once, after a pause.
pub const REQUEST_BURST: u32 = 40;

/// Root may ask this many times as often: it watches the fleet's machines with short-lived programs.
pub const ROOT_RATE_FACTOR: u32 = 10;

/// For a whole head, a whole body, one blocked write, and a connection without a request.
pub const IO_DEADLINE: Duration = Duration::from_secs(5);

/// For the engine's answer to a command.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(5);

/// For all checks of the doctor, which asks EC2.
pub const DOCTOR_DEADLINE: Duration = Duration::from_secs(25);

/// For as long a doctor's answer is handed out again instead of asking EC2 anew.
pub const DOCTOR_FRESH: Duration = Duration::from_secs(10);

/// An event stream says at least this often that it is alive, by an empty line.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// Events that are kept for a client that asks for earlier ones.
pub const EVENTS_KEPT: usize = 1_000;

/// Characters of a hold's reason.
pub const REASON_CHARS: usize = 200;

/// The shortest time to the deadline of a drill.
pub const DRILL_SHORTEST: Duration = Duration::from_secs(5);

/// The longest time to the deadline of a drill.
pub const DRILL_LONGEST: Duration = Duration::from_hours(1);

/// The time to the deadline of a drill unless it is said: what EC2 gives for a stop or a termination.
pub const DRILL_DEFAULT: Duration = Duration::from_mins(2);

/// Signals of one source that one document lists; the rest is counted.
pub const SIGNALS_SHOWN: usize = 200;

/// Bytes of a reply that a client reads.
pub const REPLY_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of one line of the event stream that a client reads.
pub const EVENT_BYTES: usize = 64 * 1024;

/// For as long a client tries again while the socket exists and nobody listens yet: the agent is starting.
pub const STARTING: Duration = Duration::from_secs(2);

/// A picture older than this is not a picture: the agent's decision loop does not run.
pub const STALE: Duration = Duration::from_mins(2);
