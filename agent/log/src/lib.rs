//! Segmented, checksummed, resynchronising record log.
