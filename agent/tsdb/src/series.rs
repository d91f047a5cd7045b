//! Series by number, and which of them a layout's slots are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{Labels, METRIC_NAME, MatchOp, Matcher};
use storage::{Layout, LayoutId};

use crate::streams::{StreamNo, Streams};
use crate::window::{NO_SERIES, SeriesNo};

/// The newest sample that the own node wrote to a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) timestamp: i64,
    pub(crate) bits: u64,
}

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct SeriesEntry {
    pub(crate) labels: Labels,
    pub(crate) newest: Option<Newest>,
}

/// Numbers for label sets; a number is never given twice.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    entries: HashMap<SeriesNo, SeriesEntry>,
    numbers: HashMap<Labels, SeriesNo>,
    by_name: HashMap<Arc<str>, Vec<SeriesNo>>,
    layouts: HashMap<(StreamNo, LayoutId), Arc<[SeriesNo]>>,
    next: SeriesNo,
    /// Only series that pass get a number; none means all.
    filter: Vec<Matcher>,
}

impl SeriesTable {
    /// A table that knows only series that pass all of `filter`.
    pub(crate) fn filtered(filter: Vec<Matcher>) -> Self {
        Self { filter, ..Self::default() }
    }

    /// The series of a layout's slots in a stream, [`NO_SERIES`] where filtered out.
    pub(crate) fn of_layout(
        &mut self,
        streams: &Streams,
        stream: StreamNo,
        layout: &Layout,
    ) -> Arc<[SeriesNo]> {
        let key = (stream, layout.id());
        if let Some(known) = self.layouts.get(&key) {
            return Arc::clone(known);
        }
        let owner = streams.get(stream);
        let numbers: Arc<[SeriesNo]> =
            (0..layout.slots().len()).map(|slot| self.number(owner.shown(layout.series(slot)))).collect();
        self.layouts.insert(key, Arc::clone(&numbers));
        numbers
    }

    fn number(&mut self, labels: Labels) -> SeriesNo {
        if let Some(&no) = self.numbers.get(&labels) {
            return no;
        }
        if self.next == NO_SERIES || !self.filter.iter().all(|matcher| matcher.matches_labels(&labels)) {
            return NO_SERIES;
        }
        let no = self.next;
        self.next += 1;
        self.by_name.entry(labels.metric_name().into()).or_default().push(no);
        self.numbers.insert(labels.clone(), no);
        self.entries.insert(no, SeriesEntry { labels, newest: None });
        no
    }

    pub(crate) fn get(&self, no: SeriesNo) -> Option<&SeriesEntry> {
        self.entries.get(&no)
    }

    pub(crate) fn get_mut(&mut self, no: SeriesNo) -> Option<&mut SeriesEntry> {
        self.entries.get_mut(&no)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SeriesNo, &SeriesEntry)> {
        self.entries.iter().map(|(&no, entry)| (no, entry))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The series that pass, in no order; a matcher for one metric name narrows the search.
    pub(crate) fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
    ) -> Box<dyn Iterator<Item = (SeriesNo, &'a Labels)> + 'a> {
        let pass = move |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let name =
            matchers.iter().find(|matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal);
        match name {
            Some(name) => {
                let numbers = self.by_name.get(name.value()).map_or(&[][..], Vec::as_slice);
                let entries = numbers.iter().filter_map(|no| Some((*no, &self.entries.get(no)?.labels)));
                Box::new(entries.filter(move |(_, labels)| pass(labels)))
            }
            None => {
                let entries = self.iter().map(|(no, entry)| (no, &entry.labels));
                Box::new(entries.filter(move |(_, labels)| pass(labels)))
            }
        }
    }

    /// Forgets all series but these.
    pub(crate) fn retain(&mut self, alive: &HashSet<SeriesNo>) {
        self.entries.retain(|no, _| alive.contains(no));
        self.numbers.retain(|_, no| alive.contains(no));
        self.by_name.retain(|_, numbers| {
            numbers.retain(|no| alive.contains(no));
            !numbers.is_empty()
        });
        self.layouts.retain(|_, numbers| numbers.iter().all(|no| alive.contains(no)));
    }
}
