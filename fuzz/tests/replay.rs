//! Every target over its seeds, its findings, and some mutations of them: without libFuzzer, on every run.

use env::SeededRandom;
use fuzz_targets::{TARGETS, findings};

/// Mutations of each input at CI size; `PROPTEST_CASES` sets another number.
const MUTATIONS: u64 = 24;

#[test]
fn no_target_fails_on_seeds_findings_and_mutations() {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    for target in TARGETS {
        let mut inputs = (target.seeds)();
        assert!(inputs.iter().any(|seed| seed.len() > 20), "{}: seeds that say nothing", target.name);
        inputs.extend(findings(target.name).iter().map(|file| std::fs::read(file).expect("reads")));
        for (at, input) in inputs.iter().enumerate() {
            (target.run)(input);
            for seed in 0..told.unwrap_or(MUTATIONS) {
                let mutated = mutate(input, seed * 1_000 + at as u64);
                let ran = std::panic::catch_unwind(|| (target.run)(&mutated));
                assert!(ran.is_ok(), "{} fails on {mutated:?}", target.name);
            }
        }
    }
}

/// Bits flipped, bytes set, pieces cut out, doubled and moved.
fn mutate(input: &[u8], seed: u64) -> Vec<u8> {
    let random = SeededRandom::shared(seed);
    let below = |bound: usize| (random.next_u64() % bound.max(1) as u64) as usize;
    let mut bytes = input.to_vec();
    for _ in 0..=below(4) {
        let (at, length) = (below(bytes.len()), below(16));
        let end = (at + length).min(bytes.len());
        match below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            4 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, (0..length).map(|_| below(256) as u8).collect::<Vec<_>>())),
        }
    }
    bytes
}
