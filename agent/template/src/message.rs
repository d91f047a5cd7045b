//! What the alertmanager's templates see: a message about a group of alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::CallError;
use crate::time::{GoTime, wrong_type};
use crate::value::{Map, Object, Value};

/// Names with values.
type Pairs = BTreeMap<String, String>;

/// One alert of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageAlert {
    /// Whether it is over.
    pub resolved: bool,
    /// Its labels.
    pub labels: Pairs,
    /// Its annotations.
    pub annotations: Pairs,
    /// When it began, in milliseconds since the Unix epoch.
    pub starts_at: i64,
    /// When it ended; only where it is over.
    pub ends_at: i64,
    /// Where it comes from.
    pub generator_url: String,
    /// Its identity.
    pub fingerprint: String,
}

/// A message, as `.` in a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The receiver's name. Templates see it escaped for regular expressions.
    pub receiver: String,
    /// `firing` or `resolved`.
    pub status: String,
    /// The alerts, in order.
    pub alerts: Vec<MessageAlert>,
    /// Why it is sent.
    pub reason: String,
    /// What the group is made by.
    pub group_labels: Pairs,
    /// Labels that all alerts share.
    pub common_labels: Pairs,
    /// Annotations that all alerts share.
    pub common_annotations: Pairs,
    /// Labels of the route.
    pub route_labels: Pairs,
    /// Where the alertmanager is reached.
    pub external_url: String,
}

impl Message {
    /// The message as a template's data.
    #[must_use]
    pub fn value(&self) -> Value {
        Value::object(Data {
            receiver: quote_meta(&self.receiver).into(),
            status: self.status.as_str().into(),
            alerts: Value::object(Alerts(self.alerts.iter().map(alert).collect())),
            reason: self.reason.as_str().into(),
            group_labels: kv(&self.group_labels),
            common_labels: kv(&self.common_labels),
            common_annotations: kv(&self.common_annotations),
            route_labels: kv(&self.route_labels),
            external_url: self.external_url.as_str().into(),
        })
    }
}

/// Escapes what a regular expression would take for more than itself.
#[must_use]
pub fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for char in text.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted
}

fn alert(alert: &MessageAlert) -> Value {
    let time = |ms| GoTime::from_ms(ms).unwrap_or_else(GoTime::zero);
    Value::object(AlertView {
        resolved: alert.resolved,
        labels: kv(&alert.labels),
        annotations: kv(&alert.annotations),
        starts_at: Value::Time(time(alert.starts_at)),
        ends_at: Value::Time(if alert.resolved { time(alert.ends_at) } else { GoTime::zero() }),
        generator_url: alert.generator_url.as_str().into(),
        fingerprint: alert.fingerprint.as_str().into(),
    })
}

fn kv(pairs: &Pairs) -> Value {
    Value::object(Kv(pairs.clone()))
}

#[derive(Debug)]
struct Data {
    receiver: Value,
    status: Value,
    alerts: Value,
    reason: Value,
    group_labels: Value,
    common_labels: Value,
    common_annotations: Value,
    route_labels: Value,
    external_url: Value,
}

impl Object for Data {
    fn type_name(&self) -> &str {
        "*template.Data"
    }

    fn field_names(&self) -> &[&'static str] {
        &[
            "Receiver",
            "Status",
            "Alerts",
            "NotificationReason",
            "GroupLabels",
            "CommonLabels",
            "CommonAnnotations",
            "RouteLabels",
            "ExternalURL",
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let value = match name {
            "Receiver" => &self.receiver,
            "Status" => &self.status,
            "Alerts" => &self.alerts,
            "NotificationReason" => &self.reason,
            "GroupLabels" => &self.group_labels,
            "CommonLabels" => &self.common_labels,
            "CommonAnnotations" => &self.common_annotations,
            "RouteLabels" => &self.route_labels,
            "ExternalURL" => &self.external_url,
            _ => return None,
        };
        Some(value.clone())
    }

    fn json_name(&self, field: &'static str) -> &'static str {
        match field {
            "Receiver" => "receiver",
            "Status" => "status",
            "Alerts" => "alerts",
            "NotificationReason" => "notification_reason",
            "GroupLabels" => "groupLabels",
            "CommonLabels" => "commonLabels",
            "CommonAnnotations" => "commonAnnotations",
            "RouteLabels" => "routeLabels",
            "ExternalURL" => "externalURL",
            other => other,
        }
    }
}

#[derive(Debug)]
struct AlertView {
    resolved: bool,
    labels: Value,
    annotations: Value,
    starts_at: Value,
    ends_at: Value,
    generator_url: Value,
    fingerprint: Value,
}

impl Object for AlertView {
    fn type_name(&self) -> &str {
        "template.Alert"
    }

    fn field_names(&self) -> &[&'static str] {
        &["Status", "Labels", "Annotations", "StartsAt", "EndsAt", "GeneratorURL", "Fingerprint"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Status" => Value::text(if self.resolved { "resolved" } else { "firing" }),
            "Labels" => self.labels.clone(),
            "Annotations" => self.annotations.clone(),
            "StartsAt" => self.starts_at.clone(),
            "EndsAt" => self.ends_at.clone(),
            "GeneratorURL" => self.generator_url.clone(),
            "Fingerprint" => self.fingerprint.clone(),
            _ => return None,
        })
    }

    fn json_name(&self, field: &'static str) -> &'static str {
        match field {
            "Status" => "status",
            "Labels" => "labels",
            "Annotations" => "annotations",
            "StartsAt" => "startsAt",
            "EndsAt" => "endsAt",
            "GeneratorURL" => "generatorURL",
            "Fingerprint" => "fingerprint",
            other => other,
        }
    }
}

/// The alerts of a message.
#[derive(Debug)]
struct Alerts(Vec<Value>);

impl Object for Alerts {
    fn type_name(&self) -> &str {
        "template.Alerts"
    }

    fn contents(&self) -> Value {
        Value::list(self.0.iter().cloned())
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, CallError>> {
        let status = match (name, args) {
            ("Firing", []) => "firing",
            ("Resolved", []) => "resolved",
            _ => return None,
        };
        let has = |alert: &&Value| match alert {
            Value::Object(alert) => {
                alert.field("Status").is_some_and(|it| it.as_text().is_some_and(|it| **it == *status))
            }
            _ => false,
        };
        Some(Ok(Value::list(self.0.iter().filter(has).cloned())))
    }
}

/// Labels or annotations.
#[derive(Debug)]
struct Kv(Pairs);

impl Kv {
    /// By name, `alertname` first.
    fn sorted(&self) -> impl Iterator<Item = (&String, &String)> {
        const FIRST: &str = "alertname";
        let first = self.0.get_key_value(FIRST);
        first.into_iter().chain(self.0.iter().filter(|(name, _)| *name != FIRST))
    }

    fn remove(&self, names: &Value) -> Result<Value, CallError> {
        let Value::List(names) = names.contents() else { return Err(wrong_type("[]string", names)) };
        let named = |name: &str| names.iter().any(|it| it.as_text().is_some_and(|it| **it == *name));
        let rest = self.0.iter().filter(|(name, _)| !named(name));
        Ok(Value::object(Self(rest.map(|(name, value)| (name.clone(), value.clone())).collect())))
    }
}

impl Object for Kv {
    fn type_name(&self) -> &str {
        "template.KV"
    }

    fn contents(&self) -> Value {
        Value::Map(Arc::new(Map::of_texts(
            self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        )))
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, CallError>> {
        Some(match (name, args) {
            ("SortedPairs", []) => {
                let pairs = self.sorted().map(|(name, value)| (name.clone(), value.clone()));
                Ok(Value::object(SortedPairs(pairs.collect())))
            }
            ("Names", []) => Ok(texts(self.sorted().map(|(name, _)| name))),
            ("Values", []) => Ok(texts(self.sorted().map(|(_, value)| value))),
            ("String", []) => Ok(shown(self.sorted()).into()),
            ("Remove", [names]) => self.remove(names),
            _ => return None,
        })
    }

    fn text(&self) -> Option<String> {
        Some(shown(self.sorted()))
    }
}

fn texts<'a>(items: impl Iterator<Item = &'a String>) -> Value {
    Value::object(Strings(items.cloned().collect()))
}

fn shown<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// Labels in order.
#[derive(Debug)]
struct SortedPairs(Vec<(String, String)>);

impl Object for SortedPairs {
    fn type_name(&self) -> &str {
        "template.Pairs"
    }

    fn contents(&self) -> Value {
        Value::list(self.0.iter().map(|(name, value)| Value::object(Pair(name.clone(), value.clone()))))
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, CallError>> {
        match (name, args) {
            ("Names", []) => Some(Ok(texts(self.0.iter().map(|(name, _)| name)))),
            ("Values", []) => Some(Ok(texts(self.0.iter().map(|(_, value)| value)))),
            ("String", []) => self.text().map(|text| Ok(text.into())),
            _ => None,
        }
    }

    fn text(&self) -> Option<String> {
        Some(shown(self.0.iter().map(|(name, value)| (name, value))))
    }
}

#[derive(Debug)]
struct Pair(String, String);

impl Object for Pair {
    fn type_name(&self) -> &str {
        "template.Pair"
    }

    fn field_names(&self) -> &[&'static str] {
        &["Name", "Value"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(self.0.as_str().into()),
            "Value" => Some(self.1.as_str().into()),
            _ => None,
        }
    }
}

/// A list of texts.
#[derive(Debug)]
struct Strings(Vec<String>);

impl Object for Strings {
    fn type_name(&self) -> &str {
        "[]string"
    }

    fn contents(&self) -> Value {
        Value::list(self.0.iter().map(|text| text.as_str().into()))
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, CallError>> {
        match (name, args) {
            ("Join", [separator]) => Some(match separator.as_text() {
                Some(separator) => Ok(self.0.join(separator).into()),
                None => Err(wrong_type("string", separator)),
            }),
            _ => None,
        }
    }
}
