//! The federation's binary.

fn main() {}
