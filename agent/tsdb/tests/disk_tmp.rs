mod common;
use common::*;
use env::{Clock as _, SimulatedClock};
use std::time::Duration;
use storage::{Appender, Cell};

fn size(dir: &std::path::Path) -> u64 {
    std::fs::read_dir(dir)
        .expect("dir")
        .map(|entry| {
            let entry = entry.expect("entry");
            let data = entry.metadata().expect("meta");
            if data.is_dir() { size(&entry.path()) } else { data.len() }
        })
        .sum()
}

#[test]
fn disk() {
    for kept in [true, false] {
        let (dir, clock) = (folder(), SimulatedClock::at(T0));
        let mut with = options(dir.path(), "a");
        with.log_tail = Duration::from_secs(6 * 3600);
        let store = open_with(with, &clock, 2);
        if kept {
            store.keep_frames(|_| storage::IntervalSet::new());
        }
        let hours = std::env::var("HOURS").map_or(24, |h| h.parse().expect("n"));
        let mut x = 1u64;
        for step in 0..hours * 240i64 {
            for target in 0..4 {
                let page = store.layout(layout(&target.to_string(), 500)).expect("layout");
                let cells: Vec<Cell> = (0..500i64)
                    .map(|slot| match slot % 12 {
                        0..8 => value(slot as f64),
                        8 => value((step * (slot + 3)) as f64),
                        9 => {
                            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                            value((x >> 54) as f64 / 100.0)
                        }
                        10 => value((step / 7 * slot) as f64),
                        _ => value((step / 40) as f64 * 0.5),
                    })
                    .collect();
                append(&store, &page, T0 + step * 15_000, &cells);
            }
            clock.advance(Duration::from_secs(15));
            if step % 240 == 239 {
                store.flush().expect("f");
                store.maintain();
            }
        }
        store.maintain();
        println!(
            "kept={kept} hours={hours} samples={} log={} sealed={}",
            hours * 240 * 2000,
            size(&dir.path().join("log")),
            size(&dir.path().join("sealed"))
        );
    }
}
