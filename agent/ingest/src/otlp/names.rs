//! Names of metrics and labels: from OpenTelemetry's to Prometheus's, in one of four ways.

use super::data::{Kind, Metric};

/// `otlp.translation_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Characters that Prometheus did not know become `_`; unit and `_total` are added.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters that Prometheus did not know become `_`.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are; unit and `_total` are added.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl Strategy {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 4] = [
        ("UnderscoreEscapingWithSuffixes", Self::UnderscoreEscapingWithSuffixes),
        ("UnderscoreEscapingWithoutSuffixes", Self::UnderscoreEscapingWithoutSuffixes),
        ("NoUTF8EscapingWithSuffixes", Self::NoUtf8EscapingWithSuffixes),
        ("NoTranslation", Self::NoTranslation),
    ];

    fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// How names of labels are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelNames {
    pub(super) strategy: Strategy,
    /// Whether a name that begins with one `_` gets `key` before it.
    pub(super) sanitizes: bool,
    /// Whether several `_` in a row stay.
    pub(super) preserves: bool,
}

/// Units by OpenTelemetry's word.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// What something is counted per.
const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn word(list: &[(&str, &str)], unit: &str) -> String {
    list.iter().find(|(known, _)| *known == unit).map_or(unit, |(_, word)| word).to_owned()
}

/// The unit, and what it is counted per; empty where they say nothing.
fn units(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    // What is in braces is a remark.
    let said = |part: &str| !part.is_empty() && !part.contains(['{', '}']);
    let (main, per) = (main.trim(), per.trim());
    let main = if said(main) { word(&UNITS, main) } else { String::new() };
    let per = if said(per) { word(&PER, per) } else { String::new() };
    (main, per)
}

/// A metric's name.
pub(super) fn metric_name(metric: &Metric, strategy: Strategy) -> String {
    let counts = metric.kind == Kind::Sum && metric.monotonic;
    let is_ratio = metric.unit == "1" && metric.kind == Kind::Gauge;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let (main, per) = units(&metric.unit);
    match (strategy.escapes(), strategy.adds_suffixes()) {
        (true, true) => {
            let split = |text: &str| -> Vec<String> {
                text.split(|c| !allowed(c)).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            };
            let mut tokens = split(&metric.name);
            let (main, per) = (split(&main).join("_"), split(&per).join("_"));
            if !main.is_empty() && !tokens.contains(&main) {
                tokens.push(main);
            }
            if !per.is_empty() && !tokens.contains(&per) {
                tokens.extend(["per".to_owned(), per]);
            }
            for (is, ending) in [(counts, "total"), (is_ratio, "ratio")] {
                if is {
                    tokens.retain(|token| token != ending);
                    tokens.push(ending.to_owned());
                }
            }
            legal_start(tokens.join("_"))
        }
        (true, false) => {
            let parts: Vec<&str> =
                metric.name.split(|c| !allowed(c) && c != '_').filter(|part| !part.is_empty()).collect();
            legal_start(parts.join("_"))
        }
        (false, true) => {
            let mut name = metric.name.clone();
            let mut end_with = |ending: &str| {
                if !ending.is_empty() && !name.ends_with(ending) {
                    name.push('_');
                    name.push_str(ending);
                }
            };
            end_with(&main);
            if !per.is_empty() {
                end_with(&format!("per_{per}"));
            }
            if is_ratio {
                end_with("ratio");
            }
            if counts {
                // The word stands at the end, also where the unit came after it.
                let bare = name.trim_end_matches("_total").to_owned();
                name = bare + "_total";
            }
            name
        }
        (false, false) => metric.name.clone(),
    }
}

fn legal_start(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

impl LabelNames {
    /// A label's name.
    pub(super) fn of(self, name: &str) -> String {
        if !self.strategy.escapes() || name.is_empty() {
            return name.to_owned();
        }
        let mut out = String::with_capacity(name.len() + 4);
        for c in name.chars() {
            let shown = if c.is_ascii_alphanumeric() { c } else { '_' };
            if shown == '_' && !self.preserves && out.ends_with('_') {
                continue;
            }
            out.push(shown);
        }
        if out.starts_with(|c: char| c.is_ascii_digit()) {
            format!("key_{out}")
        } else if self.sanitizes && out.starts_with('_') && !out.starts_with("__") {
            format!("key{out}")
        } else {
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_in_four_ways() {
        use Kind::{Gauge, Sum};
        for (name, unit, kind, names) in [
            (
                "http.server.duration",
                "ms",
                Gauge,
                [
                    "http_server_duration_milliseconds",
                    "http_server_duration",
                    "http.server.duration_milliseconds",
                    "http.server.duration",
                ],
            ),
            (
                "system.cpu.time",
                "s",
                Sum,
                [
                    "system_cpu_time_seconds_total",
                    "system_cpu_time",
                    "system.cpu.time_seconds_total",
                    "system.cpu.time",
                ],
            ),
            ("cpu.used", "1", Gauge, ["cpu_used_ratio", "cpu_used", "cpu.used_ratio", "cpu.used"]),
            ("cpu.used", "1", Sum, ["cpu_used_total", "cpu_used", "cpu.used_total", "cpu.used"]),
            (
                "net.io",
                "By/s",
                Gauge,
                ["net_io_bytes_per_second", "net_io", "net.io_bytes_per_second", "net.io"],
            ),
            ("requests", "{request}", Sum, ["requests_total", "requests", "requests_total", "requests"]),
            (
                "total.seconds",
                "s",
                Sum,
                ["seconds_total", "total_seconds", "total.seconds_total", "total.seconds"],
            ),
            ("2xx", "", Gauge, ["_2xx", "_2xx", "2xx", "2xx"]),
            ("a__b", "", Gauge, ["a_b", "a__b", "a__b", "a__b"]),
            ("été", "", Gauge, ["t", "t", "été", "été"]),
        ] {
            let metric = Metric {
                name: name.to_owned(),
                unit: unit.to_owned(),
                kind,
                monotonic: kind == Sum,
                ..Metric::default()
            };
            for ((_, strategy), wanted) in Strategy::ALL.iter().zip(names) {
                assert_eq!(metric_name(&metric, *strategy), wanted, "{name} {unit} {strategy:?}");
            }
        }
    }

    #[test]
    fn labels_are_named_as_the_settings_say() {
        let names = |strategy, sanitizes, preserves| LabelNames { strategy, sanitizes, preserves };
        let usual = names(Strategy::UnderscoreEscapingWithSuffixes, true, true);
        for (how, name, wanted) in [
            (usual, "http.method", "http_method"),
            (usual, "a..b", "a__b"),
            (usual, "1st", "key_1st"),
            (usual, "_own", "key_own"),
            (usual, "__own", "__own"),
            (names(Strategy::UnderscoreEscapingWithSuffixes, true, false), "a..b", "a_b"),
            (names(Strategy::UnderscoreEscapingWithoutSuffixes, false, true), "_own", "_own"),
            (names(Strategy::NoTranslation, true, true), "http.method", "http.method"),
        ] {
            assert_eq!(how.of(name), wanted, "{name}");
        }
    }
}
