//! Whose work it is and how much of it is a use: one weighed sum over all roles.

use proptest::prelude::*;

use super::*;
use crate::policy::{Combine, Limits, RoleLimits};
use crate::reading::{Role, Value};

const ROLES: RoleLimits = RoleLimits {
    local_above: 0.08,
    server_above: 0.12,
    upkeep_above: 0.15,
    upkeep_together: 0.4,
    unexplained_above: 0.05,
};

fn policy() -> SourcePolicy {
    SourcePolicy {
        enabled: true,
        busy_above: 0.05,
        unit: "core".to_owned(),
        scale: 1e-6,
        average: Duration::from_mins(1),
        interval: Duration::from_secs(10),
        combine: Combine::Sum,
        limits: Some(Limits { roles: ROLES, units: [("game.service".to_owned(), 0.3)].into() }),
    }
}

/// A load: how it counts, and how many cores it takes.
type Load = (Role, f64);

/// What is judged after two minutes of these loads, each of a subject of its own.
fn judged(loads: &[Load]) -> Judgement {
    let named: Vec<_> =
        (0..).zip(loads).map(|(n, load): (u32, _)| (format!("u{n}.service"), *load)).collect();
    judged_by_name(&named)
}

fn judged_by_name(loads: &[(String, Load)]) -> Judgement {
    let mut track = Track::new(Stamp::default(), policy());
    for tick in 0..=12_u32 {
        let now = Stamp::new(u64::from(tick) * 10_000, 0, 0);
        let signal = |(name, (role, cores)): &(String, Load)| {
            let total = Duration::from_secs_f64(cores * f64::from(tick) * 10.0).as_micros();
            let value = Value::Counter { total: u64::try_from(total).unwrap() };
            Signal::new(format!("system.slice/{name}"), value).of(*role)
        };
        track.observe(now, Reading::Signals(loads.iter().map(signal).collect()));
    }
    track.judgement()
}

/// The least load of a role that is a use, however it is spread: for upkeep, what all of it may take.
fn enough(role: Role) -> f64 {
    match role {
        Role::Workload => 0.05,
        Role::Local => ROLES.local_above,
        Role::Server => ROLES.server_above,
        Role::Upkeep => ROLES.upkeep_together,
        Role::Unexplained | Role::Ignored => ROLES.unexplained_above,
    }
}

#[test]
fn each_role_has_its_own_limit() {
    for role in [Role::Workload, Role::Local, Role::Server, Role::Unexplained] {
        assert_eq!(judged(&[(role, enough(role) * 0.97)]), Judgement::Idle, "{role:?}");
        assert_eq!(judged(&[(role, enough(role) * 1.03)]), Judgement::Busy, "{role:?}");
    }
    assert_eq!(judged(&[(Role::Upkeep, 0.149)]), Judgement::Idle);
    assert_eq!(
        judged(&[(Role::Upkeep, 0.155)]),
        Judgement::Busy,
        "above its ceiling it is a server"
    );
    assert_eq!(judged(&[(Role::Ignored, 8.0)]), Judgement::Idle);
}

#[test]
fn parts_of_different_roles_are_a_use_together() {
    assert_eq!(judged(&[(Role::Workload, 0.026), (Role::Server, 0.062)]), Judgement::Busy);
    assert_eq!(judged(&[(Role::Local, 0.042), (Role::Server, 0.062)]), Judgement::Busy);
    assert_eq!(judged(&[(Role::Workload, 0.02), (Role::Server, 0.05)]), Judgement::Idle);
}

#[test]
fn what_is_unexplained_below_its_tolerance_does_not_help_others_over_their_limit() {
    assert_eq!(judged(&[(Role::Workload, 0.03), (Role::Unexplained, 0.03)]), Judgement::Idle);
    assert_eq!(judged(&[(Role::Unexplained, 0.06)]), Judgement::Busy);
}

#[test]
fn a_unit_with_a_limit_of_its_own_is_judged_by_it() {
    let game = |role, cores| judged_by_name(&[("game.service".to_owned(), (role, cores))]);
    for role in [Role::Workload, Role::Local, Role::Server] {
        assert_eq!(game(role, 0.29), Judgement::Idle, "{role:?}");
        assert_eq!(game(role, 0.31), Judgement::Busy, "{role:?}");
    }
}

#[test]
fn without_limits_of_roles_everything_but_upkeep_counts_as_before() {
    let mut track = Track::new(Stamp::default(), SourcePolicy { limits: None, ..policy() });
    let mut judge = |role| {
        for tick in 0..=12_u64 {
            let now = track.read_at().unwrap_or_default().after(Duration::from_secs(10));
            let value = Value::Counter { total: tick * 1_000_000 };
            track.observe(now, Reading::Signals(vec![Signal::new("x", value).of(role)]));
        }
        track.judgement()
    };
    assert_eq!(judge(Role::Server), Judgement::Busy);
}

proptest! {
    /// No split of a load over subjects makes it idle: what is a use in one piece is one in any number of pieces, and so is
    /// what is moved to a role that counts sooner.
    #[test]
    fn no_split_of_a_load_makes_it_idle(
        role in prop::sample::select(vec![Role::Workload, Role::Local, Role::Server, Role::Upkeep]),
        pieces in prop::collection::vec((0.01_f64..1.0, any::<bool>()), 1..40),
        more in 1.05_f64..4.0,
    ) {
        let sooner = match role {
            Role::Upkeep => Role::Server,
            Role::Server => Role::Local,
            _ => Role::Workload,
        };
        let whole: f64 = pieces.iter().map(|(piece, _)| piece).sum();
        // What is moved out of upkeep may leave the rest below its ceilings; then the moved part must suffice by itself.
        let moves = role != Role::Upkeep;
        let loads: Vec<Load> = pieces
            .iter()
            .map(|(piece, moved)| {
                (if *moved && moves { sooner } else { role }, piece / whole * enough(role) * more)
            })
            .collect();
        prop_assert_eq!(judged(&loads), Judgement::Busy);
    }

    /// An idle machine with any number of units that do next to nothing stays idle.
    #[test]
    fn many_that_do_nothing_are_no_use(units in 1_usize..60, rest in 0.0_f64..0.03) {
        let mut loads = vec![(Role::Upkeep, 0.25 / 60.0); units];
        loads.push((Role::Unexplained, rest));
        loads.push((Role::Server, 0.05));
        prop_assert_eq!(judged(&loads), Judgement::Idle);
    }
}
