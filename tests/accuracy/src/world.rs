//! A world: factors on every rate of a scenario, so that no rule passes because a number lies just on its side.

use crate::signals::Signals;

/// How many rates there are.
const RATES: usize = 14;

/// The factors and the moment of the first look.
#[derive(Clone, Copy, Debug)]
pub struct World {
    factors: [f64; RATES],
    /// When a rule looks for the first time, seconds after the beginning.
    pub phase: u32,
}

impl World {
    /// The scenarios as they are written.
    pub fn plain(phase: u32) -> Self {
        Self { factors: [1.0; RATES], phase }
    }

    /// Independent factors from a half to two, and a phase.
    pub fn random(dice: &mut Dice) -> Self {
        let mut factors = [1.0; RATES];
        for factor in &mut factors {
            // Even in the logarithm: halving is as likely as doubling.
            *factor = (dice.share() * 2.0 - 1.0).exp2();
        }
        Self { factors, phase: 10 * dice.below(12) }
    }

    /// Scales the rates of a step.
    pub fn scale(&self, signals: &mut Signals, ncpu: u32) {
        let [
            user,
            ide,
            sys,
            kthr,
            iowait,
            steal,
            net,
            net_user,
            rx,
            pkts,
            disk,
            disk_user,
            gpu,
            mem,
        ] = self.factors;
        let cores = f64::from(ncpu);
        let base = Signals::base();
        for (value, factor) in [
            (&mut signals.user_cpu, user),
            (&mut signals.ide_cpu, ide),
            (&mut signals.cont_cpu, ide),
            (&mut signals.sys_cpu, sys),
            (&mut signals.kthr, kthr),
            (&mut signals.iowait, iowait),
            (&mut signals.steal, steal),
        ] {
            *value = (*value * factor).min(cores);
        }
        if signals.itemised {
            scale_items(signals, net, net_user, rx);
        } else {
            // The card carries what its connections carry, and the noise beside it.
            let beside = (signals.net - signals.net_user).max(0.0);
            signals.net_user *= net_user;
            signals.net = beside * net + signals.net_user;
            signals.rx_client *= if signals.net_user > 0.0 { net_user } else { rx };
            signals.net = signals.net.max(signals.rx_client + base.net * net);
        }
        signals.pkts *= pkts;
        let beside = (signals.disk - signals.disk_user).max(0.0);
        signals.disk_user *= disk_user;
        signals.disk = beside * disk + signals.disk_user;
        for percent in signals.gpus.iter_mut().flatten() {
            *percent = (*percent * gpu).min(100.0);
        }
        signals.mem_full = (signals.mem_full * mem).min(100.0);
    }
}

/// Scales traffic of which every part is named; the card carries them all.
fn scale_items(signals: &mut Signals, beside: f64, work: f64, clients: f64) {
    let services = (signals.net - signals.items()).max(0.0);
    for (value, factor) in [
        (&mut signals.net_user, work),
        (&mut signals.net_other, work),
        (&mut signals.net_cont, work),
        (&mut signals.udp, work),
        (&mut signals.rx_client, clients),
        (&mut signals.ssh_tx, clients),
    ] {
        *value *= factor;
    }
    for conn in &mut signals.conns {
        conn.received *= clients;
        conn.sent *= clients;
    }
    signals.net = services * beside + signals.items();
}

/// Numbers that look random and are the same in every run (`SplitMix64`).
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From zero to one.
    pub fn share(&mut self) -> f64 {
        let bits = u32::try_from(self.roll() >> 32).unwrap_or(0);
        f64::from(bits) / f64::from(u32::MAX)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.roll() % u64::from(limit.max(1))).unwrap_or(0)
    }
}
