//! Route tree, grouping, inhibition, silences, notification log; API v2.
