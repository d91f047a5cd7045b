//! How a run's residuals are packed best: from which base, at which width, with how many patches.

/// Bits that a patch costs besides the bits it restores, about.
const PATCH_COST: u32 = 13;

/// Bits that an integer before the residuals costs, about.
pub(super) const START_COST: u32 = 32;

/// How a run's residuals are packed, and what that costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) predictor: u8,
    /// Subtracted from every residual.
    pub(super) base: i64,
    /// Bits at the end that all residuals have in common.
    pub(super) shift: u32,
    pub(super) width: u32,
    pub(super) patches: u32,
    /// In bits.
    pub(super) cost: u32,
}

/// What is known of residuals before they are packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survey {
    lowest: i64,
    /// The third smallest: an outlier or two below the others must not widen all.
    low: i64,
    highest: i64,
    shift: u32,
    /// Lengths of all residuals' distances from `low`: compares orders, before one is packed.
    pub(super) bits: u32,
}

impl Survey {
    /// Of some residuals.
    pub(super) fn of(residuals: &[i64]) -> Self {
        let first = residuals[0];
        let (mut lowest, mut second, mut low) = (i64::MAX, i64::MAX, i64::MAX);
        let (mut highest, mut differ) = (i64::MIN, 0);
        for &residual in residuals {
            if residual < low {
                (lowest, second, low) = if residual < lowest {
                    (residual, lowest, second)
                } else if residual < second {
                    (lowest, residual, second)
                } else {
                    (lowest, second, residual)
                };
            }
            highest = highest.max(residual);
            differ |= residual ^ first;
        }
        let shift = if differ == 0 { 0 } else { differ.trailing_zeros() };
        if residuals.len() < 4 {
            low = lowest;
        }
        let distance = |residual: &i64| (residual.wrapping_sub(low) >> shift).unsigned_abs();
        let bits = residuals.iter().map(|residual| length(distance(residual))).sum();
        Self { lowest, low, highest, shift, bits }
    }

    /// The cheapest way to pack the residuals.
    pub(super) fn plan(self, predictor: u8, residuals: &[i64]) -> Plan {
        let from = |base| Plan { predictor, base, shift: self.shift, ..width(residuals, base, self.shift) };
        let plain = from(self.lowest);
        let spread = |base: i64| length(self.highest.wrapping_sub(base) as u64);
        if spread(self.low) >= spread(self.lowest) {
            return plain;
        }
        let trimmed = from(self.low);
        if trimmed.cost < plain.cost { trimmed } else { plain }
    }
}

/// Bits up to the highest that is set.
pub(super) fn length(value: u64) -> u32 {
    // A double's exponent says it exactly; counting zeros takes longer on processors of the baseline.
    if value >> 53 == 0 {
        ((value as i64 as f64).to_bits() >> 52).saturating_sub(1022) as u32
    } else {
        64 - value.leading_zeros()
    }
}

/// The width at which packing and patches together are smallest.
fn width(residuals: &[i64], base: i64, shift: u32) -> Plan {
    let mut lengths = [0u32; 65];
    for residual in residuals {
        let packed = residual.wrapping_sub(base) as u64 >> shift;
        lengths[length(packed) as usize] += 1;
    }
    let count = residuals.len() as u32;
    let longest = (0..=64u32).rev().find(|length| lengths[*length as usize] > 0).unwrap_or(0);
    let mut best =
        Plan { predictor: 0, base: 0, shift: 0, width: longest, patches: 0, cost: count * longest };
    let mut patches = 0;
    for width in (0..longest).rev() {
        patches += lengths[width as usize + 1];
        let cost = count * width + patches * (PATCH_COST + longest - width);
        if cost < best.cost {
            best = Plan { width, patches, cost, ..best };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_exact() {
        for bit in 0..64 {
            for value in [1u64 << bit, (1 << bit) - 1, u64::MAX >> bit] {
                assert_eq!(length(value), 64 - value.leading_zeros(), "{value}");
            }
        }
    }
}
