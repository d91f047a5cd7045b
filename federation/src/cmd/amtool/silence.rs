//! `silence query`, `silence expire` and `silence update`.

use alertmanager::matcher::MatcherMode;
use anyhow::{Result, bail};

use super::http::{Operation, Server, Verb, body, query as parameters};
use super::show::Show;
use super::views::{Moment, NewSilence, Silence, SilenceId};
use super::{input, say};
use crate::kingpin::Call;

const LIST: Operation = Operation {
    method: Verb::Get,
    path: "/silences",
    name: "getSilences",
    refusals: &[(400, "BadRequest", true), (500, "InternalServerError", true)],
};

const GET: Operation = Operation {
    method: Verb::Get,
    path: "/silence/{silenceID}",
    name: "getSilence",
    refusals: &[(404, "NotFound", false), (500, "InternalServerError", true)],
};

const DELETE: Operation = Operation {
    method: Verb::Delete,
    path: "/silence/{silenceID}",
    name: "deleteSilence",
    refusals: &[(404, "NotFound", false), (500, "InternalServerError", true)],
};

pub(super) const POST: Operation = Operation {
    method: Verb::Post,
    path: "/silences",
    name: "postSilences",
    refusals: &[(400, "BadRequest", true), (404, "NotFound", true)],
};

/// Prints the silences that are asked for.
pub(super) async fn query(call: &Call, mode: MatcherMode) -> Result<()> {
    let filters = input::with_alertname(&call.positional, mode);
    let pairs: Vec<(&str, &str)> = filters.iter().map(|filter| ("filter", filter.as_str())).collect();
    let server = Server::new(call).await?;
    let found: Option<Vec<Silence>> =
        server.ask(LIST, &format!("/silences{}", parameters(&pairs)), None).await?;
    let wanted = Wanted {
        expired: call.is_on("expired"),
        within: i64::try_from(call.duration("within").as_millis()).unwrap_or(i64::MAX),
        author: call.text("created-by").unwrap_or_default(),
        id: call.text("id").unwrap_or_default(),
        now_ms: input::now_ms(),
    };
    let mut silences = found.unwrap_or_default();
    silences.retain(|silence| wanted.has(silence));
    print(call, silences)
}

fn print(call: &Call, silences: Vec<Silence>) -> Result<()> {
    if call.is_on("quiet") {
        silences.iter().for_each(|silence| say(&format!("{}\n", silence.id)));
        return Ok(());
    }
    Show::new(call).silences(silences)
}

/// Which silences are printed.
struct Wanted<'a> {
    expired: bool,
    within: i64,
    author: &'a str,
    id: &'a str,
    now_ms: i64,
}

impl Wanted<'_> {
    fn has(&self, silence: &Silence) -> bool {
        let left = silence.ends_at.0.saturating_sub(self.now_ms);
        let is_time = if self.expired { left <= 0 } else { left >= 0 };
        is_time
            && (self.within == 0 || left.abs() <= self.within)
            && (self.author.is_empty() || silence.created_by == self.author)
            && (self.id.is_empty() || silence.id == self.id)
    }
}

fn ids(call: &Call) -> Result<&[String]> {
    if call.positional.is_empty() {
        bail!("no silence IDs specified");
    }
    Ok(&call.positional)
}

/// An id as part of a path.
fn path(id: &str) -> String {
    let mut url = String::from("/silence/");
    url.extend(url::form_urlencoded::byte_serialize(id.as_bytes()));
    url
}

/// Ends silences.
pub(super) async fn expire(call: &Call) -> Result<()> {
    let ids = ids(call)?;
    let server = Server::new(call).await?;
    for id in ids {
        server.send(DELETE, &path(id), None).await?;
    }
    Ok(())
}

/// Changes silences, and prints them.
pub(super) async fn update(call: &Call) -> Result<()> {
    let ids = ids(call)?;
    let server = Server::new(call).await?;
    let mut changed = Vec::with_capacity(ids.len());
    for id in ids {
        let mut silence: Silence = server.ask(GET, &path(id), None).await?;
        change(call, &mut silence)?;
        let new = NewSilence {
            id: silence.id.clone(),
            annotations: silence.annotations.clone(),
            comment: silence.comment.clone(),
            created_by: silence.created_by.clone(),
            ends_at: silence.ends_at,
            matchers: silence.matchers.clone(),
            starts_at: silence.starts_at,
        };
        let answer: SilenceId = server.ask(POST, "/silences", body(&new)?).await?;
        silence.id = answer.id;
        changed.push(silence);
    }
    print(call, changed)
}

fn change(call: &Call, silence: &mut Silence) -> Result<()> {
    let text = |flag| call.text(flag).unwrap_or_default();
    if let Some(start) = input::time(text("start"))? {
        silence.starts_at = Moment(start);
    }
    if let Some(end) = input::time(text("end"))? {
        silence.ends_at = Moment(end);
    } else if !text("duration").is_empty() {
        silence.ends_at = Moment(silence.starts_at.0.saturating_add(input::holds_for(text("duration"))?));
    }
    if silence.starts_at > silence.ends_at {
        bail!("silence cannot start after it ends");
    }
    if !text("comment").is_empty() {
        text("comment").clone_into(&mut silence.comment);
    }
    Ok(())
}
