//! Checked rules and groups, as rule files write them.

use std::fmt;
use std::time::Duration;

use model::{Labels, METRIC_NAME, NameValidation, is_valid_legacy_metric_name};

/// A query with its parsed form.
#[derive(Clone, Debug)]
pub struct RuleExpr {
    text: String,
    expr: promql::Expr,
}

impl RuleExpr {
    /// Parses `text`.
    ///
    /// # Errors
    /// When `text` is no PromQL.
    pub fn new(text: impl Into<String>) -> Result<Self, promql::ParseError> {
        let text = text.into();
        let expr = promql::parse(&text)?;
        Ok(Self { text, expr })
    }

    /// The text as the file writes it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parsed form.
    #[must_use]
    pub fn expr(&self) -> &promql::Expr {
        &self.expr
    }
}

/// Writes the canonical form, as the API shows it.
impl fmt::Display for RuleExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.expr, f)
    }
}

/// Equal when the texts are.
impl PartialEq for RuleExpr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RuleExpr {}

/// A recording rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRule {
    pub(crate) record: String,
    pub(crate) expr: RuleExpr,
    pub(crate) labels: Labels,
}

impl RecordingRule {
    /// The metric that it writes.
    #[must_use]
    pub fn record(&self) -> &str {
        &self.record
    }

    /// What it evaluates.
    #[must_use]
    pub fn expr(&self) -> &RuleExpr {
        &self.expr
    }

    /// Labels that it sets on each series.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// An alerting rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertingRule {
    pub(crate) alert: String,
    pub(crate) expr: RuleExpr,
    pub(crate) hold_for: Duration,
    pub(crate) keep_firing_for: Duration,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
}

impl AlertingRule {
    /// The alert's name.
    #[must_use]
    pub fn alert(&self) -> &str {
        &self.alert
    }

    /// What it evaluates.
    #[must_use]
    pub fn expr(&self) -> &RuleExpr {
        &self.expr
    }

    /// `for`: how long the expression must hold before the alert fires.
    #[must_use]
    pub fn hold_for(&self) -> Duration {
        self.hold_for
    }

    /// `keep_firing_for`: how long the alert fires on after the expression held last.
    #[must_use]
    pub fn keep_firing_for(&self) -> Duration {
        self.keep_firing_for
    }

    /// Templates of the labels that it adds.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Templates of the annotations.
    #[must_use]
    pub fn annotations(&self) -> &Labels {
        &self.annotations
    }
}

/// A rule of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Makes series.
    Recording(RecordingRule),
    /// Makes alerts.
    Alerting(AlertingRule),
}

/// Rules that are evaluated together, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleGroup {
    /// The file that holds it.
    pub file: String,
    /// Its name, unique in the file.
    pub name: String,
    /// Time between evaluations; `global.evaluation_interval` where absent.
    pub interval: Option<Duration>,
    /// Most series or alerts that a rule may give; 0 for no limit.
    pub limit: usize,
    /// How far before its evaluation time a group reads and writes; `global.rule_query_offset` where absent.
    pub query_offset: Option<Duration>,
    /// Labels that each rule gets unless it sets them itself. Already in the rules' own labels.
    pub labels: Labels,
    /// The rules in order.
    pub rules: Vec<Rule>,
}

/// A rule as it was written; what was not written is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleParts {
    /// `record`.
    pub record: String,
    /// `alert`.
    pub alert: String,
    /// `expr`.
    pub expr: String,
    /// `for`.
    pub hold_for: Option<Duration>,
    /// `keep_firing_for`.
    pub keep_firing_for: Option<Duration>,
    /// `labels`.
    pub labels: Vec<(String, String)>,
    /// `annotations`.
    pub annotations: Vec<(String, String)>,
}

/// Where in a rule an error stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleField {
    /// The rule as a whole.
    Rule,
    /// `record`.
    Record,
    /// `expr`, at this range of its text where it is known.
    Expr(Option<promql::PosRange>),
    /// `for`.
    For,
    /// `keep_firing_for`.
    KeepFiringFor,
    /// `labels`, the entry of that name.
    Label(String),
    /// `annotations`, the entry of that name; empty for the whole field.
    Annotation(String),
}

/// A rule that cannot be used; the texts are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct RuleError {
    /// Where it stands.
    pub field: RuleField,
    /// What is wrong.
    pub what: String,
}

impl RuleError {
    fn new(field: RuleField, what: impl Into<String>) -> Self {
        Self { field, what: what.into() }
    }
}

impl Rule {
    /// Checks a rule of a group whose common labels are `group_labels`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(
        parts: RuleParts,
        group_labels: &Labels,
        names: NameValidation,
    ) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        check_kind(&parts, &mut errors);
        check_labels(&parts, names, &mut errors);
        check_templates(&parts, &mut errors);
        let expr = parse_expr(&parts.expr, &mut errors);
        let labels = joined(group_labels, &parts.labels);
        if parts.alert.is_empty() {
            check_recording(&parts, names, &mut errors);
        }
        match expr {
            Some(expr) if errors.is_empty() => Ok(if parts.alert.is_empty() {
                Self::Recording(RecordingRule { record: parts.record, expr, labels })
            } else {
                Self::Alerting(AlertingRule {
                    alert: parts.alert,
                    expr,
                    hold_for: parts.hold_for.unwrap_or_default(),
                    keep_firing_for: parts.keep_firing_for.unwrap_or_default(),
                    labels,
                    annotations: Labels::from_pairs(parts.annotations),
                })
            }),
            _ => Err(errors),
        }
    }

    /// `record` or `alert`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Recording(rule) => &rule.record,
            Self::Alerting(rule) => &rule.alert,
        }
    }

    /// What it evaluates.
    #[must_use]
    pub fn expr(&self) -> &RuleExpr {
        match self {
            Self::Recording(rule) => &rule.expr,
            Self::Alerting(rule) => &rule.expr,
        }
    }

    /// The labels that it sets or adds, as written.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Recording(rule) => &rule.labels,
            Self::Alerting(rule) => &rule.labels,
        }
    }
}

fn check_kind(parts: &RuleParts, errors: &mut Vec<RuleError>) {
    let what = match (parts.record.is_empty(), parts.alert.is_empty()) {
        (false, false) => "only one of 'record' and 'alert' must be set",
        (true, true) => "one of 'record' or 'alert' must be set",
        _ => return,
    };
    errors.push(RuleError::new(RuleField::Rule, what));
}

fn check_recording(parts: &RuleParts, names: NameValidation, errors: &mut Vec<RuleError>) {
    let mut needless = |field: RuleField, name: &str| {
        errors.push(RuleError::new(field, format!("invalid field '{name}' in recording rule")));
    };
    if !parts.annotations.is_empty() {
        needless(RuleField::Annotation(String::new()), "annotations");
    }
    if parts.hold_for.is_some_and(|hold| !hold.is_zero()) {
        needless(RuleField::For, "for");
    }
    if parts.keep_firing_for.is_some_and(|keep| !keep.is_zero()) {
        needless(RuleField::KeepFiringFor, "keep_firing_for");
    }
    let name = &parts.record;
    if names == NameValidation::Legacy && !name.is_empty() && !is_valid_legacy_metric_name(name) {
        errors.push(RuleError::new(RuleField::Record, format!("invalid recording rule name: {name}")));
    }
    // Any text can name a metric, but braces are far more often an expression in the wrong place.
    if name.contains(['{', '}']) {
        let what = format!("braces present in the recording rule name; should it be in expr?: {name}");
        errors.push(RuleError::new(RuleField::Record, what));
    }
}

fn check_labels(parts: &RuleParts, names: NameValidation, errors: &mut Vec<RuleError>) {
    for (name, _) in &parts.labels {
        if name == METRIC_NAME || !names.is_label_name(name) {
            let what = format!("invalid label name: {name}");
            errors.push(RuleError::new(RuleField::Label(name.clone()), what));
        }
    }
    for (name, _) in &parts.annotations {
        if !names.is_label_name(name) {
            let what = format!("invalid annotation name: {name}");
            errors.push(RuleError::new(RuleField::Annotation(name.clone()), what));
        }
    }
}

fn check_templates(parts: &RuleParts, errors: &mut Vec<RuleError>) {
    if parts.alert.is_empty() {
        return;
    }
    let functions = crate::expand::known_functions();
    for (name, text) in &parts.labels {
        if let Err(error) = crate::expand::check(&parts.alert, text, &functions) {
            let what = format!("label {name:?}: {error}");
            errors.push(RuleError::new(RuleField::Label(name.clone()), what));
        }
    }
    for (name, text) in &parts.annotations {
        if let Err(error) = crate::expand::check(&parts.alert, text, &functions) {
            let what = format!("annotation {name:?}: {error}");
            errors.push(RuleError::new(RuleField::Annotation(name.clone()), what));
        }
    }
}

fn parse_expr(text: &str, errors: &mut Vec<RuleError>) -> Option<RuleExpr> {
    if text.is_empty() {
        errors.push(RuleError::new(RuleField::Expr(None), "field 'expr' must be set in rule"));
        return None;
    }
    match RuleExpr::new(text) {
        Ok(expr) => Some(expr),
        Err(error) => {
            let field = RuleField::Expr(Some(error.range));
            errors.push(RuleError::new(field, format!("could not parse expression: {error}")));
            None
        }
    }
}

/// The group's labels below the rule's own.
fn joined(group: &Labels, own: &[(String, String)]) -> Labels {
    let mut builder = group.to_builder();
    for (name, value) in own {
        builder.set(name.as_str(), value.as_str());
    }
    builder.build()
}
