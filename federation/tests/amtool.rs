//! The program under the names alertmanager and amtool: what each says of the other, and what Debian's amtool
//! says of it.

mod common;

use common::{Run, Server, Tool, canned};

const FILE: &str = r#"route:
  receiver: default
  group_by: [alertname]
  routes:
    - matchers: [team="db"]
      receiver: db
      continue: true
      routes:
        - matchers: [severity=~"page|crit"]
          receiver: pager
    - matchers: [team=~"db|web", env!="test"]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [cluster]
receivers:
  - name: default
  - name: db
  - name: pager
    webhook_configs: [{url: "http://127.0.0.1:9/secret"}]
"#;

/// Lines that need no Alertmanager: line, standard input, exit code, standard output, standard error.
#[tokio::test]
async fn lines_without_a_server() {
    let tool = Tool::new();
    tool.file("am.yml", FILE);
    tool.file("bad.yml", "route: {receiver: nobody}\n");
    tool.file(
        "a.tmpl",
        r#"{{ define "x" }}{{ .Status }}: {{ range .Alerts }}{{ .Labels.a | toUpper }}{{ end }}{{ end }}"#,
    );
    tool.file(
        "data.json",
        r#"{"status":"firing","alerts":[{"status":"firing","labels":{"a":"b<"}}],"receiver":"r"}"#,
    );
    let tree = "Routing tree:\n.\n└── default-route  receiver: default\n    ├── {team=\"db\"}  continue: true  receiver: db\n    │   └── {severity=~\"page|crit\"}  receiver: pager\n    └── {env!=\"test\",team=~\"db|web\"}  receiver: default\n\n";
    let found = "  SUCCESS\nFound:\n - global config\n - route\n - 1 inhibit rules\n - 3 receivers\n - 0 templates\n\n";
    let checked = format!("Checking 'am.yml'{found}");
    let piped = format!("Checking '/dev/stdin'{found}");
    let matching = "Matching routes:\n.\n└── default-route\n    ├── {team=\"db\"}\n    │   └── {severity=~\"page|crit\"}  receiver: pager\n    └── {env!=\"test\",team=~\"db|web\"}  receiver: default\n\n\npager,default\n";
    let warning = "pager,default\nWARNING: Expected receivers did not match resolved receivers.\n";
    let url = "required flag --alertmanager.url not provided\n";
    for (line, input, code, out, err) in [
        ("check-config am.yml", "", 0, checked.as_str(), ""),
        ("check-config", FILE, 0, &piped, ""),
        ("check-config nowhere.yml", "", 1, "", "path 'nowhere.yml' does not exist\n\n"),
        ("config routes --config.file=am.yml", "", 0, tree, ""),
        ("config routes show --config.file=am.yml", "", 0, tree, ""),
        ("config routes test --config.file=am.yml --tree team=db severity=page", "", 0, matching, ""),
        ("config routes test --config.file=am.yml team=web env=test", "", 0, "default\n", ""),
        (
            "config routes test --config.file=am.yml --verify.receivers=pager,default team=db severity=crit",
            "",
            0,
            "pager,default\n",
            "",
        ),
        (
            "config routes test --config.file=am.yml --verify.receivers=pager team=db severity=crit",
            "",
            1,
            warning,
            "",
        ),
        (
            "config routes test --config.file=am.yml team!=db",
            "",
            1,
            "",
            "Labels must be specified as key=value pairs\n\n",
        ),
        (
            "config routes test --config.file=am.yml team",
            "",
            1,
            "",
            "Failed to parse labels: bad matcher format: team\n\n",
        ),
        (
            "config routes show",
            "",
            1,
            "",
            "You have to specify one of --config.file or --alertmanager.url flags.\n",
        ),
        (
            "template render --template.glob=*.tmpl --template.text={{template¬\"x\"¬.}} --template.data=data.json",
            "",
            0,
            "firing: B<",
            "",
        ),
        (
            "template render --template.glob=*.tmpl --template.text={{.Alerts|len}}{{.ExternalURL}}",
            "",
            0,
            "2https://example.com",
            "",
        ),
        (
            "template render --template.glob=*.tmpl --template.text={{template¬\"x\"¬.}} --template.data=data.json --template.type=html",
            "",
            0,
            "firing: B&lt;",
            "",
        ),
        ("template render --template.text=x", "", 1, "", "required flag --template.glob not provided\n\n"),
        ("alert", "", 1, "", url),
        ("silence add a=b", "", 1, "", url),
        ("cluster", "", 1, "", url),
        ("config show", "", 1, "", url),
        ("foo", "", 1, "", "expected command but got \"foo\"\n\n"),
        ("template", "", 1, "", "must select a subcommand of 'template'\n\n"),
        ("alert --output=foo", "", 1, "", "enum value must be one of simple,extended,json, got 'foo'\n\n"),
        (
            "alert --enable-feature=x --alertmanager.url=http://127.0.0.1:1",
            "",
            1,
            "",
            "error parsing the feature flag list: unknown option 'x' for --enable-feature\n\n",
        ),
        (
            "silence add --alertmanager.url=http://127.0.0.1:1 a=b",
            "",
            1,
            "",
            "comment required by config\n\n",
        ),
        ("silence add --alertmanager.url=http://127.0.0.1:1 -c x", "", 1, "", "no matchers specified\n\n"),
        (
            "silence add --alertmanager.url=http://127.0.0.1:1 -c x -d 0s a",
            "",
            1,
            "",
            "silence duration must be greater than 0\n\n",
        ),
        (
            "silence add --alertmanager.url=http://127.0.0.1:1 -c x --start=2026-01-02T00:00:00Z --end=2026-01-01T00:00:00Z a",
            "",
            1,
            "",
            "silence cannot start after it ends\n\n",
        ),
        ("silence expire --alertmanager.url=http://127.0.0.1:1", "", 1, "", "no silence IDs specified\n\n"),
        (
            "alert add --alertmanager.url=http://127.0.0.1:1 a=~b",
            "",
            1,
            "",
            "labels must be specified as key=value pairs\n\n",
        ),
        (
            "alert add --alertmanager.url=http://127.0.0.1:1 a=b --annotation=x!=y",
            "",
            1,
            "",
            "annotations must be specified as key=value pairs\n\n",
        ),
    ] {
        let run = tool.run(line, input);
        let err = if err.is_empty() { String::new() } else { format!("amtool: error: {err}") };
        assert_eq!(run, Run { code: Some(code), out: out.to_owned(), err }, "{line}");
    }
    let bad = tool.run("check-config bad.yml am.yml", "");
    assert_eq!((bad.code, bad.err.as_str()), (Some(1), "amtool: error: failed to validate 1 file(s)\n\n"));
    assert!(bad.out.contains("FAILED: bad.yml:1:") && bad.out.contains(&checked), "{}", bad.out);
    let refused = tool.run("alert --no-version-check --alertmanager.url=http://127.0.0.1:1", "");
    assert_eq!(refused.code, Some(1));
    let start = "amtool: error: Get \"http://127.0.0.1:1/api/v2/alerts?active=true&inhibited=false&silenced=false&unprocessed=false\": ";
    assert!(refused.err.starts_with(start), "{}", refused.err);
    for line in ["", "--help", "silence add --help", "help config routes"] {
        let run = tool.run(line, "");
        assert!(run.code == Some(0) && run.out.starts_with("usage: amtool"), "{line}: {run:?}");
    }
    assert!(tool.run("--version", "").out.starts_with("amtool, version 0.34.0 (branch: "));
}

/// The same words after the program's own name.
#[tokio::test]
async fn the_programs_own_name_takes_the_same_commands() {
    let tool = Tool::new();
    tool.file("am.yml", FILE);
    for line in [
        "check-config am.yml",
        "config routes test --config.file=am.yml team=db",
        "silence --help",
        "alert",
        "cluster show",
        "template render",
    ] {
        assert_eq!(tool.run_own(line), tool.run(line, ""), "{line}");
    }
}

/// Alerts and silences are made, shown, changed and ended; each line's answer is known but for ids and times.
#[tokio::test]
async fn alerts_and_silences_of_a_server() {
    let mut server = Server::start(FILE, &[]).await;
    let tool = Tool::at(&server.url);
    assert_eq!(tool.ok("alert add CPU team=db severity=page --annotation=summary=high --start=2026-01-02T03:04:05Z --generator-url=http://g/"), "");
    assert_eq!(tool.ok("alert add alertname=Disk team=web"), "");
    let simple = tool.ok("alert query CPU");
    assert_eq!(
        simple,
        "Alertname  Starts At                Summary  State   \nCPU        2026-01-02 03:04:05 UTC  high     active  \n"
    );
    assert_eq!(
        tool.ok("alert query team=~d.+ --date.format=2006"),
        "Alertname  Starts At  Summary  State   \nCPU        2026       high     active  \n"
    );
    let extended = tool.ok("alert query -o extended CPU");
    let row = "alertname=\"CPU\" severity=\"page\" team=\"db\"  summary=\"high\"  2026-01-02 03:04:05 UTC  ";
    assert!(
        extended
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with(row) && line.ends_with(" http://g/      active  ")),
        "{extended}"
    );
    assert_eq!(tool.ok("alert query team=nobody"), "Alertname  Starts At  Summary  State  \n");
    assert_eq!(tool.ok("alert query -r pager --date.format=2006").lines().count(), 2);
    assert_eq!(tool.ok("alert -o json team=nobody"), "[]\n");

    let id = tool.ok("silence add CPU team=~d.* -c why<&> -a me");
    let id = id.trim();
    assert_eq!(tool.ok("silence query -q"), format!("{id}\n"));
    assert_eq!(tool.ok("alert query CPU").lines().count(), 1, "the silence hides it");
    assert!(tool.ok("alert query -s CPU").contains("suppressed"));
    let shown = tool.ok("silence query --date.format=2006-01-02");
    assert!(
        shown
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with(&format!("{id}  alertname=\"CPU\" team=~\"d.*\"  2"))
                && line.ends_with("  me          why<&>   ")),
        "{shown}"
    );
    assert!(tool.ok("silence -o extended").contains("{alertname=\"CPU\",team=~\"d.*\"}  "));
    let json = tool.ok("silence query -o json");
    assert!(
        json.starts_with(&format!("[{{\"id\":\"{id}\",\"status\":{{\"state\":\"active\"}},\"updatedAt\":\"")),
        "{json}"
    );
    assert!(json.contains("\"comment\":\"why\\u003c\\u0026\\u003e\""), "{json}");
    for (line, ids) in [
        ("silence query -q --created-by=me", 1),
        ("silence query -q --created-by=you", 0),
        ("silence query -q --within=30m", 0),
        ("silence query -q --within=2h", 1),
        ("silence query -q --expired", 0),
        ("silence query -q alertname=CPU team=~d.*", 1),
        ("silence query -q team=db", 0),
    ] {
        assert_eq!(tool.ok(line).lines().count(), ids, "{line}");
    }
    let updated = tool.ok(&format!("silence update -q -d 5h -c because {id}"));
    assert_eq!(updated.trim(), id, "a longer one stays itself");
    assert!(tool.ok("silence query --within=2h -q").is_empty() && tool.ok("silence").contains("because"));
    assert_eq!(tool.ok(&format!("silence expire {id}")), "");
    assert_eq!(tool.ok("silence query -q"), "");
    assert_eq!(tool.ok("silence query -q --expired"), format!("{id}\n"));

    let gone = "00000000-0000-0000-0000-000000000001";
    for (line, err) in [
        (format!("silence expire {gone}"), "[DELETE /silence/{silenceID}][404] deleteSilenceNotFound".to_owned()),
        (format!("silence update {gone}"), "[GET /silence/{silenceID}][404] getSilenceNotFound".to_owned()),
        ("silence add a=~.* -c x".to_owned(), "[POST /silences][400] postSilencesBadRequest \"invalid silence: at least one matcher must not match the empty string\"".to_owned()),
        ("alert -r (".to_owned(), "[GET /alerts][400] getAlertsBadRequest \"failed to parse receiver param: ".to_owned()),
    ] {
        let run = tool.run(&line, "");
        assert!(run.code == Some(1) && run.err.starts_with(&format!("amtool: error: {err}")), "{line}: {run:?}");
    }
    server.stop().await;
}

/// What was written is made again elsewhere, and ids that are gone are made anew.
#[tokio::test]
async fn silences_are_imported() {
    let mut server = Server::start(FILE, &[]).await;
    let tool = Tool::at(&server.url);
    let ids: Vec<String> = ["a=1", "b=2", "c=3"]
        .iter()
        .map(|it| tool.ok(&format!("silence add {it} -c x")).trim().to_owned())
        .collect();
    let written = tool.ok("silence query -o json");
    let mut other = Server::start(FILE, &[]).await;
    let there = Tool::at(&other.url);
    there.file("silences.json", &written);
    assert_eq!(there.ok("silence import silences.json").lines().count(), 3);
    let made = there.ok("silence query -q");
    assert!(made.lines().count() == 3 && ids.iter().all(|id| !made.contains(id)), "{made}");
    assert_eq!(tool.run("silence import -w 2", &written).out.lines().count(), 3, "each stays itself");
    assert_eq!(tool.ok("silence query -q").lines().count(), 3);
    assert_eq!(tool.run("silence import --force", &written).code, Some(0));
    assert_eq!(tool.ok("silence query -q").lines().count(), 6);
    let none = tool.run("silence import", "what?");
    assert!(
        none.code == Some(1)
            && none.err.starts_with("amtool: error: couldn't unmarshal input data, is it JSON?: "),
        "{none:?}"
    );
    let mixed = written.replacen("\"comment\":\"x\"", "\"comment\":7", 1);
    let partly = tool.run("silence import", &mixed);
    assert!(partly.err.ends_with("amtool: error: couldn't import 1 out of 3 silences\n\n"), "{partly:?}");
    assert_eq!(partly.out.lines().count(), 2);
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn status_and_configuration_of_a_server() {
    let mut server = Server::start(FILE, &["--cluster.peer-name=one"]).await;
    let tool = Tool::at(&server.url);
    let ready = "Cluster Status:  ready\nNode Name:       one\n";
    server.until(|| tool.ok("cluster show") == ready).await;
    let members = tool.ok("cluster -o extended");
    assert!(members.starts_with(&format!("{ready}\nAddress")) && members.ends_with("  one  \n"), "{members}");
    assert!(tool.ok("config").contains("webhook_configs:") && !tool.ok("config").contains("secret\""));
    assert!(tool.ok("config show -o extended").contains("\nversion 0.34.0\n"));
    assert!(
        tool.ok("config show -o json")
            .starts_with("{\"cluster\":{\"name\":\"one\",\"peers\":[{\"address\":\"127.0.0.1:")
    );
    // What the server shows has its secrets hidden, and is read again all the same.
    assert!(tool.ok("config routes").contains("{severity=~\"page|crit\"}  receiver: pager"));
    assert_eq!(tool.ok("config routes test team=db"), "db,default\n");
    let verbose = tool.run("cluster -v", "");
    assert!(verbose.err.contains("/api/v2/status: 200 OK, "), "{verbose:?}");
    server.stop().await;
}

/// `$HOME/.config/amtool/config.yml` has defaults for flags, and the line wins.
#[tokio::test]
async fn defaults_come_from_a_file() {
    let mut server = Server::start(FILE, &[]).await;
    let tool = Tool::new();
    tool.file(
        ".config/amtool/config.yml",
        &format!(
            "alertmanager.url: {}\nauthor: somebody\ncomment_required: false\noutput: json\n",
            server.url
        ),
    );
    let id = tool.ok("silence add a=b");
    assert!(tool.ok("silence").contains("\"createdBy\":\"somebody\""));
    assert_eq!(tool.ok("silence -o simple -q"), id);
    tool.file(".config/amtool/config.yml", "alertmanager.url: [");
    let broken = tool.run("alert", "");
    assert!(
        broken.code == Some(1) && broken.err.starts_with("amtool: error: could not load config file: "),
        "{broken:?}"
    );
    server.stop().await;
}

/// Answers of other servers: the start of a request, status and body; a line; exit code, standard output, and the
/// start of standard error.
#[test]
fn answers_of_other_servers() {
    let status = |version: &str, original: &str| {
        format!(
            r#"{{"cluster":{{"status":"ready","peers":[{{"name":"b","address":"2"}},{{"name":"a","address":"1"}}]}},"config":{{"original":{original:?}}},"uptime":"2026-01-02T03:04:05.678Z","versionInfo":{{"version":"{version}"}}}}"#
        )
    };
    let warning = "Warning: amtool version (0.34.0) and alertmanager version (0.27.0) are different.\n";
    let alert = r#"[{"labels":{"alertname":"A","z":"1"},"annotations":null,"startsAt":"2026-01-02T05:04:05+02:00","endsAt":"","updatedAt":"2026-01-02T03:04:05Z","fingerprint":"f","receivers":[{"name":"r"}],"status":{"state":"active","silencedBy":[],"inhibitedBy":[]}}]"#;
    let cluster = "Cluster Status:  ready\nNode Name:       \n\nAddress  Name\n1        a  \n2        b  \n";
    let get = |path: &str| format!("GET /api/v2{path}");
    for (request, code, body, line, want, out, err) in [
        (get("/status"), 200, status("0.27.0", "x"), "cluster show -o extended", 0, cluster, warning),
        (get("/status"), 200, status("0.34.7", "x"), "cluster show -o extended", 0, cluster, ""),
        (get("/status"), 200, status("0.34.7", "x: y\n"), "config show", 0, "x: y\n\n", ""),
        (get("/status"), 200, status("0.27.0", "x"), "config --no-version-check", 0, "x\n", ""),
        (
            get("/status"),
            200,
            status("0.34.0", "route: ["),
            "config routes",
            1,
            "",
            "amtool: error: alertmanager.yml:1:",
        ),
        (
            get("/alerts?"),
            200,
            alert.to_owned(),
            "alert --no-version-check",
            0,
            "Alertname  Starts At                Summary  State   \nA          2026-01-02 03:04:05 UTC           active  \n",
            "",
        ),
        (get("/alerts?"), 200, "null".to_owned(), "alert -o json --no-version-check", 0, "[]\n", ""),
        (
            get("/alerts?active=false&inhibited=true&receiver=a%7Cb&silenced=true&unprocessed=false"),
            200,
            "[]".to_owned(),
            "alert -o json --no-version-check -i -s -r a|b",
            0,
            "[]\n",
            "",
        ),
        (
            get("/alerts?active=true&filter=alertname%3D%22a+b%22&filter=c%3Dd"),
            200,
            "[]".to_owned(),
            "alert -o json --no-version-check a¬b c=d",
            0,
            "[]\n",
            "",
        ),
        (
            get("/alerts?"),
            200,
            "<html>".to_owned(),
            "alert --no-version-check",
            1,
            "",
            "amtool: error: [GET /alerts] getAlerts: no answer of an Alertmanager: ",
        ),
        (
            get("/alerts?"),
            500,
            "\"broken\"".to_owned(),
            "alert --no-version-check",
            1,
            "",
            "amtool: error: [GET /alerts][500] getAlertsInternalServerError \"broken\"\n\n",
        ),
        (
            get("/alerts?"),
            401,
            "Unauthorized\n".to_owned(),
            "alert --no-version-check",
            1,
            "",
            "amtool: error: [GET /alerts] getAlerts (status 401): Unauthorized\n\n",
        ),
        (
            "POST /api/v2/silences".to_owned(),
            200,
            r#"{"silenceID":"i"}"#.to_owned(),
            "silence add a=b -c x --no-version-check",
            0,
            "i\n",
            "",
        ),
    ] {
        let tool = Tool::at(&canned(vec![(request.clone(), code, body)]));
        let run = tool.run_as_it_is(line);
        assert_eq!((run.code, run.out.as_str()), (Some(want), out), "{line}: {}", run.err);
        assert!(run.err.starts_with(err) && (err.is_empty() == run.err.is_empty()), "{line}: {}", run.err);
    }
}

/// Debian's amtool prints the same of the same server, where its version has the command and the form.
#[tokio::test]
async fn debians_amtool_says_the_same() {
    let Some(theirs) = testkit::peer(testkit::Peer::Amtool) else { return };
    // 0.25 does not read again what hides a secret.
    let file: String =
        FILE.lines().filter(|line| !line.contains("webhook")).map(|line| format!("{line}\n")).collect();
    let mut server = Server::start(&file, &["--cluster.peer-name=one"]).await;
    let tool = Tool::at(&server.url);
    tool.file("am.yml", &file);
    tool.file("data.json", r#"{"status":"firing","alerts":[{"status":"firing","labels":{"a":"b<","alertname":"N"}}],"receiver":"r"}"#);
    tool.file("a.tmpl", r#"{{ define "x" }}{{ .Status }}: {{ range .Alerts }}{{ .Labels.SortedPairs.Values | join "," }}{{ end }}{{ end }}"#);
    server.until(|| tool.ok("cluster show").contains("ready")).await;
    // Each makes what the other shows.
    for line in [
        "alert add CPU team=db --annotation=summary=x --start=2026-01-02T03:04:05Z",
        "alert add Disk team=web note=\"a¬b\" --annotation=summary=\u{fc}ber",
    ] {
        assert_eq!(tool.run_as(&theirs, line).code, Some(0), "{line}");
    }
    let silence = "silence add CPU team=~d.* a!=b\\\"c --comment=two¬words --author=me --start=2036-01-02T03:04:05Z -d 90m";
    for run in [tool.run(silence, ""), tool.run_as(&theirs, silence)] {
        assert_eq!((run.code, run.out.len()), (Some(0), 37), "{run:?}");
    }
    let mut wrong = Vec::new();
    for line in [
        "alert",
        "alert query CPU",
        "alert query -o extended team=~d.*",
        "alert query -s -i",
        "alert query --date.format=Jan team=web",
        "alert query nothing",
        "silence",
        "silence query -o extended",
        "silence query -o json",
        "silence query -q",
        "silence query --expired",
        "silence query --within=1h",
        "cluster show",
        "cluster -o extended",
        "cluster -o json",
        "config",
        "config show -o json",
        "config routes",
        "config routes test team=db severity=page",
        "config routes test --tree team=db severity=page",
        "config routes test --verify.receivers=x team=db",
        "config routes show --config.file=am.yml",
        "check-config am.yml",
        "check-config nowhere.yml",
        "template render --template.glob=a.tmpl --template.text={{template¬\"x\"¬.}} --template.data=data.json",
        "template render --template.glob=a.tmpl --template.text={{template¬\"x\"¬.}} --template.data=data.json --template.type=html",
        "template render --template.glob=a.tmpl --template.text={{template¬\"nothing\"¬.}}",
        "silence add a=~.* -c x",
        "silence expire 00000000-0000-0000-0000-000000000001",
        "silence add -c x",
        "silence add x",
        "silence update",
        "nonsense",
        "alert --bogus",
        "alert -o nothing",
        "alert --timeout=1d",
        "template",
    ] {
        let (ours, mut other) = (tool.run(line, ""), tool.run_as(&theirs, line));
        // 0.25 draws trees with blanks that do not break.
        other.out = other.out.replace('\u{a0}', " ");
        if EXPECTED_OTHERWISE.contains(&line) {
            other.err.clone_from(&ours.err);
        }
        if ours != other {
            wrong.push(format!("{line}\nours: {ours:?}\ntheirs: {other:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    server.stop().await;
}

/// Lines whose errors 0.34 words otherwise than 0.25, for which the engine's own words follow, or of which 0.25
/// says that the URL is missing because it stands behind what is wrong.
const EXPECTED_OTHERWISE: [&str; 5] = [
    "alert -o nothing",
    "silence add a=~.* -c x",
    "silence expire 00000000-0000-0000-0000-000000000001",
    "alert --timeout=1d",
    "template render --template.glob=a.tmpl --template.text={{template¬\"nothing\"¬.}}",
];
