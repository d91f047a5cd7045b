//! The shared registry and its two text forms.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Metric;

use crate::classic;

/// Every metric of the process; clones share one content.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<RwLock<Content>>);

#[derive(Debug, Default)]
struct Content {
    metrics: BTreeMap<String, Entry>,
    collectors: Vec<Arc<dyn Collector>>,
}

#[derive(Debug)]
struct Entry {
    help: String,
    metric: Box<dyn Metric>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metric. A counter's name is given without `_total`.
    ///
    /// A name that was there already now means the new metric: a part that is built again after a
    /// reload brings its metrics again, and a page must not say a name twice.
    pub fn register<M: Metric>(&self, name: &str, help: &str, metric: M) {
        let entry = Entry { help: escape_help(help), metric: Box::new(metric) };
        self.0.write().metrics.insert(name.to_owned(), entry);
    }

    /// Adds a collector, asked at every encoding; it must not write names that are registered.
    pub fn collector(&self, collector: Box<dyn Collector>) {
        self.0.write().collectors.push(Arc::from(collector));
    }

    /// The page in the classic text format, version 0.0.4.
    #[must_use]
    pub fn encode_text(&self) -> String {
        classic::from_openmetrics(&self.encode_openmetrics())
    }

    /// The page in the OpenMetrics text format, version 1.0.0.
    #[must_use]
    pub fn encode_openmetrics(&self) -> String {
        let mut text = String::new();
        write_part(&mut text, Box::new(Page(Arc::clone(&self.0))));
        let collectors = self.0.read().collectors.clone();
        for collector in collectors {
            write_part(&mut text, Box::new(One(collector)));
        }
        text.push_str("# EOF\n");
        text
    }
}

/// Walks a registry's content in order of name.
struct Page(Arc<RwLock<Content>>);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let content = self.0.read();
        for (name, entry) in &content.metrics {
            if entry.metric.is_empty() {
                continue;
            }
            let metric = encoder.encode_descriptor(name, &entry.help, None, entry.metric.metric_type())?;
            entry.metric.encode(metric)?;
        }
        Ok(())
    }
}

/// One collector, shared: `prometheus-client` wants to own it.
#[derive(Debug)]
struct One(Arc<dyn Collector>);

impl Collector for One {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Appends what one collector says, or nothing of it: writing to a `String` cannot fail, so an error is
/// the collector's own and half a family would spoil the page.
fn write_part(text: &mut String, collector: Box<dyn Collector>) {
    let before = text.len();
    let mut inner = prometheus_client::registry::Registry::default();
    inner.register_collector(collector);
    if let Err(error) = prometheus_client::encoding::text::encode_registry(text, &inner) {
        text.truncate(before);
        tracing::error!(%error, "a collector failed; the metrics page is incomplete");
    }
}

/// Line breaks and backslashes as both formats want them.
fn escape_help(help: &str) -> String {
    help.replace('\\', "\\\\").replace('\n', "\\n")
}
