//! `/openapi.yaml`: the API's description, made from the list of its endpoints.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, header};

use crate::endpoints::ENDPOINTS;
use crate::error::ApiError;
use crate::params::Params;
use crate::state::ApiState;

/// Endpoints that are not in the list, as they take or give something else: path, methods, what they are for,
/// parameters.
const OTHERS: [(&str, &[&str], &str, &[&str]); 10] = [
    ("/label/{name}/values", &["get"], "Values of a label", &["match[]", "start", "end", "limit"]),
    ("/search/metric_names", &["get", "post"], "Searches metric names", SEARCH),
    ("/search/label_names", &["get", "post"], "Searches label names", SEARCH),
    ("/search/label_values", &["get", "post"], "Searches values of a label", SEARCH_VALUES),
    ("/notifications/live", &["get"], "What the process has to tell its users, as it changes", &[]),
    ("/read", &["post"], "Prometheus's remote read", &[]),
    ("/write", &["post"], "Prometheus's remote write", &[]),
    ("/admin/tsdb/delete_series", &["post", "put"], "Hides samples for good", &["match[]!", "start", "end"]),
    ("/admin/tsdb/clean_tombstones", &["post", "put"], "Takes what is hidden off the disk", &[]),
    ("/admin/tsdb/snapshot", &["post", "put"], "Makes a copy of the store", &["skip_head"]),
];

const SEARCH: &[&str] = &[
    "match[]",
    "search[]",
    "fuzz_threshold",
    "fuzz_alg",
    "case_sensitive",
    "sort_by",
    "sort_dir",
    "include_score",
    "include_metadata",
    "start",
    "end",
    "limit",
    "batch_size",
];
const SEARCH_VALUES: &[&str] = &[
    "label!",
    "match[]",
    "search[]",
    "fuzz_threshold",
    "fuzz_alg",
    "case_sensitive",
    "sort_by",
    "sort_dir",
    "include_score",
    "start",
    "end",
    "limit",
    "batch_size",
];

/// What every answer's shape is.
const SCHEMAS: &str = r##"components:
  schemas:
    Success:
      type: object
      required: [status]
      properties:
        status: { type: string, enum: [success] }
        data: {}
        warnings: { type: array, items: { type: string } }
        infos: { type: array, items: { type: string } }
    Error:
      type: object
      required: [status, errorType, error]
      properties:
        status: { type: string, enum: [error] }
        errorType:
          type: string
          enum: [bad_data, execution, canceled, timeout, internal, unavailable, not_found, not_acceptable]
        error: { type: string }
"##;

pub(crate) async fn openapi(State(state): State<ApiState>, request: axum::extract::Request) -> Response {
    let params = match Params::read(request, state.0.parts.options.body_max).await {
        Ok(params) => params,
        Err(error) => return error.into_response(),
    };
    let version = match params.get("openapi_version") {
        "" | "3.1" => "3.1.0",
        "3.2" => "3.2.0",
        other => {
            let what = format!("unsupported version {other:?}, must be 3.1 or 3.2");
            return ApiError::parameter("openapi_version", what).into_response();
        }
    };
    let text = describe(version, &state.0.parts.process.build().version);
    ([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], text).into_response()
}

fn describe(openapi: &str, version: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "openapi: {openapi}\ninfo:\n  title: Prometheus HTTP API v1, as Vedette serves it\n  version: {version:?}\n\
         servers:\n  - url: /api/v1\npaths:"
    );
    for one in &ENDPOINTS {
        let methods: &[&str] = if one.posted { &["get", "post"] } else { &["get"] };
        path(&mut out, one.path, methods, one.summary, one.params);
    }
    for (name, methods, summary, params) in OTHERS {
        path(&mut out, name, methods, summary, params);
    }
    path(&mut out, "/openapi.yaml", &["get"], "This description", &["openapi_version"]);
    out.push_str(SCHEMAS);
    out
}

fn path(out: &mut String, path: &str, methods: &[&str], summary: &str, params: &[&str]) {
    let _ = writeln!(out, "  {path}:");
    for method in methods {
        let id = path.replace(['/', '_', '{', '}', '.'], "-");
        let _ = writeln!(out, "    {method}:\n      operationId: {method}{id}\n      summary: {summary:?}");
        let is_form = *method == Method::POST.as_str().to_lowercase() && methods.contains(&"get");
        let in_path = path.contains("{name}").then_some("name");
        if in_path.is_some() || (!params.is_empty() && !is_form) {
            out.push_str("      parameters:\n");
        }
        if let Some(name) = in_path {
            let _ = writeln!(
                out,
                "        - {{ name: {name}, in: path, required: true, schema: {{ type: string }} }}"
            );
        }
        if is_form && !params.is_empty() {
            form(out, params);
        } else {
            for param in params {
                let (name, required, kind) = read(param);
                let _ = writeln!(
                    out,
                    "        - {{ name: \"{name}\", in: query, required: {required}, schema: {kind} }}"
                );
            }
        }
        out.push_str(
            "      responses:\n        \"200\":\n          description: the answer\n          content:\n            \
             application/json: { schema: { $ref: \"#/components/schemas/Success\" } }\n        default:\n          \
             description: an error\n          content:\n            \
             application/json: { schema: { $ref: \"#/components/schemas/Error\" } }\n",
        );
    }
}

fn form(out: &mut String, params: &[&str]) {
    out.push_str(
        "      requestBody:\n        content:\n          application/x-www-form-urlencoded:\n            schema:\n              \
         type: object\n              properties:\n",
    );
    for param in params {
        let (name, _, kind) = read(param);
        let _ = writeln!(out, "                \"{name}\": {kind}");
    }
}

/// A parameter's name, whether it must be given, and its schema.
fn read(param: &str) -> (&str, bool, &'static str) {
    let name = param.trim_end_matches('!');
    let kind = if name.ends_with("[]") {
        "{ type: array, items: { type: string } }"
    } else if name.contains("limit") || name == "batch_size" || name == "fuzz_threshold" {
        "{ type: integer, minimum: 0 }"
    } else {
        "{ type: string }"
    };
    (name, name.len() < param.len(), kind)
}
