//! What a target's page means: its layouts, and the places of its lines in them.

use std::collections::HashMap;
use std::sync::Arc;

use model::Labels;
use storage::{AppendError, Layout, LayoutRef};

use crate::nhcb::Classic;
use crate::page::{Draft, Lines, Meaning, Place};
use crate::protobuf_page::Named;
use crate::rows::Places;
use crate::sink::Sink;
use crate::status::Families;

/// The meaning of a page.
#[derive(Debug)]
pub(crate) struct Known {
    /// Names the page.
    pub(crate) key: u128,
    pub(crate) places: Places,
    /// Each layout, and whether its series get stale markers.
    pub(crate) layouts: Vec<(LayoutRef, bool)>,
    /// Its lines with samples.
    pub(crate) scraped: usize,
    /// Those that are left after relabelling.
    pub(crate) kept: usize,
    pub(crate) families: Arc<Families>,
    /// One for each native histogram.
    pub(crate) histograms: Vec<Named>,
    /// Classic histograms that become native ones.
    pub(crate) classics: Vec<Classic>,
    /// Series that the store refused for want of memory: what the page means is asked for again.
    pub(crate) refused: usize,
}

impl Known {
    /// Makes a page's layouts known to the store; where an earlier page had the same series, its layouts stay,
    /// whatever the order of the lines.
    pub(crate) fn register(
        lines: &Lines,
        meaning: Meaning,
        earlier: Option<&Known>,
        sink: &Sink,
    ) -> Result<Self, AppendError> {
        let Meaning { mut places, drafts, families, histograms, classics, hidden, kept } = meaning;
        let timed = lines.samples.iter().any(|line| line.timestamp.is_some());
        // Series with times of their own are spread over several layouts, as their order has it.
        let stay = earlier.filter(|_| !timed).and_then(|earlier| moves(&drafts, &earlier.layouts));
        let mut refused = 0;
        let layouts = match (stay, earlier) {
            (Some(moves), Some(earlier)) => {
                move_to(&mut places, &moves);
                earlier.layouts.clone()
            }
            _ => {
                let known = |draft: &Draft| {
                    let layout = Layout::new(draft.target.clone(), draft.slots.clone())?;
                    Ok((sink.appender.layout(layout)?, draft.tracked))
                };
                match drafts.iter().map(known).collect() {
                    Err(AppendError::Memory { .. }) => {
                        let (layouts, moves) = without_new(&drafts, earlier.filter(|_| !timed), sink)?;
                        let gone = moves.iter().flatten().filter(|place| **place == Place::Dropped);
                        refused = gone.count();
                        move_to(&mut places, &moves);
                        layouts
                    }
                    layouts => layouts?,
                }
            }
        };
        let scraped = places.len() - hidden + histograms.len() + classics.len();
        let places = Places::new(places, layouts.len());
        Ok(Self { key: lines.key, places, layouts, scraped, kept, families, histograms, classics, refused })
    }
}

/// Lets lines go to other places.
fn move_to(places: &mut [Place], moves: &[Vec<Place>]) {
    for place in places {
        if let Place::At(layout, slot) = *place {
            *place = moves[layout as usize][slot as usize];
        }
    }
}

/// Layouts, each with whether its series get stale markers, and where the slots of drafts are in them.
type Placed = (Vec<(LayoutRef, bool)>, Vec<Vec<Place>>);

/// Layouts without the series that the store does not begin, and where the others of the drafts' slots are in them:
/// those of the earlier page, where these have all that are known, so that none is made anew.
fn without_new(drafts: &[Draft], earlier: Option<&Known>, sink: &Sink) -> Result<Placed, AppendError> {
    if let Some(earlier) = earlier {
        let moves = part_moves(drafts, &earlier.layouts);
        if keeps_all(drafts, &moves, sink)? {
            return Ok((earlier.layouts.clone(), moves));
        }
    }
    let (mut layouts, mut moves, mut refusal) = (Vec::new(), Vec::new(), None);
    for draft in drafts {
        let mut places = vec![Place::Dropped; draft.slots.len()];
        match storage::admit(&*sink.appender, Layout::new(draft.target.clone(), draft.slots.clone())?) {
            Ok(admitted) => {
                // There are no more of them than lines on a page.
                let number = u32::try_from(layouts.len()).unwrap_or(u32::MAX);
                for (slot, place) in admitted.slots().zip(0..) {
                    places[slot as usize] = Place::At(number, place);
                }
                layouts.push((admitted.layout, draft.tracked));
            }
            Err(error @ AppendError::Memory { .. }) => refusal = Some(error),
            Err(error) => return Err(error),
        }
        moves.push(places);
    }
    match refusal.filter(|_| layouts.is_empty()) {
        Some(error) => Err(error),
        None => Ok((layouts, moves)),
    }
}

/// Whether all series that the store has have a place.
fn keeps_all(drafts: &[Draft], moves: &[Vec<Place>], sink: &Sink) -> Result<bool, AppendError> {
    for (draft, places) in drafts.iter().zip(moves) {
        let known = sink.appender.known(&Layout::new(draft.target.clone(), draft.slots.clone())?);
        if known.iter().zip(places).any(|(known, place)| *known && *place == Place::Dropped) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where those of the drafts' slots are that layouts have; the others are dropped. Series that vanish meanwhile get
/// their markers once the page is taken whole.
fn part_moves(drafts: &[Draft], layouts: &[(LayoutRef, bool)]) -> Vec<Vec<Place>> {
    let mut known: HashMap<(&Labels, bool, &Labels), Place> = HashMap::new();
    for (at, (layout, tracked)) in (0..).zip(layouts) {
        let layout = layout.layout();
        for (number, slot) in (0..).zip(layout.slots()) {
            known.insert((layout.target(), *tracked, &slot.labels), Place::At(at, number));
        }
    }
    let place = |draft: &Draft, slot: &storage::Slot| {
        known.get(&(&draft.target, draft.tracked, &slot.labels)).copied().unwrap_or(Place::Dropped)
    };
    drafts.iter().map(|draft| draft.slots.iter().map(|slot| place(draft, slot)).collect()).collect()
}

/// Where the slots of the drafts are in layouts that have the same series; `None` where they have not.
fn moves(drafts: &[Draft], layouts: &[(LayoutRef, bool)]) -> Option<Vec<Vec<Place>>> {
    if drafts.len() != layouts.len() {
        return None;
    }
    let one = |draft: &Draft| {
        let at = layouts.iter().position(|(layout, tracked)| {
            let layout = layout.layout();
            *tracked == draft.tracked
                && *layout.target() == draft.target
                && layout.slots().len() == draft.slots.len()
        })?;
        let slots = layouts[at].0.layout().slots();
        let numbers: HashMap<&Labels, usize> =
            slots.iter().enumerate().map(|(number, slot)| (&slot.labels, number)).collect();
        let place = |slot: &storage::Slot| {
            let number = *numbers.get(&slot.labels)?;
            let same = slots[number].metadata == slot.metadata;
            same.then_some(Place::At(u32::try_from(at).ok()?, u32::try_from(number).ok()?))
        };
        draft.slots.iter().map(place).collect::<Option<Vec<Place>>>()
    };
    drafts.iter().map(one).collect()
}
