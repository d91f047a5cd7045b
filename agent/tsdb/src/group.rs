//! Groups: a stream's layout, whose slots are series under the stream's outside labels; and which slots of
//! which groups pass a query's matchers, found by target and shape, never series by series.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{Labels, METRIC_NAME, MatchOp, Matcher};
use storage::{Layout, LayoutId, StreamId, StreamInfo};

use crate::layouts::Shape;
use crate::streams::{Stream, StreamNo};

/// Names a group in this process.
pub(crate) type GroupKey = (StreamNo, LayoutId);

/// One group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) stream: StreamNo,
    pub(crate) layout: Arc<Layout>,
    shape: Arc<Shape>,
    info: Arc<StreamInfo>,
    /// Whether this store's node wrote it: then external labels are not shown.
    own: bool,
}

/// Where a label's value is decided.
enum Decided<'a> {
    /// All slots have this one.
    Group(&'a str),
    /// A slot's own, or this one.
    Slot(&'a str),
    /// By names of several labels: the whole set must be looked at.
    Series,
}

impl Group {
    pub(crate) fn new(stream: StreamNo, known: &Stream, layout: Arc<Layout>, shape: Arc<Shape>) -> Self {
        Self { stream, layout, shape, info: Arc::clone(&known.info), own: known.own }
    }

    pub(crate) fn key(&self) -> GroupKey {
        (self.stream, self.layout.id())
    }

    /// Whether this store's node wrote it.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// What holds for all frames of its stream.
    pub(crate) fn info(&self) -> &StreamInfo {
        &self.info
    }

    pub(crate) fn stream_id(&self) -> &StreamId {
        &self.info.id
    }

    /// How many columns there are.
    pub(crate) fn slots(&self) -> usize {
        self.layout.slots().len()
    }

    /// A slot's series as this store shows it.
    pub(crate) fn series(&self, slot: u32) -> Labels {
        let series = self.layout.series(slot as usize);
        if self.own { series } else { self.info.outside(&series) }
    }

    /// Labels that all of its series have, except where a slot has one of that name itself: what tells groups
    /// apart that cannot share a series.
    pub(crate) fn common(&self) -> Labels {
        let target = self.layout.target();
        if self.own { target.clone() } else { self.info.outside(target) }
    }

    /// Whether a slot may have a label itself that [`Group::common`] has too.
    pub(crate) fn overrides_common(&self) -> bool {
        let external = &self.info.external;
        let is_odd = |name: &Arc<str>| external.has(name) || &**name == StreamInfo::EXPORTED_AGENT;
        !self.own && !external.is_empty() && self.shape.names().iter().any(is_odd)
    }

    /// The slots of two own groups that are one series: mine and theirs. Looked for from the smaller side.
    pub(crate) fn shared<'a>(&'a self, other: &'a Self) -> Box<dyn Iterator<Item = (u32, u32)> + 'a> {
        if self.layout.id() == other.layout.id() {
            return Box::new((0..self.slots() as u32).map(|slot| (slot, slot)));
        }
        if self.slots() > other.slots() {
            return Box::new(other.shared(self).map(|(theirs, mine)| (mine, theirs)));
        }
        Box::new((0..self.slots() as u32).flat_map(move |mine| {
            let candidates = other.named(self.value(mine, METRIC_NAME).as_deref().unwrap_or_default());
            candidates
                .filter(move |&theirs| self.is_same(mine, other, theirs))
                .map(move |theirs| (mine, theirs))
        }))
    }

    /// Whether two own groups have a series in common. Of a histogram only the first column is looked at.
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        if self.slots() > other.slots() {
            return other.shares_with(self);
        }
        let first = |slot: &u32| self.layout.slots()[*slot as usize].begins_series();
        (0..self.slots() as u32).filter(first).any(|mine| {
            let name = self.value(mine, METRIC_NAME);
            other.named(name.as_deref().unwrap_or_default()).any(|theirs| self.is_same(mine, other, theirs))
        })
    }

    /// The slots whose series may have that name.
    fn named<'a>(&'a self, name: &str) -> Box<dyn Iterator<Item = u32> + 'a> {
        match self.layout.target().get(METRIC_NAME) {
            None if !name.is_empty() => Box::new(self.shape.named(name).iter().copied()),
            Some(own) if own != name => Box::new(std::iter::empty()),
            _ => Box::new(0..self.slots() as u32),
        }
    }

    /// Whether slots of two groups are one series, and the same column of it where it is a histogram.
    fn is_same(&self, mine: u32, other: &Self, theirs: u32) -> bool {
        let (one, two) = (&self.layout.slots()[mine as usize], &other.layout.slots()[theirs as usize]);
        let is_other = one.begins_series() != two.begins_series() || one.is_start() != two.is_start();
        if is_other || (!one.begins_series() && one.part != two.part) {
            return false;
        }
        if self.layout.target() == other.layout.target() {
            let labels = |group: &'_ Self, slot: u32| group.layout.slots()[slot as usize].labels.clone();
            return labels(self, mine) == labels(other, theirs);
        }
        self.series(mine) == other.series(theirs)
    }

    /// Names that a slot's series have only together with others of its labels.
    fn renames(&self, slot: u32) -> bool {
        let own = &self.layout.slots()[slot as usize].labels;
        !self.own && own.has(StreamInfo::AGENT) && self.info.external.has(StreamInfo::AGENT)
    }

    /// Adds the names of some slots' labels.
    pub(crate) fn names<'a>(&'a self, slots: &[u32], names: &mut BTreeSet<&'a str>) {
        let all = self.shape.names();
        if slots.len() == self.slots() {
            names.extend(all.iter().map(|name| &**name));
        } else {
            let has = |name: &&Arc<str>| {
                slots.iter().any(|slot| self.layout.slots()[*slot as usize].labels.has(name))
            };
            names.extend(
                all.iter()
                    .filter(|name| !names.contains(&***name))
                    .filter(has)
                    .map(|name| &**name)
                    .collect::<Vec<_>>(),
            );
        }
        if !self.own && all.contains(StreamInfo::AGENT) && slots.iter().any(|slot| self.renames(*slot)) {
            names.insert(StreamInfo::EXPORTED_AGENT);
        }
    }

    /// Adds the values that some slots have of a label.
    pub(crate) fn values(&self, name: &str, slots: &[u32], values: &mut BTreeSet<String>) {
        let mut add = |value: &str| {
            if !value.is_empty() && !values.contains(value) {
                values.insert(value.to_owned());
            }
        };
        match self.decided(name) {
            _ if slots.is_empty() => {}
            Decided::Group(value) => add(value),
            Decided::Slot(other) => {
                self.shape.values(name, slots).iter().for_each(|value| add(value));
                if !other.is_empty() && !self.shape.all_have(name, slots) {
                    add(other);
                }
            }
            Decided::Series => slots.iter().for_each(|slot| add(self.series(*slot).value(name))),
        }
    }

    /// What two groups have in common that have the same values of a label for the same slots; none where that
    /// takes more than that.
    pub(crate) fn values_like(&self, name: &str) -> Option<(*const Shape, String)> {
        match self.decided(name) {
            Decided::Slot(other) => Some((Arc::as_ptr(&self.shape), other.to_owned())),
            Decided::Group(_) | Decided::Series => None,
        }
    }

    /// Its shape, to be told from others.
    pub(crate) fn shape(&self) -> *const Shape {
        Arc::as_ptr(&self.shape)
    }

    /// The value of a slot's label, where it has it.
    pub(crate) fn value(&self, slot: u32, name: &str) -> Option<Cow<'_, str>> {
        let own = &self.layout.slots()[slot as usize].labels;
        let value = match self.decided(name) {
            Decided::Group(value) => Cow::Borrowed(value),
            Decided::Slot(other) => Cow::Borrowed(own.get(name).unwrap_or(other)),
            Decided::Series => Cow::Owned(self.series(slot).value(name).to_owned()),
        };
        (!value.is_empty()).then_some(value)
    }

    fn decided<'a>(&'a self, name: &str) -> Decided<'a> {
        let target = self.layout.target();
        let outside = if self.own { None } else { Some(&self.info.external) };
        let agent = outside.and_then(|labels| labels.get(StreamInfo::AGENT));
        match (agent, name) {
            (Some(agent), StreamInfo::AGENT) => Decided::Group(agent),
            (Some(_), StreamInfo::EXPORTED_AGENT) => Decided::Series,
            _ => match target.get(name) {
                Some(value) => Decided::Group(value),
                None => Decided::Slot(outside.map_or("", |labels| labels.value(name))),
            },
        }
    }
}

/// A shape, and the matchers that its slots decide, each with what counts where a slot lacks the label.
type Asked = (*const Shape, Vec<(usize, String)>);

/// Which of a group's columns are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Those of samples.
    Samples,
    /// Those of starts.
    Starts,
    All,
}

/// Finds the slots that pass all of some matchers; equal shapes are looked at once, and so are equal values of
/// targets' labels.
pub(crate) struct Matching<'a> {
    matchers: &'a [Matcher],
    columns: Columns,
    seen: HashMap<Asked, Arc<[u32]>>,
    /// Of each matcher, where an expression has to be run: what it said of a value.
    said: Vec<HashMap<String, bool>>,
}

impl<'a> Matching<'a> {
    pub(crate) fn new(matchers: &'a [Matcher]) -> Self {
        Self::of(Columns::Samples, matchers)
    }

    /// The same for other columns than those of samples.
    pub(crate) fn of(columns: Columns, matchers: &'a [Matcher]) -> Self {
        Self { matchers, columns, seen: HashMap::new(), said: vec![HashMap::new(); matchers.len()] }
    }

    /// The slots of a group that pass, in order.
    pub(crate) fn slots(&mut self, group: &Group) -> Arc<[u32]> {
        if self.columns == Columns::Starts && !group.layout.has_starts() {
            return Arc::from([]);
        }
        let (mut by_slot, mut by_series) = (Vec::new(), Vec::new());
        for (at, matcher) in self.matchers.iter().enumerate() {
            match group.decided(matcher.name()) {
                Decided::Group(value) if self.passes(at, value) => {}
                Decided::Group(_) => return Arc::from([]),
                Decided::Slot(other) => by_slot.push((at, other)),
                Decided::Series => by_series.push(matcher),
            }
        }
        let slots = self.by_slot(group, &by_slot);
        if by_series.is_empty() {
            return slots;
        }
        let passes = |&&slot: &&u32| {
            let series = group.series(slot);
            by_series.iter().all(|matcher| matcher.matches_labels(&series))
        };
        slots.iter().filter(passes).copied().collect()
    }

    fn passes(&mut self, at: usize, value: &str) -> bool {
        let matcher = &self.matchers[at];
        if matches!(matcher.op(), MatchOp::Equal | MatchOp::NotEqual) || matcher.values().is_some() {
            return matcher.matches(value);
        }
        if let Some(known) = self.said[at].get(value) {
            return *known;
        }
        let passes = matcher.matches(value);
        self.said[at].insert(value.to_owned(), passes);
        passes
    }

    fn by_slot(&mut self, group: &Group, conditions: &[(usize, &str)]) -> Arc<[u32]> {
        let defaults = conditions.iter().map(|&(at, other)| (at, other.to_owned())).collect();
        let found = self.seen.entry((Arc::as_ptr(&group.shape), defaults)).or_insert_with(|| {
            let conditions: Vec<_> =
                conditions.iter().map(|&(at, other)| (&self.matchers[at], other)).collect();
            self.columns.of(&group.layout, group.shape.matching(&conditions))
        });
        Arc::clone(found)
    }
}

impl Columns {
    /// Those of a layout's slots that are asked for.
    fn of(self, layout: &Layout, found: Arc<[u32]>) -> Arc<[u32]> {
        if self == Self::All || !layout.has_starts() {
            return found;
        }
        let is_asked = |slot: &&u32| layout.slots()[**slot as usize].is_start() == (self == Self::Starts);
        found.iter().filter(is_asked).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use model::Metadata;
    use proptest::prelude::*;
    use storage::{Epoch, Slot, StreamId};

    use super::*;
    use crate::layouts::Layouts;
    use crate::streams::Streams;

    fn labels() -> impl Strategy<Value = Labels> {
        let name = prop::sample::select(vec!["agent", "exported_agent", "a", "b", "c"]);
        let value = prop::sample::select(vec!["", "1", "2"]);
        prop::collection::vec((name, value), 0..4).prop_map(Labels::from_pairs)
    }

    proptest! {
        /// Matching by target and shape is matching series by series.
        #[test]
        fn what_passes_is_what_the_series_say(
            target in labels(), external in labels(), slots in prop::collection::vec(labels(), 1..5),
            own: bool,
            asked in prop::collection::vec((prop::sample::select(vec!["agent", "exported_agent", "a", "b", "d"]),
                prop::sample::select(vec!["", "1", "2", "1|2"]), 0..4usize), 0..3),
        ) {
            let slots = slots.into_iter().enumerate().map(|(at, labels)| {
                let mut labels = labels.filtered(|name| !target.has(name)).to_builder();
                labels.set(METRIC_NAME, format!("m{at}"));
                Slot::new(labels.build(), Metadata::default())
            });
            let mut layouts = Layouts::default();
            let layout = layouts.add(Layout::new(target.clone(), slots.collect()).expect("valid"));
            let shape = Arc::clone(layouts.shape(&layout).expect("known"));
            let mut streams = Streams::default();
            let id = StreamId { agent: "x".into(), epoch: Epoch(1) };
            let no = streams.open(StreamInfo { id, minted_ms: 0, external }, own);
            let group = Group::new(no, streams.get(no), layout, shape);
            let op = |at| [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][at];
            let matchers: Vec<_> =
                asked.into_iter().map(|(name, value, at)| Matcher::new(name, op(at), value).expect("valid")).collect();
            let naive: Vec<u32> = (0..group.slots() as u32)
                .filter(|&slot| matchers.iter().all(|matcher| matcher.matches_labels(&group.series(slot))))
                .collect();
            for slot in 0..group.slots() as u32 {
                let series = group.series(slot);
                let common = group.common();
                let mut names: BTreeSet<&str> = common.pairs().map(|(name, _)| name).collect();
                group.names(&[slot], &mut names);
                prop_assert!(series.pairs().map(|(name, _)| name).eq(names));
                for name in ["agent", "exported_agent", "a", "b", "d", METRIC_NAME] {
                    let value = group.value(slot, name);
                    prop_assert_eq!(value.as_deref(), series.get(name));
                }
            }
            let odd: Vec<u32> = (0..group.slots() as u32).filter(|slot| slot % 2 == 1).collect();
            for slots in [(0..group.slots() as u32).collect(), odd] {
                let all: Vec<Labels> = slots.iter().map(|slot| group.series(*slot)).collect();
                for name in ["agent", "exported_agent", "a", "b", "d", METRIC_NAME] {
                    let mut values = BTreeSet::new();
                    group.values(name, &slots, &mut values);
                    let naive = all.iter().filter_map(|labels| labels.get(name)).map(str::to_owned);
                    prop_assert_eq!(values, naive.collect::<BTreeSet<_>>());
                }
                let mut names = BTreeSet::new();
                group.names(&slots, &mut names);
                let common = group.common();
                names.extend(common.pairs().map(|(name, _)| name).filter(|_| !slots.is_empty()));
                let naive: BTreeSet<&str> = all.iter().flat_map(|labels| labels.pairs().map(|(name, _)| name)).collect();
                prop_assert_eq!(names, naive);
            }
            let mut matching = Matching::new(&matchers);
            prop_assert_eq!(&*matching.slots(&group), &naive[..]);
            prop_assert_eq!(&*matching.slots(&group), &naive[..], "from memory");
        }
    }
}
