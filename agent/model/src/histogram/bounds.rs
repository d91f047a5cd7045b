//! Where buckets begin and end.
//!
//! The bound of bucket `i` at schema `s` is 2^(i·2^-s). Prometheus takes the powers between 0.5 and 1
//! from a table that its authors computed with Go's `math.Exp2`; other libraries' powers differ in the
//! last bit, and then a bucket printed or queried by its bound would be another one.

use super::schema::Resolution;

/// Steps of the table: the finest schema divides a power of two by 2^8.
const STEPS: usize = 1 << Resolution::FINEST;

/// 2^(i/256 - 1), as Prometheus knows it; each coarser schema takes every second of the finer one's.
const FRACTIONS: [f64; STEPS] = fractions();

const fn fractions() -> [f64; STEPS] {
    let mut table = [0.5; STEPS];
    let (mut schema, mut step) = (1, STEPS / 2);
    let mut exponent = 0.5;
    while schema <= Resolution::FINEST {
        let factor = exp2(exponent);
        let mut at = step;
        while at < STEPS {
            // Only what no coarser schema has is new.
            table[at] = table[at - step] * factor;
            at += 2 * step;
        }
        (schema, step, exponent) = (schema + 1, step / 2, exponent / 2.0);
    }
    table
}

/// 2^x for 0 < x <= 0.5: the algorithm of fdlibm's `exp` (FreeBSD `e_exp.c`) on x·ln 2, which is Go's `Exp2`.
const fn exp2(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const P: [f64; 5] = [
        1.666_666_666_666_666_6e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    let whole = if x >= 0.5 { 1.0 } else { 0.0 };
    let part = x - whole;
    let (high, low) = (part * LN2_HIGH, -part * LN2_LOW);
    let r = high - low;
    let t = r * r;
    let c = r - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
    (1.0 - ((low - (r * c) / (2.0 - c)) - high)) * (1.0 + whole)
}

/// 2^exponent, for exponents of normal numbers.
const fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// `fraction` (0.5 to 1) times 2^`exponent`, rounded once: 0 below the smallest float, infinite above the largest.
fn scale(fraction: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-1200, 1100);
    match exponent {
        ..-1000 => fraction * power_of_two(-1000) * power_of_two(exponent + 1000),
        -1000..=1000 => fraction * power_of_two(exponent),
        _ => fraction * power_of_two(1000) * power_of_two(exponent - 1000),
    }
}

/// The upper bound of the positive bucket `index`.
///
/// The last bucket of ordinary numbers ends at the largest float: its bound by the formula is infinite,
/// but observations of infinity have the bucket after it.
pub(super) fn exponential(index: i32, resolution: Resolution) -> f64 {
    let schema = resolution.number();
    if schema < 0 {
        let exponent = i64::from(index) << -schema;
        return if exponent == 1024 { f64::MAX } else { scale(1.0, exponent) };
    }
    let step = usize::try_from(index & ((1 << schema) - 1)).unwrap_or(0);
    let exponent = i64::from(index >> schema) + 1;
    if step == 0 && exponent == 1025 {
        return f64::MAX;
    }
    scale(FRACTIONS[step << (Resolution::FINEST - schema)], exponent)
}

/// The upper bound of the custom bucket `index`; below the first there is minus infinity.
pub(super) fn custom(index: i32, bounds: &[f64]) -> f64 {
    match usize::try_from(index) {
        Ok(at) => bounds.get(at).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: i32, schema: i32) -> f64 {
        exponential(index, Resolution::new(schema).expect("a schema"))
    }

    #[test]
    fn bounds_are_those_of_prometheus_to_the_bit() {
        // As queries of Prometheus print them.
        for (index, schema, bound) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (3, 1, 2.828_427_124_746_19),
            (1, 2, 1.189_207_115_002_721),
            (3, 2, 1.681_792_830_507_428_8),
            (1, 8, 1.002_711_275_050_202_6),
            (255, 8, 1.994_592_112_170_939_6),
            (1, -4, 65536.0),
            (-1, -4, 1.0 / 65536.0),
        ] {
            assert_eq!(at(index, schema).to_bits(), f64::to_bits(bound), "bucket {index} of schema {schema}");
        }
    }

    #[test]
    fn the_ends_of_the_floats_have_buckets() {
        for schema in Resolution::COARSEST..=Resolution::FINEST {
            let last = if schema < 0 { 1024 >> -schema } else { 1024 << schema };
            assert_eq!(at(last, schema), f64::MAX, "schema {schema}");
            assert!(at(last - 1, schema) < f64::MAX);
            assert_eq!(at(last + 1, schema), f64::INFINITY, "schema {schema}");
            let smallest = if schema < 0 { -(1074 >> -schema) } else { -(1074 << schema) };
            assert!(at(smallest, schema) > 0.0, "schema {schema}");
            assert_eq!(at(-(1 << 30), schema), 0.0, "schema {schema}");
            assert_eq!(at(1 << 30, schema), f64::INFINITY, "schema {schema}");
        }
    }

    #[test]
    fn bounds_rise_and_coarser_ones_are_among_the_finer() {
        for schema in 0..=Resolution::FINEST {
            for index in -600..600 {
                assert!(at(index, schema) < at(index + 1, schema), "bucket {index} of schema {schema}");
                let coarser = at(index, schema).to_bits() == at(2 * index, (schema + 1).min(8)).to_bits();
                assert!(coarser || schema == Resolution::FINEST, "bucket {index} of schema {schema}");
            }
        }
    }
}
