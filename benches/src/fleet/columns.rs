//! A page's series as columns of rows: their labels and metadata, read once for each set of series.

use exposition::{Entry, Format, Parser};
use model::{Labels, Metadata};
use storage::Slot;

use super::page::Page;

/// The columns of a page in its order.
///
/// # Panics
/// When the page cannot be read: it is this fleet's own.
pub(super) fn columns(page: &Page) -> Vec<Slot> {
    let (mut slots, mut metadata) = (Vec::with_capacity(page.series()), Metadata::default());
    for entry in Parser::new(page.body(), Format::Text) {
        match entry.expect("a valid page") {
            Entry::Help { help, .. } => metadata.help = help.as_ref().into(),
            Entry::Type { metric_type, .. } => metadata.metric_type = metric_type,
            Entry::Unit { unit, .. } => metadata.unit = unit.into(),
            Entry::Series(line) => {
                let labels = line.labels().expect("valid labels");
                slots.push(Slot::new(labels, metadata.clone()));
            }
        }
    }
    slots
}

/// A series' whole label set.
pub(super) fn whole(target: &Labels, slot: &Slot) -> Labels {
    let mut builder = target.to_builder();
    for (name, value) in slot.labels.pairs() {
        builder.set(name, value);
    }
    builder.build()
}
