//! The same view over what a daemon sees.

use std::time::Duration;

use crate::screen::Terminal;
use crate::stage::{SIZE, Stage, UTF8, owner, stands};
use crate::support::daemon::Daemon;
use crate::support::environment;

pub fn watched(stage: &Stage) {
    let folder = tempfile::tempdir().expect("a folder for the socket");
    let socket = folder.path().join("tracer.sock");
    let daemon = Daemon::start(&socket, &[]);
    let listener = stage.listen(8080);
    let before = stage.connect(&listener);
    let tracer = environment::tracer();
    let (tracer, place) = (tracer.display().to_string(), socket.display().to_string());
    let view =
        Terminal::start(SIZE, &[UTF8], &[&tracer, "watch", "--from", &place, &stage.filter()]);
    stands(&view);
    let (asker, giver) = (owner(&stage.asker), owner(&stage.giver));
    view.until("what was open when it came", |picture| {
        picture.has(&["ESTABLISHED", &asker, &before.client_address()])
            && picture.has(&["ESTABLISHED", &giver])
    });

    let pair = stage.connect(&listener);
    pair.exchange("/told", Duration::ZERO, "200 OK");
    let from = pair.client_address();
    view.until("what happens since", |picture| {
        picture.count(&["ESTABLISHED", &from, "GET /told", "200"]) == 2
            && picture.header().contains("● live")
    });
    pair.close();
    view.until("its end", |picture| {
        picture.has(&["TIME_WAIT", &asker, &from, "closed by us"])
            && picture.has(&["CLOSE ", &giver, &from, "closed by remote"])
    });

    drop(daemon);
    view.until("that nobody tells it anything", |picture| {
        picture.header().contains("○ DAEMON GONE")
    });
    let _daemon = Daemon::start(&socket, &[]);
    view.until("what the next daemon sees, and nothing of the first", |picture| {
        picture.header().contains("● live")
            && picture.has(&["ESTABLISHED", &asker, &before.client_address()])
            && !picture.has(&["CLOSE ", &giver, &from])
    });
    view.press(&["q"]);
}
