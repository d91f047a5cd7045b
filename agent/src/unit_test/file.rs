//! Unit-test files: text to what is to be tested.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use yaml::{Checker, Schema, Type, View, field};

static FILE: Schema = Schema::new(
    "a unit-test file",
    &[
        field("rule_files", Type::TEXTS),
        field("evaluation_interval", Type::Duration),
        field("group_eval_order", Type::TEXTS),
        field("tests", Type::List(&Type::Object(&GROUP))),
        field("fuzzy_compare", Type::Bool),
    ],
);

static GROUP: Schema = Schema::new(
    "a test group",
    &[
        field("interval", Type::Duration),
        field("input_series", Type::List(&Type::Object(&SERIES))),
        field("alert_rule_test", Type::List(&Type::Object(&ALERT_TEST))),
        field("promql_expr_test", Type::List(&Type::Object(&EXPR_TEST))),
        field("external_labels", Type::TEXT_MAP),
        field("external_url", Type::Text),
        field("name", Type::Text),
        field("start_timestamp", Type::Check(check_time)),
    ],
);

static SERIES: Schema =
    Schema::new("an input series", &[field("series", Type::Text), field("values", Type::Text)]);

static ALERT_TEST: Schema = Schema::new(
    "a test of an alert",
    &[
        field("eval_time", Type::Duration),
        field("alertname", Type::Text),
        field("exp_alerts", Type::List(&Type::Object(&ALERT))),
    ],
);

static ALERT: Schema = Schema::new(
    "an expected alert",
    &[field("exp_labels", Type::TEXT_MAP), field("exp_annotations", Type::TEXT_MAP)],
);

static EXPR_TEST: Schema = Schema::new(
    "a test of an expression",
    &[
        field("expr", Type::Text),
        field("eval_time", Type::Duration),
        field("exp_samples", Type::List(&Type::Object(&SAMPLE))),
    ],
);

static SAMPLE: Schema = Schema::new(
    "an expected sample",
    &[field("labels", Type::Text), field("value", Type::Float), field("histogram", Type::Text)],
);

fn check_time(text: &str) -> Result<(), String> {
    api::parse_time(text).map(drop)
}

/// One file.
#[derive(Debug)]
pub(super) struct TestFile {
    /// Patterns, below the file's folder.
    pub(super) rule_files: Vec<PathBuf>,
    pub(super) evaluation_interval: Duration,
    pub(super) group_eval_order: Vec<String>,
    /// Whether numbers may differ in the last bit.
    pub(super) fuzzy: bool,
    pub(super) tests: Vec<TestGroup>,
}

/// Input series and what must come of them.
#[derive(Debug)]
pub(super) struct TestGroup {
    pub(super) name: String,
    pub(super) interval: Duration,
    pub(super) start_ms: i64,
    /// Lines of series notation.
    pub(super) series: Vec<String>,
    pub(super) alerts: Vec<AlertTest>,
    pub(super) exprs: Vec<ExprTest>,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
}

#[derive(Debug)]
pub(super) struct AlertTest {
    pub(super) eval_time: Duration,
    pub(super) alertname: String,
    /// Labels, `alertname` among them, and annotations.
    pub(super) wanted: Vec<(Labels, Labels)>,
}

#[derive(Debug)]
pub(super) struct ExprTest {
    pub(super) expr: String,
    pub(super) eval_time: Duration,
    pub(super) wanted: Vec<WantedSample>,
}

#[derive(Debug)]
pub(super) struct WantedSample {
    /// In series notation.
    pub(super) labels: String,
    pub(super) value: f64,
    /// In series notation; where it is filled the value does not count.
    pub(super) histogram: String,
}

impl TestFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("open {}: {error}", path.display()))?;
        let name: Arc<str> = Arc::from(&*path.to_string_lossy());
        let root = yaml::parse(&name, &text).map_err(|error| error.to_string())?;
        let mut check = Checker::new(&name);
        check.object(&root, &FILE);
        check.finish().map_err(|errors| errors.to_string())?;
        let view = View::of(&root);
        let base = path.parent().unwrap_or(Path::new(""));
        let given = |name: &str, view: View<'_>| view.duration(name).filter(|span| !span.is_zero());
        let interval = given("evaluation_interval", view).unwrap_or(Duration::from_secs(60));
        let group = |view: View<'_>| TestGroup {
            name: view.text_or_empty("name").to_owned(),
            interval: given("interval", view).unwrap_or(interval),
            start_ms: view.text("start_timestamp").and_then(|text| api::parse_time(text).ok()).unwrap_or(0),
            series: view.list("input_series").map(series_line).collect(),
            alerts: view.list("alert_rule_test").map(alert_test).collect(),
            exprs: view.list("promql_expr_test").map(expr_test).collect(),
            external_labels: Labels::from_pairs(view.pairs("external_labels")),
            external_url: view.text_or_empty("external_url").to_owned(),
        };
        Ok(Self {
            rule_files: view.texts("rule_files").iter().map(|path| yaml::join(base, path)).collect(),
            evaluation_interval: interval,
            group_eval_order: view.texts("group_eval_order"),
            fuzzy: view.flag("fuzzy_compare").unwrap_or(false),
            tests: view.list("tests").map(group).collect(),
        })
    }
}

fn series_line(view: View<'_>) -> String {
    format!("{} {}", view.text_or_empty("series"), view.text_or_empty("values"))
}

fn alert_test(view: View<'_>) -> AlertTest {
    let alertname = view.text_or_empty("alertname").to_owned();
    let alert = |view: View<'_>| {
        let mut labels = view.pairs("exp_labels");
        labels.retain(|(name, _)| name != rules::ALERT_NAME);
        // Whoever writes a test leaves it out, as rules do.
        labels.push((rules::ALERT_NAME.to_owned(), alertname.clone()));
        (Labels::from_pairs(labels), Labels::from_pairs(view.pairs("exp_annotations")))
    };
    let wanted = view.list("exp_alerts").map(alert).collect();
    AlertTest { eval_time: view.duration("eval_time").unwrap_or_default(), wanted, alertname }
}

fn expr_test(view: View<'_>) -> ExprTest {
    let sample = |view: View<'_>| WantedSample {
        labels: view.text_or_empty("labels").to_owned(),
        value: view.float("value").unwrap_or(0.0),
        histogram: view.text_or_empty("histogram").to_owned(),
    };
    ExprTest {
        expr: view.text_or_empty("expr").to_owned(),
        eval_time: view.duration("eval_time").unwrap_or_default(),
        wanted: view.list("exp_samples").map(sample).collect(),
    }
}
