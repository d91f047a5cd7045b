//! A TCP proxy between two processes: cuts the line, mends it, or delays every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Bytes on the way in one direction, at most, counted in chunks of up to 16 KiB.
const CHUNKS_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    cut: bool,
    delay: Duration,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port and passes bytes to `target` (`host:port`) and back.
    ///
    /// # Panics
    /// When no port is free.
    #[allow(clippy::disallowed_methods, reason = "the server ends with the proxy")]
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (line, watching) = watch::channel(Line::default());
        let server = tokio::spawn(serve(listener, target.to_owned(), watching));
        Self { address, line, server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and accepts none until [`Proxy::heal`].
    pub fn cut(&self) {
        self.line.send_modify(|line| line.cut = true);
    }

    /// Mends the line.
    pub fn heal(&self) {
        self.line.send_modify(|line| line.cut = false);
    }

    /// From now on every byte arrives so much later, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.line.send_modify(|line| line.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[allow(clippy::disallowed_methods, reason = "connections end with the proxy's channel")]
async fn serve(listener: TcpListener, target: String, line: watch::Receiver<Line>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if line.borrow().cut {
            continue;
        }
        let (target, line) = (target.clone(), line.clone());
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(&target).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let mut watching = line.clone();
            tokio::select! {
                () = pass(from_client, to_server, line.clone()) => {}
                () = pass(from_server, to_client, line) => {}
                _ = watching.wait_for(|line| line.cut) => {}
            }
        });
    }
}

/// Passes bytes on, each chunk when its delay is over; ends when either side does.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    line: watch::Receiver<Line>,
) {
    let (sender, mut waiting) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let read = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + line.borrow().delay;
            if sender.send((due, buffer[..size].to_vec())).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let write = async {
        while let Some((due, bytes)) = waiting.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}
