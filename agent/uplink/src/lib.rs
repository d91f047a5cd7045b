//! Ships the log to the federation.
