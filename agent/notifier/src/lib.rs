//! Queue and delivery of alerts to alertmanagers.
