//! `count_values`: a value's text is made once, and a group's labels are looked at once.

use std::collections::{BTreeMap, HashMap};

use model::{Labels, METRIC_NAME};

use super::super::Evaluator;
use super::super::column::Grid;
use super::dense::{Dense, Listed};
use super::kernel::absent;
use super::keys::{Numbering, groups_by};
use crate::ast::Aggregate;
use crate::engine::EvalError;

/// Result series: by labels, and by what leads to them.
#[derive(Default)]
struct Counted {
    places: HashMap<Labels, usize>,
    known: HashMap<(u32, u64), usize>,
    results: Vec<(Labels, Vec<f64>)>,
}

impl Evaluator<'_> {
    /// How many series of each group have a value, by its text in `label`.
    pub(in super::super) async fn values_dense(
        &mut self,
        node: &Aggregate,
        label: &str,
        dense: &Dense,
        grid: Grid,
    ) -> Result<Dense, EvalError> {
        let has_label = if node.without {
            label != METRIC_NAME && !node.grouping.iter().any(|name| name == label)
        } else {
            true
        };
        let mut numbering = Numbering::default();
        let groups = numbering.rows(dense, |name| name != label && groups_by(node, name));
        let mut counted = Counted::default();
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for step in 0..grid.len() {
            for (row, group) in dense.rows.iter().zip(&groups) {
                let Some(value) = dense.at(row, step) else { continue };
                let place = counted.place(*group, value, |text| {
                    let labels = numbering.labels(*group);
                    if !has_label {
                        return labels.clone();
                    }
                    let mut labels = labels.to_builder();
                    labels.set(label, text);
                    labels.build()
                });
                *counts.entry(place).or_default() += 1.0;
            }
            self.hold(counts.len())?;
            for (place, count) in std::mem::take(&mut counts) {
                let out = &mut counted.results[place].1;
                out.resize(step, absent());
                out.push(count);
            }
            self.tick(dense.rows.len()).await;
        }
        let mut listed = Listed::new();
        for (labels, out) in counted.results {
            listed.push(labels, &out, false);
        }
        Ok(listed.finish())
    }
}

impl Counted {
    /// The result that a value of a group counts for.
    fn place(&mut self, group: u32, value: f64, labels: impl FnOnce(String) -> Labels) -> usize {
        // All NaN have one text.
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        if let Some(place) = self.known.get(&(group, bits)) {
            return *place;
        }
        let labels = labels(model::format_float(value));
        let place = *self.places.entry(labels).or_insert_with_key(|labels| {
            self.results.push((labels.clone(), Vec::new()));
            self.results.len() - 1
        });
        self.known.insert((group, bits), place);
        place
    }
}
