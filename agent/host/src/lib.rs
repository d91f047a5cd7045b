//! This machine's own metrics under node_exporter's names.
