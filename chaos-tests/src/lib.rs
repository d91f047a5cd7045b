//! Real processes under faults: one test file per promise, all in `tests/`.
