//! The routes, and what all of them share: forms, CORS, the ready gate, refusals.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::{HeaderValue, Method, StatusCode, header};

use crate::endpoints::ENDPOINTS;
use crate::params::Params;
use crate::search::{self, Kind};
use crate::state::{ApiState, Endpoint};
use crate::{admin, federate, labels, lifecycle, notices, openapi, remote_read};

/// The API's routes, without a prefix and without a fallback.
pub fn router(state: ApiState) -> Router {
    let gated = endpoints(false)
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/search/metric_names", search_route(Kind::MetricNames))
        .route("/api/v1/search/label_names", search_route(Kind::LabelNames))
        .route("/api/v1/search/label_values", search_route(Kind::LabelValues))
        .route("/api/v1/read", post(remote_read::read))
        .route("/federate", get(federate::federate))
        .route("/api/v1/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route(
            "/api/v1/admin/tsdb/clean_tombstones",
            post(admin::clean_tombstones).put(admin::clean_tombstones),
        )
        .route("/api/v1/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route_layer(middleware::from_fn_with_state(state.clone(), lifecycle::gate));
    let always = endpoints(true)
        .route("/api/v1/notifications/live", get(notices::live))
        .route("/api/v1/openapi.yaml", get(openapi::openapi))
        .route("/version", get(lifecycle::version))
        .route("/-/healthy", get(lifecycle::healthy))
        .route("/-/ready", get(lifecycle::ready))
        .route("/-/reload", post_or_put(lifecycle::reload))
        .route("/-/quit", post_or_put(lifecycle::quit));
    gated
        .merge(always)
        .method_not_allowed_fallback(refuse_method)
        .layer(middleware::from_fn_with_state(state.clone(), cors))
        .with_state(state)
}

/// Other routes, answered only while the process is ready.
pub fn gated(state: ApiState, routes: Router) -> Router {
    routes.route_layer(middleware::from_fn_with_state(state, lifecycle::gate))
}

/// Those that answer before the process is ready, or those that do not.
fn endpoints(always: bool) -> Router<ApiState> {
    ENDPOINTS.iter().filter(|one| one.always == always).fold(Router::new(), |router, one| {
        let method = get(call(one.endpoint));
        let method = if one.posted { method.post(call(one.endpoint)) } else { method };
        router.route(&format!("/api/v1{}", one.path), method)
    })
}

/// Turns an endpoint into a handler: parameters in, envelope out.
fn call(
    endpoint: Endpoint,
) -> impl Fn(State<ApiState>, Request<Body>) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>> + Clone
{
    move |State(state), request| {
        Box::pin(async move {
            let answer = async {
                let params = Params::read(request, state.0.parts.options.body_max).await?;
                endpoint(&state.0, &params).await
            };
            answer.await.into_response()
        })
    }
}

/// A search, which writes its answer line by line.
fn search_route(kind: Kind) -> MethodRouter<ApiState> {
    let handler = move |State(state): State<ApiState>, request: Request<Body>| async move {
        let answer = async {
            let params = Params::read(request, state.0.parts.options.body_max).await?;
            search::search(&state.0, kind, &params).await
        };
        answer.await.into_response()
    };
    get(handler).post(handler)
}

async fn label_values(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    let answer = async {
        let params = Params::read(request, state.0.parts.options.body_max).await?;
        labels::values(&state.0, &name, &params).await
    };
    answer.await.into_response()
}

fn post_or_put<H, T>(handler: H) -> MethodRouter<ApiState>
where
    H: axum::handler::Handler<T, ApiState>,
    T: 'static,
{
    post(handler.clone()).put(handler).get(lifecycle::post_only)
}

async fn refuse_method() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response()
}

/// Lets pages of allowed origins read the answers of the API.
async fn cors(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    // A preflight must get its answer on the paths of endpoints too, which know no OPTIONS.
    let asks_first = is_api && request.method() == Method::OPTIONS;
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response =
        if asks_first { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let Some(origin) = origin.filter(|_| is_api) else { return response };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let any = matches!(state.0.cors_origin.source(), ".*" | "^.*$" | "^(?:.*)$");
    let allowed = if any {
        HeaderValue::from_static("*")
    } else if origin.to_str().is_ok_and(|origin| state.0.cors_origin.is_match(origin)) {
        origin
    } else {
        return response;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
