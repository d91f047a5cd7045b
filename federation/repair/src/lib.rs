//! Pair anti-entropy: digests, pull.
