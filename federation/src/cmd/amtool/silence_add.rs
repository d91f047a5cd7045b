//! `silence add`.

use alertmanager::matcher::MatcherMode;
use anyhow::{Result, bail};
use model::MatchOp;

use super::http::{Server, body};
use super::silence::POST;
use super::views::{Matcher, Moment, NewSilence, SilenceId};
use super::{input, say};
use crate::kingpin::Call;

/// Makes a silence and prints its id.
pub(super) async fn add(call: &Call, mode: MatcherMode) -> Result<()> {
    let matchers = input::matchers(&input::with_alertname(&call.positional, mode), mode)?;
    if matchers.is_empty() {
        bail!("no matchers specified");
    }
    let text = |flag| call.text(flag).unwrap_or_default();
    let starts_at = input::time(text("start"))?.unwrap_or_else(input::now_ms);
    let ends_at = match input::time(text("end"))? {
        Some(end) => end,
        None => starts_at.saturating_add(input::holds_for(text("duration"))?),
    };
    if starts_at > ends_at {
        bail!("silence cannot start after it ends");
    }
    if call.is_on("require-comment") && text("comment").is_empty() {
        bail!("comment required by config");
    }
    let silence = NewSilence {
        id: String::new(),
        annotations: input::labels(&call.texts("annotation"), mode, "annotations")?,
        comment: text("comment").to_owned(),
        created_by: call.text("author").map_or_else(user, str::to_owned),
        ends_at: Moment(ends_at),
        matchers: matchers.iter().map(posted).collect(),
        starts_at: Moment(starts_at),
    };
    let server = Server::new(call).await?;
    let answer: SilenceId = server.ask(POST, "/silences", body(&silence)?).await?;
    say(&format!("{}\n", answer.id));
    Ok(())
}

fn posted(matcher: &model::Matcher) -> Matcher {
    Matcher {
        is_equal: matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex),
        is_regex: matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
        name: matcher.name().to_owned(),
        value: matcher.value().to_owned(),
    }
}

/// The name of the user who runs this.
fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(&accounts, id).or_else(|| std::env::var("USER").ok()).unwrap_or_default()
}

fn name_of(accounts: &str, id: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:/bin/sh\n";
        for (id, want) in [(0, Some("root")), (1000, Some("me")), (7, None)] {
            assert_eq!(name_of(accounts, id).as_deref(), want);
        }
    }
}
