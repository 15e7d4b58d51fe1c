//! The program as a user runs it: exit status, stdout, stderr.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tracer::record::Record;
use tracer::recording::{BLOCK_AGE_NS, Writer};
use tracer::time::Timestamp;

const EXAMPLES: &str = include_str!("../../docs/schema/examples.jsonl");

fn tracer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.stdin(Stdio::null()).env_clear();
    command
}

fn run(args: &[&str]) -> Output {
    tracer().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs and asserts the exit status; gives stdout and stderr.
fn expect(status: i32, args: &[&str]) -> (String, String) {
    let output = run(args);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
    (stdout(&output), stderr(&output))
}

/// A recording of the examples, `times` times over, one block for each line.
fn recording(times: usize) -> Vec<u8> {
    let mut lines = EXAMPLES.lines().map(|line| Record::from_json(line).unwrap());
    let Some(Record::Host(host)) = lines.next() else {
        unreachable!("the first example is a host")
    };
    let rest: Vec<Record> = lines.collect();
    let mut writer = Writer::new(Vec::new(), &host, Timestamp(0)).unwrap();
    for _ in 0..times {
        for record in &rest {
            writer.write(record, Timestamp(0)).unwrap();
            writer.tick(Timestamp(BLOCK_AGE_NS)).unwrap();
        }
    }
    writer.finish().unwrap().1
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// stderr with the folder's own name taken out.
fn told(stderr: &str, path: &str) -> String {
    stderr.replace(path, "FILE")
}

#[test]
fn help_is_as_it_was_agreed_on() {
    let mut help = String::new();
    for command in ["", "watch", "record", "export", "doctor", "demo", "completions"] {
        let args: Vec<&str> =
            [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let (text, _) = expect(0, &args);
        help.push_str(&format!("$ tracer {}\n{text}\n", args.join(" ")));
    }
    insta::assert_snapshot!(help);
}

#[test]
fn the_version_is_told() {
    assert_eq!(expect(0, &["--version"]).0, format!("tracer {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_status_2_and_names_what_is_wrong() {
    for (args, word) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["wacth"], "watch"),
        (&["record"], "--output"),
        (&["export", "x"], "--to"),
        (&["watch", "--plain", "--json"], "--json"),
        (&["watch", "--for", "30"], "30s"),
        (&["watch", "--event-ring-kib", "5"], "power of two"),
        (&["watch", "--hooks", "state,tls"], "timers"),
        (&["completions", "cmd"], "bash"),
        (&["-v", "-q", "watch"], "--quiet"),
    ] {
        let (out, err) = expect(2, args);
        assert!(err.contains(word), "{args:?}: {err}");
        assert_eq!(out, "");
    }
}

#[test]
fn a_form_that_this_version_has_not_is_wrong_usage_and_says_what_there_is() {
    for form in ["xml", "JSONL", ""] {
        let (_, err) = expect(2, &["export", "x", "--to", form]);
        assert!(err.contains("it has: jsonl"), "{err}");
    }
}

#[test]
fn a_filter_that_is_not_understood_is_wrong_usage_and_is_shown_with_the_place() {
    let (_, err) = expect(2, &["export", "x", "--to", "jsonl", "comm:nginx", "prot:443"]);
    assert_eq!(
        err,
        "tracer: there is no key \"prot\"\n  comm:nginx prot:443\n             ^^^^\ndid you mean port?\n"
    );
}

#[test]
fn a_recording_is_exported_line_by_line() {
    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(1));
    let (out, err) = expect(0, &["export", &path, "--to", "jsonl"]);
    assert_eq!(out, EXAMPLES);
    assert_eq!(err, "");
}

#[test]
fn a_table_has_a_row_for_each_line_and_an_archive_an_entry_for_each_exchange() {
    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(1));
    let (table, err) = expect(0, &["export", &path, "--to", "csv"]);
    assert_eq!((table.lines().count(), err.as_str()), (EXAMPLES.lines().count() + 1, ""));
    assert!(table.starts_with("type,conn,id,at,"), "{table}");
    let (archive, err) = expect(0, &["export", &path, "--to", "har"]);
    let archive: serde_json::Value = serde_json::from_str(&archive).unwrap();
    assert_eq!(archive["log"]["entries"][0]["request"]["method"], "GET");
    assert_eq!(err, "");
    let (none, _) = expect(0, &["export", &path, "--to", "har", "status:404"]);
    let none: serde_json::Value = serde_json::from_str(&none).unwrap();
    assert_eq!(none["log"]["entries"], serde_json::json!([]));
}

#[test]
fn options_of_long_recordings_that_do_not_fit_together_are_wrong_usage() {
    for (options, word) in [
        (&["--keep", "3"][..], "--max-size"),
        (&["--keep", "0", "--max-age", "1h"], "--keep"),
        (&["--max-size", "much"], "500MB"),
        (&["--max-size", "0"], "500MB"),
        (&["--when", "status:500"], "--last"),
        (&["--last", "5m", "--max-age", "1h"], "--max-age"),
        (&["--last", "5m", "--when", "colour:red"], "there is no key"),
    ] {
        let args = [&["record", "-o", "x"], options].concat();
        let (_, err) = expect(2, &args);
        assert!(err.contains(word), "{options:?}: {err}");
    }
}

#[test]
fn a_filter_lets_all_lines_of_its_connections_through() {
    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(1));
    let (out, _) = expect(0, &["export", &path, "--to", "jsonl", "comm:curl", "method:GET"]);
    let wanted = |line: &&str| {
        ["\"conn\":\"c1\"", "\"id\":\"c1\"", "\"type\":\"host\"", "\"type\":\"loss\""]
            .iter()
            .any(|part| line.contains(part))
    };
    let expected: Vec<&str> = EXAMPLES.lines().filter(wanted).collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_output_file_is_made_for_its_owner_and_never_replaced_unasked() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(1));
    let out = folder.path("out.jsonl");
    let args = ["export", &path, "--to", "jsonl", "-o", out.to_str().unwrap()];
    assert_eq!(expect(0, &args).0, "");
    assert_eq!(fs::read_to_string(&out).unwrap(), EXAMPLES);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);

    fs::write(&out, "precious").unwrap();
    assert!(
        expect(1, &args)
            .1
            .contains("exists already; choose another name, or replace it with --force")
    );
    assert_eq!(fs::read_to_string(&out).unwrap(), "precious");
    expect(0, &[&args[..], &["--force"]].concat());
    assert_eq!(fs::read_to_string(&out).unwrap(), EXAMPLES);
}

#[test]
fn a_recording_is_never_replaced_by_its_own_export() {
    let folder = Folder::new();
    let bytes = recording(1);
    let path = folder.file("run.trc", &bytes);
    let (_, err) = expect(1, &["export", &path, "--to", "jsonl", "--force", "-o", &path]);
    assert!(told(&err, &path).starts_with("tracer: FILE is the recording itself; "), "{err}");
    assert_eq!(fs::read(folder.path("run.trc")).unwrap(), bytes);
}

#[test]
fn a_file_that_cannot_be_read_is_status_1_with_the_reason() {
    let folder = Folder::new();
    let not_ours = folder.file("notes.txt", b"shopping list");
    let mut later = recording(1);
    later[8] = 9;
    let checksum = crc32fast::hash(&later[..12]).to_le_bytes();
    later[12..16].copy_from_slice(&checksum);
    let later = folder.file("later.trc", &later);
    let empty = folder.file("empty.trc", b"");
    let missing = folder.path("missing.trc").to_str().unwrap().to_owned();
    let directory = folder.0.path().to_str().unwrap().to_owned();
    let mut errors = Vec::new();
    for path in [&missing, &not_ours, &later, &empty, &directory] {
        let (out, err) = expect(1, &["export", path, "--to", "jsonl"]);
        assert_eq!(out, "");
        errors.push(told(&err, path));
    }
    insta::assert_snapshot!(errors.concat());
}

#[test]
fn a_recording_that_was_cut_short_gives_what_is_there_and_a_warning() {
    let folder = Folder::new();
    let bytes = recording(1);
    let path = folder.file("run.trc", &bytes[..bytes.len() - 100]);
    let (out, err) = expect(0, &["export", &path, "--to", "jsonl"]);
    assert!(out.lines().count() >= EXAMPLES.lines().count() - 1);
    assert!(EXAMPLES.starts_with(&out));
    assert!(told(&err, &path).starts_with("tracer: warning: FILE: cut short: "), "{err}");
    assert_eq!(expect(0, &["-q", "export", &path, "--to", "jsonl"]), (out, String::new()));
}

#[test]
fn a_damaged_recording_gives_what_is_whole_and_says_what_is_missing() {
    let folder = Folder::new();
    let mut bytes = recording(1);
    let third = memchr::memmem::find_iter(&bytes, b"\xffTRBLOCK").nth(2).unwrap();
    bytes[third + 70] ^= 1;
    let path = folder.file("run.trc", &bytes);
    let (out, err) = expect(0, &["export", &path, "--to", "jsonl"]);
    let mut expected: Vec<&str> = EXAMPLES.lines().collect();
    expected.remove(2);
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    assert!(
        err.contains("1 damaged place: ") && err.contains("lost with them: 1 record in 1 block"),
        "{err}"
    );
}

#[test]
fn a_recording_without_one_whole_record_is_status_1() {
    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(1)[..20]);
    let (out, err) = expect(1, &["export", &path, "--to", "jsonl"]);
    assert_eq!(out, "");
    assert!(told(&err, &path).ends_with("tracer: FILE: no whole record is left in it\n"), "{err}");
}

#[test]
fn lines_that_no_filter_can_decide_on_are_counted() {
    let folder = Folder::new();
    let bytes = recording(1);
    let fourth = memchr::memmem::find_iter(&bytes, b"\xffTRBLOCK").nth(4).unwrap();
    let path = folder.file("run.trc", &bytes[..fourth]);
    let (_, err) = expect(0, &["export", &path, "--to", "jsonl", "port:8080"]);
    assert!(
        err.contains("2 lines were left out: their connections have no connection record"),
        "{err}"
    );
}

#[test]
fn a_filter_over_a_pipe_is_refused_with_the_way_out_and_without_one_it_is_read() {
    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(1));
    let export = |words: &[&str]| {
        let input = Stdio::from(
            Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap(),
        );
        let args = ["export", "/dev/stdin", "--to", "jsonl"];
        tracer().args(args).args(words).stdin(input).output().unwrap()
    };
    let piped = export(&[]);
    assert_eq!((piped.status.code(), stdout(&piped)), (Some(0), EXAMPLES.to_owned()));
    let filtered = export(&["port:8080"]);
    assert_eq!(filtered.status.code(), Some(1));
    assert!(stderr(&filtered).contains("needs a regular file; save it to one first"));
}

#[test]
fn a_closed_pipe_is_success() {
    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(200));
    for args in [&["export", &path, "--to", "jsonl"][..], &["completions", "bash"], &["--help"]] {
        let mut child =
            tracer().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn a_signal_ends_an_export_without_failure() {
    use nix::sys::signal::{Signal, kill};
    let folder = Folder::new();
    // More lines than a pipe takes: the export waits for a reader that never comes.
    let path = folder.file("run.trc", &recording(4_000));
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = tracer()
            .args(["export", &path, "--to", "jsonl"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The first byte says that it is at work, so its handlers are in place.
        let mut first = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_full_disk_under_an_export_is_status_1_with_the_reason() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        eprintln!("skipped: there is no /dev/full here");
        return;
    }
    let folder = Folder::new();
    let path = folder.file("run.trc", &recording(1));
    let output = tracer()
        .args(["export", &path, "--to", "jsonl"])
        .stdout(fs::OpenOptions::new().write(true).open(full).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot write the export: No space left on device"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (script, _) = expect(0, &["completions", shell]);
        for word in ["watch", "record", "export", "doctor", "demo", "show-secrets"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn where_no_daemon_listens_it_is_said_how_to_start_one() {
    let folder = Folder::new();
    let socket = folder.path("tracer.sock").to_str().unwrap().to_owned();
    let output = folder.path("kept.trace").to_str().unwrap().to_owned();
    for arguments in [
        &["watch", "--plain", "--from", &socket][..],
        &["record", "--from", &socket, "-o", &output],
    ] {
        let (out, err) = expect(1, arguments);
        assert_eq!(out, "");
        assert!(err.contains(&format!("`tracer daemon --socket {socket}`")), "{err}");
    }
    assert!(!folder.path("kept.trace").exists());
}

#[test]
fn what_only_a_tracing_run_can_do_is_not_asked_of_a_daemon() {
    for arguments in [
        &["watch", "--from", "x.sock", "--hooks", "state"][..],
        &["record", "--from", "x.sock", "-o", "x.trace", "--for", "1s"],
        &["record", "--from", "x.sock", "-o", "x.trace", "port:80"],
    ] {
        let (_, err) = expect(2, arguments);
        assert!(err.contains("cannot be used with"), "{err}");
    }
}
