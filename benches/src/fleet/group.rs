//! Series that move together: processor modes, memory, disks, networks, histograms.
//!
//! A group is the place of its first series; the others follow in the order that its family file writes them.

use super::series::{Class, Series, Tick};

/// Modes of a processor in the order of its series.
pub(super) const CPU_MODES: [&str; 8] =
    ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
/// Ticks of the kernel's processor times in a second.
pub(super) const TICKS: f64 = 100.0;

/// Some series of a host that are drawn together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Group {
    /// The scrape's time in nanoseconds.
    Clock { at: usize },
    /// Ticks by mode; each processor spends all of its time.
    Cpu { first: usize, cpus: usize },
    /// Load averages over 1, 5 and 15 minutes, in hundredths, of so many processors.
    Loads { first: usize, cpus: usize },
    /// What follows from [`super::memory`]'s walks.
    Memory { first: usize },
    /// One block device.
    Disk { first: usize, rate: f64, class: Class },
    /// One network device.
    Network { first: usize, rate: f64, class: Class },
    /// Free, available, and free files of one file system.
    Filesystem { first: usize, class: Class },
    /// Cumulative buckets, then sum (nanoseconds) and count, and one more counter of the same events.
    Histogram {
        first: usize,
        bounds: &'static [f64],
        median: f64,
        sigma: f64,
        rate: f64,
        class: Class,
        also: usize,
    },
}

impl Group {
    /// Moves the group by one scrape.
    pub(super) fn step(self, all: &mut [Series], tick: &mut Tick<'_>) {
        match self {
            Self::Clock { at } => all[at].set(tick.now_ms * 1_000_000 + tick.draws.between(0, 999_999)),
            Self::Cpu { first, cpus } => {
                all[first..first + cpus * CPU_MODES.len()]
                    .chunks_mut(CPU_MODES.len())
                    .for_each(|one| cpu(one, tick));
            }
            Self::Loads { first, cpus } => loads(&mut all[first..first + 3], cpus, tick),
            Self::Memory { first } => super::memory::derive(&mut all[first..]),
            Self::Disk { first, rate, class } => {
                if tick.happens(class) {
                    disk(&mut all[first..first + 10], rate, tick);
                }
            }
            Self::Network { first, rate, class } => {
                if tick.happens(class) {
                    network(&mut all[first..first + 4], rate, tick);
                }
            }
            Self::Filesystem { first, class } => {
                if tick.happens(class) {
                    filesystem(&mut all[first..first + 3], tick);
                }
            }
            Self::Histogram { first, bounds, median, sigma, rate, class, also } => {
                if tick.happens(class) {
                    let events = tick.events(rate);
                    all[also].add(events);
                    observe(&mut all[first..first + bounds.len() + 3], bounds, (median, sigma), events, tick);
                }
            }
        }
    }
}

/// Idle takes what the other modes leave of the time that has passed.
fn cpu(modes: &mut [Series], tick: &mut Tick<'_>) {
    let total = (tick.seconds * TICKS).round() as i64;
    let mut left = total;
    for (name, series) in CPU_MODES.iter().zip(modes.iter_mut()).skip(1) {
        let (class, share) = match *name {
            "user" => (Class::Often, 0.10),
            "system" => (Class::Often, 0.04),
            "iowait" | "softirq" => (Class::Rare, 0.005),
            _ => (Class::Seldom, 0.002),
        };
        if tick.happens(class) {
            let mean = (share * tick.load * total as f64).min(total as f64 * 0.6);
            let spent = (1 + tick.draws.poisson((mean - 1.0).max(0.0))).min(left);
            left -= spent;
            series.add(spent);
        }
    }
    modes[0].add(left);
}

/// The kernel's exponentially damped averages of what runs.
fn loads(series: &mut [Series], cpus: usize, tick: &mut Tick<'_>) {
    let running = 100.0 * cpus as f64 * 0.15 * tick.load * (0.5 + tick.draws.unit());
    for (series, minutes) in series.iter_mut().zip([1.0, 5.0, 15.0]) {
        let keeps = (-tick.seconds / (60.0 * minutes)).exp();
        series.set((series.number as f64 * keeps + running * (1.0 - keeps)).round() as i64);
    }
}

/// Reads and writes (each: completed, merged, bytes, milliseconds), milliseconds busy and weighted.
fn disk(series: &mut [Series], rate: f64, tick: &mut Tick<'_>) {
    let mut weighted = 0;
    for (at, share) in [(0, 0.3), (4, 0.7)] {
        let done = tick.events(rate * share);
        let sectors = done * tick.draws.log_normal(24.0, 0.6);
        let milliseconds = 1 + tick.draws.poisson(done as f64 * 0.4);
        series[at].add(done);
        series[at + 1].add(1 + tick.draws.poisson(done as f64 * 0.3));
        series[at + 2].add(sectors * 512);
        series[at + 3].add(milliseconds);
        weighted += milliseconds;
    }
    let busy = (weighted as f64 * (0.5 + 0.4 * tick.draws.unit())).min(tick.seconds * 1_000.0);
    series[8].add(busy.ceil() as i64);
    series[9].add(weighted);
}

/// Received bytes and packets, sent bytes and packets.
fn network(series: &mut [Series], rate: f64, tick: &mut Tick<'_>) {
    for (at, size) in [(0, 420.0), (2, 310.0)] {
        let packets = tick.events(rate);
        let bytes = (packets as f64 * size * (0.7 + 0.6 * tick.draws.unit())) as i64;
        series[at].add(bytes.max(packets * 60));
        series[at + 1].add(packets);
    }
}

/// Available and free pages go up and down together (the reserve between them is the administrator's).
fn filesystem(series: &mut [Series], tick: &mut Tick<'_>) {
    let grown = tick.draws.log_normal(80.0, 1.5) * if tick.draws.chance(0.2) { 4 } else { -1 };
    let files = tick.draws.between(1, 40) * if grown > 0 { 1 } else { -1 };
    let grown = if series[0].number + grown < 0 { grown.abs() } else { grown };
    series[0].add(grown);
    series[1].add(grown);
    series[2].add(files);
}

/// Spreads events over the buckets: each bucket's part of a Poisson process is one too.
fn observe(series: &mut [Series], bounds: &[f64], shape: (f64, f64), events: i64, tick: &mut Tick<'_>) {
    let (median, sigma) = shape;
    let (mut left, mut below, mut inside, mut nanoseconds) = (events, 0.0, 0, 0.0);
    for (at, bound) in bounds.iter().enumerate() {
        let reached = normal_below((bound / median).ln() / sigma);
        let share = ((reached - below) / (1.0 - below).max(1e-9)).clamp(0.0, 1.0);
        let here = if share > 0.999_999 { left } else { tick.draws.poisson(left as f64 * share).min(left) };
        below = reached;
        left -= here;
        inside += here;
        let from = if at == 0 { bound / 2.0 } else { bounds[at - 1] };
        nanoseconds += here as f64 * (from + (bound - from) * tick.draws.unit()) * 1e9;
        series[at].add(inside);
    }
    nanoseconds += left as f64 * bounds.last().copied().unwrap_or(1.0) * 1.5e9;
    let rest = &mut series[bounds.len()..];
    rest[0].add(events);
    rest[1].add(nanoseconds.round() as i64);
    rest[2].add(events);
}

/// The normal distribution's share below `x`, to 1e-7 (Abramowitz and Stegun 26.2.17).
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let tail = (-x * x / 2.0).exp() / (std::f64::consts::TAU).sqrt()
        * t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    if x < 0.0 { tail } else { 1.0 - tail }
}
