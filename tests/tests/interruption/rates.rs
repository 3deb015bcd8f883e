//! The metadata service is asked no more often than it must be.

use std::time::{Duration, Instant};

use agent_tests::instance::Instance;
use agent_tests::table;

use crate::rig::{Done, Scene};

#[test]
fn a_second_brings_one_request_on_spot_and_a_third_of_one_on_demand() -> Done {
    let cases = [("spot", 1.0), ("on-demand", 0.3)];
    table::each(cases.map(|(name, most)| (name.to_owned(), (name, most))), |(life_cycle, most)| {
        let instance = match life_cycle {
            "spot" => Instance::on_spot("one-time"),
            _ => Instance::default(),
        };
        let mut scene = Scene::new(instance, &["save"], "")?;
        scene.settle()?;
        std::thread::sleep(Duration::from_secs(5));
        let from = Instant::now();
        std::thread::sleep(Duration::from_secs(30));
        let seen = scene.agent.world.imds.seen();
        let asked: Vec<_> = seen.requests.iter().filter(|request| request.at >= from).collect();
        let rate = f64::from(u32::try_from(asked.len())?) / from.elapsed().as_secs_f64();
        let paths: Vec<_> = asked.iter().map(|request| request.path.as_str()).collect();
        assert!(rate <= most + 0.04, "{rate:.2} requests a second: {paths:#?}");
        assert!(seen.tokens <= 2, "{} tokens", seen.tokens);
        scene.assert_tokens();
        Done::Ok(())
    })
    .map_err(Into::into)
}
