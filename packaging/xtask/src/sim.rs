//! The simulated IMDS and EC2, to play with: start the agent or any AWS tool with the variables that are printed.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use agent_tests::ec2::Ec2;
use agent_tests::imds::Imds;
use agent_tests::instance::{Instance, SharedInstance};

/// How often it looks for new calls to print.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Serves until it is interrupted, and prints each call of the EC2 API.
pub(crate) fn run() -> ExitCode {
    match serve() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("error: failed to start the simulators on the loopback address: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> std::io::Result<std::convert::Infallible> {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let instance = SharedInstance::new(Instance::default());
    let imds = Imds::of_shared(anywhere, instance.clone())?;
    let ec2 = Ec2::of_shared(anywhere, instance)?;
    let shown = ec2.instance().snapshot();
    println!("{}", environment(&imds.endpoint(), &ec2.endpoint(), &shown.region));
    println!(
        "# instance {} ({}); calls of the EC2 API follow, Ctrl-C ends",
        shown.id, shown.instance_type
    );
    let mut told = 0;
    loop {
        std::thread::sleep(LOOK_EVERY);
        let lines = ec2.log().lines();
        for call in lines.lines().skip(told) {
            println!("# {call}");
        }
        told = lines.lines().count();
    }
}

/// Lines for a shell.
fn environment(imds: &str, ec2: &str, region: &str) -> String {
    [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds),
        ("AWS_ENDPOINT_URL_EC2", ec2),
        ("AWS_REGION", region),
        ("AWS_ACCESS_KEY_ID", "simulated"),
        ("AWS_SECRET_ACCESS_KEY", "simulated"),
    ]
    .map(|(name, value)| format!("export {name}={value}"))
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_can_be_pasted_into_a_shell() {
        let lines = environment("http://127.0.0.1:1", "http://127.0.0.1:2", "eu-central-1");
        assert!(lines.starts_with("export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1\n"));
        assert!(lines.lines().all(|line| line.starts_with("export AWS_")));
    }
}
