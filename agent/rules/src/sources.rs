//! Whose data an evaluation read: what its result lacks later may only be late.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Names of those whose series the selectors of an expression read, each once. Cheap to clone: the alerts of
/// one evaluation share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Arc<BTreeSet<Arc<str>>>);

impl Sources {
    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// `names`, or the same as before where nothing changed, so that evaluations do not each hold a copy.
    pub(crate) fn renewed(&self, names: BTreeSet<Arc<str>>) -> Self {
        if *self.0 == names { self.clone() } else { Self(Arc::new(names)) }
    }
}

impl<S: Into<Arc<str>>> FromIterator<S> for Sources {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(Arc::new(names.into_iter().map(Into::into).collect()))
    }
}
