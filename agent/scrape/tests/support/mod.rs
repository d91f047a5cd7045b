//! A store in memory, a scripted exporter, and waiting.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "servers of a test end with it")]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use discovery::StaticConfig;
use model::{AnyHistogram, Exemplar, Labels, Metadata, is_stale};
use parking_lot::Mutex;
use storage::{
    AppendError, AppendOutcome, Appender, Assembler, Cell, CommitSender, ExemplarCounts, Layout, LayoutRef,
    Row, commit_channel,
};
use tokio::net::TcpListener;
use vedette_scrape::{ActiveTarget, Health, ScrapeConfig, ScrapeIdentity, ScrapeManager};

/// Keeps every sample, with the store's rules of order.
pub(crate) struct Memory {
    pub(crate) series: Mutex<BTreeMap<Labels, Vec<(i64, f64)>>>,
    pub(crate) metadata: Mutex<HashMap<String, Metadata>>,
    pub(crate) histograms: Mutex<BTreeMap<Labels, Vec<(i64, AnyHistogram)>>>,
    pub(crate) exemplars: Mutex<Vec<(Labels, Exemplar)>>,
    pub(crate) starts: Mutex<BTreeMap<Labels, Vec<(i64, i64)>>>,
    pub(crate) layouts: AtomicU64,
    /// References of an earlier epoch are refused.
    pub(crate) epoch: AtomicU64,
    commits: CommitSender,
}

impl Memory {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::new(Self {
            series: Mutex::default(),
            histograms: Mutex::default(),
            exemplars: Mutex::default(),
            starts: Mutex::default(),
            metadata: Mutex::default(),
            layouts: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            commits: commit_channel(),
        })
    }

    /// The samples of a series written as in PromQL.
    pub(crate) fn samples(&self, series: &str) -> Vec<(i64, f64)> {
        let all = self.series.lock();
        all.iter()
            .find(|(labels, _)| labels.to_string() == series)
            .map(|(_, samples)| samples.clone())
            .unwrap_or_default()
    }

    /// The values of a series; a stale marker is `None`.
    pub(crate) fn values(&self, series: &str) -> Vec<Option<f64>> {
        self.samples(series).into_iter().map(|(_, value)| (!is_stale(value)).then_some(value)).collect()
    }
}

impl Appender for Memory {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        self.layouts.fetch_add(1, Ordering::SeqCst);
        for slot in layout.slots() {
            self.metadata
                .lock()
                .insert(slot.labels.metric_name().to_owned(), Metadata::clone(&slot.metadata));
        }
        Ok(LayoutRef::new(Arc::new(layout), self.epoch.load(Ordering::SeqCst)))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        if row.layout.token() != self.epoch.load(Ordering::SeqCst) {
            return Err(AppendError::Relayout);
        }
        let layout = row.layout.layout();
        assert_eq!(row.cells.len(), layout.slots().len(), "a row is as wide as its layout");
        self.commits.written(1);
        let mut outcome = AppendOutcome {
            appended: 0,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.commits.commit(1),
        };
        if layout.has_histograms() {
            outcome.appended = 1;
            let parts = layout.slots().iter().filter_map(|slot| slot.part.as_deref()).collect();
            let bits: Vec<Option<u64>> = row.cells.iter().map(bits).collect();
            let histogram = Assembler::new(parts).and_then(|assembler| assembler.assemble(&bits));
            let sample = (row.timestamp, histogram.expect("a whole histogram"));
            self.histograms.lock().entry(layout.series(0)).or_default().push(sample);
            return Ok(outcome);
        }
        if layout.has_starts() {
            let starts = row.cells.iter().enumerate().filter(|(_, cell)| **cell != Cell::Absent);
            for (slot, cell) in starts {
                let start = bits(cell).map(|bits| f64::from_bits(bits) as i64).expect("a number");
                self.starts.lock().entry(layout.series(slot)).or_default().push((row.timestamp, start));
            }
            return Ok(outcome);
        }
        let mut series = self.series.lock();
        for (slot, cell) in row.cells.iter().enumerate() {
            let value = match cell {
                Cell::Absent => continue,
                Cell::Value(number) => number.to_f64(),
                Cell::Stale => model::stale_nan(),
            };
            let labels = layout.series(slot);
            let samples = series.entry(labels.clone()).or_default();
            match samples.last() {
                Some((time, _)) if *time > row.timestamp => outcome.out_of_order += 1,
                Some((time, last)) if *time == row.timestamp && last.to_bits() != value.to_bits() => {
                    outcome.duplicates += 1
                }
                Some((time, _)) if *time == row.timestamp => {}
                _ => {
                    samples.push((row.timestamp, value));
                    outcome.appended += 1;
                }
            }
        }
        Ok(outcome)
    }

    fn keeps_starts(&self) -> bool {
        true
    }

    fn append_exemplars(&self, series: &Labels, exemplars: &[Exemplar]) -> ExemplarCounts {
        self.exemplars.lock().extend(exemplars.iter().map(|one| (series.clone(), one.clone())));
        ExemplarCounts { appended: exemplars.len(), ..ExemplarCounts::default() }
    }
}

fn bits(cell: &Cell) -> Option<u64> {
    match cell {
        Cell::Absent => None,
        Cell::Stale => Some(model::STALE_NAN_BITS),
        Cell::Value(number) => Some(number.to_bits()),
    }
}

/// What an exporter has seen of a request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) uri: String,
    pub(crate) peer: SocketAddr,
}

/// An exporter that answers what it is told to.
pub(crate) struct Exporter {
    pub(crate) address: SocketAddr,
    pub(crate) page: Arc<Mutex<Box<dyn FnMut() -> Response + Send>>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

impl Exporter {
    pub(crate) async fn start(page: impl FnMut() -> Response + Send + 'static) -> Self {
        let page: Arc<Mutex<Box<dyn FnMut() -> Response + Send>>> = Arc::new(Mutex::new(Box::new(page)));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (answer, record) = (Arc::clone(&page), Arc::clone(&seen));
        let handler = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: axum::extract::Request| {
            let response = answer.lock()();
            record.lock().push(Seen {
                headers: request.headers().clone(),
                uri: request.uri().to_string(),
                peer,
            });
            async move { response }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let router = Router::new().route("/metrics", get(handler));
        tokio::spawn(async move {
            let _ = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await;
        });
        Self { address, page, seen }
    }

    /// From now on it says something else.
    pub(crate) fn say(&self, page: impl FnMut() -> Response + Send + 'static) {
        *self.page.lock() = Box::new(page);
    }
}

pub(crate) fn text(page: impl Into<Body>) -> Response {
    let mut response = Response::new(page.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

/// A job that asks often.
pub(crate) fn job(name: &str, addresses: &[SocketAddr]) -> ScrapeConfig {
    let mut config = ScrapeConfig::new(name);
    config.interval = Duration::from_millis(50);
    config.timeout = Duration::from_millis(50);
    let targets = addresses.iter().map(ToString::to_string).collect();
    config.discovery.statics =
        vec![StaticConfig { targets, labels: Labels::from_pairs([("instance", "i")]) }];
    config
}

pub(crate) struct Scene {
    pub(crate) memory: Arc<Memory>,
    pub(crate) manager: ScrapeManager,
    pub(crate) registry: telemetry::Registry,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (memory, registry) = (Memory::shared(), telemetry::Registry::new());
        let identity = ScrapeIdentity { host_name: "me".to_owned(), offset_seed: 7 };
        let appender: Arc<dyn Appender> = Arc::clone(&memory) as Arc<dyn Appender>;
        let manager =
            ScrapeManager::new(appender, env::SystemClock::shared(), &env::Tasks::new(), &registry, identity);
        Self { memory, manager, registry }
    }

    pub(crate) async fn running(config: ScrapeConfig) -> Self {
        let scene = Self::new();
        scene.manager.apply(vec![config]).await.expect("a valid job");
        scene
    }

    pub(crate) fn target(&self) -> Option<ActiveTarget> {
        self.manager.targets().active.into_iter().next()
    }

    /// Waits for the only target to be so, and gives it.
    pub(crate) async fn health(&self, health: Health) -> ActiveTarget {
        until("the target's health", || self.target().filter(|target| target.health == health)).await
    }

    pub(crate) async fn stop(self) {
        self.manager.stop(Duration::from_secs(20)).await.expect("all loops end");
    }
}

/// Waits until something is there.
pub(crate) async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("still waiting for {what}"))
}
