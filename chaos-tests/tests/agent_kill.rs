//! What an agent has scraped is still there after it was killed.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use chaos_tests::{Agent, AgentOptions, Folder, alone, instant, now_ms, report, samples, seeds, size, wait};
use env::SeededRandom;
use testkit::FakeExporter;

/// A response that was finished so long before the kill must be there.
const FINISHED: i64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_finished_a_second_before_a_kill_is_there() {
    let _turn = alone().await;
    let folder = Folder::new();
    let series = size(200, 1_000);
    let exporter = FakeExporter::start(series).await;
    let options = AgentOptions {
        scrape: format!(
            "  - job_name: load\n    static_configs:\n      - targets: [\"{}\"]\n",
            exporter.address()
        ),
        interval: "100ms".to_owned(),
        ..AgentOptions::default()
    };
    let mut agent = Agent::new(&folder, "edge", &options);
    let begun = now_ms();
    let mut owed = BTreeSet::new();
    let seeds = seeds(size(4, 20));
    for seed in &seeds {
        let random = SeededRandom::shared(*seed);
        agent.start().await;
        let before = exporter.served().len();
        let lives = Duration::from_millis(2_000 + random.next_u64() % size(2_000, 8_000));
        let _ = tokio::time::timeout(lives, queries(&agent.url())).await;
        let killed = now_ms();
        agent.kill();
        // What fell into the last second before an earlier kill is owed by none.
        let finished = exporter.served().into_iter().skip(before).filter(|served| {
            let at = served.at.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
            i64::try_from(at).expect("this century") <= killed - FINISHED
        });
        owed.extend(finished.map(|served| served.number));
        let served = exporter.served().len() - before;
        report(&format!("seed {seed}: killed after {} ms, {served} scrapes", lives.as_millis()));
        assert!(served > 5, "seed {seed}: hardly any load");
    }
    agent.start().await;
    let last = exporter.served().len() as u64;
    let stored = samples(&agent.url(), "scrape_number[2h]").await.expect("an answer");
    assert_eq!(stored.len(), series, "series");
    for (name, points) in &stored {
        let numbers = BTreeSet::from_iter(points.values().map(|bits| f64::from_bits(*bits) as u64));
        assert_eq!(numbers.len(), points.len(), "{name:?}: a scrape stands there twice");
        let lost: Vec<_> = owed.difference(&numbers).collect();
        assert!(lost.is_empty(), "{name:?} lacks {lost:?}, seeds {seeds:?}");
        let invented: Vec<_> = numbers.iter().filter(|number| !(1..=last + 20).contains(*number)).collect();
        assert!(invented.is_empty(), "{name:?} has {invented:?}, seeds {seeds:?}");
    }
    report(&format!(
        "agent_kill: {} kills in {} s, {} responses of {series} series, none lost, seeds {seeds:?}",
        seeds.len(),
        (now_ms() - begun) / 1000,
        owed.len()
    ));
}

/// Somebody asks all the time.
async fn queries(base: &str) {
    loop {
        instant(base, "sum(rate(scrape_number[1m]))").await.expect("an answer");
        wait(Duration::from_millis(50)).await;
    }
}
