//! Finding things: by a filter, among the requests, by holding the picture.

use std::time::Duration;

use crate::stage::Stage;

/// `2 of 7 shown`: how many, and of how many; all of them where the footer says `7 shown`.
fn shown(footer: &str) -> Option<(usize, usize)> {
    let mut words = footer.split_whitespace().rev();
    let ("shown", all) = (words.next()?, words.next()?.parse().ok()?) else { return None };
    match words.next() {
        Some("of") => Some((words.next()?.parse().ok()?, all)),
        _ => Some((all, all)),
    }
}

pub fn filter(stage: &Stage) {
    let view = stage.view();
    let (shop, other) = (stage.listen(8080), stage.listen(8081));
    let _pairs = [stage.connect(&shop), stage.connect(&shop), stage.connect(&other)];
    view.until("both ends of three connections", |picture| {
        picture.count(&["ESTABLISHED", ":8080"]) == 4
            && picture.count(&["ESTABLISHED", ":8081"]) == 2
            && shown(picture.footer()).is_some_and(|(shown, _)| shown == 6)
    });

    view.press(&["/"]);
    let command_line = stage.filter();
    view.until("the filter line with the filter in force", |picture| {
        picture.footer().starts_with(&format!(" / {command_line} "))
    });
    // The line is ready for another word; Tab completes its key.
    view.type_in("po");
    view.press(&["Tab"]);
    view.type_in("8081");
    let narrower = format!("{command_line} port:8081");
    view.until("what was typed", |picture| picture.footer().contains(&narrower));
    view.press(&["Enter"]);
    let narrowed = view.until("the two ends that the filter lets through", |picture| {
        picture.count(&["ESTABLISHED", ":8081"]) == 2 && !picture.has(&["ESTABLISHED", ":8080"])
    });
    let (few, all) = shown(narrowed.footer()).expect("the footer counts");
    assert!(few == 2 && all >= 6, "the footer counts wrongly:\n{narrowed}");
    assert!(narrowed.has(&[&format!("filter {narrower}")]), "not in the header:\n{narrowed}");

    view.press(&["/"]);
    view.until("the filter line", |picture| picture.footer().starts_with(" / "));
    view.press(&["C-u"]);
    view.type_in("prot:8081");
    let complaint =
        |footer: &str| footer.ends_with("✗ there is no key \"prot\"; did you mean port?");
    view.until("what is wrong with it", |picture| complaint(picture.footer()));
    view.press(&["Enter"]);
    // Only an open line takes one more letter.
    view.type_in("0");
    let wrong = view.until("the line still open behind Enter", |picture| {
        picture.footer().starts_with(" / prot:80810 ") && complaint(picture.footer())
    });
    assert_eq!(wrong.count(&["ESTABLISHED", ":808"]), 2, "it must not be in force:\n{wrong}");

    view.press(&["Escape"]);
    view.until("the filter before, still in force", |picture| {
        picture.footer().contains("? keys")
            && shown(picture.footer()).is_some_and(|(few, _)| few == 2)
            && picture.has(&[&format!("filter {narrower}")])
    });
}

pub fn requests(stage: &Stage) {
    let view = stage.view();
    let listener = stage.listen(8080);
    let pair = stage.connect(&listener);
    let slow = Duration::from_millis(300);
    pair.exchange("/report?month=5", slow, "200 OK");
    for target in ["/items/1", "/items/2", "/items/3"] {
        pair.exchange(target, Duration::ZERO, "200 OK");
    }
    view.press(&["Tab"]);
    let newest = view.until("two routes and four requests, the newest first", |picture| {
        let heading = picture.line(&["TIME (UTC)▼", "REQUEST", "TOTAL"]);
        let [last, first] = ["/items/3", "/report?month=5"]
            .map(|target| picture.line(&["200 ", "GET shop", target, "text/plain 5 B"]));
        heading.is_some()
            && picture.has(&["GET shop/items/:id", " 3 ", "0.0 %"])
            && picture.has(&["GET shop/report ", " 1 ", "0.0 %", " ms"])
            && last.is_some()
            && last.map(|(at, _)| at) < first.map(|(at, _)| at)
    });
    // Of the two ends of a connection one tells.
    assert_eq!(newest.count(&["text/plain 5 B"]), 4, "each request stands once:\n{newest}");

    view.press(&["s"]);
    view.until("the slowest first", |picture| {
        let heading = picture.line(&["TIME (UTC)", "TOTAL▼"]);
        heading.is_some_and(|(at, _)| picture.lines[at + 1].contains("GET shop/report?month=5"))
    });

    view.press(&["Down", "Enter"]);
    view.until("its headers, and where the time went", |picture| {
        picture.has(&["┌ c", "127.0.0.1:8080, new"])
            && picture.has(&["accept: */*"])
            && picture.has(&["content-type: text/plain"])
            && picture.has(&["wait", " ms ", "██████"])
    });
    view.press(&["Tab"]);
    view.until("the two ends as two groups", |picture| {
        picture.has(&["PROCESS", "CONNS▼"])
            && picture.has(&["ask", " 1 "])
            && picture.has(&["give", " 1 "])
    });
    view.press(&["b", "b"]);
    view.until("one group of both by port", |picture| {
        picture.has(&["PORT OF THE SERVICE"]) && picture.has(&["8080", " 2 "])
    });
    view.press(&["Down", "Enter"]);
    view.until("the connections of that group", |picture| {
        picture.has(&["STATE", "OWNER", "VERDICT"])
            && picture.has(&["filter (netns:", ") port:8080"])
    });
}

pub fn pause(stage: &Stage) {
    const NEW: usize = 20;
    let view = stage.view();
    let listener = stage.listen(8080);
    let _first = stage.connect(&listener);
    view.until("the first connection", |picture| picture.count(&["ESTABLISHED", ":8080"]) == 2);
    view.press(&["Space"]);
    view.until("the held picture", |picture| {
        picture.header().contains("PAUSED") && picture.footer().contains("space go on")
    });
    let _new: Vec<_> = (0..NEW).map(|_| stage.connect(&listener)).collect();
    // At least two changes of state for each end.
    let held = view.until("the changes of the new connections, held", |picture| {
        changes(picture.header()).is_some_and(|changes| changes >= 4 * NEW)
    });
    assert_eq!(held.count(&["ESTABLISHED", ":8080"]), 2, "it must stand still:\n{held}");
    view.press(&["Space"]);
    view.until("all connections, live", |picture| {
        picture.header().contains("● live")
            && picture.count(&["ESTABLISHED", ":8080"]) > 2
            && shown(picture.footer()).is_some_and(|(shown, _)| shown == 2 + 2 * NEW)
    });
}

/// `‖ PAUSED, 17 changes wait`.
fn changes(header: &str) -> Option<usize> {
    let (_, after) = header.split_once("PAUSED, ")?;
    after.split(' ').next()?.parse().ok()
}
