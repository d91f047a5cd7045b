//! A real agent store ships to a real replica store over loopback gRPC.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{SystemClock, SystemRandom, Tasks};
use model::{Labels, Matcher, Metadata, Series};
use storage::{
    Appender, Cell, Frame, FrameSink, FrameSource, Layout, LayoutRef, Number, Querier as _, Receipt, Row,
    Select, Slot, TimeRange,
};
use testkit::{Proxy, eventually};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tsdb::{OpenError, Store, StoreOptions};
use uplink::{Uplink, UplinkConfig};
use vedette_receive::{Agents, ReceiveOptions, Receiver};

const WAIT: Duration = Duration::from_secs(20);

fn store(dir: &Path, node: &str, external: Labels) -> Arc<Store> {
    let options =
        StoreOptions { external, commit_interval: Duration::from_millis(5), ..StoreOptions::new(dir, node) };
    let (clock, registry) = (SystemClock::shared(), telemetry::Registry::new());
    let begun = clock.monotonic();
    loop {
        match Store::open(options.clone(), clock.clone(), SystemRandom::shared(), &registry) {
            // A reader of the store before may still be about to let go of it.
            Err(OpenError::Locked(_)) if clock.monotonic().saturating_sub(begun) < WAIT => {
                std::thread::yield_now();
            }
            opened => return opened.expect("opened"),
        }
    }
}

fn layout(store: &Store) -> LayoutRef {
    let slot = |name: &str| Slot::new(Labels::from_pairs([("__name__", name)]), Metadata::default());
    let layout = Layout::new(Labels::from_pairs([("job", "j")]), vec![slot("a"), slot("b")]).expect("valid");
    store.layout(layout).expect("taken")
}

/// Appends rows at `from..to` seconds of the current 2 h window.
async fn append(store: &Store, layout: &LayoutRef, numbers: std::ops::Range<i64>) {
    let base = SystemClock::shared().now_ms() / 7_200_000 * 7_200_000;
    let mut last = None;
    for number in numbers {
        let value = |scale: f64| Cell::Value(Number::from_f64(number as f64 * scale));
        let row = Row { layout, timestamp: base + number, cells: &[value(1.0), value(0.1)] };
        last = Some(Appender::append(store, row).expect("appended").commit);
    }
    if let Some(mut commit) = last {
        commit.written().await.expect("written");
    }
}

async fn all(store: &Store) -> Vec<Series> {
    let matchers = vec![Matcher::equal("job", "j")];
    let select = Select { matchers, range: TimeRange::ALL, samples_max: 1_000_000 };
    store.select(select).await.expect("readable").series
}

struct Replica {
    store: Arc<Store>,
    agents: Arc<Agents>,
    registry: telemetry::Registry,
    tasks: Tasks,
    address: SocketAddr,
}

impl Replica {
    async fn start(dir: &Path) -> Self {
        let (tasks, registry) = (Tasks::new(), telemetry::Registry::new());
        let store = store(dir, "replica", Labels::empty());
        let clock = SystemClock::shared();
        let agents = Arc::new(Agents::load(dir, ReceiveOptions::HEARTBEAT, clock.clone()).expect("readable"));
        let options = ReceiveOptions {
            replica: "replica".to_owned(),
            heartbeat: ReceiveOptions::HEARTBEAT,
            ack_interval: Duration::from_millis(20),
        };
        let receiver = Receiver::new(options, store.clone(), agents.clone(), clock, tasks.clone(), &registry);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = tonic::transport::Server::builder().add_routes(receiver.service());
        let stop = tasks.token();
        tasks.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await.expect("served");
        });
        Self { store, agents, registry, tasks, address }
    }

    fn counter(&self, name: &str) -> u64 {
        let page = self.registry.encode_text();
        let line = page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or("x 0");
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }
}

fn ship(
    store: &Arc<Store>,
    agent: &str,
    endpoint: &str,
    cursors: &Path,
    tasks: &Tasks,
) -> (Uplink, telemetry::Registry) {
    let registry = telemetry::Registry::new();
    let config = UplinkConfig {
        agent: agent.to_owned(),
        endpoints: vec![endpoint.to_owned()],
        labels: Labels::from_pairs([("agent", agent)]),
        ha_group: None,
        ephemeral: false,
        flush_interval: Duration::from_millis(20),
        tls: None,
        cursor_dir: cursors.to_owned(),
    };
    let source: Arc<dyn FrameSource> = store.clone();
    let uplink =
        Uplink::start(config, &source, &SystemClock::shared(), &SystemRandom::shared(), tasks, &registry);
    (uplink, registry)
}

async fn until_equal(what: &str, agent: &Store, replica: &Store) {
    let expected: Vec<Series> = all(agent)
        .await
        .into_iter()
        .map(|series| {
            let mut labels = series.labels.to_builder();
            labels.set("agent", "host");
            Series { labels: labels.build(), ..series }
        })
        .collect();
    eventually(what, WAIT, || async { (all(replica).await == expected).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_arrives_once_with_the_same_bits_across_cuts_and_restarts() {
    let (agent_dir, replica_dir) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let tasks = Tasks::new();
    let replica = Replica::start(replica_dir.path()).await;
    let proxy = Proxy::start(&replica.address.to_string()).await;
    let agent = store(agent_dir.path(), "host", Labels::from_pairs([("agent", "host")]));
    let layout = layout(&agent);
    append(&agent, &layout, 0..50).await;
    let (_uplink, _registry) = ship(&agent, "host", &proxy.address().to_string(), agent_dir.path(), &tasks);
    until_equal("the first rows", &agent, &replica.store).await;
    proxy.cut();
    append(&agent, &layout, 50..300).await;
    proxy.heal();
    until_equal("rows of the cut", &agent, &replica.store).await;
    let (received, appended) = (
        replica.counter("vedette_receive_frames_received_total"),
        replica.counter("vedette_receive_frames_appended_total"),
    );
    assert_eq!(received, appended + replica.counter("vedette_receive_frames_duplicate_total"));
    assert!(appended > 0);

    // The replica starts anew from its own disk, the agent under a new epoch.
    replica.tasks.shutdown(WAIT).await.expect("stopped");
    replica.store.close().expect("closed");
    tasks.shutdown(WAIT).await.expect("stopped");
    agent.close().expect("closed");
    drop((agent, replica, layout));
    let (replica, tasks) = (Replica::start(replica_dir.path()).await, Tasks::new());
    assert_eq!(replica.agents.list()[0].name, "host");
    let agent = store(agent_dir.path(), "host", Labels::from_pairs([("agent", "host")]));
    let layout = self::layout(&agent);
    append(&agent, &layout, 300..350).await;
    let (uplink, _registry) = ship(&agent, "host", &replica.address.to_string(), agent_dir.path(), &tasks);
    until_equal("rows of the second life", &agent, &replica.store).await;
    assert_eq!(
        replica.counter("vedette_receive_frames_duplicate_total"),
        0,
        "what was received is not sent again"
    );
    eventually("everything acknowledged", WAIT, || async {
        let durable: u64 = agent
            .streams()
            .iter()
            .map(|info| agent.held(&info.id).difference(&replica.store.durable(&info.id)).count())
            .sum();
        (durable == 0).then_some(())
    })
    .await;
    assert!(uplink.status()[0].connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_live_agent_of_one_name_is_refused_with_the_others_address() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let tasks = Tasks::new();
    let replica = Replica::start(folders[0].path()).await;
    let endpoint = replica.address.to_string();
    let first = store(folders[1].path(), "host", Labels::empty());
    let second = store(folders[2].path(), "host", Labels::empty());
    let (uplink, _one) = ship(&first, "host", &endpoint, folders[1].path(), &tasks);
    eventually("the first is connected", WAIT, || async { uplink.status()[0].connected.then_some(()) }).await;
    let (refused, _two) = ship(&second, "host", &endpoint, folders[2].path(), &tasks);
    let why = eventually("the second is refused", WAIT, || async {
        Some(refused.status()[0].last_error.clone()).filter(|why| !why.is_empty())
    })
    .await;
    assert!(why.contains("\"host\" is connected from 127.0.0.1:"), "{why}");
    assert!(uplink.status()[0].connected && !refused.status()[0].connected);
    assert_eq!(replica.counter("vedette_receive_connections_refused_total"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_stream_another_machine_continued_goes_on_in_a_new_epoch_and_loses_nothing() {
    let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let tasks = Tasks::new();
    let replica = Replica::start(folders[0].path()).await;
    let agent = store(folders[1].path(), "host", Labels::from_pairs([("agent", "host")]));
    let layout = layout(&agent);
    append(&agent, &layout, 0..20).await;
    // The copy was faster: its first frame has our name and other content.
    let own = FrameSource::own_stream(&*agent);
    let first = agent.frames(&own.id, 1, 1).expect("readable").remove(0);
    let body = first.body().slice(..0);
    let copy = Frame::new(first.key().clone(), first.prev(), first.range(), Vec::new(), body);
    replica.store.open_stream(own.clone()).expect("opened");
    assert!(matches!(FrameSink::append(&*replica.store, copy), Ok(Receipt::Appended(_))));

    let (_uplink, registry) = ship(&agent, "host", &replica.address.to_string(), folders[1].path(), &tasks);
    until_equal("all rows under the new epoch", &agent, &replica.store).await;
    assert_ne!(FrameSource::own_stream(&*agent).id, own.id);
    assert!(registry.encode_text().contains("vedette_uplink_clones_total{replica="));
    let refused = replica.registry.encode_text();
    assert!(refused.contains("vedette_receive_frames_refused_total{reason=\"clone\"}"), "{refused}");
}
