//! Values of the configuration whose texts are templates, as JSON: a webhook's payload, details, fields.

use std::sync::Arc;

use alertmanager::NotifyError;
use serde_json::{Map, Number, Value};
use yaml::{Node, Plain};

use crate::common::Job;

/// The value with its templates executed. A text that then is a number, a list and so on to YAML becomes
/// one, as in Alertmanager; what stands inside it stays as it is.
pub(crate) fn rendered(job: &Job<'_>, node: &Node) -> Result<Value, NotifyError> {
    match node.plain() {
        Plain::Text(text) => Ok(reread(job.render(text)?)),
        Plain::List(items) => items.iter().map(|item| rendered(job, item)).collect(),
        Plain::Map(entries) => {
            let mut map = Map::new();
            for entry in entries {
                map.insert(job.render(&entry.key)?, rendered(job, &entry.value)?);
            }
            Ok(Value::Object(map))
        }
        scalar => Ok(plain(&scalar)),
    }
}

fn reread(text: String) -> Value {
    let file: Arc<str> = Arc::from("");
    match yaml::parse(&file, &text) {
        Ok(node) if !matches!(node.plain(), Plain::Text(_)) => plain(&node.plain()),
        _ => Value::String(text),
    }
}

fn plain(value: &Plain<'_>) -> Value {
    match value {
        Plain::Null => Value::Null,
        Plain::Bool(value) => Value::Bool(*value),
        Plain::Int(value) => Value::from(*value),
        Plain::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Plain::Text(text) => Value::String((*text).to_owned()),
        Plain::List(items) => items.iter().map(|item| plain(&item.plain())).collect(),
        Plain::Map(entries) => {
            let pairs = entries.iter().map(|entry| (entry.key.clone(), plain(&entry.value.plain())));
            Value::Object(pairs.collect())
        }
    }
}
