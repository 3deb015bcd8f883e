//! The simulated world as a program: the metadata service and the EC2 API of one instance, until it is ended.
//!
//! ```text
//! simulated-world [--imds ADDR] [--ec2 ADDR] [--upstream ADDR] [--control ADDR] [--instance ID] [--region NAME]
//! ```
//! Addresses are `IP:PORT`; port 0 takes a free one. With `--upstream` the EC2 API stands in front of that server
//! (such as `moto_server`). What it listens on is printed as shell assignments, one a line.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use agent_tests::control::Control;
use agent_tests::instance::Instance;
use agent_tests::world::World;

/// What the command line asks for.
struct Options {
    imds: SocketAddr,
    ec2: SocketAddr,
    upstream: Option<SocketAddr>,
    control: SocketAddr,
    instance: Instance,
}

impl Options {
    fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let instance = Instance::default();
        let mut options = Self { imds: free, ec2: free, upstream: None, control: free, instance };
        let mut words = words.skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let address = || value.parse().map_err(|why| format!("{word} {value}: {why}"));
            match word.as_str() {
                "--imds" => options.imds = address()?,
                "--ec2" => options.ec2 = address()?,
                "--upstream" => options.upstream = Some(address()?),
                "--control" => options.control = address()?,
                "--instance" => options.instance.id = value,
                "--region" => options.instance.region = value,
                other => return Err(format!("{other} is not known")),
            }
        }
        Ok(options)
    }
}

fn serve(options: Options) -> io::Result<()> {
    let Options { imds, ec2, upstream, control, instance } = options;
    let control = Control::start(control, World::at(imds, ec2, upstream, instance)?)?;
    let mut out = io::stdout();
    for (name, value) in control.environment() {
        writeln!(out, "{name}={value}")?;
    }
    writeln!(out, "SIMULATED_WORLD_CONTROL=http://{}", control.addr())?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}

fn main() -> ExitCode {
    let done = Options::read(std::env::args())
        .and_then(|options| serve(options).map_err(|cause| cause.to_string()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _nobody_reads_it = writeln!(io::stderr(), "simulated-world: {why}");
            ExitCode::from(2)
        }
    }
}
