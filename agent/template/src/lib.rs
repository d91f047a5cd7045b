//! Go text templates for rules and alerts.
