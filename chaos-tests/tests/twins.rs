//! A replica comes back with an empty disk, and either is killed while it is given what its twin's log has no more:
//! both end with equal samples. What is deleted at an agent or at a replica is hidden at both.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chaos_tests::{
    Agent, AgentOptions, Folder, Pair, PairOptions, alone, metric, now_ms, report, samples, size,
};
use env::{SeededRandom, SimulatedClock};
use model::{Labels, METRIC_NAME, Metadata};
use storage::{Appender, Cell, FrameSink as _, FrameSource as _, Layout, Number, Row, Slot};
use testkit::{FakeExporter, Sink, eventually};
use tsdb::{Store, StoreOptions};

const HEALED: Duration = Duration::from_secs(120);
const WINDOW_MS: i64 = 7_200_000;
const HISTORY: &str = "{job=\"history\"}[40h]";

/// The store of a replica that has run for so many windows, which are sealed and out of its log.
fn lived(dir: &Path, name: &str, windows: i64) {
    let start = (now_ms() / WINDOW_MS - windows) * WINDOW_MS;
    let clock = SimulatedClock::at(start);
    let options = StoreOptions::new(dir, name);
    let registry = telemetry::Registry::new();
    let store = Store::open(options, clock.clone(), SeededRandom::shared(7), &registry).expect("opened");
    let slots = size(40, 400);
    for minute in 0..(windows - 1) * 120 {
        let slot =
            |at: usize| Slot::new(Labels::from_pairs([(METRIC_NAME, format!("m{at}"))]), Metadata::default());
        let target = Labels::from_pairs([("job", "history")]);
        let layout = Layout::new(target, (0..slots).map(slot).collect()).expect("valid");
        let layout = store.layout(layout).expect("taken");
        let cells: Vec<Cell> = (0..slots as i64)
            .map(|slot| Cell::Value(Number::from_f64(((slot * 31 + minute * minute) % 10_007) as f64 / 8.0)))
            .collect();
        let row = Row { layout: &layout, timestamp: start + minute * 60_000, cells: &cells };
        Appender::append(&*store, row).expect("appended");
        clock.advance(Duration::from_secs(60));
        if minute % 120 == 119 {
            store.flush().expect("written");
            store.maintain();
        }
    }
    clock.advance(Duration::from_millis(u64::try_from(WINDOW_MS).expect("positive")));
    store.flush().expect("written");
    store.maintain();
    let own = store.own_stream().id;
    assert!(store.held(&own).count() < store.received(&own).count() / 2, "the log was trimmed");
    store.close().expect("closed");
}

async fn start(lived_windows: i64) -> (Folder, Pair, Arc<Sink>) {
    let (folder, sink) = (Folder::new(), Arc::new(Sink::start().await));
    if lived_windows > 0 {
        lived(&folder.path().join("a.data/store"), "a", lived_windows);
    }
    let rules = "      - record: chaos:one\n        expr: vector(1)\n".to_owned();
    let pair = Pair::start(&folder, &sink, &PairOptions { rules, ..PairOptions::default() }).await;
    (folder, pair, sink)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_twin_is_filled_through_kills_of_either() {
    let _turn = alone().await;
    let windows = size(8, 40);
    let (_folder, mut pair, _sink) = start(windows).await;
    let before = samples(&pair.node("a").url(), HISTORY).await.expect("a answers");
    assert!(before.len() >= 40);
    for (victim, copied) in [("b", 1.0), ("a", 2.0), ("b", 3.0), ("b", 5.0)] {
        let url = pair.node("b").url();
        eventually("b was given some windows", HEALED, || async {
            metric(&url, "vedette_tsdb_sealed_windows").await.ok()?.filter(|held| *held >= copied)
        })
        .await;
        pair.node_mut(victim).kill();
        pair.node_mut(victim).launch();
        pair.node_mut(victim).ready().await;
    }
    let [a, b] = ["a", "b"].map(|name| pair.node(name).url());
    eventually("both have the same history", HEALED, || async {
        let there = samples(&b, HISTORY).await.ok()?;
        (there == before && samples(&a, HISTORY).await.ok()? == before).then_some(())
    })
    .await;
    // What one replica is told to delete is hidden at the other, behind the log too.
    let ask = format!("{b}/api/v1/admin/tsdb/delete_series");
    let form = "application/x-www-form-urlencoded";
    let answer = testkit::post(&ask, form, "match[]=m7{job=\"history\"}").await.expect("b answers");
    assert_eq!(answer.status, 204, "{}", answer.body);
    eventually("a hides it, too", HEALED, || async {
        let there = samples(&a, HISTORY).await.ok()?;
        (there.len() == before.len() - 1 && there == samples(&b, HISTORY).await.ok()?).then_some(())
    })
    .await;
    let bytes = metric(&b, "vedette_repair_window_bytes_copied_total").await.expect("shown").unwrap_or(0.0);
    report(&format!(
        "twins: {windows} windows, {} series; {bytes} bytes copied in b's last life",
        before.len()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_deletes_is_hidden_at_both_replicas() {
    let _turn = alone().await;
    let (folder, pair, _sink) = start(0).await;
    let exporter = FakeExporter::start(3).await;
    let options = AgentOptions {
        scrape: format!(
            "  - job_name: load\n    static_configs:\n      - targets: [\"{}\"]\n",
            exporter.address()
        ),
        interval: "200ms".to_owned(),
        endpoints: pair.endpoints(),
        host: false,
    };
    let mut agent = Agent::new(&folder, "edge", &options).with_flag("--web.enable-admin-api");
    agent.start().await;
    let urls = [agent.url(), pair.node("a").url(), pair.node("b").url()];
    let first = async |url: &str| {
        let found = samples(url, "up{job=\"load\"}[1h]").await.ok()?;
        found.values().next().and_then(|samples| samples.keys().next().copied())
    };
    let begun = eventually("scrapes reach both", HEALED, || async {
        let (at, a, b) = (first(&urls[0]).await?, first(&urls[1]).await?, first(&urls[2]).await?);
        (at == a && at == b).then_some(at)
    })
    .await;
    let ask = format!("{}/api/v1/admin/tsdb/delete_series", urls[0]);
    let form = "application/x-www-form-urlencoded";
    let answer = testkit::post(&ask, form, "match[]=up{job=\"load\"}").await.expect("it answers");
    assert_eq!(answer.status, 204, "{}", answer.body);
    eventually("all three hide what was there", HEALED, || async {
        let (at, a, b) = (first(&urls[0]).await?, first(&urls[1]).await?, first(&urls[2]).await?);
        (at > begun && at == a && at == b).then_some(())
    })
    .await;
    // The pair's own word on the agent is another series.
    let own = samples(&urls[1], "up{job=\"vedette-agent\"}[1h]").await.expect("a answers");
    assert!(own.values().all(|samples| !samples.is_empty()));
    agent.stop().await.expect("stopped");
}
