//! Label sets: sorted by name, names unique, no empty values.

use std::fmt;
use std::sync::Arc;

/// Label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";
/// Label that names the scrape job.
pub const JOB: &str = "job";
/// Label that names the scraped instance.
pub const INSTANCE: &str = "instance";
/// Label of a classic histogram's upper bucket bound.
pub const BUCKET_LABEL: &str = "le";

/// One name and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The label's name.
    pub name: Arc<str>,
    /// The label's value, never empty inside [`Labels`].
    pub value: Arc<str>,
}

/// A label set: sorted by name, names unique, no empty values. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Labels {
    /// The set without labels.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// A set from pairs in any order; of a repeated name the last value wins, empty values are left out.
    #[must_use]
    pub fn from_pairs<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The value of `name`, where the set has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .binary_search_by(|label| label.name.as_ref().cmp(name))
            .ok()
            .map(|at| self.0[at].value.as_ref())
    }

    /// The value of `name`, or the empty string: what a matcher sees.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// Whether the set has a label of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The metric name, empty where there is none.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// The labels in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Label> + DoubleEndedIterator {
        self.0.iter()
    }

    /// The labels as (name, value) pairs in order of name.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|label| (label.name.as_ref(), label.value.as_ref()))
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A builder that starts with these labels.
    #[must_use]
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { labels: self.0.to_vec() }
    }

    /// Both sets as one; where both have a name, the value in `over` counts.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let (mut under, mut top) = (self.0.iter().peekable(), over.0.iter().peekable());
        let mut all = Vec::with_capacity(self.len() + over.len());
        while let Some(label) = under.peek() {
            match top.next_if(|other| other.name <= label.name) {
                Some(other) => {
                    under.next_if(|label| label.name == other.name);
                    all.push(other.clone());
                }
                None => all.extend(under.next().cloned()),
            }
        }
        all.extend(top.cloned());
        Self(all.into())
    }

    /// The same set without the labels whose names fail `keep`.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|label| keep(&label.name)).cloned().collect())
    }

    /// Whether nobody else has this list: for those who keep equal ones once.
    #[must_use]
    pub fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// The same set without the metric name.
    #[must_use]
    pub fn without_name(&self) -> Self {
        if self.has(METRIC_NAME) { self.filtered(|name| name != METRIC_NAME) } else { self.clone() }
    }

    /// A 64-bit hash that every process and version computes alike (xxHash64 over names and values,
    /// each ended by byte 0xff).
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh64::Xxh64::new(0);
        for label in self.iter() {
            hasher.update(label.name.as_bytes());
            hasher.update(&[0xff]);
            hasher.update(label.value.as_bytes());
            hasher.update(&[0xff]);
        }
        hasher.digest()
    }
}

/// Writes the set as PromQL would: `metric{a="1", b="2"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare_name = name.is_empty() || is_valid_legacy_metric_name(name);
        if bare_name {
            f.write_str(name)?;
        }
        let mut rest = self.iter().filter(|label| !(bare_name && &*label.name == METRIC_NAME)).peekable();
        if rest.peek().is_none() && !name.is_empty() && bare_name {
            return Ok(());
        }
        f.write_str("{")?;
        for (at, label) in rest.enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            if is_valid_legacy_label_name(&label.name) {
                write!(f, "{}={:?}", label.name, label.value)?;
            } else {
                write!(f, "{:?}={:?}", label.name, label.value)?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        Self::from_pairs(labels.into_iter().map(|label| (label.name, label.value)))
    }
}

/// Builds a label set; keeps the order and uniqueness that [`Labels`] promises.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    labels: Vec<Label>,
}

impl LabelsBuilder {
    /// Sets `name` to `value`; an empty value removes the label, as everywhere in Prometheus.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> &mut Self {
        let (name, value) = (name.into(), value.into());
        match self.labels.binary_search_by(|label| label.name.cmp(&name)) {
            Ok(at) if value.is_empty() => drop(self.labels.remove(at)),
            Ok(at) => self.labels[at].value = value,
            Err(_) if value.is_empty() => {}
            Err(at) => self.labels.insert(at, Label { name, value }),
        }
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.labels.retain(|label| &*label.name != name);
        self
    }

    /// The value of `name`, where it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| &*label.name == name).map(|label| label.value.as_ref())
    }

    /// Keeps the labels whose names pass `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) -> &mut Self {
        self.labels.retain(|label| keep(&label.name));
        self
    }

    /// The labels so far, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter()
    }

    /// The finished set.
    #[must_use]
    pub fn build(self) -> Labels {
        Labels(self.labels.into())
    }
}

/// Whether `name` is `[a-zA-Z_:][a-zA-Z0-9_:]*`: a metric name that needs no quotes.
#[must_use]
pub fn is_valid_legacy_metric_name(name: &str) -> bool {
    legacy(name, |byte| byte == b':')
}

/// Whether `name` is `[a-zA-Z_][a-zA-Z0-9_]*`: a label name that needs no quotes.
#[must_use]
pub fn is_valid_legacy_label_name(name: &str) -> bool {
    legacy(name, |_| false)
}

fn legacy(name: &str, extra: impl Fn(u8) -> bool) -> bool {
    let start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || extra(byte);
    let mut bytes = name.bytes();
    bytes.next().is_some_and(start) && bytes.all(|byte| start(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_unique_and_never_empty() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.pairs().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!((labels.get("b"), labels.value("c")), (Some("3"), ""));
    }

    #[test]
    fn sets_print_as_promql() {
        for (pairs, text) in [
            (vec![("__name__", "up"), ("job", "n")], r#"up{job="n"}"#),
            (vec![("__name__", "up")], "up"),
            (vec![("job", "n")], r#"{job="n"}"#),
            (vec![], "{}"),
            (vec![("__name__", "a.b"), ("x y", "1")], r#"{__name__="a.b", "x y"="1"}"#),
        ] {
            assert_eq!(Labels::from_pairs(pairs).to_string(), text);
        }
    }

    #[test]
    fn the_stable_hash_tells_sets_apart() {
        let one = Labels::from_pairs([("a", "bc")]);
        assert_ne!(one.stable_hash(), Labels::from_pairs([("ab", "c")]).stable_hash());
        assert_eq!(one.stable_hash(), Labels::from_pairs([("a", "bc")]).stable_hash());
    }
}
