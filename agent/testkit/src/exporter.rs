//! An exporter whose value is the number of its scrape, and which remembers what it served.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One page that was served whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Which scrape it was, from 1; also the value of every series on the page.
    pub number: u64,
    /// When the response was finished.
    pub at: SystemTime,
}

/// A running exporter.
#[derive(Debug)]
pub struct FakeExporter {
    address: SocketAddr,
    record: Arc<Mutex<Vec<Served>>>,
    server: JoinHandle<()>,
}

impl FakeExporter {
    /// Serves `series` series named `scrape_number{series="…"}` on a free loopback port.
    ///
    /// # Panics
    /// When no port is free.
    #[allow(clippy::disallowed_methods, reason = "tests run on the host's own time")]
    pub async fn start(series: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let record: Arc<Mutex<Vec<Served>>> = Arc::default();
        let shared = Arc::clone(&record);
        let page = move || {
            let record = Arc::clone(&shared);
            async move {
                let mut record = record.lock();
                let number = record.len() as u64 + 1;
                record.push(Served { number, at: SystemTime::now() });
                let mut page = String::from("# TYPE scrape_number gauge\n");
                for series in 0..series {
                    let _ = writeln!(page, "scrape_number{{series=\"{series}\"}} {number}");
                }
                page
            }
        };
        let router = Router::new().route("/metrics", get(page));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, record, server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has served so far, in order.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.record.lock().clone()
    }

    /// What it had served so long ago.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "tests run on the host's own time")]
    pub fn served_before(&self, age: Duration) -> Vec<Served> {
        let limit = SystemTime::now() - age;
        self.record.lock().iter().filter(|served| served.at <= limit).copied().collect()
    }
}

impl Drop for FakeExporter {
    fn drop(&mut self) {
        self.server.abort();
    }
}
