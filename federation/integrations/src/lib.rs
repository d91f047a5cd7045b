//! Webhook and the like behind the alertmanager's trait.
