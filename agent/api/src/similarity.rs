//! How like a name is to what somebody typed: as a subsequence, or by Jaro and Winkler.

/// How names are compared.
pub(crate) struct Likeness {
    /// Least score that counts, from 0 to 1.
    pub(crate) threshold: f64,
    /// Jaro-Winkler instead of subsequences.
    pub(crate) is_winkler: bool,
    pub(crate) case_sensitive: bool,
}

impl Likeness {
    /// The score of a name, from above 0 to 1; none where it is not like the term.
    pub(crate) fn of(&self, term: &str, name: &str) -> Option<f64> {
        let lower = |text: &str| -> Vec<char> {
            let text = if self.case_sensitive { text.to_owned() } else { text.to_lowercase() };
            text.chars().collect()
        };
        let (term, name) = (lower(term), lower(name));
        let score = if self.is_winkler {
            let is_part = name.windows(term.len().max(1)).any(|part| part == term);
            if is_part { 1.0 } else { jaro_winkler(&term, &name) }
        } else {
            subsequence(&term, &name)?
        };
        (score > 0.0 && score >= self.threshold).then_some(score)
    }
}

#[allow(clippy::cast_precision_loss, reason = "lengths of names")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// 1 where they are the same; less the more is between the term's characters, and around them.
fn subsequence(term: &[char], name: &[char]) -> Option<f64> {
    let mut at = 0;
    let mut last = 0;
    let mut first = None;
    for wanted in term {
        let found = at + name.get(at..)?.iter().position(|one| one == wanted)?;
        first.get_or_insert(found);
        last = found;
        at = found + 1;
    }
    let span = last + 1 - first.unwrap_or(0);
    Some(share(term.len(), span) * 0.5f64.mul_add(share(term.len(), name.len()), 0.5))
}

/// Jaro's similarity, raised for a common beginning of up to four characters.
fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    let jaro = jaro(a, b);
    let common = a.iter().zip(b).take(4).take_while(|(a, b)| a == b).count();
    (share(common, 10) * (1.0 - jaro)).mul_add(1.0, jaro)
}

fn jaro(a: &[char], b: &[char]) -> f64 {
    let window = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut of_a = Vec::new();
    for (at, one) in a.iter().enumerate() {
        let (from, to) = (at.saturating_sub(window), (at + window + 1).min(b.len()));
        if let Some(other) = (from..to).find(|&other| !taken[other] && b[other] == *one) {
            taken[other] = true;
            of_a.push(*one);
        }
    }
    if of_a.is_empty() {
        return 0.0;
    }
    let of_b = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(one, _)| *one);
    let moved = of_a.iter().zip(of_b).filter(|(a, b)| **a != *b).count() / 2;
    let same = of_a.len();
    (share(same, a.len()) + share(same, b.len()) + share(same - moved, same)) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: Option<f64>, wanted: Option<f64>) -> bool {
        match (got, wanted) {
            (Some(got), Some(wanted)) => (got - wanted).abs() < 1e-3,
            (got, wanted) => got == wanted,
        }
    }

    #[test]
    fn names_are_like_terms() {
        let plain = Likeness { threshold: 0.0, is_winkler: false, case_sensitive: true };
        let loose = Likeness { threshold: 0.0, is_winkler: false, case_sensitive: false };
        let strict = Likeness { threshold: 0.9, is_winkler: false, case_sensitive: true };
        let winkler = Likeness { threshold: 0.5, is_winkler: true, case_sensitive: true };
        for (likeness, term, name, score) in [
            (&plain, "up", "up", Some(1.0)),
            (&plain, "nt", "node_time", Some(2.0 / 6.0 * (0.5 + 1.0 / 9.0))),
            (&plain, "UP", "up", None),
            (&loose, "UP", "up", Some(1.0)),
            (&plain, "pu", "up", None),
            (&plain, "up", "", None),
            (&strict, "up", "up_time", None),
            // The measure's own example.
            (&winkler, "MARTHA", "MARHTA", Some(0.961)),
            (&winkler, "DIXON", "DICKSONX", Some(0.813)),
            (&winkler, "ode", "node", Some(1.0)),
            (&winkler, "abc", "xyz", None),
        ] {
            assert!(near(likeness.of(term, name), score), "{term} {name}: {:?}", likeness.of(term, name));
        }
    }
}
