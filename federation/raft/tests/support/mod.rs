//! Nodes over real loopback gRPC: each in a runtime of its own, so that a kill takes everything at once.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a test's own harness; not every test uses all of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a harness fails by panicking, in real time"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use env::{SystemClock, SystemRandom, Tasks};
use telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Runtime;
use vedette_raft::{
    Applied, LeaderId, NodeId, Peer, ProposeError, Raft, RaftOptions, StateMachine, TlsFiles,
};

pub const WAIT: Duration = Duration::from_secs(20);

/// Remembers every command in order; answers how many there were.
#[derive(Default)]
pub struct Journal(Mutex<Vec<(Applied, Vec<u8>)>>);

impl Journal {
    pub fn commands(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    pub fn entries(&self) -> Vec<(Applied, Vec<u8>)> {
        self.0.lock().unwrap().clone()
    }
}

impl StateMachine for Journal {
    fn apply(&self, at: Applied, command: &[u8]) -> Vec<u8> {
        let mut all = self.0.lock().unwrap();
        assert!(all.last().is_none_or(|(last, _)| last.index < at.index), "applied twice or out of order");
        all.push((at, command.to_vec()));
        all.len().to_string().into_bytes()
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, command) in self.0.lock().unwrap().iter() {
            for number in [at.index, at.leader.term, at.leader.node, command.len() as u64] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(command);
        }
        bytes
    }

    fn restore(&self, mut bytes: &[u8]) -> Result<(), String> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at_checked(32).ok_or("cut")?;
            let number = |at: usize| u64::from_le_bytes(head[at * 8..at * 8 + 8].try_into().unwrap());
            let (command, rest) = rest.split_at_checked(number(3) as usize).ok_or("cut")?;
            let at = Applied { index: number(0), leader: LeaderId { term: number(1), node: number(2) } };
            all.push((at, command.to_vec()));
            bytes = rest;
        }
        *self.0.lock().unwrap() = all;
        Ok(())
    }
}

/// A place for a node: its name, folder and address stay over restarts.
pub struct Site {
    pub name: String,
    pub address: SocketAddr,
    pub folder: PathBuf,
    pub options: RaftOptions,
}

/// A running node.
pub struct Running {
    pub raft: Raft,
    pub journal: Arc<Journal>,
    pub registry: Registry,
    pub folder: PathBuf,
    runtime: Option<Runtime>,
}

/// Places for nodes that know one another; names starting with `w` are witnesses.
pub fn sites(folder: &Path, names: &[&str]) -> Vec<Site> {
    let addresses: Vec<SocketAddr> = names.iter().map(|_| free_address()).collect();
    let site = |(at, name): (usize, &&str)| {
        let mut options = RaftOptions::new(folder.join(name), (*name).to_owned(), addresses[at].to_string());
        options.peers =
            addresses.iter().map(|address| Peer { name: None, address: address.to_string() }).collect();
        options.cluster_label = "test".to_owned();
        options.witness = name.starts_with('w');
        options.heartbeat = Duration::from_millis(100);
        options.election_min = Duration::from_millis(600);
        options.election_max = Duration::from_millis(1_000);
        options.replace_after = Duration::from_secs(1);
        Site { name: (*name).to_owned(), address: addresses[at], folder: folder.join(name), options }
    };
    names.iter().enumerate().map(site).collect()
}

impl Site {
    pub fn start(&self) -> Running {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (journal, registry) = (Arc::new(Journal::default()), Registry::new());
        let tasks = Tasks::new();
        let raft = runtime.block_on(async {
            let until = Instant::now() + WAIT;
            loop {
                // A node that was killed here may still hold the log's lock for a moment.
                let started = Raft::start(
                    self.options.clone(),
                    journal.clone(),
                    SystemClock::shared(),
                    SystemRandom::shared(),
                    &tasks,
                    &registry,
                );
                match started.await {
                    Ok(raft) => break raft,
                    Err(error) => assert!(Instant::now() < until, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let (service, address, tls) = (raft.service(), self.address, self.options.tls.clone());
        runtime.spawn(async move {
            loop {
                let mut server = tonic::transport::Server::builder();
                if let Some(files) = &tls {
                    server = server.tls_config(files.server().unwrap()).unwrap();
                }
                if server.add_routes(service.clone()).serve(address).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Running { raft, journal, registry, folder: self.folder.clone(), runtime: Some(runtime) }
    }
}

impl Running {
    /// Runs on the node's own runtime.
    pub fn run<T>(&self, work: impl AsyncFnOnce(Raft) -> T) -> T {
        let raft = self.raft.clone();
        self.runtime.as_ref().unwrap().block_on(work(raft))
    }

    /// Proposes until it is known to be applied; a command of unknown outcome is not repeated.
    pub fn propose(&self, command: &str) -> Result<Vec<u8>, ProposeError> {
        let bytes = command.as_bytes().to_vec();
        self.run(async move |raft| raft.propose(bytes, WAIT).await)
    }

    pub fn id(&self) -> NodeId {
        self.raft.status().node_id
    }

    pub fn leads(&self) -> bool {
        self.raft.leadership().borrow().is_me
    }

    /// Ends it as SIGKILL would: nothing is told to stop, nothing is flushed.
    pub fn kill(mut self) -> PathBuf {
        let runtime = self.runtime.take().unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
        self.folder.clone()
    }

    pub fn metric(&self, line: &str) -> Option<f64> {
        let text = self.registry.encode_text();
        text.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok())
    }
}

impl Drop for Running {
    /// Waits until its log is closed: a process that ends meanwhile takes RocksDB's statics from under it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Waits for a condition; what it last saw is in the panic.
#[track_caller]
pub fn eventually<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> (bool, T)) {
    let until = Instant::now() + WAIT;
    loop {
        let (good, seen) = look();
        if good {
            return;
        }
        assert!(Instant::now() < until, "{what}: still {seen:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until these nodes agree on exactly these voters.
#[track_caller]
pub fn voters(nodes: &[&Running], names: &[&str]) {
    eventually("voters", || {
        // Until then it takes a majority of those before, too.
        let settled = nodes.iter().all(|node| !node.raft.status().changing);
        let seen: Vec<Vec<(String, bool, NodeId)>> = nodes
            .iter()
            .map(|node| {
                node.raft.status().nodes.into_iter().map(|node| (node.name, node.voter, node.id)).collect()
            })
            .collect();
        let good = settled
            && seen.iter().all(|members| {
                let mut found: Vec<&str> = members.iter().map(|(name, _, _)| name.as_str()).collect();
                found.sort_unstable();
                found == names && members.iter().all(|(_, voter, _)| *voter)
            });
        (good, seen)
    });
}

/// Waits until one of these nodes leads and is no witness; returns which.
#[track_caller]
pub fn leader(nodes: &[&Running]) -> usize {
    let mut found = None;
    eventually("a leader", || {
        found = nodes.iter().position(|node| node.leads() && !node.raft.leadership().borrow().witness);
        (
            found.is_some(),
            nodes.iter().map(|node| node.raft.leadership().borrow().clone()).collect::<Vec<_>>(),
        )
    });
    found.unwrap()
}

/// Waits until all journals are equal and hold `count` commands.
#[track_caller]
pub fn agree(nodes: &[&Running], count: usize) {
    eventually("equal journals", || {
        let lengths: Vec<usize> = nodes.iter().map(|node| node.journal.entries().len()).collect();
        (lengths.iter().all(|length| *length == count), lengths)
    });
    for node in nodes {
        assert_eq!(node.journal.entries(), nodes[0].journal.entries());
    }
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], testkit::free_port()))
}

/// A TCP proxy that holds back what goes through it, both ways.
pub struct Delay {
    pub address: SocketAddr,
    millis: Arc<AtomicU64>,
    runtime: Option<Runtime>,
}

impl Delay {
    pub fn before(target: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let (address, millis) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let held = millis.clone();
        runtime.spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let held = held.clone();
                tokio::spawn(async move {
                    let Ok(to) = tokio::net::TcpStream::connect(target).await else { return };
                    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
                    tokio::select! {
                        () = pass(from_read, to_write, held.clone()) => {}
                        () = pass(to_read, from_write, held) => {}
                    }
                });
            }
        });
        Self { address, millis, runtime: Some(runtime) }
    }

    pub fn set(&self, delay: Duration) {
        self.millis.store(delay.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Passes bytes on, each piece after the delay of its arrival, in order.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, held: Arc<AtomicU64>) {
    let (send, mut queue) = tokio::sync::mpsc::channel::<(tokio::time::Instant, Vec<u8>)>(4_096);
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = tokio::time::Instant::now() + Duration::from_millis(held.load(Ordering::SeqCst));
            if send.send((due, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = queue.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

/// A certificate authority and one certificate of it for `localhost`, as files in `folder`.
pub fn certificates(folder: &Path) -> TlsFiles {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert =
        rcgen::CertificateParams::new(vec!["vedette".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    TlsFiles {
        ca: write("ca.pem", ca_cert.pem()),
        cert: write("cert.pem", cert.pem()),
        key: write("key.pem", key.serialize_pem()),
        server_name: Some("vedette".to_owned()),
    }
}
