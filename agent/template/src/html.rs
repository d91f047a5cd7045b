//! Go's `html/template`: what a template inserts is escaped for the place where it stands.
//!
//! Go decides about every place before it executes; this follows the text while it is written, which comes
//! to the same for templates whose branches end where they began.

use crate::escape::{
    attribute_name, content, keeps_entities, misplaced, script_regex, script_text, script_value, style_text,
    style_value, unquoted, without_tags,
};
use crate::markup::{Attribute, Code, Markup, Place, Quote, Raw, UrlPart};
use crate::uri;
use crate::value::Value;

/// Escapes for the place that the text has reached.
#[derive(Debug, Default)]
pub(crate) struct Escaper(Markup);

impl Escaper {
    /// The template's own text, as it is written: without HTML comments.
    pub(crate) fn literal(&mut self, text: &str) -> String {
        self.0.read(text)
    }

    /// A value as it is written here. `own`: the escaper that the template's own pipe ends with.
    pub(crate) fn value(&mut self, value: &Value, own: Option<&str>, most: usize) -> Result<String, String> {
        let text = match value {
            Value::Nil => String::new(),
            other => other.show(most).map_err(|_| format!("exceeded the limit of {most} bytes of text"))?,
        };
        let is_html = matches!(value, Value::Html(_));
        let by_html = own == Some("html");
        if self.0.place == Place::BeforeValue {
            self.0.start_value();
        }
        let written = match &self.0.place {
            Place::Comment => String::new(),
            Place::Text if is_html || by_html => text,
            Place::Text => content(&text),
            Place::Raw(Raw::Text) if by_html => text,
            Place::Raw(Raw::Text) if is_html => keeps_entities(&text),
            Place::Raw(Raw::Text) => content(&text),
            Place::Raw(Raw::Script) => self.script(value, &text, most)?,
            Place::Raw(Raw::Style) => self.style(&text),
            Place::Name(_) => return Err(misplaced(&text)),
            Place::Tag | Place::AttributeName(_) | Place::AfterName => attribute_name(&text),
            Place::BeforeValue => self.attribute(value, text, own, Quote::None, most)?,
            Place::Value(quote) => self.attribute(value, text, own, *quote, most)?,
        };
        self.0.inserted();
        Ok(written)
    }

    fn attribute(
        &self,
        value: &Value,
        text: String,
        own: Option<&str>,
        quote: Quote,
        most: usize,
    ) -> Result<String, String> {
        let is_html = matches!(value, Value::Html(_)) && self.0.attribute == Attribute::Plain;
        let text = match self.0.attribute {
            Attribute::Plain if is_html => without_tags(&text),
            Attribute::Plain => text,
            Attribute::Url => self.url(value, &text, own),
            Attribute::Style => self.style(&text),
            Attribute::Script => self.script(value, &text, most)?,
        };
        Ok(match quote {
            Quote::None => unquoted(&text, is_html),
            _ if own == Some("html") => text,
            _ if is_html => keeps_entities(&text),
            _ => content(&text),
        })
    }

    fn url(&self, value: &Value, text: &str, own: Option<&str>) -> String {
        let (trusted, escaped) = (matches!(value, Value::Url(_)), own == Some("urlquery"));
        match self.0.url {
            UrlPart::Start if escaped => uri::filtered(text),
            UrlPart::Start if !trusted => uri::normalized(&uri::filtered(text)),
            _ if escaped => text.to_owned(),
            UrlPart::Query if !trusted => uri::escaped(text),
            _ => uri::normalized(text),
        }
    }

    fn script(&self, value: &Value, text: &str, most: usize) -> Result<String, String> {
        Ok(match self.0.code {
            Code::Bare => script_value(value, most)?,
            Code::Double | Code::Single | Code::Backquote => script_text(text),
            Code::Regex => script_regex(text),
            Code::LineComment | Code::BlockComment => String::new(),
        })
    }

    fn style(&self, text: &str) -> String {
        match self.0.code {
            Code::Double | Code::Single => style_text(text),
            Code::LineComment | Code::BlockComment => String::new(),
            _ => style_value(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Functions, Limits, Map, Template};

    fn html(template: &str) -> Result<String, String> {
        let functions = Functions::builtin();
        let data = Map::of_any([
            ("Text", Value::text("<b> & \"q\" 'r' +")),
            ("Html", Value::Html("<b>bold</b>".into())),
            ("Link", Value::text("http://h/p?a=b c&d=e")),
            ("Bad", Value::text("javascript:alert(1)")),
            ("Safe", Value::Url("tel:+49".into())),
            ("Number", Value::Int(7)),
            ("Nil", Value::Nil),
        ]);
        let data = Value::Map(std::sync::Arc::new(data));
        let template = Template::parse("t", template, &functions).map_err(|error| error.to_string())?;
        template.execute_html(&data, &functions, Limits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_escaped_for_the_place_where_they_stand() {
        for (template, given) in [
            ("<p>{{.Text}}</p>", "<p>&lt;b&gt; &amp; &#34;q&#34; &#39;r&#39; &#43;</p>"),
            ("<p>{{.Html}}{{.Nil}}</p>", "<p><b>bold</b></p>"),
            ("<p>{{.Text | html}}</p>", "<p>&lt;b&gt; &amp; &#34;q&#34; &#39;r&#39; +</p>"),
            ("1 < 2 {{.Number}}", "1 &lt; 2 7"),
            ("<!DOCTYPE html><{{.Number}}", "<!DOCTYPE html>&lt;7"),
            ("<a href={{.Link}}>", "<a href=http://h/p?a&#61;b%20c&amp;d&#61;e>"),
            (
                "<img src='{{.Link}}/{{.Text}}'>",
                "<img src='http://h/p?a=b%20c&amp;d=e/%3cb%3e%20&amp;%20%22q%22%20%27r%27%20&#43;'>",
            ),
            (
                "<p style=\"font: '{{.Text}}'\">",
                "<p style=\"font: '\\3c b\\3e  \\26  \\22q\\22  \\27r\\27  \\2b '\">",
            ),
            ("<title>{{.Html}}</title>{{.Html}}", "<title>&lt;b&gt;bold&lt;/b&gt;</title><b>bold</b>"),
            ("<a title=\"{{.Html}}\">", "<a title=\"bold\">"),
            (
                "<a title={{.Text}} x>",
                "<a title=&lt;b&gt;&#32;&amp;&#32;&#34;q&#34;&#32;&#39;r&#39;&#32;&#43; x>",
            ),
            ("<a href=\"{{.Link}}\">", "<a href=\"http://h/p?a=b%20c&amp;d=e\">"),
            ("<a href='/x?q={{.Link}}'>", "<a href='/x?q=http%3a%2f%2fh%2fp%3fa%3db%20c%26d%3de'>"),
            (
                "<a href=\"/x?q={{.Link | urlquery}}\">",
                "<a href=\"/x?q=http%3A%2F%2Fh%2Fp%3Fa%3Db&#43;c%26d%3De\">",
            ),
            ("<a href=\"{{.Bad}}\">{{.Bad}}", "<a href=\"#ZgotmplZ\">javascript:alert(1)"),
            ("<a href=\"{{.Safe}}\">", "<a href=\"tel:&#43;49\">"),
            ("<p style=\"color: {{.Text}}\">", "<p style=\"color: ZgotmplZ\">"),
            ("<p style='width: {{.Number}}px'>", "<p style='width: 7px'>"),
            (
                "<script>var a = {{.Text}}, b = \"{{.Text}}\";</script>{{.Text}}",
                "<script>var a = \"\\u003cb\\u003e \\u0026 \\\"q\\\" 'r' +\", b = \"\\u003cb\\u003e \\u0026 \\u0022q\\u0022 \\u0027r\\u0027 \\u002b\";</script>&lt;b&gt; &amp; &#34;q&#34; &#39;r&#39; &#43;",
            ),
            ("<a onclick=\"f({{.Number}})\">", "<a onclick=\"f( 7 )\">"),
            ("a<!-- {{.Text}} -->b", "ab"),
            ("<a {{\"Title\"}}=x {{\"onclick\"}}=y>", "<a title=x ZgotmplZ=y>"),
            ("{{define \"x\"}}{{.}}{{end}}<a href=\"{{template \"x\" .Bad}}\">", "<a href=\"#ZgotmplZ\">"),
        ] {
            assert_eq!(html(template).as_deref(), Ok(given), "{template}");
        }
        assert!(html("<a{{.Text}}>").is_err());
    }
}
