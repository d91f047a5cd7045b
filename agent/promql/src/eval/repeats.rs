//! What a query says more than once is evaluated once: the results of parts with the same text, at the same steps.

use std::collections::HashMap;

use super::column::{Grid, Operand};
use super::selector::Resets;
use crate::ast::Expr;

/// Parts of a query that are there several times, and what they gave.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// By the address of a part, which stays while the query is evaluated: which text it has.
    texts: HashMap<usize, usize>,
    /// Of each text how many parts have it.
    counts: Vec<usize>,
    kept: HashMap<Place, (Kept, usize)>,
}

/// A text, the steps, and what is asked of histograms.
type Place = (usize, Grid, Resets);
/// Where the result of a part is kept, if it is there several times.
pub(super) type Key = Option<Place>;

/// A result.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) result: Operand,
    /// Samples that its evaluation looked at.
    pub(super) looked_at: u64,
}

/// Whether evaluating it again costs something. Chains of operators are not looked at: their texts are long.
fn is_worth_it(expr: &Expr) -> bool {
    matches!(expr, Expr::Aggregate(_) | Expr::Call(_) | Expr::Vector(_))
}

impl Repeats {
    /// The outermost parts that are there several times.
    pub(super) fn of(expr: &Expr) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut rest = vec![expr];
        let mut parts = 0;
        while let Some(part) = rest.pop() {
            if is_worth_it(part) {
                parts += 1;
                *counts.entry(part.to_string()).or_default() += 1;
            }
            part.children(&mut rest);
        }
        let mut repeats = Self::default();
        if counts.len() == parts {
            return repeats;
        }
        let mut numbers: HashMap<String, usize> = HashMap::new();
        rest.push(expr);
        while let Some(part) = rest.pop() {
            let text = if is_worth_it(part) { part.to_string() } else { String::new() };
            if counts.get(&text).is_none_or(|count| *count < 2) {
                part.children(&mut rest);
                continue;
            }
            let number = *numbers.entry(text).or_insert(repeats.counts.len());
            repeats.counts.resize(repeats.counts.len().max(number + 1), 0);
            repeats.counts[number] += 1;
            repeats.texts.insert(address(part), number);
        }
        repeats
    }

    /// What names the result of a part, where it is there several times.
    pub(super) fn key(&self, expr: &Expr, grid: Grid, resets: Resets) -> Key {
        if self.texts.is_empty() {
            return None;
        }
        let text = *self.texts.get(&address(expr))?;
        (self.counts[text] > 1).then_some((text, grid, resets))
    }

    /// The result, where it is known. The last part that asks for it takes it along.
    pub(super) fn take(&mut self, key: Key) -> Option<Kept> {
        let key = key?;
        let (kept, left) = self.kept.get_mut(&key)?;
        if *left > 1 {
            *left -= 1;
            return Some(Kept { result: kept.result.clone(), looked_at: kept.looked_at });
        }
        self.kept.remove(&key).map(|(kept, _)| kept)
    }

    /// Keeps a result for the other parts with that text.
    pub(super) fn keep(&mut self, key: Key, kept: impl FnOnce() -> Kept) {
        if let Some(key) = key {
            let others = self.counts[key.0] - 1;
            self.kept.insert(key, (kept(), others));
        }
    }
}

fn address(expr: &Expr) -> usize {
    std::ptr::from_ref(expr) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_repeated_parts_count() {
        for (query, wanted) in [
            ("a / b", &[][..]),
            ("sum(rate(a[5m])) / sum(rate(a[5m]))", &[2]),
            ("sum(a) / sum(a) + a", &[2, 1]),
            ("a > 1 and a < 2", &[2]),
            ("rate(a[5m]) / rate(a[1m])", &[]),
            ("sum by (x) (a) / sum without (x) (a)", &[2]),
        ] {
            let expr = crate::parse(query).expect(query);
            let mut counts = Repeats::of(&expr).counts;
            counts.sort_by(|a, b| b.cmp(a));
            assert_eq!(counts, wanted, "{query}");
        }
    }

    #[test]
    fn the_last_takes_the_result_along() {
        let expr = crate::parse("a + a + a").expect("a query");
        let mut repeats = Repeats::of(&expr);
        let mut parts = vec![&expr];
        let mut first = None;
        while let Some(part) = parts.pop() {
            part.children(&mut parts);
            first = repeats.key(part, Grid::instant(0), Resets::default()).or(first);
        }
        assert!(first.is_some() && repeats.take(first).is_none());
        repeats.keep(first, || Kept { result: Operand::Scalar(vec![1.0]), looked_at: 3 });
        assert!(repeats.take(first).is_some() && repeats.take(first).is_some());
        assert!(repeats.take(first).is_none());
    }
}
