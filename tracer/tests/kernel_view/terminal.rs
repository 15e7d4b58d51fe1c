//! The terminal: its size, what it can show, and that it is given back.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::screen::{Picture, Terminal, child};
use crate::stage::{SIZE, Stage, UTF8, stands};
use crate::support::environment;

pub fn sizes(stage: &Stage) {
    let view = stage.view();
    let listener = stage.listen(8080);
    let _pairs: Vec<_> = (0..30).map(|_| stage.connect(&listener)).collect();
    let is_whole = |picture: &Picture| {
        picture.header().starts_with(" tracer ")
            && picture.header().contains("● live")
            && picture.has(&["STATE", "AGE", "REMOTE", "VERDICT"])
            && picture.has(&["ESTABLISHED", ":8080"])
            && picture.footer().starts_with(" ? keys")
            && picture.footer().ends_with(" shown")
    };
    view.until("the connections", is_whole).must_fit(SIZE);
    for (size, header_lines) in [((80, 24), 2), ((200, 60), 1), ((60, 12), 2), (SIZE, 2)] {
        view.resize(size);
        let picture = view.until(&format!("all parts in {size:?}"), |picture| {
            picture.lines.len() == usize::from(size.1)
                && is_whole(picture)
                && picture.lines[header_lines - 1].contains("seen ")
                && picture.lines[header_lines - 1].contains(" lost ")
        });
        picture.must_fit(size);
    }
    // Too small for a table: a sentence says so, and how much is needed.
    let size = (20, 5);
    view.resize(size);
    let picture = view.until("the sentence", |picture| {
        let text = picture.lines.join(" ");
        text.contains("Too small: 20x5, needs 40x8.") && text.contains("q quits")
    });
    picture.must_fit(size);
    view.resize(SIZE);
    view.until("the connections again", is_whole).must_fit(SIZE);
}

/// Starts the view from a shell that has written something before, and waits until it stands.
#[track_caller]
fn in_a_shell(stage: &Stage) -> Terminal {
    const SCRIPT: &str = "echo 'before the view'
        \"$0\" watch \"$1\"
        echo status=$?
        read -r line
        echo \"read $line\"
        read -r line";
    let tracer = environment::tracer();
    let tracer = tracer.to_str().expect("a path in UTF-8");
    let filter = stage.filter();
    let terminal = Terminal::start(SIZE, &[UTF8], &["sh", "-c", SCRIPT, tracer, &filter]);
    stands(&terminal);
    assert_eq!(terminal.ask(MODES), "1 0 1", "alternate screen, cursor, mouse in the view");
    assert!(!terminal.picture().has(&["before the view"]), "the view has a screen of its own");
    terminal
}

/// Whether there is an alternate screen, a cursor, a program that takes the mouse.
const MODES: &str = "#{alternate_on} #{cursor_flag} #{mouse_any_flag}";

/// The shell's screen again, with what stood there, and a terminal that shows what is typed and gives it by lines.
#[track_caller]
fn is_given_back(terminal: &Terminal) {
    let back = terminal
        .until("the shell's screen with the exit status", |picture| picture.has(&["status=0"]));
    assert_eq!(back.lines[..2], ["before the view", "status=0"], "not as it was left:\n{back}");
    assert_eq!(terminal.ask(MODES), "0 1 0", "alternate screen, cursor, mouse in the shell");
    terminal.type_in("typed");
    terminal.until("what is typed", |picture| picture.has(&["typed"]));
    terminal.press(&["Enter"]);
    terminal.until("the typed line as the shell read it", |picture| picture.has(&["read typed"]));
}

pub fn quit(stage: &Stage) {
    let terminal = in_a_shell(stage);
    terminal.press(&["q"]);
    is_given_back(&terminal);
}

pub fn sigterm(stage: &Stage) {
    let terminal = in_a_shell(stage);
    let tracer = child(terminal.pid, "tracer").expect("the view is a child of the shell");
    kill(Pid::from_raw(tracer.cast_signed()), Signal::SIGTERM).expect("tell it to end");
    is_given_back(&terminal);
}

pub fn no_color(stage: &Stage) {
    let listener = stage.listen(8080);
    // With the variable, and without it: else the absence of colours would say nothing.
    for (variables, coloured) in [(&[UTF8, ("NO_COLOR", "1")][..], false), (&[UTF8][..], true)] {
        let view = stage.view_with(SIZE, variables);
        let pair = stage.connect(&listener);
        pair.exchange("/hello", std::time::Duration::ZERO, "500 Oh");
        view.until("the request", |picture| picture.has(&["GET /hello", " 500 "]));
        view.press(&["j", "Enter"]);
        view.until("a ladder", |picture| picture.has(&["├─ SYN seq 0 ─"]));
        let looks = view.looks();
        assert_eq!(has_colours(&looks), coloured, "{looks:?}");
    }
}

/// Whether a select-graphic-rendition sequence sets a colour: 30 to 49, 90 to 107, except 39 and 49, the defaults.
fn has_colours(looks: &str) -> bool {
    let sequences = looks.split("\x1b[").skip(1).filter_map(|text| text.split_once('m'));
    let codes = sequences.flat_map(|(codes, _)| codes.split(';'));
    codes
        .filter_map(|code| code.parse::<u8>().ok())
        .any(|code| matches!(code, 30..=38 | 40..=48 | 90..=107))
}

pub fn ascii(stage: &Stage) {
    let view = stage.view_with(SIZE, &[("LANG", "C")]);
    let listener = stage.listen(8080);
    let pair = stage.connect(&listener);
    pair.exchange("/hello", std::time::Duration::from_millis(5), "200 OK");
    let is_ascii = |picture: &Picture| {
        let text = picture.to_string();
        assert!(text.is_ascii(), "more than ASCII:\n{text}");
    };
    is_ascii(&view.until("the request", |picture| picture.has(&["GET /hello", " 200 "])));
    view.press(&["j", "Enter"]);
    is_ascii(&view.until("a ladder", |picture| {
        picture.has(&["> ESTABLISHED"]) && picture.has(&["+- SYN seq 0 -", ">|"])
    }));
    view.press(&["?"]);
    is_ascii(&view.until("the keys", |picture| picture.has(&["keys and signs"])));
    view.press(&["Escape"]);
    view.until("the ladder again", |picture| !picture.has(&["keys and signs"]));
    view.press(&["Tab"]);
    is_ascii(&view.until("the requests", |picture| picture.has(&["WHERE IT WENT"])));
}
