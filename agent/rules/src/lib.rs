//! Recording and alerting groups.
