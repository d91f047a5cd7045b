//! YAML raw to checked types, reload and diff.
