//! Answers that come in pieces: large results, and notices as they come.

use axum::body::Body;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::world::{World, state_with};
use super::{ask, request};

/// The pieces of a body.
async fn pieces(body: Body) -> Vec<usize> {
    let mut body = body;
    let mut sizes = Vec::new();
    while let Some(frame) = body.frame().await {
        sizes.extend(frame.expect("a frame").data_ref().map(axum::body::Bytes::len));
    }
    sizes
}

#[tokio::test]
async fn a_large_answer_is_never_there_as_a_whole() {
    let router = crate::router(state_with(World::default()));
    let asked = || request("GET /api/v1/query?query=wide&time=1");
    let response = router.clone().oneshot(asked()).await.expect("an answer");
    assert!(response.headers().get(header::CONTENT_LENGTH).is_none());
    let sizes = pieces(response.into_body()).await;
    let (all, largest) = (sizes.iter().sum::<usize>(), *sizes.iter().max().expect("a piece"));
    assert!(all > 600_000 && largest < 100_000, "{largest} of {all} bytes");
    let (_, _, body) = ask(&router, asked()).await;
    let json: Value = serde_json::from_str(&body).expect("JSON");
    let result = json["data"]["result"].as_array().expect("series");
    let numbers: Vec<&str> = result.iter().filter_map(|one| one["metric"]["number"].as_str()).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert!(result.iter().all(|one| one["values"].as_array().is_some_and(|values| values.len() == 20_000)));
    // What is small is sent at once, with its length.
    let small = router.oneshot(request("GET /api/v1/query?query=up&time=1")).await.expect("an answer");
    assert_eq!(pieces(small.into_body()).await.len(), 1);
}

/// The next event of a body; none once it has ended.
async fn event(body: &mut Body) -> Option<Value> {
    let data = body.frame().await?.expect("a frame").into_data().expect("data");
    let text = std::str::from_utf8(&data).expect("text");
    let json = text.strip_prefix("data: ").expect("an event").trim_end();
    Some(serde_json::from_str(json).expect("JSON"))
}

#[tokio::test]
async fn listeners_hear_of_notices_as_they_come_and_go() {
    let state = state_with(World { ready: false, ..World::default() });
    let router = crate::router(state.clone());
    let listen = || async {
        router.clone().oneshot(request("GET /api/v1/notifications/live")).await.expect("an answer")
    };
    let notices = &state.0.parts.notices;
    let first = listen().await;
    assert_eq!(first.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = first.into_body();
    let notice = |text: &str, active: bool| {
        Some(serde_json::json!({ "text": text, "date": "2023-11-14T22:13:20.5Z", "active": active }))
    };
    assert_eq!(event(&mut body).await, notice("Configuration reload has failed.", true));
    notices.raise("the disk is full");
    // What holds already is no news.
    notices.raise("the disk is full");
    assert_eq!(event(&mut body).await, notice("the disk is full", true));
    notices.settle("Configuration reload has failed.");
    assert_eq!(event(&mut body).await, notice("Configuration reload has failed.", false));

    let second = listen().await;
    assert_eq!(listen().await.status(), StatusCode::NO_CONTENT, "two listeners are all that are allowed");
    drop(second);
    assert_eq!(listen().await.status(), StatusCode::OK, "one has left");

    notices.raise("Shutting down...");
    notices.close();
    assert_eq!(event(&mut body).await, notice("Shutting down...", true));
    assert_eq!(event(&mut body).await, None);
}

#[tokio::test]
async fn the_description_names_every_endpoint() {
    let router = crate::router(state_with(World::default()));
    for (asked, version) in [("", "3.1.0"), ("?openapi_version=3.2", "3.2.0")] {
        let (_, headers, text) = ask(&router, request(&format!("GET /api/v1/openapi.yaml{asked}"))).await;
        assert_eq!(headers[header::CONTENT_TYPE], "application/yaml; charset=utf-8");
        assert!(text.starts_with(&format!("openapi: {version}\n")), "{text}");
        let paths: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("  /")?.strip_suffix(':')).collect();
        assert!(paths.len() > 30, "{paths:?}");
        for path in paths {
            // `write` is the receiver's.
            if path == "write" {
                continue;
            }
            let path = path.replace("{name}", "job");
            let answered = ["GET", "POST"].map(|method| format!("{method} /api/v1/{path}"));
            let mut codes = Vec::new();
            for asked in answered {
                let response = router.clone().oneshot(request(&asked)).await.expect("an answer");
                codes.push(response.status());
            }
            assert!(codes.iter().any(|code| *code != StatusCode::NOT_FOUND), "{path}: {codes:?}");
        }
    }
}

#[tokio::test]
async fn a_search_is_refused_unless_it_is_enabled() {
    let router = crate::router(state_with(World { searches: false, ..World::default() }));
    let (code, _, body) = ask(&router, request("GET /api/v1/search/metric_names")).await;
    let refused = r#"{"status":"error","errorType":"unavailable","error":"search API disabled"}"#;
    assert_eq!((code.as_u16(), body.as_str()), (500, refused));
}
