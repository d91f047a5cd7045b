//! The alertmanager's templates: data, functions, defaults, files, limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use vedette_template::{AlertTemplates, Limits, Message, MessageAlert, Rendering};

/// 2024-02-29 13:04:05.678 UTC.
const NOW: i64 = 1_709_211_845_678;

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn message() -> Message {
    let alert = |instance: &str, resolved| MessageAlert {
        resolved,
        labels: pairs(&[("alertname", "Down"), ("instance", instance), ("severity", "warning")]),
        annotations: pairs(&[("summary", "a < b & c")]),
        starts_at: NOW - 3_600_000,
        ends_at: NOW,
        generator_url: "http://p/graph?g0.expr=up".to_owned(),
        fingerprint: format!("f{instance}"),
    };
    Message {
        receiver: "team.x y".to_owned(),
        status: "firing".to_owned(),
        alerts: vec![alert("a:1", false), alert("b:2", true)],
        reason: "first notification".to_owned(),
        group_labels: pairs(&[("alertname", "Down")]),
        common_labels: pairs(&[("alertname", "Down"), ("severity", "warning")]),
        common_annotations: pairs(&[("summary", "a < b & c")]),
        route_labels: pairs(&[("team", "x")]),
        external_url: "http://am:9093".to_owned(),
    }
}

fn run(text: &str) -> Result<String, String> {
    let templates = AlertTemplates::load(&[]).expect("the defaults").limited(Limits::default());
    templates.text(text, &Rendering::new(&message(), NOW)).map_err(|error| error.to_string())
}

#[test]
fn texts_see_the_message() {
    for (text, given) in [
        ("{{ .Receiver }} {{ .Status }} {{ .NotificationReason }}", "team\\.x y firing first notification"),
        ("{{ len .Alerts }} {{ len .Alerts.Firing }} {{ .Alerts.Resolved | len }}", "2 1 1"),
        (
            "{{ range .Alerts }}{{ .Status }} {{ .Labels.instance }} {{ .Fingerprint }};{{ end }}",
            "firing a:1 fa:1;resolved b:2 fb:2;",
        ),
        ("{{ (index .Alerts 0).Annotations.summary }}", "a < b & c"),
        (
            "{{ .CommonLabels }} [{{ .CommonLabels.none }}] {{ .GroupLabels.alertname }}",
            "alertname=Down, severity=warning [] Down",
        ),
        (
            "{{ range .CommonLabels.SortedPairs }}{{ .Name }}:{{ .Value }} {{ end }}",
            "alertname:Down severity:warning ",
        ),
        ("{{ (index .Alerts 0).Labels.Names | join \",\" }}", "alertname,instance,severity"),
        ("{{ (.CommonLabels.Remove .GroupLabels.Names).Values.Join \"-\" }}", "warning"),
        ("{{ .CommonLabels.Remove (stringSlice \"severity\") }}", "alertname=Down"),
        (
            "{{ range $k, $v := .CommonLabels }}{{ $k }}={{ $v }};{{ end }}",
            "alertname=Down;severity=warning;",
        ),
        ("{{ .RouteLabels.team }} {{ routeLabels \"team\" }}{{ routeLabels \"none\" }}", "x x"),
        ("{{ if .CommonLabels }}some{{ end }}{{ if .RouteLabels.none }}x{{ end }}", "some"),
        ("{{ (index .Alerts 1).EndsAt.Sub (index .Alerts 1).StartsAt }}", "1h0m0s"),
        (
            "{{ (index .Alerts 0).EndsAt }} {{ (index .Alerts 0).EndsAt.IsZero }}",
            "0001-01-01 00:00:00 +0000 UTC true",
        ),
        (
            "{{ ((index .Alerts 0).StartsAt.Add 28800e9).Format \"2006-01-02 15:04:05\" }}",
            "2024-02-29 20:04:05",
        ),
        ("{{ ((index .Alerts 0).StartsAt.AddDate 1 0 1).Format \"2006-01-02\" }}", "2025-03-02"),
        ("{{ ((index .Alerts 1).EndsAt.Sub (index .Alerts 0).StartsAt).Truncate 1000000000 }}", "1h0m0s"),
        // Functions.
        (
            "{{ toUpper \"ab\" }} {{ toLower \"AB\" }} {{ title \"hELLO wORLD it's\" }} [{{ trimSpace \" x \" }}]",
            "AB ab Hello World It's [x]",
        ),
        ("{{ match \"^a+$\" \"aaa\" }} {{ reReplaceAll \"(a)(b)\" \"$2$1\" \"abc\" }}", "true bac"),
        ("{{ urlUnescape \"a%20b+c\" }} {{ safeHtml \"<b>\" }} {{ safeUrl \"x:y\" }}", "a b c <b> x:y"),
        (
            "{{ date \"2006-01-02\" now }} {{ tz \"Europe/Paris\" now | date \"15:04 MST\" }}",
            "2024-02-29 14:04 CET",
        ),
        (
            "{{ since (index .Alerts 0).StartsAt }} {{ humanizeDuration 3661 }} {{ since now | humanizeDuration }}",
            "1h0m0s 1h 1m 1s 0s",
        ),
        (
            "{{ (toDate \"2006-01-02 15:04\" \"2024-03-01 10:20\").Unix }} {{ (toDate \"2006\" \"x\").IsZero }}",
            "1709288400 true",
        ),
        (
            "{{ (mustToDate \"Mon, 02 Jan 2006 15:04:05 -0700\" \"Fri, 01 Mar 2024 10:20:30 +0200\").UTC }}",
            "2024-03-01 08:20:30 +0000 UTC",
        ),
        (
            "{{ toJson (index .Alerts 1) }}",
            r#"{"status":"resolved","labels":{"alertname":"Down","instance":"b:2","severity":"warning"},"annotations":{"summary":"a \u003c b \u0026 c"},"startsAt":"2024-02-29T12:04:05.678Z","endsAt":"2024-02-29T13:04:05.678Z","generatorURL":"http://p/graph?g0.expr=up","fingerprint":"fb:2"}"#,
        ),
        (
            "{{ toJson .GroupLabels.SortedPairs }} {{ .CommonLabels.Names | toJson }}",
            r#"[{"Name":"alertname","Value":"Down"}] ["alertname","severity"]"#,
        ),
        ("{{ base64encode \"a?b>\" }} {{ base64decode \"YT9iPg==\" }}", "YT9iPg== a?b>"),
        (
            "{{ $l := append (list 1 \"a\") 2.5 }}{{ $l }} {{ len $l }} {{ toJson $l }}",
            "[1 a 2.5] 3 [1,\"a\",2.5]",
        ),
        (
            "{{ $d := dict \"a\" 1 \"b\" (list 2) }}{{ $d.a }} {{ $d }} {{ toJson $d }}",
            "1 map[a:1 b:[2]] {\"a\":1,\"b\":[2]}",
        ),
    ] {
        assert_eq!(run(text).as_deref(), Ok(given), "{text}");
    }
}

#[test]
fn the_defaults_are_alertmanagers() {
    const LIST: &str = "Labels:\n - alertname = Down\n - instance = a:1\n - severity = warning\n\
                        Annotations:\n - summary = a < b & c\nSource: http://p/graph?g0.expr=up\n";
    let over = LIST.replace("a:1", "b:2");
    let points = |list: &str| {
        let list = list.replace("\n - ", "\n  - ").replace("Annotations:", "\nAnnotations:");
        format!("\n{}\n", list.replace("Source:", "\nSource:"))
    };
    let dense = format!("Alerts Firing:\n{LIST}\nAlerts Resolved:\n{over}");
    let airy = format!("\nAlerts Firing:\n{LIST}\n\n\nAlerts Resolved:\n{over}\n\n");
    let markdown =
        format!("\n\n# Alerts Firing:\n{}\n\n\n# Alerts Resolved:\n{}\n\n", points(LIST), points(&over));
    let subject = "[FIRING:1] Down (warning)";
    let url = "http://am:9093/#/alerts?receiver=team%5C.x+y";
    let sentence = "a < b & c";
    let mut wanted = vec![
        ("__subject", subject.to_owned()),
        ("__alertmanager", "Alertmanager".to_owned()),
        ("__alertmanagerURL", url.to_owned()),
        ("__description", String::new()),
        ("slack.default.fallback", format!("{subject} | {url}")),
        ("slack.default.color", "danger".to_owned()),
        ("mattermost.default.color", "danger".to_owned()),
        ("mattermost.default.fallback", format!("{subject} | {url}")),
        ("jira.default.priority", "Medium".to_owned()),
        ("wechat.default.message", format!("{subject}\n{sentence}\n{dense}\nAlertmanagerUrl:\n{url}")),
    ];
    for name in ["slack", "rocketchat", "mattermost"] {
        wanted.push((leak(name, "title"), subject.to_owned()));
        wanted.push((leak(name, "titlelink"), url.to_owned()));
    }
    for name in [
        "slack.default.callbackid",
        "slack.default.footer",
        "slack.default.iconemoji",
        "slack.default.iconurl",
        "slack.default.pretext",
        "slack.default.text",
        "rocketchat.default.emoji",
        "rocketchat.default.iconurl",
        "rocketchat.default.text",
        "discord.default.content",
        "wechat.default.to_user",
        "wechat.default.to_party",
        "wechat.default.to_tag",
        "wechat.default.agent_id",
    ] {
        wanted.push((name, String::new()));
    }
    for name in ["slack.default.username", "pagerduty.default.client", "victorops.default.monitoring_tool"] {
        wanted.push((name, "Alertmanager".to_owned()));
    }
    for name in [
        "pagerduty.default.description",
        "opsgenie.default.message",
        "victorops.default.entity_display_name",
        "email.default.subject",
        "pushover.default.title",
        "sns.default.subject",
        "discord.default.title",
        "msteams.default.title",
        "msteams.default.summary",
        "msteamsv2.default.title",
        "jira.default.summary",
    ] {
        wanted.push((name, subject.to_owned()));
    }
    for name in ["pagerduty.default.clientURL", "opsgenie.default.source", "pushover.default.url"] {
        wanted.push((name, url.to_owned()));
    }
    for name in ["opsgenie.default.description", "victorops.default.state_message"] {
        wanted.push((name, format!("{sentence}\n{dense}")));
    }
    for name in ["pushover.default.message", "sns.default.message", "webex.default.message"] {
        wanted.push((name, format!("{sentence}\n{airy}")));
    }
    for name in ["telegram.default.message", "discord.default.message"] {
        wanted.push((name, format!("\n{airy}")));
    }
    for name in [
        "msteams.default.text",
        "msteamsv2.default.text",
        "jira.default.description",
        "mattermost.default.text",
    ] {
        wanted.push((name, markdown.clone()));
    }
    for (name, text) in wanted {
        assert_eq!(run(&format!("{{{{ template {name:?} . }}}}")), Ok(text), "{name}");
    }
    assert_eq!(run("{{ template \"pagerduty.default.instances\" .Alerts.Firing }}"), Ok(LIST.to_owned()));
}

fn leak(receiver: &str, what: &str) -> &'static str {
    Box::leak(format!("{receiver}.default.{what}").into_boxed_str())
}

#[test]
fn html_is_escaped_and_has_everything() {
    let templates = AlertTemplates::load(&[]).expect("the defaults");
    let rendering = Rendering::new(&message(), NOW);
    let html = templates.html("{{ template \"email.default.html\" . }}", &rendering).expect("html");
    for part in [
        "<title>[FIRING:1] Down (warning)</title>",
        "2 alerts for alertname=Down",
        "<a href=\"http://am:9093/#/alerts?receiver=team%5C.x&#43;y\"",
        "[1] Firing",
        "[1] Resolved",
        "a &lt; b &amp; c",
        "<a href=\"http://p/graph?g0.expr=up\"",
        "View in Alertmanager</a>",
    ] {
        assert!(html.contains(part), "{part}\n{html}");
    }
    assert!(!html.contains("ZgotmplZ"), "{html}");
}

#[test]
fn files_define_names_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("a.tmpl", "{{ define \"__subject\" }}mine{{ end }}{{ define \"x\" }}1{{ end }}");
    write("b.tmpl", "{{ define \"x\" }}2{{ end }}body of b");
    let globs = [folder.path().join("*.tmpl"), folder.path().join("none/*.tmpl")];
    let templates = AlertTemplates::load(&globs).expect("files");
    let rendering = Rendering::new(&message(), NOW);
    let text = "{{ template \"slack.default.title\" . }} {{ template \"x\" }} {{ template \"b.tmpl\" }}";
    assert_eq!(templates.text(text, &rendering).as_deref(), Ok("mine 2 body of b"));
    // A text of the configuration may define too, for itself.
    let own = "{{ define \"x\" }}3{{ end }}{{ template \"x\" }}";
    assert_eq!(templates.text(own, &rendering).as_deref(), Ok("3"));
    assert_eq!(templates.text("{{ template \"x\" }}", &rendering).as_deref(), Ok("2"));
    write("c.tmpl", "a\n{{ nothing }}");
    let error = AlertTemplates::load(&globs).expect_err("no template");
    assert_eq!(error, "template: c.tmpl:2: function \"nothing\" not defined");
    let error = AlertTemplates::load(&[PathBuf::from("/tmp/[")]).expect_err("no glob");
    assert!(error.contains("bad pattern"), "{error}");
}

#[test]
fn errors_are_gos_and_limits_hold() {
    let nested = "{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}";
    for (text, what) in [
        (
            "a\n {{ .Nothing }}",
            "template: :2:4: executing \"\" at <.Nothing>: can't evaluate field Nothing in type *template.Data",
        ),
        (
            "{{ mustToDate \"2006\" \"x\" }}",
            "template: :1:3: executing \"\" at <mustToDate \"2006\" \"x\">: error calling mustToDate: parsing time \"x\" as \"2006\": cannot parse \"x\" as \"2006\"",
        ),
        (
            "{{ (index .Alerts 0).StartsAt.AddDate 9223372036854775807 9223372036854775807 9223372036854775807 }}",
            "value is out of range",
        ),
        ("{{ dict \"a\" }}", "error calling dict: dict: a key without a value"),
        ("{{ template \"none\" }}", "template \"none\" not defined"),
        (
            "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
            "exceeded maximum template depth",
        ),
        ("{{ range 2000000 }}{{ end }}", "exceeded the limit of 1000000 steps"),
        ("{{ range 500000 }}0123456789{{ end }}", "exceeded the limit of 1048576 bytes of text"),
        // Little data that prints as much text, and data inside itself too often.
        (&format!("{nested}{{{{ $x }}}}"), "exceeded the limit of 1048576 bytes of text"),
        (&format!("{nested}{{{{ toJson $x }}}}"), "over the limit of 33554432 bytes of text"),
        (&format!("{nested}{{{{ printf \"%v\" $x }}}}"), "a text over 1048576 bytes"),
        ("{{ $x := list }}{{ range 100000 }}{{ $x = list $x }}{{ end }}{{ $x }}", "more than 64 deep"),
        ("{{ $x := dict }}{{ range 100000 }}{{ $x = dict \"a\" $x }}{{ end }}{{ $x }}", "more than 64 deep"),
        // What functions read counts as work.
        (
            "{{ $x := printf \"%100000d\" 1 }}{{ range 900000 }}{{ $y := toUpper $x }}{{ end }}",
            "exceeded the limit of 1000000 steps",
        ),
    ] {
        let error = run(text).expect_err(text);
        assert!(error.contains(what), "{text}\n{error}\nwanted {what}");
    }
}

#[test]
fn a_large_group_is_still_told() {
    let mut large = message();
    let one = large.alerts[0].clone();
    large.alerts =
        (0..10_000).map(|at| MessageAlert { fingerprint: at.to_string(), ..one.clone() }).collect();
    let templates = AlertTemplates::load(&[]).expect("the defaults");
    let rendering = Rendering::new(&large, NOW);
    for text in ["{{ template \"discord.default.message\" . }}", "{{ .Alerts.Firing | toJson }}"] {
        let told = templates.text(text, &rendering).expect(text);
        assert!(told.len() > 1 << 20, "{text}: {} bytes", told.len());
    }
}
