//! Writes pages in text 0.0.4 (and 1.0.0, where a name needs quotes).

use std::fmt::Write as _;

use model::{
    Labels, METRIC_NAME, Metadata, format_go_float, is_valid_legacy_label_name, is_valid_legacy_metric_name,
};

/// Builds a page.
#[derive(Clone, Debug, Default)]
pub struct TextWriter {
    page: String,
}

impl TextWriter {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a family: its help, where there is one, and its type. Types that this format lacks are `untyped`.
    pub fn family(&mut self, name: &str, metadata: &Metadata) {
        let quoted = if is_valid_legacy_metric_name(name) { name.to_owned() } else { quote(name) };
        if !metadata.help.is_empty() {
            let help = metadata.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(self.page, "# HELP {quoted} {help}");
        }
        let word = match metadata.metric_type.as_str() {
            word @ ("counter" | "gauge" | "histogram" | "summary") => word,
            _ => "untyped",
        };
        let _ = writeln!(self.page, "# TYPE {quoted} {word}");
    }

    /// Adds a sample; `timestamp` in milliseconds since the Unix epoch.
    pub fn sample(&mut self, labels: &Labels, value: f64, timestamp: Option<i64>) {
        let name = labels.metric_name();
        let bare = is_valid_legacy_metric_name(name);
        let mut parts: Vec<String> = Vec::new();
        if bare {
            self.page.push_str(name);
        } else if !name.is_empty() {
            parts.push(quote(name));
        }
        for (label, value) in labels.pairs().filter(|(label, _)| *label != METRIC_NAME) {
            let label = if is_valid_legacy_label_name(label) { label.to_owned() } else { quote(label) };
            parts.push(format!("{label}={}", quote(value)));
        }
        if !parts.is_empty() || !bare {
            let _ = write!(self.page, "{{{}}}", parts.join(","));
        }
        let _ = write!(self.page, " {}", format_go_float(value));
        if let Some(timestamp) = timestamp {
            let _ = write!(self.page, " {timestamp}");
        }
        self.page.push('\n');
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.page
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
