//! One key of a schema.

use crate::schema::Type;

/// A key that a map may have.
#[derive(Debug)]
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) later: Option<&'static str>,
    pub(crate) moot: Option<&'static str>,
    pub(crate) empty_item: Option<&'static str>,
}

/// The key `name` with values of `kind`.
#[must_use]
pub const fn field(name: &'static str, kind: Type) -> Field {
    Field { name, kind, later: None, moot: None, empty_item: None }
}

impl Field {
    /// Valid, but what it asks for is not built: `what` names that in the message. A boolean is
    /// noted only where it is true, anything else wherever it is set.
    #[must_use]
    pub const fn later(mut self, what: &'static str) -> Self {
        self.later = Some(what);
        self
    }

    /// Valid and read by the program that the file was written for, but there is nothing here that it could
    /// set: `why` says what stands in its place. Whoever wrote it is told, and the file loads.
    #[must_use]
    pub const fn moot(mut self, why: &'static str) -> Self {
        self.moot = Some(why);
        self
    }

    /// The message for an empty item of this list, instead of the general one.
    #[must_use]
    pub const fn empty_item(mut self, message: &'static str) -> Self {
        self.empty_item = Some(message);
        self
    }
}
