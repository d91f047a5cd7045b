//! Prometheus's own formats of samples, for whoever reads and writes them: chunks, as blocks hold them and
//! as remote read streams them.

pub mod chunk;
