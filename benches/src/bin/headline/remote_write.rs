//! The same remote-write requests to all systems: what taking them costs each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use env::Tasks;
use vedette_benches::fleet::{Fleet, Plan, WriteRequests};

use crate::cost::Cost;
use crate::push::Push;
use crate::systems::{Running, System};
use crate::table::Table;

/// Of the slots so many, at the start, are not measured: series are new once.
const WARM: u64 = 4;
/// Connections to each system, as many as Prometheus opens at most by default.
const CONNECTIONS: usize = 50;

/// A system, its connections, and what it had cost when measuring began.
struct Taker {
    running: Running,
    connections: Vec<Push>,
    before: Cost,
}

/// Row 3 of the budget.
pub(crate) async fn remote_write(systems: &[(System, PathBuf)], plan: &Plan, slots: u64) -> Result<Table> {
    let (dir, tasks) = (tempfile::tempdir()?, Tasks::new());
    let mut takers = Vec::new();
    for (system, binary) in systems {
        takers.push(Taker::start(*system, binary, dir.path(), &tasks).await?);
    }
    let fleet = Fleet::new(plan.clone());
    let mut requests = WriteRequests::new(&fleet);
    let (mut samples, mut bytes) = (0, 0);
    for slot in 0..slots {
        if slot == WARM.min(slots / 2) {
            (samples, bytes) = (0, 0);
            for taker in &mut takers {
                taker.before = taker.running.cost()?;
            }
        }
        let made: Vec<_> = (0..plan.hosts).filter_map(|host| requests.request(host, slot)).collect();
        samples += made.iter().map(|request| request.samples).sum::<usize>();
        bytes += made.iter().map(|request| request.body.len()).sum::<usize>();
        let bodies: Arc<Vec<Vec<u8>>> = Arc::new(made.into_iter().map(|request| request.body).collect());
        for taker in &mut takers {
            taker.send(&bodies, &tasks).await?;
        }
    }
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()));
    let millions = samples as f64 / 1e6;
    let mut cpu = Vec::new();
    for taker in &mut takers {
        cpu.push(Some(taker.running.cost()?.since(taker.before).cpu / millions));
    }
    let per_core = cpu.iter().map(|cpu| cpu.map(|cpu| 1.0 / cpu)).collect();
    table.row("CPU per million samples", "s", cpu);
    table.row("taken by one core (more is better)", "millions/s", per_core);
    table.note(format!(
        "{millions:.1} million samples of remote write 1, a host a request, {:.1} bytes a sample, over {CONNECTIONS} \
         connections; all of the process, from the socket to the log.",
        bytes as f64 / samples as f64
    ));
    drop(takers);
    tasks.shutdown(Duration::from_secs(10)).await?;
    Ok(table)
}

impl Taker {
    async fn start(
        system: System,
        binary: &std::path::Path,
        dir: &std::path::Path,
        tasks: &Tasks,
    ) -> Result<Self> {
        let mut running = Running::start(system, binary, dir, "scrape_configs: []\n")?;
        running.ready().await?;
        let authority = running.url().trim_start_matches("http://").to_owned();
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            connections.push(Push::connect(&authority, "/api/v1/write", tasks).await?);
        }
        Ok(Self { running, connections, before: Cost::default() })
    }

    /// Sends all requests, each host's over the same connection every time, and waits until they are taken.
    async fn send(&mut self, bodies: &Arc<Vec<Vec<u8>>>, tasks: &Tasks) -> Result<()> {
        let name = self.running.system.name();
        let sending: Vec<_> = self
            .connections
            .drain(..)
            .enumerate()
            .map(|(first, mut push)| {
                let bodies = Arc::clone(bodies);
                tasks.spawn(async move {
                    for body in bodies.iter().skip(first).step_by(CONNECTIONS) {
                        push.send(body.clone()).await?;
                    }
                    anyhow::Ok(push)
                })
            })
            .collect();
        for sent in sending {
            self.connections.push(sent.await.context(name)?.context(name)?);
        }
        Ok(())
    }
}
