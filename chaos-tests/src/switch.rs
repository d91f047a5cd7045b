//! Debian's node exporter, with a switch of ours on its page.

use std::path::PathBuf;
use std::time::Duration;

use env::SystemClock;
use testkit::{Peer, Process, eventually, free_port, peer};

use crate::folder::Folder;

/// A running node exporter that also serves `chaos_switch{run="…"}`.
#[derive(Debug)]
pub struct NodeExporter {
    port: u16,
    switches: PathBuf,
    _process: Process,
}

impl NodeExporter {
    /// Starts it; none where the peer is not unpacked (in CI that panics).
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn start(folder: &Folder) -> Option<Self> {
        let program = peer(Peer::NodeExporter)?;
        let switches = folder.path().join("switches");
        std::fs::create_dir_all(&switches).expect("a writable folder");
        let port = free_port();
        let arguments = [
            format!("--web.listen-address=127.0.0.1:{port}"),
            format!("--collector.textfile.directory={}", switches.display()),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = Process::start(&program, &arguments, &folder.path().join("node-exporter.log"));
        let this = Self { port, switches, _process: process.expect("a node exporter") };
        eventually("the node exporter answers", Duration::from_secs(20), || async {
            testkit::get(&this.url()).await.ok()
        })
        .await;
        Some(this)
    }

    /// Its page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.port)
    }

    /// `host:port`.
    #[must_use]
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From its next page on it serves `chaos_switch{run="run"}` with 1 or 0.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn switch(&self, run: &str, on: bool) {
        let text = format!("# TYPE chaos_switch gauge\nchaos_switch{{run=\"{run}\"}} {}\n", u8::from(on));
        // Never half a file on a page.
        let part = self.switches.join("chaos.part");
        std::fs::write(&part, text).expect("a writable folder");
        std::fs::rename(&part, self.switches.join("chaos.prom")).expect("a writable folder");
    }
}

/// The host's time, milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    SystemClock::shared().now_ms()
}

/// Lets time pass where time itself is what the test is about.
pub async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}
