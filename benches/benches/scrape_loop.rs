//! CPU time of scraping over loopback HTTP, into a store: many targets, each with a page of its own.
//!
//! The exporter is a process of its own (this program again), so that only the scraping side is counted.
//! Run alone, on a quiet machine: `cargo bench -p vedette-benches --bench scrape_loop`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::routing::get;
use discovery::StaticConfig;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::Labels;
use rustix::time::{ClockId, clock_gettime};
use scrape::{ScrapeConfig, ScrapeIdentity, ScrapeManager};
use telemetry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tsdb::{Store, StoreOptions};
use vedette_benches::{NODE_SERIES, NodePage, NullAppender};

const TARGETS: usize = 100;
const INTERVAL: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(20);
/// Pages that the exporter has ready; targets begin at different ones.
const PAGES: usize = 64;
/// Makes this program the exporter.
const EXPORTER: &str = "VEDETTE_BENCH_EXPORTER";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    let runtime = runtime.expect("a runtime");
    if std::env::var_os(EXPORTER).is_some() {
        return runtime.block_on(export());
    }
    // Only `cargo bench` says so; a test run only asks whether it compiles.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let (mut exporter, address) = start_exporter();
    for encoding in ["identity", "gzip"] {
        runtime.block_on(read_only(address, encoding));
        runtime.block_on(without_store(address, encoding));
        runtime.block_on(with_store(address, encoding));
    }
    exporter.kill().expect("the exporter ends");
    exporter.wait().expect("the exporter ends");
}

fn start_exporter() -> (Child, SocketAddr) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program).env(EXPORTER, "1").stdout(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    let out = child.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("an address");
    (child, line.trim().parse().expect("an address"))
}

/// Serves a host's next page at each request, packed where `encoding=gzip` says so.
#[allow(clippy::print_stdout, reason = "the measuring side reads it")]
async fn export() {
    let mut node = NodePage::new(1);
    let pages: Arc<Vec<(String, Vec<u8>)>> = Arc::new(
        (0..PAGES)
            .map(|_| {
                let page = node.next_page();
                let mut packer = GzEncoder::new(Vec::new(), Compression::default());
                packer.write_all(page.as_bytes()).expect("packed");
                (page, packer.finish().expect("packed"))
            })
            .collect(),
    );
    let served: Arc<Vec<std::sync::atomic::AtomicUsize>> =
        Arc::new((0..TARGETS).map(std::sync::atomic::AtomicUsize::new).collect());
    let answer = move |Query(query): Query<std::collections::HashMap<String, String>>| {
        let host: usize = query["host"].parse().expect("a number");
        let number = served[host].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (plain, packed) = &pages[number % PAGES];
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
        let body = match query["encoding"].as_str() {
            "gzip" => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                packed.clone()
            }
            _ => plain.clone().into_bytes(),
        };
        async move { (headers, body) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, Router::new().route("/metrics", get(answer))).await.expect("it serves");
}

/// Scrapes into a store that writes its log.
async fn with_store(address: SocketAddr, encoding: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new();
    let options = StoreOptions::new(folder.path(), "bench");
    let (clock, random) = (env::SystemClock::shared(), env::SeededRandom::shared(1));
    let store = Store::open(options, clock, random, &registry).expect("the store opens");
    measure(address, encoding, "stored", Arc::clone(&store) as _, &registry, || samples(&registry)).await;
    store.close().expect("the log is written");
}

/// Scrapes into nothing: what is left is HTTP and reading pages.
async fn without_store(address: SocketAddr, encoding: &str) {
    let null = Arc::new(NullAppender::default());
    measure(address, encoding, "dropped", Arc::clone(&null) as _, &Registry::new(), || null.taken()).await;
}

#[allow(clippy::print_stdout, reason = "the result")]
async fn measure(
    address: SocketAddr,
    encoding: &str,
    fate: &str,
    appender: Arc<dyn storage::Appender>,
    registry: &Registry,
    taken: impl Fn() -> u64,
) {
    let tasks = env::Tasks::new();
    let clock = env::SystemClock::shared();
    let manager = ScrapeManager::new(appender, clock, &tasks, registry, ScrapeIdentity::default());
    manager.apply(vec![job(address, encoding)]).await.expect("a valid job");
    tokio::time::sleep(WARM_UP).await;
    count(encoding, fate, taken).await;
    manager.stop(Duration::from_secs(20)).await.expect("all loops end");
    tasks.shutdown(Duration::from_secs(20)).await.expect("all tasks end");
}

#[allow(clippy::print_stdout, reason = "the result")]
async fn count(encoding: &str, fate: &str, taken: impl Fn() -> u64) {
    let begun = (cpu(), taken());
    tokio::time::sleep(MEASURED).await;
    let (cpu, samples) = ((cpu() - begun.0).as_secs_f64(), taken() - begun.1);
    println!(
        "{encoding:8} {fate:7} {TARGETS} targets of {NODE_SERIES} series: {samples} samples, {cpu:.3} s CPU, \
         {:.3} s per million samples",
        cpu / samples as f64 * 1e6
    );
}

/// Asks for the same pages at the same pace and only reads them: what nothing that is built on sockets can undercut.
async fn read_only(address: SocketAddr, encoding: &str) {
    let tasks = env::Tasks::new();
    let taken = Arc::new(AtomicU64::new(0));
    for host in 0..TARGETS {
        let request =
            format!("GET /metrics?host={host}&encoding={encoding} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let (stop, taken) = (tasks.token(), Arc::clone(&taken));
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let (mut buffer, mut page) = (vec![0; 256 << 10], 0);
            tokio::time::sleep(INTERVAL * host as u32 / TARGETS as u32).await;
            let mut ticks = tokio::time::interval(INTERVAL);
            while !stop.is_cancelled() {
                ticks.tick().await;
                stream.write_all(request.as_bytes()).await.expect("it is sent");
                let mut read = 0;
                while read == 0 || read < page {
                    read += stream.read(&mut buffer[read..]).await.expect("it is answered");
                    if page == 0 {
                        page = whole(&buffer[..read]);
                    }
                }
                page = 0;
                taken.fetch_add(NODE_SERIES as u64, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(WARM_UP).await;
    count(encoding, "read", || taken.load(Ordering::Relaxed)).await;
    tasks.shutdown(Duration::from_secs(20)).await.expect("all tasks end");
}

/// The length of an answer of which the head is there.
fn whole(answer: &[u8]) -> usize {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    end + length.parse::<usize>().expect("a length")
}

fn job(address: SocketAddr, encoding: &str) -> ScrapeConfig {
    let mut config = ScrapeConfig::new("node");
    (config.interval, config.timeout) = (INTERVAL, INTERVAL);
    config.discovery.statics = (0..TARGETS)
        .map(|host| StaticConfig {
            targets: vec![address.to_string()],
            labels: Labels::from_pairs([
                ("instance", format!("host-{host}")),
                ("__param_host", host.to_string()),
                ("__param_encoding", encoding.to_owned()),
            ]),
        })
        .collect();
    config
}

/// What this process has used so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Samples that the store has taken.
fn samples(registry: &Registry) -> u64 {
    let page = registry.encode_text();
    let line = page.lines().find_map(|line| line.strip_prefix("prometheus_tsdb_head_samples_appended_total"));
    let value = line.and_then(|line| line.rsplit(' ').next()).expect("the store counts samples");
    value.parse::<f64>().expect("a number") as u64
}
