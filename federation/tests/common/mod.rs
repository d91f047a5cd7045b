//! An alertmanager of ours and an amtool, as processes.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{Process, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vedette-federation");
const PATIENCE: Duration = Duration::from_secs(20);

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A running alertmanager.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) dir: tempfile::TempDir,
    process: Process,
}

impl Server {
    /// Starts one with that file and these flags besides; it listens on a port of its own choice.
    pub(crate) async fn start(file: &str, flags: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), file, flags).await
    }

    /// The same in a folder that may have been used before.
    pub(crate) async fn start_in(dir: tempfile::TempDir, file: &str, flags: &[&str]) -> Self {
        let (config, log) = (dir.path().join("alertmanager.yml"), dir.path().join("log"));
        std::fs::write(&config, file).expect("written");
        let _ = std::fs::remove_file(&log);
        let program = dir.path().join("alertmanager");
        let _ = symlink(PROGRAM, &program);
        let mut arguments = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", dir.path().join("data").display()),
            "--web.listen-address=127.0.0.1:0".to_owned(),
        ];
        if !flags.iter().any(|flag| flag.starts_with("--cluster.listen-address")) {
            arguments.push("--cluster.listen-address=127.0.0.1:0".to_owned());
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = Process::start(&program, &arguments, &log).expect("starts");
        let mut url = String::new();
        until("an address", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let line = text.lines().find(|line| line.contains("Listening on"));
            let found = line
                .and_then(|line| line.split("address=").nth(1)?.split_whitespace().next().map(str::to_owned));
            url = found.map_or_else(String::new, |address| format!("http://{address}"));
            !url.is_empty()
        })
        .await;
        Self { url, dir, process }
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, condition: impl FnMut() -> bool) {
        until("what the server was to come to", condition).await;
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// SIGTERM: it ends in order.
    pub(crate) async fn stop(&mut self) {
        let status = self.process.terminate(PATIENCE).await.expect("ends");
        assert_eq!(status.code(), Some(0), "{}", self.process.tail());
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, PATIENCE, || std::future::ready(condition().then_some(()))).await;
}

/// An amtool in a folder and a home of its own.
pub(crate) struct Tool {
    dir: tempfile::TempDir,
    url: Option<String>,
}

impl Tool {
    /// One that is told of no alertmanager.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        symlink(PROGRAM, dir.path().join("amtool")).expect("linked");
        Self { dir, url: None }
    }

    /// One that asks there.
    pub(crate) fn at(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::new() }
    }

    /// A file in its folder.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// Runs a line; `¬` stands for a blank inside a word.
    pub(crate) fn run(&self, line: &str, input: &str) -> Run {
        let words = words(line);
        self.call(&self.dir.path().join("amtool"), &words, input)
    }

    /// Runs a line that compares versions unless it says otherwise.
    pub(crate) fn run_as_it_is(&self, line: &str) -> Run {
        let mut words = words(line);
        words.extend(self.url.iter().map(|url| format!("--alertmanager.url={url}")));
        self.output(&self.dir.path().join("amtool"), &words, "")
    }

    /// Runs a line that works, and gives what it prints.
    pub(crate) fn ok(&self, line: &str) -> String {
        let run = self.run(line, "");
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        run.out
    }

    /// Runs a line under the program's own name.
    pub(crate) fn run_own(&self, line: &str) -> Run {
        let words = words(line);
        self.call(Path::new(PROGRAM), &words, "")
    }

    /// Runs a line with another amtool.
    pub(crate) fn run_as(&self, program: &Path, line: &str) -> Run {
        let words = words(line);
        self.call(program, &words, "")
    }

    fn call(&self, program: &Path, words: &[String], input: &str) -> Run {
        let mut words = words.to_vec();
        if let Some(url) = &self.url {
            words.extend([format!("--alertmanager.url={url}"), "--no-version-check".to_owned()]);
        }
        self.output(program, &words, input)
    }

    fn output(&self, program: &Path, words: &[String], input: &str) -> Run {
        let mut command = Command::new(program);
        command.args(words).current_dir(self.dir.path()).env("HOME", self.dir.path());
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("starts");
        // It may not read what it is given.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.replace('¬', " ")).collect()
}

/// A server of which only answers are known: the start of a request's first line, a status, a body.
pub(crate) fn canned(answers: Vec<(String, u16, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            // The head to its end; bodies are not read.
            let _ = lines.by_ref().find(|line| line.as_ref().is_ok_and(String::is_empty));
            let known = answers.iter().find(|(start, ..)| first.starts_with(start.as_str()));
            let (status, body) = known.map_or((404, ""), |(_, status, body)| (*status, body.as_str()));
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}
