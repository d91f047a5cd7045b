//! A page of one host at one slot, plain and compressed.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A page of text 0.0.4. Copies share their bytes.
#[derive(Clone, Debug)]
pub struct Page {
    body: Bytes,
    gzip: Arc<OnceLock<Bytes>>,
    series: usize,
}

impl Page {
    pub(super) fn new(body: &[u8], series: usize) -> Self {
        Self { body: Bytes::copy_from_slice(body), gzip: Arc::default(), series }
    }

    /// As text.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Compressed as exporters do, once for all who ask.
    #[must_use]
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 6), Compression::default());
            // Writing to a vector cannot fail.
            let _ = encoder.write_all(&self.body);
            Bytes::from(encoder.finish().unwrap_or_default())
        })
    }

    /// How many series it has.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series
    }
}
