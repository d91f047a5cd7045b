//! An integration's settings, read: the schema has checked them, what they inherit is in them.

use std::path::PathBuf;
use std::time::Duration;

use alertmanager::config::IntegrationConfig;
use client::Source;
use template::AlertTemplates;
use url::Url;
use yaml::{Node, View};

/// A text that is a template.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The settings of one integration.
pub(crate) struct Settings<'a> {
    view: View<'a>,
    templates: &'a AlertTemplates,
}

impl<'a> Settings<'a> {
    pub(crate) fn new(config: &'a IntegrationConfig, templates: &'a AlertTemplates) -> Self {
        Self { view: View::of(&config.settings), templates }
    }

    /// A template, empty where absent.
    pub(crate) fn text(&self, key: &str) -> Result<Text, String> {
        self.text_or(key, "")
    }

    /// A template.
    pub(crate) fn text_or(&self, key: &str, default: &str) -> Result<Text, String> {
        self.template(key, self.view.text(key).unwrap_or(default))
    }

    /// A template; an empty one counts as absent.
    pub(crate) fn filled_or(&self, key: &str, default: &str) -> Result<Text, String> {
        self.template(key, self.view.text(key).filter(|text| !text.is_empty()).unwrap_or(default))
    }

    fn template(&self, key: &str, text: &str) -> Result<Text, String> {
        if text.contains("{{") {
            self.templates.check(text).map_err(|error| format!("{key}: {error}"))?;
        }
        Ok(Text(text.to_owned()))
    }

    /// A text that is a template, whatever it stands under.
    pub(crate) fn checked(&self, key: &str, text: &str) -> Result<Text, String> {
        self.template(key, text)
    }

    /// A list of templates.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<Text>, String> {
        self.view.texts(key).iter().map(|text| self.template(key, text)).collect()
    }

    /// A map to templates.
    pub(crate) fn pairs(&self, key: &str) -> Result<Vec<(String, Text)>, String> {
        let pairs = self.view.pairs(key).into_iter();
        pairs.map(|(name, text)| Ok((name, self.template(key, &text)?))).collect()
    }

    /// The entries of a list.
    pub(crate) fn list(&self, key: &str) -> impl Iterator<Item = Settings<'a>> + use<'a> {
        let templates = self.templates;
        self.view.list(key).map(move |view| Settings { view, templates })
    }

    /// A map inside; empty where absent.
    pub(crate) fn map(&self, key: &str) -> Settings<'a> {
        Settings { view: self.view.map(key), templates: self.templates }
    }

    /// Anything, where it is there. Its texts are templates.
    pub(crate) fn any(&self, key: &str) -> Result<Option<Node>, String> {
        let Some(node) = self.view.get(key) else { return Ok(None) };
        self.check_all(key, node)?;
        Ok(Some(node.clone()))
    }

    fn check_all(&self, key: &str, node: &Node) -> Result<(), String> {
        if let Some(text) = node.text() {
            self.template(key, text)?;
        }
        for entry in node.entries() {
            self.template(key, &entry.key)?;
            self.check_all(key, &entry.value)?;
        }
        node.items().iter().try_for_each(|item| self.check_all(key, item))
    }

    /// A text that is no template, empty where absent.
    pub(crate) fn plain(&self, key: &str) -> String {
        self.view.text_or_empty(key).to_owned()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.view.has(key)
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.view.flag(key)
    }

    pub(crate) fn count(&self, key: &str) -> usize {
        usize::try_from(self.view.count(key).unwrap_or(0)).unwrap_or(usize::MAX)
    }

    pub(crate) fn int(&self, key: &str) -> Option<i64> {
        self.view.int(key)
    }

    /// A Prometheus duration.
    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        self.view.duration(key)
    }

    /// A Go duration; zero is none.
    pub(crate) fn timeout(&self, key: &str) -> Option<Duration> {
        self.view.go_duration(key).filter(|timeout| !timeout.is_zero())
    }

    /// `key` in the configuration, or the file that `key_file` names.
    pub(crate) fn secret(&self, key: &str) -> Option<Source> {
        let file = self.view.text(&format!("{key}_file")).filter(|path| !path.is_empty());
        if let Some(path) = file {
            return Some(Source::File(PathBuf::from(path)));
        }
        self.view.text(key).filter(|text| !text.is_empty()).map(Source::inline)
    }

    /// A secret that must be there.
    pub(crate) fn needed(&self, key: &str) -> Result<Source, String> {
        self.secret(key).ok_or_else(|| format!("{key}: missing"))
    }

    /// The URL of a web hook, which is a secret, in the configuration or in a file.
    pub(crate) fn secret_url(&self, key: &str) -> Result<Source, String> {
        let source = self.needed(key)?;
        if let Source::Inline(url) = &source {
            check_url(url.expose()).map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(source)
    }

    /// A URL.
    pub(crate) fn url(&self, key: &str, default: &str) -> Result<Url, String> {
        let text = self.view.text(key).filter(|text| !text.is_empty()).unwrap_or(default);
        check_url(text).map_err(|why| format!("{key}: {why}"))
    }

    /// A URL whose path ends with a slash.
    pub(crate) fn base_url(&self, key: &str, default: &str) -> Result<Url, String> {
        let mut url = self.url(key, default)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(url)
    }
}

/// A URL that can be sent to. Messages do not show it: it may be a secret.
pub(crate) fn check_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(url) => Err(format!("scheme {:?}; expected http or https", url.scheme())),
        Err(error) => Err(format!("no URL: {error}")),
    }
}

/// A base URL with more path, which is escaped where it must be.
pub(crate) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let before = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{before}/{}", path.trim_start_matches('/')));
    url
}
