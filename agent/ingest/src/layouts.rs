//! Pushed series as columns of layouts: where each one stands, and how many stay together.
//!
//! Series of one origin ([`ORIGIN`]) stand in layouts of at most [`SLOTS`] columns, in the order in which
//! they first came. A layout is registered once, with the new series of one request, and never grows: a
//! request's batches rarely end where a target's page does, and a narrow row that is full costs less
//! than a wide one with holes. The sweep joins layouts that stayed small and drops columns that are no
//! longer used (see `sweep.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{Labels, LabelsBuilder, Metadata};
use storage::{AppendError, Appender, Cell, Commit, Layout, LayoutRef, Slot};

use crate::families::Families;
use crate::starts::Starts;
use crate::table::SeriesId;

/// Columns of a layout, at most.
pub(crate) const SLOTS: usize = 64;
/// Labels that say where a series comes from rather than what it is: the layout's target labels.
const ORIGIN: [&str; 18] = [
    "__replica__",
    "agent",
    "cluster",
    "datacenter",
    "dc",
    "env",
    "environment",
    "instance",
    "job",
    "monitor",
    "prometheus",
    "prometheus_replica",
    "receive",
    "region",
    "replica",
    "site",
    "tenant",
    "zone",
];
/// Seconds after which a layout's metadata may change again: two senders that disagree cost little.
const METADATA_HOLD: u32 = 60;

/// A layout, its series and what is to be appended to it.
#[derive(Debug)]
pub(crate) struct Group {
    content: Content,
    /// Series and their columns. An entry counts while its series still says that it stands here.
    pub(crate) members: Vec<(SeriesId, u16)>,
    /// Time of the newest row.
    pub(crate) newest: i64,
    /// Rows of the request at hand, in order of time.
    pub(crate) staged: Vec<Staged>,
    /// When its content last changed, in seconds of the monotonic clock.
    described: u32,
    /// The families' version that its metadata is of.
    families: u64,
    /// Whether its senders say with each series what its family is.
    said: bool,
    /// Columns of whose family something else was said.
    changes: Vec<(u16, Metadata)>,
    /// Where there are any.
    pub(crate) starts: Option<Box<Starts>>,
}

#[derive(Debug)]
enum Content {
    /// The store does not know it yet.
    Draft {
        target: Labels,
        slots: Vec<Slot>,
        by_labels: HashMap<Labels, u16>,
    },
    Registered(LayoutRef),
}

/// A row that is being filled.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) timestamp: i64,
    pub(crate) cells: Vec<Cell>,
}

/// All layouts.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    /// The draft that takes further series of an origin, while its request lasts.
    open: HashMap<Labels, u32>,
    /// Texts of the request's new labels.
    texts: HashSet<Arc<str>>,
}

impl Groups {
    pub(crate) fn get(&self, at: u32) -> Option<&Group> {
        self.groups.get(at as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Group> {
        self.groups.get_mut(at as usize)?.as_mut()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.groups.len() - self.free.len()
    }

    /// All of them with their positions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Group)> {
        (0..).zip(&self.groups).filter_map(|(at, group)| Some((at, group.as_ref()?)))
    }

    /// Gives a series a column in a draft of its origin: a new one, or the one that the same labels have.
    pub(crate) fn place(&mut self, labels: &Labels, metadata: Metadata, id: SeriesId) -> (u32, u16) {
        let (target, own) = split(labels);
        let at = match self.open.get(&target).copied().filter(|&at| self.has_room(at)) {
            Some(at) => at,
            None => self.draft(target),
        };
        let Some(group) = self.groups.get_mut(at as usize).and_then(Option::as_mut) else { return (at, 0) };
        let Content::Draft { slots, by_labels, .. } = &mut group.content else { return (at, 0) };
        let slot = match by_labels.get(&own) {
            Some(&slot) => slot,
            None => {
                let slot = u16::try_from(slots.len()).unwrap_or(u16::MAX);
                by_labels.insert(own.clone(), slot);
                slots.push(Slot::new(own, metadata));
                slot
            }
        };
        group.members.push((id, slot));
        (at, slot)
    }

    fn has_room(&self, at: u32) -> bool {
        let content = self.get(at).map(|group| &group.content);
        matches!(content, Some(Content::Draft { slots, .. }) if slots.len() < SLOTS)
    }

    fn draft(&mut self, target: Labels) -> u32 {
        let group = Group {
            content: Content::Draft { target: target.clone(), slots: Vec::new(), by_labels: HashMap::new() },
            members: Vec::new(),
            newest: i64::MIN,
            staged: Vec::new(),
            described: 0,
            families: 0,
            said: false,
            changes: Vec::new(),
            starts: None,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.groups[at as usize] = Some(group);
                at
            }
            None => {
                self.groups.push(Some(group));
                u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.open.insert(target, at);
        at
    }

    /// From now on new series start new layouts.
    pub(crate) fn close_drafts(&mut self) {
        self.open.clear();
        self.texts.clear();
    }

    /// Forgets a layout; its members stand nowhere then.
    pub(crate) fn remove(&mut self, at: u32) -> Option<Group> {
        let group = self.groups.get_mut(at as usize)?.take()?;
        self.open.retain(|_, open| *open != at);
        self.free.push(at);
        Some(group)
    }

    /// A label set whose texts are shared with the other new ones of the request.
    pub(crate) fn labels<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(self.shared(name), self.shared(value));
        }
        builder.build()
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(text) = self.texts.get(text) {
            return Arc::clone(text);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

impl Group {
    /// Whether the store knows it.
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.content, Content::Registered(_))
    }

    /// Labels that all of its series have.
    pub(crate) fn target(&self) -> &Labels {
        match &self.content {
            Content::Draft { target, .. } => target,
            Content::Registered(reference) => reference.layout().target(),
        }
    }

    /// Its columns.
    pub(crate) fn slots(&self) -> &[Slot] {
        match &self.content {
            Content::Draft { slots, .. } => slots,
            Content::Registered(reference) => reference.layout().slots(),
        }
    }

    /// The whole label set of a column.
    pub(crate) fn labels(&self, slot: u16) -> Labels {
        let mut builder = self.target().to_builder();
        if let Some(slot) = self.slots().get(usize::from(slot)) {
            for label in slot.labels.iter() {
                builder.set(Arc::clone(&label.name), Arc::clone(&label.value));
            }
        }
        builder.build()
    }

    /// The cell of a column at a time, in a row that is new where there was none; also whether it was.
    #[inline]
    pub(crate) fn cell(
        &mut self,
        timestamp: i64,
        slot: u16,
        spare: &mut Vec<Vec<Cell>>,
    ) -> (Option<&mut Cell>, bool) {
        let at = match self.staged.last() {
            Some(row) if row.timestamp == timestamp => Ok(self.staged.len() - 1),
            Some(row) if row.timestamp < timestamp => Err(self.staged.len()),
            None => Err(0),
            Some(_) => self.staged.binary_search_by_key(&timestamp, |row| row.timestamp),
        };
        let (at, new) = match at {
            Ok(at) => (at, false),
            Err(at) => {
                let mut cells = spare.pop().unwrap_or_default();
                cells.clear();
                cells.resize(SLOTS, Cell::Absent);
                self.staged.insert(at, Staged { timestamp, cells });
                (at, true)
            }
        };
        (self.staged[at].cells.get_mut(usize::from(slot)), new)
    }

    /// The layout as the store knows it: registered now where it is a draft, and anew where something
    /// else was said of its families and the last change is long enough ago.
    pub(crate) fn reference(
        &mut self,
        appender: &dyn Appender,
        families: &Families,
        now: u32,
    ) -> Result<&LayoutRef, AppendError> {
        if let Some(layout) = self.due(families, now)? {
            self.content = Content::Registered(appender.layout(layout)?);
            self.described = now;
            self.families = families.version();
            self.changes.clear();
        }
        match &self.content {
            Content::Registered(reference) => Ok(reference),
            Content::Draft { .. } => Err(AppendError::Layout("a layout is not registered".to_owned())),
        }
    }

    /// The layout that must be registered, if any.
    fn due(&mut self, families: &Families, now: u32) -> Result<Option<Layout>, AppendError> {
        let new = |target: &Labels, slots: &[Slot]| Layout::new(target.clone(), slots.to_vec()).map(Some);
        let layout = match &self.content {
            Content::Draft { target, slots, .. } => return new(target, slots),
            Content::Registered(reference) => reference.layout(),
        };
        if !self.changes.is_empty() {
            let mut slots = layout.slots().to_vec();
            for (slot, metadata) in self.changes.drain(..) {
                if let Some(slot) = slots.get_mut(usize::from(slot)) {
                    slot.metadata = metadata.into();
                }
            }
            return new(layout.target(), &slots);
        }
        if self.said || self.families == families.version() || !self.may_change(now) {
            return Ok(None);
        }
        self.families = families.version();
        described(layout, families)
    }

    /// Whether its metadata may change now.
    pub(crate) fn may_change(&self, now: u32) -> bool {
        !self.is_registered() || now.saturating_sub(self.described) >= METADATA_HOLD
    }

    /// Replaces, at the next registration, what is said of one column's family.
    pub(crate) fn describe(&mut self, slot: u16, metadata: Metadata) {
        self.said = true;
        match &mut self.content {
            Content::Draft { slots, .. } => {
                if let Some(slot) = slots.get_mut(usize::from(slot)) {
                    slot.metadata = metadata.into();
                }
            }
            Content::Registered(reference) => {
                let old = reference.layout().slots().get(usize::from(slot));
                if old.is_some_and(|old| *old.metadata != metadata) {
                    self.changes.push((slot, metadata));
                }
            }
        }
    }

    /// Appends starts that are staged beside rows that have been appended.
    pub(crate) fn append_starts(&mut self, appender: &dyn Appender) -> Result<Option<Commit>, AppendError> {
        match (&mut self.starts, &self.content) {
            (Some(starts), Content::Registered(reference)) => starts.append(appender, reference.layout()),
            _ => Ok(None),
        }
    }

    /// Registers it again: the store has forgotten it.
    pub(crate) fn renew(&mut self, appender: &dyn Appender) -> Result<(), AppendError> {
        if let Content::Registered(reference) = &self.content {
            let layout = Layout::clone(reference.layout());
            self.content = Content::Registered(appender.layout(layout)?);
        }
        Ok(())
    }
}

/// The layout with the families' present metadata; none where that changes nothing.
fn described(layout: &Layout, families: &Families) -> Result<Option<Layout>, AppendError> {
    let said = |slot: &Slot| families.of(slot.labels.metric_name()).filter(|said| **said != *slot.metadata);
    if layout.slots().iter().all(|slot| said(slot).is_none()) {
        return Ok(None);
    }
    let slots = layout.slots().iter().map(|slot| {
        let metadata = said(slot).map_or_else(|| Arc::clone(&slot.metadata), |said| Arc::new(said.clone()));
        Slot { metadata, ..slot.clone() }
    });
    Layout::new(layout.target().clone(), slots.collect()).map(Some)
}

/// Labels that say where a series comes from, and the others.
pub(crate) fn split(labels: &Labels) -> (Labels, Labels) {
    (labels.filtered(is_origin), labels.filtered(|name| !is_origin(name)))
}

fn is_origin(name: &str) -> bool {
    ORIGIN.binary_search(&name).is_ok()
}
