//! Head, log, segments, retention: the only local store.
