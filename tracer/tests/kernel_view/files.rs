//! What the view leaves behind: a recording, an export, and the recording in the view again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::screen::Terminal;
use crate::stage::{SIZE, Stage, UTF8};
use crate::support::{STEP, environment, wait_until};

/// The one file in `folder` with that ending.
fn file(folder: &Path, ending: &str) -> PathBuf {
    let files = || {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == ending))
    };
    assert!(wait_until(STEP, || files().is_some()), "no file *.{ending}");
    files().expect("it was there just now")
}

/// Keys and endings of what can be exported to.
const FORMS: [(&str, &str); 6] = [
    ("Enter", ".jsonl"),
    ("c", ".csv"),
    ("h", ".har"),
    ("p", ".perfetto"),
    ("w", ".pcapng"),
    ("b", ".html"),
];

pub fn taken_along(stage: &Stage) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let tracer = environment::tracer();
    let (tracer, place) = (tracer.display(), folder.path().display());
    let watch = format!("cd {place} && exec {tracer} watch {}", stage.filter());
    let view = Terminal::start(SIZE, &[UTF8], &["sh", "-c", &watch]);
    view.until("the view", |picture| picture.footer().contains("? keys"));

    view.press(&["r"]);
    view.until("that it records, and where to", |picture| {
        picture.has(&["● rec tracer-"])
            && picture.footer().contains("recording everything to tracer-")
    });
    let listener = stage.listen(8080);
    let pair = stage.connect(&listener);
    pair.exchange("/kept", Duration::ZERO, "200 OK");
    view.until("the request", |picture| picture.count(&["GET /kept", "200"]) == 2);
    for (key, ending) in FORMS {
        view.press(&["e"]);
        view.until("the forms", |picture| picture.footer().contains("export as: j JSON lines"));
        view.press(&[key]);
        view.until("what was exported", |picture| {
            picture.footer().starts_with(" exported ") && picture.footer().contains(ending)
        });
    }
    pair.close();
    view.until("the end of one side", |picture| {
        picture.has(&["CLOSE ", ":8080", "closed by remote"])
    });
    view.press(&["r"]);
    view.until("what was recorded", |picture| {
        picture.footer().starts_with(" recorded ") && picture.has(&["not recording"])
    });
    view.press(&["q"]);

    for (_, ending) in FORMS {
        let bytes = fs::metadata(file(folder.path(), &ending[1..])).expect("the export").len();
        assert!(bytes > 0, "{ending}");
    }
    let exported = fs::read_to_string(file(folder.path(), "jsonl")).expect("the export");
    let told = |kind: &str| {
        let begin = format!("{{\"type\":\"{kind}\"");
        exported.lines().filter(|line| line.starts_with(&begin)).count()
    };
    assert_eq!((told("host"), told("connection")), (1, 2), "{exported}");
    assert!(told("segment") >= 4 && exported.contains("\"target\":\"/kept\""), "{exported}");

    let recording = file(folder.path(), "trace");
    let (tracer, recording) = (tracer.to_string(), recording.display().to_string());
    let filter = stage.filter();
    let player = Terminal::start(SIZE, &[UTF8], &[&tracer, "view", &recording, &filter]);
    player.until("that a recording plays, or has played", |picture| {
        picture.has(&["a recording"]) && picture.footer().contains(". step")
    });
    let fastest = ["+"; 10];
    player.press(&fastest);
    player.until("its end, with the connection as it was", |picture| {
        picture.header().contains("■ ended")
            && picture.has(&["CLOSE ", ":8080", "GET /kept", "200", "closed by remote"])
    });
    player.press(&["Space", "["]);
    player.until("it standing before all that", |picture| {
        picture.header().contains("‖ STOPPED") && !picture.has(&["CLOSE ", ":8080"])
    });
    player.press(&["]"]);
    player.until("its end again", |picture| {
        picture.header().contains("■ ended") && picture.has(&["CLOSE ", ":8080", "GET /kept"])
    });
    player.press(&["j", "Enter"]);
    player
        .until("its ladder", |picture| picture.has(&["SYN seq 0"]) && picture.has(&["GET /kept"]));
}
