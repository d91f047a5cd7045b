//! Fake exporters, webhook sink, process harness: tests only.
