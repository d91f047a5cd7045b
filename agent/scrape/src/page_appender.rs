//! Pages of one target without HTTP: what a loop does between a request and its report.

use std::sync::Arc;

use exposition::Format;
use model::Labels;
use storage::Appender;
use tokio::sync::mpsc;

use crate::config::ScrapeConfig;
use crate::fetch::{Page, PageFormat};
use crate::gunzip::gunzip;
use crate::metrics::Metrics;
use crate::series::{Counts, Origin, SeriesState};
use crate::sink::{Losses, Sink};
use crate::texts::Texts;

/// Appends pages of one target, as its loop does: for benchmarks, and for pages that come another way.
pub struct PageAppender {
    config: ScrapeConfig,
    target: Labels,
    sink: Sink,
    texts: Texts,
    state: SeriesState,
    plain: Vec<u8>,
}

impl PageAppender {
    /// For a target with these labels. The job's settings of relabelling, limits and timestamps count.
    #[must_use]
    pub fn new(config: ScrapeConfig, target: Labels, appender: Arc<dyn Appender>) -> Self {
        // Nobody waits for the commits.
        let sink = Sink { appender, metrics: Metrics::default(), commits: mpsc::channel(1).0 };
        let (texts, state) = (Texts::default(), SeriesState::default());
        Self { config, target, sink, texts, state, plain: Vec::new() }
    }

    /// Appends a page, with stale markers for series that the last one had; gives the number of its samples.
    ///
    /// # Errors
    /// The text that a scrape of this page would leave at its target.
    pub fn append(&mut self, page: &[u8], format: Format, timestamp: i64) -> Result<usize, String> {
        let (mut losses, mut counts) = (Losses::default(), Counts::default());
        let page = Page { bytes: page, format: PageFormat::Text(format) };
        let origin = Origin { config: &self.config, target: &self.target, texts: &self.texts };
        self.state
            .write(&page, timestamp, origin, &self.sink, &mut losses, &mut counts)
            .map_err(|error| error.to_string())?;
        self.sink.settle("", losses);
        Ok(counts.scraped)
    }

    /// The same for a page packed with gzip.
    ///
    /// # Errors
    /// As [`PageAppender::append`], and when it cannot be unpacked.
    pub fn append_gzip(&mut self, packed: &[u8], format: Format, timestamp: i64) -> Result<usize, String> {
        let limit = match self.config.body_size_limit {
            0 => ScrapeConfig::BODY_MAX,
            limit => limit,
        };
        let mut plain = std::mem::take(&mut self.plain);
        let unpacked = gunzip(packed, limit, &mut plain).map_err(|error| error.to_string());
        let appended = unpacked.and_then(|()| self.append(&plain, format, timestamp));
        self.plain = plain;
        appended
    }

    /// Forgets what the last pages meant: the next one is parsed in full.
    pub fn forget(&mut self) {
        self.state.reconfigured();
    }
}
