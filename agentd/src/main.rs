//! The daemon's program: its arguments, its runtime, its exit status.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agentd::config::{LoadFrom, duration};
use agentd::config_command::{self, ConfigQuestion, ConfigRequest};
use agentd::host::HostRoot;
use agentd::run::{self, Options};
use agentd::simulate::{self, ExportRequest, SimulateRequest, SimulateTask};
use clap::{Args, Parser, Subcommand};

/// Watches its own EC2 instance, and hibernates or stops it when nobody needs it.
///
/// Started by systemd as agentd.service. 'agentctl status' shows what it sees and will do.
#[derive(Debug, Parser)]
#[command(
    name = "agentd",
    version,
    max_term_width = 100,
    after_help = "Files: /etc/agentd/agentd.toml, /etc/agentd/config.d/*.toml\nSee: agentd(8), agentd.toml(5), agentctl(1)"
)]
struct Arguments {
    /// Read this configuration file alone, and no fragments.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Keep the state here.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/agentd")]
    state_dir: PathBuf,
    /// Look /proc, /sys, /dev and /run up below this folder, and use no message bus.
    #[arg(long, value_name = "DIR", default_value = "/", global = true)]
    host_root: PathBuf,
    /// Live by the time that a test tells on this socket. Refused on a live machine.
    #[arg(long, value_name = "SOCKET", hide = true)]
    virtual_clock: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Look at the configuration; the running agent is not asked.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Replay the recording or a trace under a policy; the running agent is not asked.
    Simulate(SimulateArgs),
    /// Write the standard input to terminals, and name those that took it.
    ///
    /// systemd runs this for the agent, which itself may not write to terminals that take no messages.
    #[command(hide = true)]
    WriteTerminals {
        /// The terminals, `pts/3`.
        names: Vec<String>,
    },
    /// Print the times of the jobs that users gave to cron and at.
    ///
    /// systemd runs this for the agent, to which they are closed.
    #[command(hide = true)]
    ReadSchedules,
    /// Print when the timers of a user's manager fire.
    ///
    /// systemd runs this for the agent, as that user.
    #[command(hide = true)]
    ReadTimers {
        /// The private socket of the manager.
        socket: PathBuf,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
struct SimulateArgs {
    /// Lay this configuration over the one of this machine.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Replay only this last while of the recording: 12h, 7d.
    #[arg(long, value_name = "SPAN", value_parser = duration::parse, conflicts_with = "trace")]
    since: Option<Duration>,
    /// Replay this trace instead of the recording; '-' is standard input.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Tell what is saved at this price, US dollars an hour.
    #[arg(long, value_name = "USD", value_parser = price)]
    price: Option<f64>,
    /// Show everything that happens, also what leads to nothing.
    #[arg(long)]
    all: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Show times in UTC.
    #[arg(long)]
    utc: bool,
    /// Replay nothing; write the trace to this file as plain lines. '-' is standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "price", "all", "json", "utc"])]
    export: Option<PathBuf>,
    /// Replace the names of users and programs in what is written.
    #[arg(long, requires = "export")]
    anonymise: bool,
}

/// A price that makes sense.
fn price(text: &str) -> Result<f64, String> {
    let price = text.parse::<f64>().map_err(|_| "expected a number such as 0.42".to_owned())?;
    let sensible = (0.0..=100_000.0).contains(&price);
    if sensible { Ok(price) } else { Err("expected a number from 0".to_owned()) }
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Say what is wrong with it, with file, line and key; exit with 7 if anything is.
    Check {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Print every value that is in force, and where it comes from.
    Show {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Say what a key means, its type, its default, and its value here.
    Explain {
        /// The key, as in `idle.act_after`.
        key: String,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// How long a helper thread outlives its work: not at all, practically. Between two readings there is one thread.
const THREAD_KEEP_ALIVE: Duration = Duration::from_millis(20);
/// Fast lane, GPU, and some that hang.
const MOST_THREADS: usize = 8;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let from = match &arguments.config {
        Some(file) => LoadFrom::File(file.clone()),
        None => LoadFrom::System { root: PathBuf::from("/") },
    };
    match arguments.command {
        Some(Verb::Config { verb }) => {
            let host = HostRoot::at(&arguments.host_root);
            config_command::print_config(&from, &host, &into_request(verb))
        }
        Some(Verb::Simulate(args)) => {
            simulate::simulate(&from, &arguments.state_dir, &into_simulation(args))
        }
        Some(Verb::WriteTerminals { names }) => {
            agentd::actuators::write_from_stdin(&HostRoot::at(&arguments.host_root), &names)
        }
        Some(Verb::ReadSchedules) => {
            agentd::sources::cron::print_schedules(&HostRoot::at(&arguments.host_root))
        }
        Some(Verb::ReadTimers { socket }) => {
            agentd::sources::timers::print_timers(&HostRoot::at(&arguments.host_root), &socket)
        }
        None => daemon(Options {
            config: from,
            state_dir: arguments.state_dir,
            host_root: arguments.host_root,
            virtual_clock: arguments.virtual_clock,
        }),
    }
}

fn into_request(verb: ConfigVerb) -> ConfigRequest {
    match verb {
        ConfigVerb::Check { json } => ConfigRequest { json, what: ConfigQuestion::Check },
        ConfigVerb::Show { json } => ConfigRequest { json, what: ConfigQuestion::Show },
        ConfigVerb::Explain { key, json } => {
            ConfigRequest { json, what: ConfigQuestion::Explain(key) }
        }
    }
}

fn into_simulation(args: SimulateArgs) -> SimulateRequest {
    let SimulateArgs { policy, since, trace, price, all, json, utc, export, anonymise } = args;
    let task = match export {
        Some(to) => SimulateTask::Export(ExportRequest { to, anonymise }),
        None => SimulateTask::Replay { policy, price, all, json, utc },
    };
    SimulateRequest { trace, since, task }
}

fn daemon(options: Options) -> ExitCode {
    agentd::aws::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .max_blocking_threads(MOST_THREADS)
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let local = tokio::task::LocalSet::new();
            let result = local.block_on(&runtime, run::run(options));
            // A source that hangs must not keep the process from ending.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(run::RunError::Runtime(error)),
    };
    run::report(result)
}
