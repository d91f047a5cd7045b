//! Where an appender begins no new series for want of memory: those that it has go on.

use std::borrow::Cow;

use crate::append::{Appender, Cell, LayoutRef};
use crate::error::AppendError;
use crate::layout::{Layout, Slot};

/// A layout as an appender took it: whole, or without the series that it did not begin.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What it took.
    pub layout: LayoutRef,
    /// Series that it did not begin.
    pub refused: usize,
    /// The slots of the whole layout that this one has, in order; none where it has all.
    kept: Option<Box<[u32]>>,
}

/// Makes a layout known, without its new series where the appender begins none.
///
/// # Errors
/// As [`Appender::layout`]; where no series is left, with its refusal.
pub fn admit(appender: &dyn Appender, layout: Layout) -> Result<Admitted, AppendError> {
    let refusal = match appender.layout(layout.clone()) {
        Ok(layout) => return Ok(Admitted { layout, refused: 0, kept: None }),
        Err(error @ AppendError::Memory { .. }) => error,
        Err(error) => return Err(error),
    };
    let kept: Box<[u32]> =
        (0..).zip(appender.known(&layout)).filter(|(_, known)| *known).map(|(slot, _)| slot).collect();
    if kept.is_empty() {
        return Err(refusal);
    }
    let slots: Vec<Slot> = kept.iter().map(|slot| layout.slots()[*slot as usize].clone()).collect();
    let part = Layout::new(layout.target().clone(), slots)?;
    let refused = layout.series_count() - part.series_count();
    Ok(Admitted { layout: appender.layout(part)?, refused, kept: Some(kept) })
}

impl Admitted {
    /// A row's cells of the whole layout as this one has them.
    #[must_use]
    pub fn cells<'a>(&self, cells: &'a [Cell]) -> Cow<'a, [Cell]> {
        match &self.kept {
            None => Cow::Borrowed(cells),
            Some(kept) => kept.iter().map(|slot| cells[*slot as usize]).collect(),
        }
    }

    /// The whole layout's slots that this one has, in order.
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        let all = if self.kept.is_none() { self.layout.layout().slots().len() as u32 } else { 0 };
        (0..all).chain(self.kept.iter().flatten().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Labels, Metadata};

    use super::*;
    use crate::append::{AppendOutcome, Row};

    /// It has series whose name is among these, and begins no other.
    struct Full(Vec<&'static str>);

    impl Appender for Full {
        fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
            let new = self.known(&layout).iter().filter(|known| !**known).count();
            match new {
                0 => Ok(LayoutRef::new(Arc::new(layout), 1)),
                new => Err(AppendError::Memory { new, used: 20, max: 10 }),
            }
        }

        fn append(&self, _: Row<'_>) -> Result<AppendOutcome, AppendError> {
            Err(AppendError::Relayout)
        }

        fn known(&self, layout: &Layout) -> Vec<bool> {
            layout.slots().iter().map(|slot| self.0.contains(&slot.labels.metric_name())).collect()
        }
    }

    fn layout(names: &[&str]) -> Layout {
        let slot = |name: &&str| Slot::new(Labels::from_pairs([("__name__", *name)]), Metadata::default());
        Layout::new(Labels::empty(), names.iter().map(slot).collect()).expect("valid")
    }

    #[test]
    fn series_that_are_known_are_kept_and_others_refused() {
        let full = Full(vec!["a", "c"]);
        let admitted = admit(&full, layout(&["c", "b", "a"])).expect("two are known");
        assert_eq!((admitted.refused, admitted.slots().collect::<Vec<_>>()), (1, vec![0, 2]));
        assert_eq!(admitted.layout.layout().id(), layout(&["c", "a"]).id());
        let cells = [Cell::Stale, Cell::Absent, Cell::Absent];
        assert_eq!(*admitted.cells(&cells), [Cell::Stale, Cell::Absent]);

        let whole = admit(&full, layout(&["a"])).expect("known");
        assert_eq!((whole.refused, whole.slots().collect::<Vec<_>>()), (0, vec![0]));
        assert_eq!(*whole.cells(&[Cell::Stale]), [Cell::Stale]);
        assert!(matches!(admit(&full, layout(&["b", "d"])), Err(AppendError::Memory { new: 2, .. })));
    }
}
