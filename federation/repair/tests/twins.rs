//! Two real stores over loopback gRPC: each ends with what either has.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SimulatedClock, SystemClock, SystemRandom, Tasks};
use model::{Labels, METRIC_NAME, Matcher, Metadata, Series};
use storage::{
    Appender, Cell, FrameSink, FrameSource, IntervalSet, Layout, Number, Querier as _, Receipt, Row, Select,
    Slot, TimeRange,
};
use testkit::{Proxy, eventually};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tsdb::{Store, StoreOptions};
use vedette_repair::{AgentHeard, Local, Pair, PairOptions};

const WAIT: Duration = Duration::from_secs(20);

/// A replica that hears one agent, named after itself.
struct News(&'static str);

impl Local for News {
    fn agents(&self) -> Vec<AgentHeard> {
        vec![AgentHeard {
            name: format!("agent-of-{}", self.0),
            labels: Labels::from_pairs([("agent", self.0)]),
            ephemeral: false,
            silent_for: Some(Duration::from_secs(3)),
            forgotten: false,
        }]
    }

    fn learn(&self, _: &[AgentHeard]) {}

    fn config_hash(&self) -> u128 {
        7
    }
}

fn store(dir: &Path, name: &str) -> Arc<Store> {
    let options = StoreOptions { commit_interval: Duration::from_millis(5), ..StoreOptions::new(dir, name) };
    Store::open(options, SystemClock::shared(), SystemRandom::shared(), &telemetry::Registry::new())
        .expect("opened")
}

async fn append(store: &Store, metric: &str, count: i64) {
    let slot = Slot::new(Labels::from_pairs([(METRIC_NAME, metric)]), Metadata::default());
    let layout = Layout::new(Labels::from_pairs([("job", "j")]), vec![slot]).expect("valid");
    let layout = store.layout(layout).expect("taken");
    let base = SystemClock::shared().now_ms() / 7_200_000 * 7_200_000;
    for number in 0..count {
        let cells = [Cell::Value(Number::from_f64(number as f64))];
        let row = Row { layout: &layout, timestamp: base + number, cells: &cells };
        Appender::append(store, row).expect("appended").commit.written().await.expect("written");
    }
}

async fn all(store: &Store) -> Vec<Series> {
    let matchers = vec![Matcher::equal("job", "j")];
    store
        .select(Select { matchers, range: TimeRange::ALL, samples_max: 100_000 })
        .await
        .expect("readable")
        .series
}

fn pair(
    name: &'static str,
    twin: &str,
    endpoint: SocketAddr,
    store: &Arc<Store>,
    tasks: &Tasks,
) -> Arc<Pair> {
    let options = PairOptions {
        replica: name.to_owned(),
        twin: twin.to_owned(),
        endpoint: endpoint.to_string(),
        interval: Duration::from_millis(50),
        silence_max: Duration::from_secs(1),
        copy_rate: PairOptions::COPY_RATE,
        tls: None,
    };
    let registry = telemetry::Registry::new();
    Pair::start(options, store.clone(), Arc::new(News(name)), SystemClock::shared(), tasks, &registry)
}

fn serve(listener: TcpListener, pair: &Arc<Pair>, tasks: &Tasks) {
    let (server, stop) = (tonic::transport::Server::builder().add_routes(pair.service()), tasks.token());
    tasks.spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await.expect("served");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_either_has_both_have_also_after_a_cut() {
    let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let tasks = Tasks::new();
    let (a, b) = (store(folders[0].path(), "a"), store(folders[1].path(), "b"));
    append(&a, "only_a", 150).await;
    append(&b, "only_b", 10).await;
    let at_a = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at_b = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to_a = Proxy::start(&at_a.local_addr().expect("its address").to_string()).await;
    let to_b = Proxy::start(&at_b.local_addr().expect("its address").to_string()).await;
    let pair_a = pair("a", "b", to_b.address(), &a, &tasks);
    let pair_b = pair("b", "a", to_a.address(), &b, &tasks);
    serve(at_a, &pair_a, &tasks);
    serve(at_b, &pair_b, &tasks);
    let equal = |series: usize| {
        let (a, b) = (a.clone(), b.clone());
        move || {
            let (a, b) = (a.clone(), b.clone());
            async move {
                let (here, there) = (all(&a).await, all(&b).await);
                (here.len() == series && here == there).then_some(())
            }
        }
    };
    eventually("both have both", WAIT, equal(2)).await;
    let view = pair_a.view();
    let heard = eventually("a hears b", WAIT, || async { view.heard() }).await;
    assert!(heard.same_config && heard.agents[0].name == "agent-of-b");

    to_a.cut();
    to_b.cut();
    eventually("a no longer hears b", WAIT, || async { view.heard().is_none().then_some(()) }).await;
    append(&a, "in_the_cut", 30).await;
    to_a.heal();
    to_b.heal();
    eventually("both have what came in the cut", WAIT, equal(3)).await;
    assert!(pair_b.view().heard().is_some());
    tasks.shutdown(WAIT).await.expect("stopped");
}

/// A replica that keeps five hours.
fn old_store(dir: &Path, name: &str, clock: &Arc<SimulatedClock>) -> Arc<Store> {
    let options = StoreOptions {
        commit_interval: Duration::from_millis(5),
        retention_time: Duration::from_secs(5 * 3600),
        ..StoreOptions::new(dir, name)
    };
    let clock: SharedClock = clock.clone();
    let store =
        Store::open(options, clock, SystemRandom::shared(), &telemetry::Registry::new()).expect("opened");
    store.keep_frames(|_| IntervalSet::new());
    store
}

/// A replica's segment is damaged after a checkpoint that says what was received: what it lost comes from the twin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_damaged_segment_has_lost_comes_from_the_twin() {
    const START: i64 = 1_699_999_200_000;
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let clock = SimulatedClock::at(START);
    let agent = old_store(folders[2].path(), "agent", &clock);
    let (a, mut b) = (old_store(folders[0].path(), "a", &clock), old_store(folders[1].path(), "b", &clock));
    let own = agent.own_stream();
    let slot = Slot::new(Labels::from_pairs([(METRIC_NAME, "m")]), Metadata::default());
    let layout = Layout::new(Labels::from_pairs([("job", "j")]), vec![slot]).expect("valid");
    let reference = agent.layout(layout.clone()).expect("taken");
    for store in [&a, &b] {
        store.open_stream(own.clone()).expect("opened");
        store.add_layout(layout.clone()).expect("added");
    }
    for row in 0..5 * 12i64 {
        let cells = [Cell::Value(Number::from_f64(row as f64))];
        let row = Row { layout: &reference, timestamp: START + row * 600_000, cells: &cells };
        Appender::append(&*agent, row).expect("appended");
        agent.flush().expect("flushed");
        for store in [&a, &b] {
            let from = store.received(&own.id).last().unwrap_or(0) + 1;
            for frame in agent.frames(&own.id, from, usize::MAX).expect("read") {
                assert!(matches!(FrameSink::append(&**store, frame).expect("taken"), Receipt::Appended(_)));
            }
            store.flush().expect("flushed");
            store.maintain();
        }
        clock.advance(Duration::from_secs(600));
    }
    let before = all(&a).await;
    assert!(before == all(&b).await && before.len() == 1);
    b.close().expect("closed");
    drop(b);
    let mut segments: Vec<_> = std::fs::read_dir(folders[1].path().join("log"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    segments.sort();
    let hurt = &segments[segments.len() - 2];
    let mut bytes = std::fs::read(hurt).expect("read");
    bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x20);
    std::fs::write(hurt, bytes).expect("written");
    b = old_store(folders[1].path(), "b", &clock);
    assert!(all(&b).await != before, "something is lost");

    let tasks = Tasks::new();
    let at_a = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at_b = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (to_a, to_b) = (at_a.local_addr().expect("an address"), at_b.local_addr().expect("an address"));
    let pair_a = pair("a", "b", to_b, &a, &tasks);
    let pair_b = pair("b", "a", to_a, &b, &tasks);
    serve(at_a, &pair_a, &tasks);
    serve(at_b, &pair_b, &tasks);
    eventually("b has again what it lost", WAIT, || {
        let (a, b) = (a.clone(), b.clone());
        async move { (all(&a).await == all(&b).await).then_some(()) }
    })
    .await;
    assert!(all(&a).await == before);
    tasks.shutdown(WAIT).await.expect("stopped");
}
