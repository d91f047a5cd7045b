//! Reading in batches: first which groups of which windows are asked for, then family by family, window by window,
//! what they have. Only what has not been given yet is held, as references to tiles, files and rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use storage::{Batch, BatchSelect, Budget, Charge, Coverage, QueryError};

use crate::family::{Family, FamilyMember, Picked, families};
use crate::give::{Giving, Owned};
use crate::group::{Columns, Group, GroupKey};
use crate::query::Wanted;
use crate::sealed::{Deletion, SealedError, SealedPlace, SealedWindow};
use crate::segment::Segment;
use crate::spill::SpillError;
use crate::store::Inner;
use crate::window::SharedRows;

/// Times that a window is read while it changes.
const TRIES: usize = 8;
/// Bytes that a group takes up for each window before it is read, about.
const PLACE_BYTES: usize = 96;

/// Where a window's samples of a group are.
pub(crate) enum Place {
    Rows(SharedRows),
    Sealed(SealedPlace),
}

/// A group of a window, with the slots that pass.
pub(crate) type Found = (Arc<Group>, Arc<[u32]>, Place);

/// What could not be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// The head's file: the log has the same.
    #[error(transparent)]
    Head(#[from] SpillError),
    /// Blocks, which are not damaged.
    #[error(transparent)]
    Sealed(#[from] SealedError),
}

/// One selection on its way.
pub(crate) struct Scan {
    wanted: Wanted,
    budget: Budget,
    /// Whether only the newest numbers matter, and none is hidden by a deletion.
    newest: bool,
    all: Vec<Picked>,
    /// Of each of them, by window.
    places: Vec<BTreeMap<i64, Vec<Place>>>,
    /// Windows that are read together, by the first of them: those of a day are.
    spans: BTreeMap<i64, Vec<i64>>,
    /// Windows with damage, which were asked for in the log as well; those of which it has everything.
    damaged: BTreeSet<i64>,
    from_log: BTreeSet<i64>,
    by_key: HashMap<GroupKey, usize>,
    families: VecDeque<Vec<usize>>,
    current: Option<Current>,
    deletions: Vec<Deletion>,
    coverage: Coverage,
    _charge: Charge,
}

/// The family that is read, and its windows that are left.
struct Current {
    family: Family,
    windows: BTreeSet<i64>,
    /// Series that are put together one by one in every window.
    slow: Vec<bool>,
}

impl Scan {
    /// Finds out what is to be read.
    pub(crate) fn new(inner: &Inner, select: BatchSelect, columns: Columns) -> Result<Self, QueryError> {
        let BatchSelect { matchers, range, budget, newest } = select;
        let deletions = inner.vault.deletions();
        let touching = deletions.iter().filter(|deletion| deletion.range.overlaps(&range)).cloned();
        let deletions: Vec<Deletion> = touching.collect();
        let mut scan = Self {
            wanted: Wanted { matchers, range, columns },
            _charge: budget.charge(0)?,
            budget,
            all: Vec::new(),
            places: Vec::new(),
            spans: BTreeMap::new(),
            damaged: BTreeSet::new(),
            from_log: BTreeSet::new(),
            by_key: HashMap::new(),
            families: VecDeque::new(),
            current: None,
            newest: newest && deletions.is_empty(),
            deletions,
            coverage: inner.state.read().coverage(range),
        };
        for starts in inner.spans(range) {
            scan.plan(inner, &starts)?;
        }
        scan.families = families(&scan.all).into();
        let places: usize = scan.places.iter().map(BTreeMap::len).sum();
        scan._charge = scan.budget.charge(places * PLACE_BYTES)?;
        Ok(scan)
    }

    /// Takes note of where the samples of windows are that are read together.
    fn plan(&mut self, inner: &Inner, starts: &[i64]) -> Result<(), QueryError> {
        let Some(&start) = starts.first() else { return Ok(()) };
        for _ in 0..TRIES {
            let windows: Vec<_> = starts.iter().map(|&start| (start, inner.vault.window(start))).collect();
            self.damaged.extend(starts.iter().filter(|start| inner.is_damaged(**start)));
            let (found, from_log) = inner.places(&self.wanted, &windows)?;
            // Where one was sealed meanwhile, the log may have lost what was looked for there.
            let is_same = |(start, before): &(i64, Option<Arc<SealedWindow>>)| {
                inner.vault.window(*start).as_ref().map(Arc::as_ptr) == before.as_ref().map(Arc::as_ptr)
            };
            if !windows.iter().all(is_same) {
                continue;
            }
            self.from_log.extend(from_log);
            self.spans.insert(start, starts.to_vec());
            for (group, slots, place) in found {
                let at = *self.by_key.entry(group.key()).or_insert_with(|| {
                    self.all.push(Picked { group, slots });
                    self.places.push(BTreeMap::new());
                    self.all.len() - 1
                });
                self.places[at].entry(start).or_default().push(place);
            }
            return Ok(());
        }
        Err(QueryError::Unavailable("a window was sealed again and again while it was read".to_owned()))
    }

    /// What the next family has in the next of its windows; none when all was given.
    pub(crate) fn next(&mut self, inner: &Inner) -> Result<Option<Vec<Batch>>, QueryError> {
        loop {
            let Some(mut current) = self.current.take() else {
                let Some(members) = self.families.pop_front() else { return Ok(None) };
                let family = Family::new(&self.all, &members);
                self.current = Some(Current::new(family, &self.all, &self.places, &self.deletions));
                continue;
            };
            let Some(start) = current.windows.pop_first() else { continue };
            let segments = self.segments(inner, &current.family, start)?;
            let giving = Giving {
                all: &self.all,
                family: &current.family,
                budget: &self.budget,
                deletions: &self.deletions,
            };
            let batches = giving.batches(segments, &current.slow)?;
            self.current = Some(current);
            if !batches.is_empty() {
                return Ok(Some(batches));
            }
        }
    }

    /// What the answer covers; damage that was found is in it once all was read.
    pub(crate) fn coverage(&mut self, inner: &Inner) -> Coverage {
        let mut coverage = std::mem::take(&mut self.coverage);
        inner.cover_damage(self.wanted.range, &self.from_log, &mut coverage);
        coverage
    }

    /// What a family has in a window, or several that are read together, in order of time. Where the head's file
    /// cannot be read, or blocks are found to be damaged, the log is.
    fn segments(&mut self, inner: &Inner, family: &Family, start: i64) -> Result<Vec<Owned>, QueryError> {
        for _ in 0..TRIES {
            let starts = self.spans.get(&start).cloned().unwrap_or_default();
            match self.read(family, start) {
                Ok(_)
                    if starts
                        .iter()
                        .any(|start| inner.is_damaged(*start) && !self.damaged.contains(start)) =>
                {
                    self.forget(start);
                    self.plan(inner, &starts)?;
                }
                Ok(mut segments) => {
                    segments.sort_by_key(|owned| owned.segment.ends());
                    for member in &family.members {
                        self.places[member.at].remove(&start);
                    }
                    return Ok(segments);
                }
                Err(ReadError::Sealed(error)) => return Err(error.into()),
                Err(ReadError::Head(error)) => {
                    tracing::error!(%error, window = start, "the head's file cannot be read: the log is, from now on");
                    let mut state = inner.state.write();
                    starts.iter().for_each(|start| state.head.give_up(*start));
                    drop(state);
                    self.forget(start);
                    self.plan(inner, &starts)?;
                }
            }
        }
        Err(QueryError::Unavailable("the head's file cannot be read".to_owned()))
    }

    /// Forgets where samples are that were not given yet.
    fn forget(&mut self, start: i64) {
        for places in &mut self.places {
            places.remove(&start);
        }
    }

    fn read(&self, family: &Family, start: i64) -> Result<Vec<Owned>, ReadError> {
        let mut found = Vec::new();
        for (member, &FamilyMember { at, .. }) in family.members.iter().enumerate() {
            let Picked { group, slots } = &self.all[at];
            let newest = self.newest && !group.layout.has_histograms();
            for place in self.places[at].get(&start).into_iter().flatten() {
                let segments = match place {
                    Place::Rows(rows) => Segment::of_rows(rows, slots, self.wanted.range, newest)?,
                    Place::Sealed(place) => place.segments(slots, self.wanted.range)?,
                };
                found.extend(segments.into_iter().map(|segment| Owned { member, segment }));
            }
        }
        Ok(found)
    }
}

impl Current {
    fn new(
        family: Family,
        all: &[Picked],
        places: &[BTreeMap<i64, Vec<Place>>],
        deletions: &[Deletion],
    ) -> Self {
        let windows = family.members.iter().flat_map(|member| places[member.at].keys().copied()).collect();
        let mut slow = vec![false; family.series.len()];
        for FamilyMember { at, series } in &family.members {
            let Picked { group, slots } = &all[*at];
            let mut mark = |position: usize| slow[series[position] as usize] = true;
            if group.layout.has_histograms() {
                let all = group.layout.slots();
                let parts =
                    slots.iter().enumerate().filter(|(_, slot)| all[**slot as usize].is_of_histogram());
                parts.for_each(|(position, _)| mark(position));
            }
            for deletion in deletions {
                for slot in deletion.slots(group).iter() {
                    slots.binary_search(slot).into_iter().for_each(&mut mark);
                }
            }
        }
        Self { family, windows, slow }
    }
}
