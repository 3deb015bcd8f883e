//! The machine itself: clocks, people, jobs, sensors that fail, and EC2. It knows nothing of the engine.

use super::dice::Dice;

/// The sensors, in the order in which they are read.
pub const SENSORS: [&str; 7] =
    ["cpu", "gpu", "inhibitors", "input", "network", "packages", "sessions"];
pub const CPU: usize = 0;
pub const GPU: usize = 1;
pub const INPUT: usize = 3;
pub const NETWORK: usize = 4;
pub const PACKAGES: usize = 5;
pub const SESSIONS: usize = 6;

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// How likely things are, in millionths a round of readings or a step of the shell.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    pub typing: u64,
    pub job: u64,
    pub block: u64,
    pub blind: u64,
    pub crash: u64,
    pub disk: u64,
    pub memory_lost: u64,
    pub wall: u64,
    pub suspend: u64,
    pub stall: u64,
    pub ec2: u64,
    pub operator: u64,
    pub reload: u64,
}

impl Temper {
    /// A quiet week, a busy one or a terrible one.
    pub fn drawn(dice: &mut Dice) -> Self {
        let use_rate = dice.pick(&[500, 4_000, 15_000]);
        let fault_rate = dice.pick(&[0, 300, 3_000]);
        Self {
            typing: use_rate,
            job: use_rate,
            block: use_rate / 10,
            blind: fault_rate * 2,
            crash: fault_rate / 2,
            disk: fault_rate / 4,
            memory_lost: fault_rate / 20,
            wall: fault_rate,
            suspend: fault_rate / 10,
            stall: fault_rate / 2,
            ec2: if fault_rate == 0 { 0 } else { 300_000 },
            operator: use_rate / 4,
            reload: fault_rate / 2,
        }
    }
}

/// What a sensor can give at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sight {
    Good,
    Blind,
    /// Hangs: nothing comes.
    Silent,
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    pub dice: Dice,
    pub temper: Temper,
    /// True time since the world began; it never stops and never steps.
    pub now: u64,
    pub boot_id: u64,
    boot_at: u64,
    asleep: u64,
    wall_shift: i64,
    /// CPU time of the workload, microseconds.
    cpu_us: u64,
    job_until: u64,
    job_load_percent: u64,
    /// Until when CPU time and bytes are counted.
    counted_to: u64,
    net_bytes: u64,
    transfer_until: u64,
    gpu_until: u64,
    has_gpu: bool,
    pub mark: u64,
    pub typed_at: u64,
    next_key: u64,
    block_from: u64,
    block_until: u64,
    present_from: u64,
    present_until: u64,
    blind: [(u64, Sight); 7],
    disk_full_until: u64,
}

impl Machine {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let temper = Temper::drawn(&mut dice);
        let has_gpu = dice.chance(500_000);
        Self {
            dice,
            temper,
            now: 0,
            boot_id: 1,
            boot_at: 0,
            asleep: 0,
            wall_shift: 0,
            cpu_us: 0,
            job_until: 0,
            job_load_percent: 0,
            counted_to: 0,
            net_bytes: 0,
            transfer_until: 0,
            gpu_until: 0,
            has_gpu,
            mark: 1,
            typed_at: 0,
            next_key: u64::MAX,
            block_from: 0,
            block_until: 0,
            present_from: 0,
            present_until: 0,
            blind: [(0, Sight::Good); 7],
            disk_full_until: 0,
        }
    }

    pub fn boot_ms(&self) -> u64 {
        self.now - self.boot_at
    }

    pub fn asleep_ms(&self) -> u64 {
        self.asleep
    }

    pub fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + i64::try_from(self.now).unwrap_or(i64::MAX) + self.wall_shift
    }

    pub fn disk_is_full(&self) -> bool {
        self.now < self.disk_full_until
    }

    pub fn sees(&self, sensor: usize) -> Sight {
        let (until, sight) = self.blind[sensor];
        if self.now < until { sight } else { Sight::Good }
    }

    pub fn sees_all(&self) -> bool {
        (0..SENSORS.len()).all(|sensor| self.sees(sensor) == Sight::Good)
    }

    /// Lets time pass while the machine runs.
    pub fn pass_to(&mut self, now: u64) {
        let (from, to) = (self.counted_to, now);
        let worked = to.min(self.job_until).saturating_sub(from);
        self.cpu_us += worked * 10 * self.job_load_percent;
        // Housekeeping of one hundredth of a core never ends.
        self.cpu_us += to.saturating_sub(from) * 10;
        self.net_bytes += to.min(self.transfer_until).saturating_sub(from) * 100;
        self.counted_to = to;
        self.now = now;
        if self.next_key <= now {
            self.mark += 1;
            self.typed_at = self.next_key;
            self.next_key = u64::MAX;
        }
    }

    /// Draws what happens in the coming `span`.
    pub fn live(&mut self, span: u64) {
        let now = self.now;
        let Temper { typing, job, block, blind, disk, wall, .. } = self.temper;
        if self.dice.chance(typing) {
            self.type_within(span);
        }
        if self.dice.chance(job) {
            let until = now + self.dice.between(2 * MINUTE, 3 * HOUR);
            match self.dice.between(0, 3) {
                0 => self.gpu_until = until,
                1 => self.transfer_until = until,
                _ => {
                    self.job_until = until;
                    self.job_load_percent = self.dice.between(50, 800);
                }
            }
        }
        if self.dice.chance(job / 4) && now > self.present_until {
            self.present_from = now;
            self.present_until = now + self.dice.between(10 * MINUTE, 8 * HOUR);
        }
        // Two blocks that follow closely look like one.
        if self.dice.chance(block) && now > self.block_until + HOUR {
            self.block_from = now;
            self.block_until = now + self.dice.between(MINUTE, 5 * HOUR);
        }
        if self.dice.chance(blind) {
            let sensor = usize::try_from(self.dice.between(0, 7)).unwrap_or_default();
            let sight = self.dice.pick(&[Sight::Blind, Sight::Silent]);
            self.blind[sensor] = (now + self.dice.between(10 * SECOND, 40 * MINUTE), sight);
        }
        if self.dice.chance(disk) {
            self.disk_full_until = now + self.dice.between(MINUTE, 2 * HOUR);
        }
        if self.dice.chance(wall) {
            let step = i64::try_from(self.dice.between(0, 48 * HOUR)).unwrap_or_default();
            self.wall_shift += step - 24 * 3_600_000;
        }
    }

    /// Somebody presses a key within the coming `span`.
    pub fn type_within(&mut self, span: u64) {
        self.next_key = self.now + self.dice.between(1, span.max(2));
    }

    /// Somebody presses a key now.
    pub fn type_now(&mut self) {
        self.mark += 1;
        self.typed_at = self.now;
    }

    /// A key is pressed so many milliseconds from now.
    pub fn type_after(&mut self, ms: u64) {
        self.next_key = self.now + ms.max(1);
    }

    pub fn cpu_us(&self) -> u64 {
        self.cpu_us
    }

    pub fn net_bytes(&self) -> u64 {
        self.net_bytes
    }

    /// When the last work of a kind ended, at the latest now.
    pub fn job_ended(&self) -> u64 {
        self.job_until.min(self.now)
    }

    pub fn transfer_ended(&self) -> u64 {
        self.transfer_until.min(self.now)
    }

    /// Percent; none without a GPU.
    pub fn gpu(&self) -> Option<u32> {
        self.has_gpu.then_some(if self.now < self.gpu_until { 80 } else { 0 })
    }

    /// A job waits in the foreground of a terminal.
    pub fn is_present(&self) -> bool {
        self.present_from <= self.now && self.now < self.present_until
    }

    /// Since when.
    pub fn present_from(&self) -> u64 {
        self.present_from
    }

    pub fn is_blocked(&self) -> bool {
        self.block_from <= self.now && self.now < self.block_until
    }

    /// For how long it has been blocked.
    pub fn blocked_for(&self) -> u64 {
        self.now - self.block_from
    }

    /// The machine is hibernated, or suspended, for `span` and resumed.
    pub fn sleep(&mut self, span: u64) {
        self.now += span;
        self.asleep += span;
        self.stop_people();
    }

    /// The machine is off for `span` and boots.
    pub fn boot(&mut self, span: u64) {
        self.now += span;
        self.boot_id += 1;
        self.boot_at = self.now - self.dice.between(3 * SECOND, 20 * SECOND);
        self.asleep = 0;
        self.cpu_us = 0;
        self.net_bytes = 0;
        self.stop_people();
        self.job_until = self.now;
        self.transfer_until = self.now;
        self.gpu_until = self.now;
        self.block_until = self.now;
        self.present_until = self.now;
    }

    fn stop_people(&mut self) {
        self.counted_to = self.now;
        self.next_key = u64::MAX;
    }
}
