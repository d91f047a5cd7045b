//! Follows a template's own HTML, to know where its values stand.

/// What an attribute holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Attribute {
    #[default]
    Plain,
    Url,
    Style,
    Script,
}

impl Attribute {
    pub(crate) fn of(name: &str) -> Self {
        const URLS: [&str; 18] = [
            "action",
            "archive",
            "background",
            "cite",
            "classid",
            "codebase",
            "data",
            "formaction",
            "href",
            "icon",
            "longdesc",
            "manifest",
            "poster",
            "profile",
            "src",
            "srcset",
            "usemap",
            "xmlns",
        ];
        let name = name.strip_prefix("data-").unwrap_or(name);
        let local = name.split_once(':').map_or(name, |(_, local)| local);
        if name == "style" {
            Self::Style
        } else if name.starts_with("on") {
            Self::Script
        } else if URLS.contains(&local)
            || name.starts_with("xmlns:")
            || ["src", "uri", "url"].iter().any(|part| name.contains(part))
        {
            Self::Url
        } else {
            Self::Plain
        }
    }
}

/// How an attribute's value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quote {
    Double,
    Single,
    None,
}

/// Elements whose content is no HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    Script,
    Style,
    /// `title` and `textarea`: text with entities.
    Text,
}

impl Raw {
    fn of(element: &str) -> Option<Self> {
        match element {
            "script" => Some(Self::Script),
            "style" => Some(Self::Style),
            "title" | "textarea" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Where the next character stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    Text,
    Comment,
    /// `<` was read, and so much of the name.
    Name(String),
    Tag,
    AttributeName(String),
    AfterName,
    BeforeValue,
    Value(Quote),
    Raw(Raw),
}

/// Where in a script or style it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Code {
    #[default]
    Bare,
    Double,
    Single,
    Backquote,
    Regex,
    LineComment,
    BlockComment,
}

/// How far into a URL it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UrlPart {
    #[default]
    Start,
    Path,
    Query,
}

/// The scanner.
#[derive(Debug, Default)]
pub(crate) struct Markup {
    pub(crate) place: Place,
    pub(crate) attribute: Attribute,
    pub(crate) code: Code,
    pub(crate) url: UrlPart,
    /// The element whose tag is read, and whether it is an end tag.
    element: String,
    /// The last few characters, in lower case.
    tail: String,
    escaped: bool,
    /// The last character of a script that is no white space.
    last: char,
}

const TAIL: usize = 10;

/// A `<` at the end that begins no tag is written as what it is.
fn no_tag(out: &mut String) {
    if out.pop() == Some('<') {
        out.push_str("&lt;");
    }
}

impl Markup {
    /// Reads the template's text and gives it back without its comments.
    pub(crate) fn read(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for char in text.chars() {
            self.remember(char);
            let was_comment = self.place == Place::Comment;
            let began = matches!(&self.place, Place::Name(name) if name.is_empty());
            self.step(char);
            if was_comment {
                continue;
            }
            if began && self.place == Place::Text && char != '!' {
                no_tag(&mut out);
            }
            out.push(char);
            if self.place == Place::Comment {
                // `<!--` was written before it was known to be a comment.
                out.truncate(out.len().saturating_sub(4));
            }
        }
        if matches!(&self.place, Place::Name(name) if name.is_empty()) {
            no_tag(&mut out);
            self.place = Place::Text;
        }
        out
    }

    fn remember(&mut self, char: char) {
        self.tail.extend(char.to_lowercase());
        let len = self.tail.chars().count();
        if len > TAIL {
            self.tail = self.tail.chars().skip(len - TAIL).collect();
        }
    }

    fn step(&mut self, char: char) {
        let place = std::mem::take(&mut self.place);
        self.place = match place {
            Place::Text if self.tail.ends_with("<!--") => Place::Comment,
            Place::Text if char == '<' => Place::Name(String::new()),
            Place::Text => Place::Text,
            Place::Comment if self.tail.ends_with("-->") => Place::Text,
            Place::Comment => Place::Comment,
            Place::Name(name) => self.name(name, char),
            Place::Tag => self.tag(char),
            Place::AttributeName(name) => self.attribute_name(name, char),
            Place::AfterName if char == '=' => Place::BeforeValue,
            Place::AfterName if char.is_whitespace() => Place::AfterName,
            Place::AfterName => self.tag(char),
            Place::BeforeValue => self.before_value(char),
            Place::Value(quote) => self.value(quote, char),
            Place::Raw(raw) => self.raw(raw, char),
        };
    }

    fn name(&mut self, mut name: String, char: char) -> Place {
        let begins = name.is_empty() || name == "/";
        if char.is_ascii_alphanumeric() && (!begins || char.is_ascii_alphabetic())
            || (char == '/' && name.is_empty())
            || (!begins && matches!(char, ':' | '-'))
        {
            name.push(char.to_ascii_lowercase());
            return Place::Name(name);
        }
        if begins {
            return if char == '<' { Place::Name(String::new()) } else { Place::Text };
        }
        self.element = name;
        self.tag(char)
    }

    fn tag(&mut self, char: char) -> Place {
        match char {
            '>' => {
                self.code = Code::Bare;
                self.last = ';';
                Raw::of(&self.element).map_or(Place::Text, Place::Raw)
            }
            '/' => Place::Tag,
            char if char.is_whitespace() => Place::Tag,
            char => Place::AttributeName(char.to_lowercase().collect()),
        }
    }

    fn attribute_name(&mut self, mut name: String, char: char) -> Place {
        match char {
            '=' | '>' | '/' => {}
            char if char.is_whitespace() => {}
            char => {
                name.extend(char.to_lowercase());
                return Place::AttributeName(name);
            }
        }
        self.attribute = Attribute::of(&name);
        match char {
            '=' => Place::BeforeValue,
            '>' | '/' => self.tag(char),
            _ => Place::AfterName,
        }
    }

    fn before_value(&mut self, char: char) -> Place {
        self.start_value();
        match char {
            '"' => Place::Value(Quote::Double),
            '\'' => Place::Value(Quote::Single),
            '>' => self.tag(char),
            char if char.is_whitespace() => Place::BeforeValue,
            char => self.value(Quote::None, char),
        }
    }

    /// A value begins here.
    pub(crate) fn start_value(&mut self) {
        self.url = UrlPart::Start;
        self.code = Code::Bare;
        self.last = ';';
    }

    fn value(&mut self, quote: Quote, char: char) -> Place {
        let ends = match quote {
            Quote::Double => char == '"',
            Quote::Single => char == '\'',
            Quote::None => char == '>' || char.is_whitespace(),
        };
        if ends {
            return if char == '>' { self.tag(char) } else { Place::Tag };
        }
        match self.attribute {
            Attribute::Plain => {}
            Attribute::Url => self.url_char(char),
            Attribute::Style => self.code_char(char, false),
            Attribute::Script => self.code_char(char, true),
        }
        Place::Value(quote)
    }

    fn url_char(&mut self, char: char) {
        if matches!(char, '?' | '#') {
            self.url = UrlPart::Query;
        } else if self.url == UrlPart::Start && !char.is_whitespace() {
            self.url = UrlPart::Path;
        }
    }

    fn raw(&mut self, raw: Raw, char: char) -> Place {
        let end = format!("</{}", self.element);
        if self.tail.ends_with(&end) {
            return Place::Name(format!("/{}", self.element));
        }
        match raw {
            Raw::Text => {}
            Raw::Script => self.code_char(char, true),
            Raw::Style => self.code_char(char, false),
        }
        Place::Raw(raw)
    }

    fn code_char(&mut self, char: char, script: bool) {
        if std::mem::take(&mut self.escaped) {
            return;
        }
        let in_text = matches!(self.code, Code::Double | Code::Single | Code::Backquote | Code::Regex);
        if in_text && char == '\\' {
            self.escaped = true;
            return;
        }
        self.code = match (self.code, char) {
            (Code::Bare, '"') => Code::Double,
            (Code::Bare, '\'') => Code::Single,
            (Code::Bare, '`') if script => Code::Backquote,
            (Code::Bare, '*') if self.tail.ends_with("/*") => Code::BlockComment,
            (Code::Bare | Code::Regex, '/') if script && self.tail.ends_with("//") => Code::LineComment,
            (Code::Bare, '/') if script && "(,=:[!&|?{};+-*%<>~^".contains(self.last) => Code::Regex,
            (Code::Regex, '*') if self.tail.ends_with("/*") => Code::BlockComment,
            (Code::Double, '"') | (Code::Single, '\'') | (Code::Backquote, '`') | (Code::Regex, '/') => {
                Code::Bare
            }
            (Code::LineComment, '\n') => Code::Bare,
            (Code::BlockComment, '/') if self.tail.ends_with("*/") => Code::Bare,
            (code, _) => code,
        };
        if !char.is_whitespace() {
            self.last = char;
        }
    }

    /// A value was written here.
    pub(crate) fn inserted(&mut self) {
        match &self.place {
            Place::BeforeValue => self.place = Place::Value(Quote::None),
            Place::Tag => self.place = Place::AttributeName(String::new()),
            _ => {}
        }
        if self.url == UrlPart::Start {
            self.url = UrlPart::Path;
        }
        self.last = 'x';
        self.tail.clear();
    }
}
