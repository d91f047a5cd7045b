//! Self-metrics registry and logging.
