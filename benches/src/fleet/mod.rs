//! A fleet of hosts that looks like a real one, and shows everybody the same.
//!
//! A page is a pure function of seed, host and slot (a slot is one scrape interval), so that several scrapers,
//! each at its own moment of the slot and in any order, read the same bytes. Values come from models of what
//! exporters measure, with the relations and the rounding that real ones have; names, labels and magnitudes are
//! those of the exporters' own output and documentation. [`Server`] offers the pages over HTTP, [`Feed`] appends
//! them as rows, [`WriteRequests`] makes remote-write requests of them.

mod blackbox;
mod builder;
mod columns;
mod draws;
mod feed;
mod flags;
mod golang;
mod group;
mod host;
mod kubelet;
mod memory;
mod month;
mod native;
mod node;
mod page;
mod plan;
mod series;
mod serve;
mod targets;
#[cfg(test)]
mod tests;
mod unit;
mod web;
mod wire;

pub use feed::Feed;
pub use flags::{FleetFlags, duration};
pub use month::Month;
pub use native::native_request;
pub use page::Page;
pub use plan::{Churn, Kind, Plan, Profile};
pub use serve::{Served, Server};
pub use targets::{prometheus_yml, targets_json};
pub use wire::{WriteBody, WriteRequests};

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use host::Host;

/// Slots of a host that are kept: the one being scraped, and the one before for those who are late.
const KEPT: usize = 2;

/// The hosts of a plan.
#[derive(Debug)]
pub struct Fleet {
    plan: Arc<Plan>,
    hosts: Vec<Mutex<Shown>>,
}

/// A host, and what it showed last.
#[derive(Debug)]
struct Shown {
    host: Host,
    kept: VecDeque<(u64, Option<Page>)>,
}

impl Fleet {
    /// The fleet at slot 0.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let shown = |number| Mutex::new(Shown { host: Host::new(&plan, number), kept: VecDeque::new() });
        Self { hosts: (0..plan.hosts).map(shown).collect(), plan }
    }

    /// What the fleet is.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A host's page at a slot; none for a host that there is not, or that does not answer.
    #[must_use]
    pub fn page(&self, host: usize, slot: u64) -> Option<Page> {
        self.hosts.get(host)?.lock().page(slot)
    }

    /// Puts a host's values at a slot into `values`, in the page's order, without writing the page. Gives which
    /// set of series they belong to; none when the host does not answer.
    pub fn values(&self, host: usize, slot: u64, values: &mut Vec<f64>) -> Option<u64> {
        let host = &mut self.hosts.get(host)?.lock().host;
        host.go_to(slot);
        values.clear();
        values.extend(host.values());
        host.is_up().then(|| host.generation())
    }
}

impl Shown {
    fn page(&mut self, slot: u64) -> Option<Page> {
        if let Some((_, page)) = self.kept.iter().find(|(kept, _)| *kept == slot) {
            return page.clone();
        }
        self.host.go_to(slot);
        let series = self.host.series();
        let page = self.host.is_up().then(|| Page::new(self.host.render(), series));
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((slot, page.clone()));
        page
    }
}
