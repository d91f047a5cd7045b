//! Behind the log: real stores over loopback gRPC. What one sealed and trimmed while the other was away, or never
//! was, arrives bit by bit, also through a link that is cut and lives that end anywhere.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock as _, SeededRandom, SimulatedClock, SystemClock, Tasks};
use model::{Labels, METRIC_NAME, Metadata};
use storage::{
    Appender, Cell, FrameSink, FrameSource, Layout, Number, Querier as _, Row, Select, Slot, TimeRange,
    WindowSource,
};
use testkit::{Proxy, eventually};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tsdb::{Store, StoreOptions};
use vedette_repair::{AgentHeard, Local, Pair, PairOptions};

const WAIT: Duration = Duration::from_secs(60);
const T0: i64 = 1_699_999_200_000;

struct Nobody;

impl Local for Nobody {
    fn agents(&self) -> Vec<AgentHeard> {
        Vec::new()
    }

    fn learn(&self, _: &[AgentHeard]) {}

    fn config_hash(&self) -> u128 {
        7
    }
}

fn store(dir: &Path, name: &str, clock: &Arc<SimulatedClock>) -> Arc<Store> {
    let options = StoreOptions { commit_interval: Duration::from_millis(5), ..StoreOptions::new(dir, name) };
    let seed = dir.to_string_lossy().bytes().fold(0u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    let random = SeededRandom::shared(seed ^ clock.now_ms().unsigned_abs());
    Store::open(options, clock.clone(), random, &telemetry::Registry::new()).expect("opened")
}

/// Rows of some targets over the time of some windows; the last ones are sealed and out of the log.
fn fill(store: &Store, clock: &Arc<SimulatedClock>, metric: &str, windows: i64) {
    let slots = |target: i64| [1, 70, 200][target as usize];
    for step in 0..windows * 12 {
        for target in 0..3i64 {
            let slot = |at: usize| {
                Slot::new(Labels::from_pairs([(METRIC_NAME, format!("{metric}{at}"))]), Metadata::default())
            };
            let layout = Layout::new(
                Labels::from_pairs([("job", "j".to_owned()), ("instance", target.to_string())]),
                (0..slots(target)).map(slot).collect(),
            );
            let layout = store.layout(layout.expect("valid")).expect("taken");
            let cells: Vec<Cell> = (0..slots(target) as i64)
                .map(|slot| Cell::Value(Number::from_f64((slot * 7 + step * step) as f64 / 8.0)))
                .collect();
            let row = Row { layout: &layout, timestamp: clock.now_ms(), cells: &cells };
            Appender::append(store, row).expect("appended");
        }
        clock.advance(Duration::from_secs(600));
        if step % 6 == 5 {
            store.flush().expect("written");
            store.maintain();
        }
    }
}

type Bits = Vec<(Labels, Vec<(i64, u64)>)>;

async fn all(store: &Store) -> Bits {
    let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
    let set = store.select(select).await.expect("readable");
    let bits = |series: &model::Series| {
        series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect()
    };
    set.series.iter().map(|series| (series.labels.clone(), bits(series))).collect()
}

/// A replica's side of the pair, until it is dropped.
struct Side {
    tasks: Tasks,
}

impl Side {
    /// `copy_rate` 0: the default.
    fn start(
        name: &str,
        store: &Arc<Store>,
        listener: TcpListener,
        twin: SocketAddr,
        copy_rate: u64,
    ) -> Self {
        let options = PairOptions {
            replica: name.to_owned(),
            twin: format!("not-{name}"),
            endpoint: twin.to_string(),
            interval: Duration::from_millis(20),
            silence_max: Duration::from_secs(1),
            copy_rate: if copy_rate == 0 { PairOptions::COPY_RATE } else { copy_rate },
            tls: None,
        };
        let tasks = Tasks::new();
        let (clock, registry) = (SystemClock::shared(), telemetry::Registry::new());
        let pair = Pair::start(options, store.clone(), Arc::new(Nobody), clock, &tasks, &registry);
        let (server, stop) = (tonic::transport::Server::builder().add_routes(pair.service()), tasks.token());
        tasks.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await.expect("served");
        });
        Self { tasks }
    }

    async fn stop(self) {
        self.tasks.shutdown(WAIT).await.expect("stopped");
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

async fn equal(a: &Arc<Store>, b: &Arc<Store>, expected: &Bits) {
    eventually("both have the same", WAIT, || {
        let (a, b) = (a.clone(), b.clone());
        async move { (&all(&a).await == expected && &all(&b).await == expected).then_some(()) }
    })
    .await;
    for info in a.streams() {
        assert_eq!(a.received(&info.id), b.received(&info.id), "{}", info.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_replica_gets_what_left_the_log_of_its_twin_through_cuts() {
    let clock = SimulatedClock::at(T0);
    let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let a = store(folders[0].path(), "a", &clock);
    fill(&a, &clock, "m", 8);
    let b = store(folders[1].path(), "b", &clock);
    // Some of it is hidden by a deletion that left the log, too.
    let hidden = vec![model::Matcher::equal("instance", "1"), model::Matcher::equal(METRIC_NAME, "m3")];
    a.delete_series(hidden, TimeRange { start: T0, end: T0 + 3 * 7_200_000 }).expect("deleted");
    fill(&a, &clock, "m", 5);
    let before = all(&a).await;
    let own = a.own_stream().id;
    let held = a.held(&own);
    assert!(held.first().is_some_and(|first| first > 20), "the log was trimmed: {held}");
    let ((at_a, to_a), (at_b, to_b)) = (listen().await, listen().await);
    let proxy = Proxy::start(&to_a.to_string()).await;
    let side_a = Side::start("a", &a, at_a, to_b, 0);
    // So slow that a window takes some digests.
    let side_b = Side::start("b", &b, at_b, proxy.address(), 400_000);
    for cut in 0..6 {
        eventually("some more", WAIT, || async { (b.status().sealed_windows > cut / 2).then_some(()) }).await;
        proxy.cut();
        proxy.heal();
    }
    equal(&a, &b, &before).await;
    assert_eq!(b.status().sealed_windows, a.status().sealed_windows);
    side_a.stop().await;
    side_b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_gets_what_was_sealed_meanwhile_and_gives_what_only_it_has() {
    let clock = SimulatedClock::at(T0);
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let [a, b, agent] =
        [("a", 0), ("b", 1), ("n", 2)].map(|(name, at)| store(folders[at].path(), name, &clock));
    // The agent's frames of one window go to both, but each misses some of them.
    agent.keep_frames(|_| storage::IntervalSet::new());
    fill(&agent, &clock, "m", 2);
    agent.flush().expect("written");
    let id = agent.own_stream().id;
    for (replica, missing) in [(&a, 1), (&b, 2)] {
        replica.open_stream(agent.streams()[0].clone()).expect("opens");
        let frames = agent.frames(&id, 1, usize::MAX).expect("reads");
        for frame in frames.iter().filter(|frame| frame.key().seq % 4 != missing) {
            for layout in replica.unknown_layouts(frame.layouts()) {
                replica.add_layout((*agent.find_layout(layout).expect("known")).clone()).expect("adds");
            }
            FrameSink::append(&**replica, frame.clone()).expect("takes");
        }
        replica.flush().expect("written");
    }
    fill(&b, &clock, "only_b", 3);
    // While b is away, a goes on; both seal what they have and trim their logs.
    fill(&a, &clock, "only_a", 5);
    b.maintain();
    let mut expected = all(&agent).await;
    expected.extend(
        all(&a)
            .await
            .into_iter()
            .chain(all(&b).await)
            .filter(|(labels, _)| labels.get(METRIC_NAME).is_some_and(|name| name.starts_with("only"))),
    );
    expected.sort();
    let ((at_a, to_a), (at_b, to_b)) = (listen().await, listen().await);
    let (side_a, side_b) = (Side::start("a", &a, at_a, to_b, 0), Side::start("b", &b, at_b, to_a, 0));
    equal(&a, &b, &expected).await;
    side_a.stop().await;
    side_b.stop().await;
    // Nothing is copied again, and a restart keeps it.
    let (windows, version) = (b.status().sealed_windows, b.windows_version());
    b.close().expect("closed");
    drop(b);
    let b = store(folders[1].path(), "b", &clock);
    assert_eq!(all(&b).await, expected);
    assert_eq!((b.status().sealed_windows, b.windows_version()), (windows, version));
}

/// Copies a folder as it is at one moment: once more where a file went meanwhile.
fn copy_dir(from: &Path, to: &Path) {
    fn try_copy(from: &Path, to: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let (path, target) = (
                entry.as_ref().map(|entry| entry.path()),
                to.join(entry.as_ref().expect("named").file_name()),
            );
            let path = path.expect("named");
            if path.is_dir() { try_copy(&path, &target)? } else { std::fs::copy(path, target).map(drop)? }
        }
        Ok(())
    }
    while let Err(error) = try_copy(from, to) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        std::fs::remove_dir_all(to).expect("removed");
    }
}

/// The copy of a folder at one moment is what a kill leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_copying_loses_and_doubles_nothing() {
    let clock = SimulatedClock::at(T0);
    let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let a = store(folders[0].path(), "a", &clock);
    fill(&a, &clock, "m", 6);
    let before = all(&a).await;
    let mut folder_b = tempfile::tempdir().expect("a folder");
    let mut lives = 0;
    loop {
        let b = store(folder_b.path(), "b", &clock);
        let ((at_a, to_a), (at_b, to_b)) = (listen().await, listen().await);
        let (side_a, side_b) =
            (Side::start("a", &a, at_a, to_b, 0), Side::start("b", &b, at_b, to_a, 1_000_000));
        if lives == 4 {
            equal(&a, &b, &before).await;
            side_a.stop().await;
            side_b.stop().await;
            break;
        }
        // Somewhere: after so many windows, while the next one is written.
        eventually("it goes on", WAIT, || async { (b.status().sealed_windows >= lives).then_some(()) }).await;
        let copy = tempfile::tempdir().expect("a folder");
        copy_dir(folder_b.path(), copy.path());
        side_a.stop().await;
        side_b.stop().await;
        drop(b);
        folder_b = copy;
        lives += 1;
    }
}
