//! Words to flags, commands and arguments.

use std::collections::{BTreeMap, VecDeque};

use super::{Asked, Call, Command, Flag, Kind, flag};

/// Flags that every program has.
static HELP: Flag = flag("help", Kind::Switch, "Show help for the command (also -h).").short('h');
static VERSION: Flag = flag("version", Kind::Switch, "Show the program's version.");

pub(super) fn own_flags() -> [&'static Flag; 2] {
    [&HELP, &VERSION]
}

/// One word as it was meant.
#[derive(Clone, Debug)]
enum Token {
    Long(String),
    Short(char),
    Word(String),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Long(name) => format!("--{name}"),
            Self::Short(name) => format!("-{name}"),
            Self::Word(text) => text.clone(),
        }
    }
}

struct Reader {
    words: VecDeque<String>,
    /// Words that were looked at, or came of one that held two.
    ahead: VecDeque<Token>,
    no_more_flags: bool,
    flags: Vec<&'static Flag>,
}

/// Reads the words after the program's name.
///
/// # Errors
/// What is wrong, in kingpin's words.
pub(crate) fn read(program: &'static Command, words: Vec<String>) -> Result<Call, String> {
    let flags = own_flags().into_iter().chain(program.flags).collect();
    let mut reader = Reader { words: words.into(), ahead: VecDeque::new(), no_more_flags: false, flags };
    let mut call = Call {
        path: vec![program],
        positional: Vec::new(),
        asked: None,
        given: Vec::new(),
        from_file: BTreeMap::new(),
    };
    let mut here = program;
    while let Some(token) = reader.next() {
        let fallback = here.default_command().filter(|_| call.asked.is_none());
        let word = match &token {
            Token::Word(word) => word.clone(),
            Token::Long(_) | Token::Short(_) => {
                match (reader.flag(&token), fallback) {
                    (Ok((flag, value)), _) => note(&mut call, flag, value),
                    // It may be one of the command that is meant.
                    (Err(Unread::Unknown(_)), Some(meant)) => {
                        reader.ahead.push_front(token);
                        here = enter(&mut call, &mut reader, meant);
                    }
                    (Err(Unread::Unknown(why) | Unread::Empty(why)), _) => return Err(why),
                }
                continue;
            }
        };
        if here.commands.is_empty() {
            argue(&mut call, here, word)?;
        } else if word == "help" && call.path.len() == 1 {
            call.asked = Some(Asked::Help);
        } else if let Some(command) = here.commands.iter().find(|command| command.name == word) {
            here = enter(&mut call, &mut reader, command);
        } else if let Some(meant) = fallback {
            reader.ahead.push_front(token);
            here = enter(&mut call, &mut reader, meant);
        } else {
            return Err(format!("expected command but got {word:?}"));
        }
    }
    while let (Some(meant), None) = (here.default_command(), call.asked) {
        here = enter(&mut call, &mut reader, meant);
    }
    if call.asked.is_none() && !here.commands.is_empty() && call.path.len() > 1 {
        return Err(format!("must select a subcommand of '{}'", call.command().join(" ")));
    }
    Ok(call)
}

/// Takes a word that is no command.
fn argue(call: &mut Call, here: &Command, word: String) -> Result<(), String> {
    match &here.positional {
        Some(it) if it.many || call.positional.is_empty() => {
            call.positional.push(word);
            Ok(())
        }
        _ => Err(format!("unexpected {word}")),
    }
}

/// Goes down into a command, whose flags are known from here on.
fn enter(call: &mut Call, reader: &mut Reader, command: &'static Command) -> &'static Command {
    reader.flags.extend(command.flags);
    call.path.push(command);
    command
}

fn note(call: &mut Call, flag: &'static Flag, value: String) {
    match flag.long {
        "help" => call.asked = Some(Asked::Help),
        "version" => call.asked = Some(Asked::Version),
        _ => call.given.push((flag, value)),
    }
}

/// A flag that is none.
enum Unread {
    /// Nothing here has that name.
    Unknown(String),
    /// Its value is missing.
    Empty(String),
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        if let Some(token) = self.ahead.pop_front() {
            return Some(token);
        }
        let word = self.words.pop_front()?;
        if self.no_more_flags {
            return Some(Token::Word(word));
        }
        if word == "--" {
            self.no_more_flags = true;
            return self.next();
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            self.ahead.extend(value.map(|value| Token::Word(value.to_owned())));
            return Some(Token::Long(name.to_owned()));
        }
        let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
        let Some(short) = letters.next() else { return Some(Token::Word(word)) };
        let rest = letters.as_str();
        if !rest.is_empty() {
            // Behind one that wants a value stands the value, behind another further ones.
            let wants = self.short(short).is_some_and(|flag| flag.kind != Kind::Switch);
            if wants {
                self.ahead.push_back(Token::Word(rest.to_owned()));
            } else {
                self.words.push_front(format!("-{rest}"));
            }
        }
        Some(Token::Short(short))
    }

    fn short(&self, name: char) -> Option<&'static Flag> {
        self.flags.iter().find(|flag| flag.short == Some(name)).copied()
    }

    fn long(&self, name: &str) -> Option<&'static Flag> {
        self.flags.iter().find(|flag| flag.long == name).copied()
    }

    /// The flag of that name and its value.
    fn flag(&mut self, token: &Token) -> Result<(&'static Flag, String), Unread> {
        let (found, is_off) = match token {
            Token::Long(name) => match (self.long(name), name.strip_prefix("no-")) {
                (Some(flag), _) => (Some(flag), false),
                (None, Some(name)) => (self.long(name).filter(|flag| flag.kind == Kind::Switch), true),
                (None, None) => (None, false),
            },
            Token::Short(name) => (self.short(*name), false),
            Token::Word(_) => (None, false),
        };
        let size = if matches!(token, Token::Short(_)) { "short" } else { "long" };
        let unknown = || Unread::Unknown(format!("unknown {size} flag '{}'", token.shown()));
        let flag = found.ok_or_else(unknown)?;
        if flag.kind == Kind::Switch {
            return Ok((flag, (!is_off).to_string()));
        }
        match self.next() {
            Some(Token::Word(value)) => Ok((flag, value)),
            other => {
                self.ahead.extend(other);
                Err(Unread::Empty(format!("expected argument for flag '{}'", token.shown())))
            }
        }
    }
}
