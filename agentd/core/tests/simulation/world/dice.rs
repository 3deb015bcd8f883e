//! A small random generator (xorshift64*, Vigna 2016): the same seed gives the same world for ever.

/// The generator.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator for a seed; neighbouring seeds give unrelated worlds.
    pub fn new(seed: u64) -> Self {
        // splitmix64 spreads the seed over all bits; zero is the one state that xorshift cannot leave.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((z ^ (z >> 31)).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number of `from..to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from).max(1)
    }

    /// True `times` of a million times.
    pub fn chance(&mut self, times: u64) -> bool {
        times > 0 && self.next() % 1_000_000 < times
    }

    /// One of a list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.between(0, list.len() as u64)).unwrap_or_default()]
    }
}
