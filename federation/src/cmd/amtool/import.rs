//! `silence import`: silences that `silence query -o json` wrote.

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};

use super::http::{Refused, Server, body};
use super::silence::POST;
use super::views::SilenceId;
use super::{input, say, warn};
use crate::kingpin::Call;

/// What a silence is made of; the rest of what was written says how it stood.
const FIELDS: [&str; 7] = ["id", "annotations", "comment", "createdBy", "endsAt", "matchers", "startsAt"];

/// Makes the silences of a file or of standard input, and prints their ids.
pub(super) async fn import(call: &Call) -> Result<()> {
    let workers = call.count("worker");
    if workers == 0 {
        bail!("--worker must be 1 or more");
    }
    let text = input::read(call.positional.first().map(String::as_str))?;
    let mut silences: Vec<Map<String, Value>> =
        serde_json::from_str(&text).context("couldn't unmarshal input data, is it JSON?")?;
    for silence in &mut silences {
        silence.retain(|name, _| FIELDS.contains(&name.as_str()));
        if call.is_on("force") {
            silence.remove("id");
        }
    }
    let server = Server::new(call).await?;
    let count = silences.len();
    let answers = stream::iter(silences).map(|silence| make(&server, silence)).buffered(workers);
    let failed = answers.filter(|made| std::future::ready(!made)).count().await;
    if failed > 0 {
        bail!("couldn't import {failed} out of {count} silences");
    }
    Ok(())
}

/// Makes one silence, a new one where that of its id is gone; whether that worked.
async fn make(server: &Server, mut silence: Map<String, Value>) -> bool {
    let id = silence.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut answer = post(server, &silence).await;
    let is_gone = |error: &anyhow::Error| error.downcast_ref().is_some_and(|it: &Refused| it.status == 404);
    if answer.as_ref().is_err_and(is_gone) {
        silence.remove("id");
        answer = post(server, &silence).await;
    }
    match answer {
        Ok(made) => {
            say(&format!("{}\n", made.id));
            true
        }
        Err(error) => {
            warn(&format!("Error adding silence id='{id}': {error:#}"));
            false
        }
    }
}

async fn post(server: &Server, silence: &Map<String, Value>) -> Result<SilenceId> {
    server.ask(POST, "/silences", body(silence)?).await
}
