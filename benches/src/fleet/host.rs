//! One host: its page, moved slot by slot.
//!
//! A host's state at a slot follows from its state at the slot before and from draws that seed, host and slot
//! decide. Whoever asks, in whatever order, therefore sees the same bytes; asking for a slot that has passed
//! costs all steps from slot 0 again.

use std::f64::consts::TAU;
use std::sync::Arc;

use super::builder::{Builder, Shape};
use super::plan::{Churn, Kind, Plan, Purpose};
use super::series::{Chances, Tick};
use super::{blackbox, kubelet, node, web};

/// What tells a host apart.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) boot_ms: i64,
    /// Of its application.
    pub(super) version: u64,
    /// Containers, pods or routes that came and have not gone yet.
    pub(super) guests: Vec<u64>,
}

/// Series that come or go in one scrape on average.
const SERIES_CHURN: f64 = 0.3;
const GUESTS_MAX: usize = 6;
const DAY_MS: i64 = 86_400_000;

/// A host at one slot.
#[derive(Debug)]
pub(super) struct Host {
    plan: Arc<Plan>,
    number: usize,
    identity: Identity,
    shape: Shape,
    chances: Chances,
    /// Grows with every change of what series there are.
    generation: u64,
    slot: u64,
    /// The first slot at which it answers again.
    down_until: u64,
    /// The factor of a burst, 1 outside.
    burst: f64,
    spare: Vec<u8>,
}

impl Host {
    /// A host at slot 0, having run for some days.
    pub(super) fn new(plan: &Arc<Plan>, number: usize) -> Self {
        let mut draws = plan.draws(Purpose::Shape, number, u64::MAX);
        let boot_ms = plan.origin_ms - draws.between(DAY_MS, 40 * DAY_MS);
        let identity = Identity { name: plan.instance(number), boot_ms, version: 4, guests: Vec::new() };
        let mut host = Self {
            plan: Arc::clone(plan),
            number,
            identity,
            shape: Shape::default(),
            chances: Chances::default(),
            generation: 0,
            slot: 0,
            down_until: 0,
            burst: 1.0,
            spare: Vec::new(),
        };
        let uptime = (plan.origin_ms - boot_ms) as f64 / 1_000.0;
        host.rebuild(uptime, false);
        // What follows from other values is not there before the first step.
        let mut draws = plan.draws(Purpose::Step, number, 0);
        host.shift(&mut draws);
        host
    }

    /// Whether it answers.
    pub(super) fn is_up(&self) -> bool {
        self.slot >= self.down_until
    }

    /// Which set of series it shows.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many series it shows.
    pub(super) fn series(&self) -> usize {
        self.shape.series.len()
    }

    /// The values in the page's order.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.shape.order.iter().map(|at| {
            let series = &self.shape.series[*at as usize];
            series.unit.value(series.number)
        })
    }

    /// Moves to a slot.
    pub(super) fn go_to(&mut self, slot: u64) {
        if slot < self.slot {
            *self = Self::new(&Arc::clone(&self.plan), self.number);
        }
        while self.slot < slot {
            self.step();
        }
    }

    /// Brings the page's bytes up to date.
    pub(super) fn render(&mut self) -> &[u8] {
        self.shape.patch(&mut self.spare);
        &self.shape.body
    }

    fn step(&mut self) {
        self.slot += 1;
        let plan = Arc::clone(&self.plan);
        let mut draws = plan.draws(Purpose::Step, self.number, self.slot);
        let happens = |churn: Churn, hours: f64, chance: f64| {
            plan.churn.contains(&churn) && chance < plan.once_in(hours)
        };
        let (reboots, falls, bursts) = (draws.unit(), draws.unit(), draws.unit());
        if happens(Churn::Reboot, 12.0, reboots) && self.is_up() {
            self.down_until = self.slot + plan.slots(1);
            self.identity.boot_ms = plan.time_of(self.down_until) - 20_000;
            self.identity.guests.clear();
            self.rebuild(0.0, false);
        } else if happens(Churn::Down, 2.0, falls) && self.is_up() {
            self.down_until = self.slot + plan.slots(5);
        }
        let deployed = matches!(plan.kind(self.number), Kind::Web | Kind::Kubelet);
        if deployed && plan.deploys(self.number, self.slot) {
            self.identity.version += 1;
            self.identity.boot_ms = plan.time_of(self.slot);
            self.rebuild(0.0, false);
        }
        self.burst = match self.burst {
            burst if burst > 1.0 => {
                if bursts < plan.once_in(0.1) {
                    1.0
                } else {
                    burst
                }
            }
            _ if bursts < plan.once_in(2.0) => 2.0 + 4.0 * bursts / plan.once_in(2.0),
            burst => burst,
        };
        self.guests(&mut draws);
        self.shift(&mut draws);
    }

    /// Containers, pods and routes that come and go.
    fn guests(&mut self, draws: &mut super::draws::Draws) {
        let each = match self.plan.kind(self.number) {
            Kind::NodeSmall | Kind::NodeLarge | Kind::NodeInterrupts => node::SERIES_PER_DEVICE,
            Kind::Web => web::SERIES_PER_ROUTE,
            Kind::Kubelet => kubelet::SERIES_PER_POD,
            Kind::Blackbox => return,
        };
        if !self.plan.churn.contains(&Churn::Series) || !draws.chance(SERIES_CHURN / each as f64) {
            return;
        }
        let guests = &mut self.identity.guests;
        let leaves = !guests.is_empty() && (guests.len() == GUESTS_MAX || draws.chance(0.5));
        if leaves {
            guests.remove(draws.between(0, guests.len() as i64 - 1) as usize);
        } else {
            guests.push(draws.next());
        }
        self.rebuild(0.0, true);
    }

    /// Writes the page anew; `uptime` is what new counters have behind them.
    fn rebuild(&mut self, uptime: f64, keep: bool) {
        let draws = self.plan.draws(Purpose::Shape, self.number, 0);
        let mut builder = Builder::new(&self.identity, draws, uptime);
        match self.plan.kind(self.number) {
            Kind::NodeSmall => node::families(&mut builder, &node::SMALL),
            Kind::NodeLarge => node::families(&mut builder, &node::LARGE),
            Kind::NodeInterrupts => {
                node::families(&mut builder, &node::SMALL);
                node::interrupts(&mut builder, &node::SMALL);
            }
            Kind::Web => web::families(&mut builder),
            Kind::Kubelet => kubelet::families(&mut builder),
            Kind::Blackbox => blackbox::families(&mut builder),
        }
        self.shape = builder.finish(keep.then_some(&self.shape));
        self.chances = Chances::fill(&self.shape.series, self.plan.profile.share());
        self.generation += 1;
    }

    /// Moves all values by one slot.
    fn shift(&mut self, draws: &mut super::draws::Draws) {
        let now = self.plan.time_of(self.slot);
        // Each host has its own time of day.
        let hour = (now + self.number as i64 * 613_000).rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
        let load = (0.8 + 0.4 * (TAU * hour).sin()) * self.burst;
        let now_ms = self.plan.scraped_at(self.number, self.slot);
        let seconds = self.plan.interval_ms as f64 / 1_000.0;
        let mut tick = Tick { chances: &self.chances, draws, seconds, load, now_ms };
        for series in &mut self.shape.series {
            tick.step(series);
        }
        for group in &self.shape.groups {
            group.step(&mut self.shape.series, &mut tick);
        }
    }
}
