//! The functions and the default templates of the alertmanager's messages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{CallError, ExecError, ParseError};
use crate::functions::{Function, Functions, Kind};
use crate::humanize::humanize_duration;
use crate::json::to_json;
use crate::message::Message;
use crate::prometheus::{compile, text, title, to_float};
use crate::time::{GoTime, wrong_type};
use crate::value::{Map, Value};
use crate::{Limits, Template};

/// What every message's template may use without being defined by anybody.
const DEFAULTS: [(&str, &str); 2] =
    [("default.tmpl", include_str!("default.tmpl")), ("email.tmpl", include_str!("email.tmpl"))];
/// What one text may use: a group of many thousand alerts must still be told.
const LIMITS: Limits = Limits { output_bytes: 32 << 20, steps: 20_000_000, depth: 250 };
/// Bytes of one template file at most.
const FILE_MAX: u64 = 4 << 20;
/// Template files at most.
const FILES_MAX: usize = 10_000;
/// The URL alphabet, with `=` at the end where it fits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

type Answer = Result<Value, CallError>;

const NONE: &[Kind] = &[];
const ANY: &[Kind] = &[Kind::Any];
const TEXT: &[Kind] = &[Kind::Text];
const TEXT_ANY: &[Kind] = &[Kind::Text, Kind::Any];
const TWO_TEXTS: &[Kind] = &[Kind::Text, Kind::Text];
const THREE_TEXTS: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text];

/// Go's functions and Alertmanager's, at a moment and for a route with these labels.
#[must_use]
pub fn alert_functions(now_ms: i64, route_labels: &BTreeMap<String, String>) -> Functions {
    let mut functions = Functions::builtin();
    add_texts(&mut functions);
    add_times(&mut functions, now_ms);
    add_containers(&mut functions);
    let labels = Map::of_texts(route_labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    functions.add("routeLabels", Function::new(TEXT, move |args| Ok(labels.get(text(args, 0)))));
    functions
}

fn add_texts(functions: &mut Functions) {
    let changed = |body: fn(&str) -> String| Function::new(TEXT, move |args| Ok(body(text(args, 0)).into()));
    let replaced = |args: &[Value]| {
        let regex = compile(text(args, 0))?;
        Ok(regex.replace_all(text(args, 2), text(args, 1)).into_owned().into())
    };
    functions
        .add("toUpper", changed(str::to_uppercase))
        .add("toLower", changed(str::to_lowercase))
        // Unlike Prometheus's, this one also writes the rest of each word small.
        .add("title", changed(|text| title(&text.to_lowercase())))
        .add("trimSpace", changed(|text| text.trim().to_owned()))
        .add("join", Function::new(TEXT_ANY, |args| join(text(args, 0), &args[1])))
        .add(
            "match",
            Function::new(TWO_TEXTS, |args| Ok(Value::Bool(compile(text(args, 0))?.is_match(text(args, 1))))),
        )
        .add("reReplaceAll", Function::new(THREE_TEXTS, replaced))
        .add("safeHtml", Function::new(TEXT, |args| Ok(Value::Html(text(args, 0).into()))))
        .add("safeUrl", Function::new(TEXT, |args| Ok(Value::Url(text(args, 0).into()))))
        .add("urlUnescape", Function::new(TEXT, |args| Ok(unescape(text(args, 0))?.into())))
        .add("base64encode", changed(|text| BASE64.encode(text)))
        .add(
            "base64decode",
            Function::new(TEXT, |args| {
                let bytes = BASE64.decode(text(args, 0)).map_err(|error| error.to_string())?;
                Ok(String::from_utf8_lossy(&bytes).into_owned().into())
            }),
        );
}

fn join(separator: &str, list: &Value) -> Answer {
    let Value::List(items) = list.contents() else { return Err(wrong_type("[]string", list)) };
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        let Some(text) = item.as_text() else { return Err(wrong_type("[]string", list)) };
        out.push_str(if at > 0 { separator } else { "" });
        out.push_str(text);
        if out.len() > LIMITS.output_bytes {
            return Err(format!("a text over {} bytes", LIMITS.output_bytes).into());
        }
    }
    Ok(out.into())
}

/// Go's `url.QueryUnescape`.
fn unescape(text: &str) -> Result<String, CallError> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                at += 3;
                continue;
            }
            (b'%', ..) => {
                let bad = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]);
                return Err(format!("invalid URL escape {bad:?}").into());
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(*other),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn time(value: &Value) -> Result<&GoTime, CallError> {
    match value {
        Value::Time(time) => Ok(time),
        other => Err(wrong_type("time.Time", other)),
    }
}

fn add_times(functions: &mut Functions, now_ms: i64) {
    let now = move || Value::Time(GoTime::from_ms(now_ms).unwrap_or_else(GoTime::zero));
    let since = move |args: &[Value]| {
        let ms = i128::from(now_ms) - i128::from(time(&args[0])?.unix_ms());
        let nanos = (ms * 1_000_000).clamp(i64::MIN.into(), i64::MAX.into());
        Ok(Value::Duration(i64::try_from(nanos).unwrap_or(i64::MAX)))
    };
    let in_zone = |args: &[Value]| {
        let name = text(args, 0);
        let there = time(&args[1])?.in_zone(name);
        there.map(Value::Time).ok_or_else(|| format!("unknown time zone {name}").into())
    };
    functions
        .add("now", Function::new(NONE, move |_| Ok(now())))
        .add("since", Function::new(ANY, since))
        .add("tz", Function::new(TEXT_ANY, in_zone))
        .add("date", Function::new(TEXT_ANY, |args| Ok(time(&args[1])?.format(text(args, 0)).into())))
        .add("humanizeDuration", Function::new(ANY, |args| Ok(humanize_duration(to_float(&args[0])?).into())))
        .add(
            "toDate",
            Function::new(TWO_TEXTS, |args| {
                let time = GoTime::parse(text(args, 0), text(args, 1));
                Ok(Value::Time(time.unwrap_or_else(|_| GoTime::zero())))
            }),
        )
        .add(
            "mustToDate",
            Function::new(TWO_TEXTS, |args| Ok(Value::Time(GoTime::parse(text(args, 0), text(args, 1))?))),
        );
}

fn add_containers(functions: &mut Functions) {
    let json = |args: &[Value]| {
        let json = to_json(&args[0], LIMITS.output_bytes).map_err(|error| error.to_string())?;
        Ok(json.into())
    };
    let append = |args: &[Value]| {
        let Value::List(items) = args[0].contents() else {
            return Err(wrong_type("[]interface {}", &args[0]));
        };
        Value::list(items.iter().chain(&args[1..]).cloned()).not_too_deep()
    };
    functions
        .add("toJson", Function::new(ANY, json))
        .add(
            "list",
            Function::variadic(NONE, Kind::Any, |args| Value::list(args.iter().cloned()).not_too_deep()),
        )
        .add(
            "stringSlice",
            Function::variadic(NONE, Kind::Text, |args| Ok(Value::list(args.iter().cloned()))),
        )
        .add("append", Function::variadic(ANY, Kind::Any, append))
        .add("dict", Function::variadic(NONE, Kind::Any, dict));
}

fn dict(args: &[Value]) -> Answer {
    if !args.len().is_multiple_of(2) {
        return Err("dict: a key without a value; expected pairs of them".into());
    }
    let mut entries = Vec::with_capacity(args.len() / 2);
    for pair in args.chunks_exact(2) {
        let Some(key) = pair[0].as_text() else { return Err(wrong_type("string", &pair[0])) };
        entries.push((std::sync::Arc::clone(key), pair[1].clone()));
    }
    Value::Map(std::sync::Arc::new(Map::of_any(entries))).not_too_deep()
}

/// The templates that every text of the configuration may call: the defaults, and those of its files,
/// which may define the same names anew.
#[derive(Clone, Debug)]
pub struct AlertTemplates {
    base: Template,
    functions: Functions,
    limits: Limits,
}

impl AlertTemplates {
    /// Reads the template files that `globs` name, in order. A glob without a file is none's fault.
    ///
    /// # Errors
    /// What is wrong with a file, naming it.
    pub fn load(globs: &[PathBuf]) -> Result<Self, String> {
        let functions = alert_functions(0, &BTreeMap::new());
        let mut base = Template::empty();
        for (name, text) in DEFAULTS {
            base.add(name, text, &functions).map_err(|error| error.to_string())?;
        }
        let mut count = 0;
        for glob in globs {
            for path in crate::glob::files(glob)? {
                count += 1;
                if count > FILES_MAX {
                    return Err(format!("templates: over {FILES_MAX} files"));
                }
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                base.add(&name, &read(&path)?, &functions).map_err(|error| error.to_string())?;
            }
        }
        Ok(Self { base, functions, limits: LIMITS })
    }

    /// The same with other limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Whether a text is a template that can be executed.
    ///
    /// # Errors
    /// When it is none.
    pub fn check(&self, text: &str) -> Result<(), ParseError> {
        self.with(text).map(|_| ())
    }

    fn with(&self, text: &str) -> Result<Template, ParseError> {
        let mut template = self.base.clone();
        template.add("", text, &self.functions)?;
        Ok(template)
    }

    /// What `text` gives for a message at that time.
    ///
    /// # Errors
    /// When it is no template, or cannot be executed for this message.
    pub fn text(&self, text: &str, message: &Rendering) -> Result<String, ExecError> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let template = self.with(text).map_err(|error| ExecError::Failed(error.to_string()))?;
        template.execute(&message.data, &message.functions, self.limits)
    }

    /// The same for HTML: what is inserted is escaped for the place where it stands.
    ///
    /// # Errors
    /// As [`AlertTemplates::text`].
    pub fn html(&self, text: &str, message: &Rendering) -> Result<String, ExecError> {
        let template = self.with(text).map_err(|error| ExecError::Failed(error.to_string()))?;
        template.execute_html(&message.data, &message.functions, self.limits)
    }
}

/// A message that templates are executed for.
#[derive(Debug)]
pub struct Rendering {
    data: Value,
    functions: Functions,
}

impl Rendering {
    /// Prepares a message as it is at that time.
    #[must_use]
    pub fn new(message: &Message, now_ms: i64) -> Self {
        Self { data: message.value(), functions: alert_functions(now_ms, &message.route_labels) }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let unread = |error: std::io::Error| format!("template {}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(unread)?.len();
    if size > FILE_MAX {
        return Err(format!("template {}: {size} bytes; expected at most {FILE_MAX}", path.display()));
    }
    std::fs::read_to_string(path).map_err(unread)
}
