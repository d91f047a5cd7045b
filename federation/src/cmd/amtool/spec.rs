//! amtool's commands and flags.

use crate::kingpin::{Command, Flag, Kind, Positional, flag};

const HELP: &str = "Look at an Alertmanager's alerts, silences and configuration, and change them.

Defaults for flags are read from $HOME/.config/amtool/config.yml and /etc/amtool/config.yml, YAML files with
flags' names as keys, such as:

  alertmanager.url   the Alertmanager to ask
  author             who makes silences; the user's name where absent
  require-comment    whether a silence needs a comment; true where absent
  output             simple, extended or json
  date.format        Go's layout of dates
  http.config.file   how to reach the Alertmanager, as Prometheus's <http_config>";

const MATCHERS: &str = "Matchers are written NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX. A first word that is none of these
is the value of alertname.";

const TIME: &str = "RFC 3339, such as 2006-01-02T15:04:05-07:00";

static FLAGS: [Flag; 8] = [
    flag("date.format", Kind::Text, "Layout of dates, as Go writes them.").default("2006-01-02 15:04:05 MST"),
    flag("verbose", Kind::Switch, "Say on standard error what is asked of the Alertmanager.").short('v'),
    flag("alertmanager.url", Kind::Text, "The Alertmanager to talk to."),
    flag(
        "output",
        Kind::Choice(&["simple", "extended", "json"]),
        "How answers are printed: simple, extended, json.",
    )
    .short('o')
    .default("simple"),
    flag("timeout", Kind::Duration, "Longest time for the command.").default("30s"),
    flag("http.config.file", Kind::File, "HTTP client configuration to reach the Alertmanager with."),
    flag(
        "version-check",
        Kind::Switch,
        "Compare versions with the Alertmanager's; --no-version-check does not.",
    )
    .default("true"),
    flag(
        "enable-feature",
        Kind::Text,
        "Comma separated features; classic-mode and utf8-strict-mode decide how matchers are read.",
    )
    .default(""),
];

const fn words(name: &'static str, help: &'static str) -> Option<Positional> {
    Some(Positional { name, many: true, kind: Kind::Text, help })
}

static ALERT: [Command; 2] = [
    Command {
        flags: &[
            flag("inhibited", Kind::Switch, "Show inhibited alerts.").short('i'),
            flag("silenced", Kind::Switch, "Show silenced alerts.").short('s'),
            flag("active", Kind::Switch, "Show active alerts; so it is where none of the four is given.")
                .short('a'),
            flag("unprocessed", Kind::Switch, "Show unprocessed alerts.").short('u'),
            flag("receiver", Kind::Text, "Show alerts of receivers that match this regular expression.")
                .short('r')
                .default(""),
        ],
        positional: words("matcher-groups", MATCHERS),
        default: true,
        ..Command::new("query", "Show alerts.")
    },
    Command {
        flags: &[
            flag("generator-url", Kind::Text, "Where the alert comes from.").default(""),
            flag("start", Kind::Text, TIME).default(""),
            flag("end", Kind::Text, TIME).default(""),
            flag("annotation", Kind::Texts, "NAME=VALUE of an annotation."),
        ],
        positional: words(
            "labels",
            "NAME=VALUE of the alert's labels; a first word without = is its alertname.",
        ),
        ..Command::new("add", "Send an alert.")
    },
];

static SILENCE: [Command; 5] = [
    Command {
        flags: &[
            flag("author", Kind::Text, "Who makes the silence; the user's name where absent.").short('a'),
            flag("require-comment", Kind::Switch, "").default("true").hidden(),
            flag("duration", Kind::Text, "How long it holds.").short('d').default("1h"),
            flag("start", Kind::Text, TIME).default(""),
            flag("end", Kind::Text, "Until when it holds, whatever --duration says. RFC 3339.").default(""),
            flag("comment", Kind::Text, "Why it is made.").short('c').default(""),
            flag("annotation", Kind::Texts, "NAME=VALUE of an annotation."),
        ],
        positional: words("matcher-groups", MATCHERS),
        ..Command::new("add", "Make a silence, and print its id.")
    },
    Command {
        positional: words("silence-ids", "Ids of silences."),
        ..Command::new("expire", "End silences.")
    },
    Command {
        flags: &[
            flag("force", Kind::Switch, "Make new silences even where one of that id is there.").short('f'),
            flag("worker", Kind::Number, "How many silences are sent at a time.").short('w').default("8"),
        ],
        positional: Some(Positional {
            name: "input-file",
            many: false,
            kind: Kind::File,
            help: "Silences as JSON, as `silence query -o json` prints them; standard input where absent.",
        }),
        ..Command::new("import", "Make silences that were written to a file.")
    },
    Command {
        flags: &[
            flag("expired", Kind::Switch, "Show silences that are over instead of the others."),
            flag("quiet", Kind::Switch, "Print ids alone.").short('q'),
            flag("created-by", Kind::Text, "Show silences that this author made.").default(""),
            flag("id", Kind::Text, "Show the silence of this id.").default(""),
            flag(
                "within",
                Kind::Duration,
                "Show silences that end, or with --expired ended, within this time.",
            )
            .default("0s"),
        ],
        positional: words("matcher-groups", MATCHERS),
        default: true,
        ..Command::new("query", "Show silences.")
    },
    Command {
        flags: &[
            flag("quiet", Kind::Switch, "Print ids alone.").short('q'),
            flag("duration", Kind::Text, "How long it holds from its start on.").short('d').default(""),
            flag("start", Kind::Text, TIME).default(""),
            flag("end", Kind::Text, "Until when it holds, whatever --duration says. RFC 3339.").default(""),
            flag("comment", Kind::Text, "Why it was made.").short('c').default(""),
        ],
        positional: words("update-ids", "Ids of silences."),
        ..Command::new("update", "Change silences.")
    },
];

const ROUTES: &str = "The tree of routes, of a configuration file or of the Alertmanager's.";

static ROUTING: [Command; 2] = [
    Command { default: true, ..Command::new("show", ROUTES) },
    Command {
        flags: &[
            flag(
                "verify.receivers",
                Kind::Text,
                "Fail unless these receivers, separated by commas, are reached.",
            )
            .default(""),
            flag("tree", Kind::Switch, "Print the routes that match as a tree."),
        ],
        positional: words("labels", "NAME=VALUE of an alert's labels."),
        ..Command::new("test", "The receivers that an alert reaches, in order.")
    },
];

static COMMANDS: [Command; 6] = [
    Command { commands: &ALERT, ..Command::new("alert", "Show or send alerts.") },
    Command { commands: &SILENCE, ..Command::new("silence", "Show, make, change or end silences.") },
    Command {
        positional: Some(Positional {
            name: "check-files",
            many: true,
            kind: Kind::File,
            help: "Files to check; standard input where absent.",
        }),
        ..Command::new("check-config", "Check configuration files and the templates that they name.")
    },
    Command {
        commands: &[Command { default: true, ..Command::new("show", "The cluster's state and members.") }],
        ..Command::new("cluster", "The cluster's state and members.")
    },
    Command {
        commands: &[
            Command {
                default: true,
                ..Command::new(
                    "show",
                    "The configuration in use; with -o extended version and start, too, with -o json all of the status.",
                )
            },
            Command {
                flags: &[flag("config.file", Kind::File, "Configuration file to read instead of asking.")],
                commands: &ROUTING,
                ..Command::new("routes", ROUTES)
            },
        ],
        ..Command::new("config", "The configuration in use.")
    },
    Command {
        commands: &[Command {
            flags: &[
                flag("template.glob", Kind::Texts, "Template files; the last part of the path may hold *.")
                    .required(),
                flag("template.text", Kind::Text, "The template to render.").required(),
                flag(
                    "template.type",
                    Kind::Choice(&["html", "text"]),
                    "Whether it is rendered as text or HTML.",
                )
                .default("text"),
                flag("template.data", Kind::Text, "JSON file of the data; an example where absent."),
            ],
            ..Command::new("render", "Print what a template gives.")
        }],
        ..Command::new("template", "Render templates.")
    },
];

/// The program.
pub(super) static AMTOOL: Command =
    Command { flags: &FLAGS, commands: &COMMANDS, ..Command::new("amtool", HELP) };
