//! Puts a host's page together: families sorted by name as Go's registry sorts them, each series with its model.

use std::collections::BTreeMap;

use super::draws::Draws;
use super::group::Group;
use super::host::Identity;
use super::series::{Class, Model, Series};
use super::unit::Unit;

/// A page in the making.
pub(super) struct Builder<'a> {
    /// Whose page it is.
    pub(super) identity: &'a Identity,
    /// Decide where values begin and what sets this host apart; the same at every rebuild.
    pub(super) draws: Draws,
    /// Seconds that counters have run for.
    pub(super) uptime: f64,
    families: Vec<Family>,
    known: BTreeMap<String, usize>,
    /// The family that samples are added to.
    current: usize,
    lines: Vec<Line>,
    series: Vec<Series>,
    groups: Vec<Group>,
}

struct Family {
    name: String,
    head: String,
}

struct Line {
    family: usize,
    text: String,
}

/// A page: its bytes, its series, and in which order their lines stand in it.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) body: Vec<u8>,
    pub(super) series: Vec<Series>,
    /// Indexes into `series` from the page's top to its end.
    pub(super) order: Vec<u32>,
    pub(super) groups: Vec<Group>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(identity: &'a Identity, draws: Draws, uptime: f64) -> Self {
        Self {
            identity,
            draws,
            uptime,
            families: Vec::new(),
            known: BTreeMap::new(),
            current: 0,
            lines: Vec::new(),
            series: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Begins a family, or comes back to it; the series that follow belong to it.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.current = *self.known.entry(name.to_owned()).or_insert_with(|| {
            let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            self.families.push(Family { name: name.to_owned(), head });
            self.families.len() - 1
        });
    }

    /// A series of the last family: what follows its name, labels as text with braces or nothing. Gives its place.
    pub(super) fn sample(
        &mut self,
        suffix: &str,
        labels: &str,
        unit: Unit,
        model: Model,
        number: i64,
    ) -> usize {
        let family = self.current;
        let text = format!("{}{suffix}{labels} ", self.families[family].name);
        self.lines.push(Line { family, text });
        self.series.push(Series { model, unit, number, at: 0, length: 0, changed: false });
        self.series.len() - 1
    }

    /// A family of one series without labels.
    pub(super) fn single(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        unit: Unit,
        model: Model,
        number: i64,
    ) -> usize {
        self.family(name, kind, help);
        self.sample("", "", unit, model, number)
    }

    /// A family of one counter of events.
    pub(super) fn counter(&mut self, name: &str, help: &str, class: Class, rate: f32) {
        let number = self.grown(f64::from(rate));
        self.single(name, "counter", help, Unit::One, Model::Counter(class, rate), number);
    }

    /// A family of one gauge that walks.
    pub(super) fn gauge(&mut self, name: &str, help: &str, unit: Unit, class: Class, range: (i64, i64)) {
        let number = self.draws.between(range.0, range.1);
        self.single(name, "gauge", help, unit, Model::Walk(class, range.0, range.1), number);
    }

    /// What a counter has reached at this rate since the host began.
    pub(super) fn grown(&mut self, rate: f64) -> i64 {
        let spread = 0.5 + self.draws.unit();
        (rate * self.uptime * spread).round() as i64
    }

    pub(super) fn group(&mut self, group: Group) {
        self.groups.push(group);
    }

    /// The next series' place.
    pub(super) fn next(&self) -> usize {
        self.series.len()
    }

    /// The page; series that `old` has too keep its numbers.
    pub(super) fn finish(mut self, old: Option<&Shape>) -> Shape {
        if let Some(old) = old {
            let kept = old.numbers();
            for (line, series) in self.lines.iter().zip(&mut self.series) {
                series.number = kept.get(line.text.as_bytes()).copied().unwrap_or(series.number);
            }
        }
        let mut order: Vec<u32> = (0..self.lines.len() as u32).collect();
        let family = |at: &u32| self.lines[*at as usize].family;
        order.sort_by(|one, other| self.families[family(one)].name.cmp(&self.families[family(other)].name));
        let (mut body, mut last) = (Vec::new(), usize::MAX);
        for at in &order {
            let line = &self.lines[*at as usize];
            if line.family != last {
                last = line.family;
                body.extend_from_slice(self.families[last].head.as_bytes());
            }
            body.extend_from_slice(line.text.as_bytes());
            let series = &mut self.series[*at as usize];
            let begin = body.len();
            series.unit.print(series.number, &mut body);
            (series.at, series.length) = (begin as u32, (body.len() - begin) as u8);
            body.push(b'\n');
        }
        Shape { body, series: self.series, order, groups: self.groups }
    }
}

impl Shape {
    /// The numbers by the text in front of them.
    fn numbers(&self) -> BTreeMap<&[u8], i64> {
        let text = |series: &Series| {
            let before = &self.body[..series.at as usize];
            let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            &before[begin..]
        };
        self.series.iter().map(|series| (text(series), series.number)).collect()
    }

    /// Writes changed numbers into the body, copying what lies between them.
    pub(super) fn patch(&mut self, spare: &mut Vec<u8>) {
        spare.clear();
        spare.reserve(self.body.len() + 64);
        let mut copied = 0;
        for at in &self.order {
            let series = &mut self.series[*at as usize];
            let (begin, end) = (series.at as usize, series.at as usize + usize::from(series.length));
            if series.changed {
                series.changed = false;
                spare.extend_from_slice(&self.body[copied..begin]);
                series.at = spare.len() as u32;
                series.unit.print(series.number, spare);
                series.length = (spare.len() - series.at as usize) as u8;
                copied = end;
            } else {
                series.at = (begin + spare.len() - copied) as u32;
            }
        }
        spare.extend_from_slice(&self.body[copied..]);
        std::mem::swap(&mut self.body, spare);
    }
}
