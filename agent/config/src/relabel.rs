//! Relabelling rules as a file writes them become checked rules.

use model::{NameValidation, RelabelAction, RelabelConfig, RelabelError, RelabelParts};
use yaml::{Checker, View};

/// The rules under `key`; wrong ones are noted.
pub(crate) fn rules(
    view: View<'_>,
    key: &str,
    names: NameValidation,
    check: &mut Checker,
) -> Vec<RelabelConfig> {
    let written = view.items(key).iter().filter(|node| !node.is_null());
    written.filter_map(|node| one(View::of(node), names, check)).collect()
}

fn one(view: View<'_>, names: NameValidation, check: &mut Checker) -> Option<RelabelConfig> {
    let wrote = |key: &str| view.node().is_some_and(|node| node.get(key).is_some());
    if wrote("action") && !view.filled("action") {
        check.error(
            view.key_at("action"),
            "relabel action cannot be empty; expected an action like replace, keep or drop",
        );
        return None;
    }
    let text = |key: &str| view.text(key).map(str::to_owned);
    let parts = RelabelParts {
        source_labels: view.has("source_labels").then(|| view.texts("source_labels")),
        separator: text("separator"),
        // Prometheus reads an empty `regex:` as the empty expression.
        regex: if wrote("regex") { Some(text("regex").unwrap_or_default()) } else { None },
        modulus: view.count("modulus"),
        target_label: text("target_label"),
        replacement: text("replacement"),
        action: text("action"),
        names,
    };
    RelabelConfig::new(parts)
        .map_err(|error| {
            let at = match &error {
                RelabelError::UnknownAction(_) => view.value_at("action"),
                RelabelError::Regex(_) => view.value_at("regex"),
                RelabelError::BadTarget(..) => view.value_at("target_label"),
                RelabelError::NeedlessReplacement(_) | RelabelError::BadReplacement(..) => {
                    view.value_at("replacement")
                }
                RelabelError::BadSource(_) => view.value_at("source_labels"),
                _ => view.at(),
            };
            let hint = match &error {
                RelabelError::UnknownAction(_) => {
                    let words = RelabelAction::ALL.map(|(word, _)| word);
                    format!("; expected one of {}", words.join(", "))
                }
                _ => String::new(),
            };
            check.error(at, format!("{error}{hint}"));
        })
        .ok()
}
