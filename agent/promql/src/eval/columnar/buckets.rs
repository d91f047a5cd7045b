//! Quantiles and fractions of classic histograms: series that differ in `le` alone are found by group and slot, and
//! their buckets are put in order once for all steps.

use model::BUCKET_LABEL;
use storage::BoxFuture;

use super::super::Evaluator;
use super::super::bucket::{Asked, Bucket, fraction, open_metrics_float, parse_bound, quantile};
use super::super::column::{Grid, Operand, without_metadata};
use super::super::label::texts;
use super::dense::{Dense, Listed};
use super::kernel::{absent, present};
use super::keys::Keys;
use super::order::in_order;
use crate::ast::{Call, Expr};
use crate::engine::EvalError;
use crate::position::PosRange;

/// Histograms in a table.
struct DenseHistograms<'d> {
    dense: &'d Dense,
    keys: Keys,
    /// Of each histogram its rows by upper bound, ascending.
    buckets: Vec<Vec<(f64, u32)>>,
}

impl Evaluator<'_> {
    /// `histogram_quantile` and its like of numbers alone.
    pub(in super::super) fn quantiles_of<'a>(
        &'a mut self,
        node: &'a Call,
        dense: &'a Dense,
        params: &'a [Vec<f64>],
        fall_pos: PosRange,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Operand, EvalError>> {
        Box::pin(self.dense_quantiles(node, dense, params, fall_pos, grid))
    }

    async fn dense_quantiles(
        &mut self,
        node: &Call,
        dense: &Dense,
        params: &[Vec<f64>],
        fall_pos: PosRange,
        grid: Grid,
    ) -> Result<Operand, EvalError> {
        let several = node.function.name == "histogram_quantiles";
        let arg = if several { node.args.first() } else { node.args.last() };
        let histograms = self.dense_histograms(dense, arg.map_or(node.pos, Expr::pos));
        let mut listed = Listed::new();
        if let ("histogram_fraction", [low, high]) = (node.function.name, params) {
            let asked = Asked::Fraction { low, high };
            self.ask_dense(&histograms, &asked, fall_pos, None, (grid, &mut listed)).await;
        } else {
            let label = if several { texts(&node.args[1..2]).first().copied() } else { None };
            for phi in params {
                let value = open_metrics_float(phi.first().copied().unwrap_or(f64::NAN));
                let label = label.map(|label| (label, value.as_str()));
                let asked = Asked::Quantile(phi);
                self.ask_dense(&histograms, &asked, fall_pos, label, (grid, &mut listed)).await;
            }
        }
        let is_alike = listed.any_alike();
        let dense = listed.finish();
        if is_alike {
            return Ok(Operand::Vector(self.checked(dense.columns())?));
        }
        Ok(Operand::Dense(dense))
    }

    /// Finds the histograms; what has no bound is told at `pos`.
    fn dense_histograms<'d>(&mut self, dense: &'d Dense, pos: PosRange) -> DenseHistograms<'d> {
        let (mut order, mut bounds) = (in_order(dense), vec![f64::NAN; dense.rows.len()]);
        order.retain(|at| {
            let row = &dense.rows[*at as usize];
            let text = dense.label(row, BUCKET_LABEL);
            let Some(bound) = parse_bound(text) else {
                let name = if dense.is_unnamed { "" } else { dense.label(row, model::METRIC_NAME) };
                self.notes.bad_bucket_label(name, text, pos);
                return false;
            };
            bounds[*at as usize] = bound;
            true
        });
        let keys = Keys::by(dense, &order, |name| name != BUCKET_LABEL);
        let buckets = keys.members.iter().map(|members| {
            let mut buckets: Vec<(f64, u32)> = members.iter().map(|at| (bounds[*at as usize], *at)).collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            buckets
        });
        let buckets = buckets.collect();
        DenseHistograms { dense, keys, buckets }
    }

    /// Asks each histogram at each step; falling counts are said to be at `fall_pos`. With `label` the results have
    /// one label more.
    async fn ask_dense(
        &mut self,
        histograms: &DenseHistograms<'_>,
        asked: &Asked<'_>,
        fall_pos: PosRange,
        label: Option<(&str, &str)>,
        (grid, listed): (Grid, &mut Listed),
    ) {
        let DenseHistograms { dense, keys, buckets } = histograms;
        let (mut out, mut counts) = (vec![absent(); grid.len()], Vec::new());
        for (labels, rows) in keys.labels.iter().zip(buckets) {
            let name = if self.delayed_name_removal { labels.metric_name() } else { "" };
            out.fill(absent());
            for (step, out) in out.iter_mut().enumerate() {
                counts.clear();
                let bucket = |(upper, at): &(f64, u32)| {
                    let count = dense.at(&dense.rows[*at as usize], step)?;
                    Some(Bucket { upper: *upper, count })
                };
                counts.extend(rows.iter().filter_map(bucket));
                if counts.is_empty() {
                    continue;
                }
                *out = present(match asked {
                    Asked::Quantile(phi) => {
                        let (value, fall) = quantile(phi[step], &mut counts);
                        if let Some(fall) = fall {
                            self.notes.forced_monotonicity(name, fall, grid.time(step), fall_pos);
                        }
                        value
                    }
                    Asked::Fraction { low, high } => fraction(low[step], high[step], &mut counts),
                });
            }
            let mut labels =
                if self.delayed_name_removal { labels.clone() } else { without_metadata(labels) };
            if let Some((name, value)) = label {
                let mut builder = labels.to_builder();
                builder.set(name, value);
                labels = builder.build();
            }
            listed.push(labels, &out, true);
            self.tick(rows.len() * grid.len()).await;
        }
    }
}
