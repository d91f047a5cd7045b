//! One benchmark per hot path, all in `benches/`.
