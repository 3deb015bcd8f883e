//! What EC2 announces, and the drain.

use super::{check, play};

fn did(script: &str) -> Vec<String> {
    play(script).trace.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn hooks_run_one_after_the_other_from_the_moment_of_the_notice() {
    check(
        "policy hooks /opt/save,stop_web
         cpu 1
         00:07 notice spot terminate in 2m
         01:00 end",
        "",
    );
}
