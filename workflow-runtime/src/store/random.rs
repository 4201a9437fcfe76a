//! Reproducible random numbers for fault plans and model tests.

/// The generator `splitmix64` by Sebastiano Vigna (public domain): small, and good enough to choose faults.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 (included) to `end` (excluded); 0 if `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The bias is far below what choosing test inputs can notice.
        usize::try_from(self.next() >> 1).unwrap_or(0) % end.max(1)
    }

    /// From 0 (included) to 1 (excluded).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
