//! Consensus: openraft behind a small interface.
