//! Writes labels and annotations from their templates. A template's queries are run between attempts, so
//! that nothing blocks.

use std::sync::Arc;

use model::{Labels, LabelsBuilder, METRIC_NAME};
use promql::{Engine, QueryOptions};
use storage::Querier;
use template::{
    Answers, Environment, ExecError, Functions, Limits, Map, Object, ParseError, QueryAnswer, Template,
    Value, prometheus_functions,
};

use crate::alert::ALERT_NAME;
use crate::alerting::Rendered;
use crate::config::AlertingRule;
use crate::reading::{Reading, readings};

/// What stands before each template, as in Prometheus: its length shows in the columns of errors.
const DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// Queries that one rule's templates may run in one evaluation.
const QUERIES_MAX: usize = 1_000;

/// The type's name in Go's words, as errors show it.
const DATA_TYPE: &str = "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }";

/// A text with or without templates in it.
#[derive(Clone, Debug)]
enum Text {
    Plain(Arc<str>),
    Template(Box<Template>),
}

/// A rule's labels and annotations, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    labels: Vec<(Arc<str>, Text)>,
    annotations: Vec<(Arc<str>, Text)>,
}

/// The functions that a template is checked against.
pub(crate) fn known_functions() -> Functions {
    prometheus_functions(&Environment::default(), Arc::default())
}

/// Parses one label's or annotation's text.
pub(crate) fn check(alert: &str, text: &str, functions: &Functions) -> Result<(), ParseError> {
    parse(alert, text, functions).map(|_| ())
}

fn parse(alert: &str, text: &str, functions: &Functions) -> Result<Text, ParseError> {
    if !text.contains("{{") {
        return Ok(Text::Plain(text.into()));
    }
    let template = Template::parse(&format!("__alert_{alert}"), &format!("{DEFINITIONS}{text}"), functions)?;
    Ok(Text::Template(Box::new(template)))
}

impl Texts {
    pub(crate) fn of(rule: &AlertingRule) -> Self {
        let functions = known_functions();
        let parsed = |labels: &Labels| {
            let text = |text: &Arc<str>| {
                // Checked with the rule; a text that no longer parses would say so where it is shown.
                parse(&rule.alert, text, &functions).unwrap_or_else(|error| {
                    let name = &rule.alert;
                    let what = format!("error parsing template __alert_{name}: {error}");
                    Text::Plain(format!("<error expanding template: {what}>").into())
                })
            };
            labels.iter().map(|label| (Arc::clone(&label.name), text(&label.value))).collect()
        };
        Self { labels: parsed(&rule.labels), annotations: parsed(&rule.annotations) }
    }
}

/// What templates see of the alert.
#[derive(Debug)]
struct Data {
    labels: Value,
    external_labels: Value,
    external_url: Value,
    value: Value,
}

impl Object for Data {
    fn type_name(&self) -> &str {
        DATA_TYPE
    }

    fn field_names(&self) -> &[&'static str] {
        &["Labels", "ExternalLabels", "ExternalURL", "Value"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Labels" => self.labels.clone(),
            "ExternalLabels" => self.external_labels.clone(),
            "ExternalURL" => self.external_url.clone(),
            "Value" => self.value.clone(),
            _ => return None,
        })
    }
}

/// Writes the texts of one rule's results at one time.
pub(crate) struct Expander<'a> {
    engine: &'a Engine,
    querier: &'a dyn Querier,
    alert: &'a str,
    environment: Environment,
    external_labels: Value,
    asks: QueryOptions,
    answers: Arc<Answers>,
    functions: Option<Functions>,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        querier: &'a dyn Querier,
        alert: &'a str,
        environment: Environment,
        external_labels: &Labels,
        asks: QueryOptions,
    ) -> Self {
        Self {
            engine,
            querier,
            alert,
            environment,
            external_labels: map_of(external_labels),
            asks,
            answers: Arc::default(),
            functions: None,
        }
    }

    /// The alert that one element of the result makes.
    pub(crate) async fn render(&mut self, texts: &Texts, element: &Labels, value: &Reading) -> Rendered {
        let data = Value::object(Data {
            labels: map_of(element),
            external_labels: self.external_labels.clone(),
            external_url: Value::text(self.environment.external_url.as_str()),
            value: value.shown(),
        });
        let mut labels = element.to_builder();
        labels.remove(METRIC_NAME);
        for (name, text) in &texts.labels {
            labels.set(Arc::clone(name), self.expand(text, &data).await);
        }
        labels.set(ALERT_NAME, self.alert);
        let mut annotations = LabelsBuilder::default();
        for (name, text) in &texts.annotations {
            annotations.set(Arc::clone(name), self.expand(text, &data).await);
        }
        Rendered { labels: labels.build(), annotations: annotations.build(), value: value.number() }
    }

    async fn expand(&mut self, text: &Text, data: &Value) -> Arc<str> {
        let template = match text {
            Text::Plain(text) => return Arc::clone(text),
            Text::Template(template) => template,
        };
        match self.execute(template, data).await {
            Ok(text) => text.into(),
            Err(what) => {
                let name = self.alert;
                tracing::warn!(alert = name, error = what, "expanding an alert's template failed");
                let what = format!("error executing template __alert_{name}: {what}");
                format!("<error expanding template: {what}>").into()
            }
        }
    }

    async fn execute(&mut self, template: &Template, data: &Value) -> Result<String, String> {
        loop {
            let (environment, answers) = (&self.environment, &self.answers);
            let functions =
                self.functions.get_or_insert_with(|| prometheus_functions(environment, Arc::clone(answers)));
            match template.execute(data, functions, Limits::default()) {
                Ok(text) => return Ok(text),
                Err(ExecError::Failed(what)) => return Err(what),
                Err(ExecError::NeedsQuery(query)) => {
                    if self.answers.len() >= QUERIES_MAX {
                        return Err(format!("more than {QUERIES_MAX} queries"));
                    }
                    let (at, asks) = (self.environment.now_ms, self.asks.clone());
                    let answer = run(self.engine, self.querier, &query, at, asks).await;
                    Arc::make_mut(&mut self.answers).insert(query, answer);
                    self.functions = None;
                }
            }
        }
    }
}

async fn run(
    engine: &Engine,
    querier: &dyn Querier,
    query: &str,
    at_ms: i64,
    asks: QueryOptions,
) -> QueryAnswer {
    let expr = promql::parse(query).map_err(|error| error.to_string())?;
    let answer = engine.instant_with(querier, &expr, at_ms, asks).await.map_err(|error| error.to_string())?;
    // Templates calculate with numbers: a histogram counts as 0, as in Prometheus.
    Ok(readings(answer)?.into_iter().map(|(labels, value)| (labels, value.number())).collect())
}

fn map_of(labels: &Labels) -> Value {
    Value::Map(Arc::new(Map::of_texts(
        labels.iter().map(|label| (Arc::clone(&label.name), Arc::clone(&label.value))),
    )))
}
