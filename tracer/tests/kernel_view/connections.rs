//! Connections as they live, and one of them as a ladder.

use std::time::Duration;

use crate::screen::Picture;
use crate::stage::{Stage, owner};

/// The table's row of a connection end has all of these in it.
fn row<'a>(picture: &'a Picture, parts: &[&str]) -> Option<&'a str> {
    picture.line(parts).map(|(_, line)| line)
}

pub fn live(stage: &Stage) {
    let view = stage.view();
    let listener = stage.listen(8080);
    let pair = stage.connect(&listener);
    pair.exchange("/hello", Duration::ZERO, "200 OK");
    let (asker, giver, from) = (owner(&stage.asker), owner(&stage.giver), pair.client_address());
    let to = "→ 127.0.0.1:8080";
    let back = format!("127.0.0.1:8080  ← {from}");
    view.until("both ends, standing, with owner and request", |picture| {
        let client = ["ESTABLISHED", &asker, &from, to, "GET /hello", " 200 "];
        let server = ["ESTABLISHED", &giver, &back, "GET /hello", " 200 "];
        picture.has(&client) && picture.has(&server)
    });

    pair.client.shutdown();
    view.until("half closed, the client's end first", |picture| {
        picture.has(&["FIN_WAIT2", &asker, &from, "we closed"])
            && picture.has(&["CLOSE_WAIT", &giver, &back, "remote closed"])
    });

    pair.server.receive_end(0);
    pair.server.close();
    let closed = view.until("TIME_WAIT at one end, CLOSE at the other", |picture| {
        let client = row(picture, &["TIME_WAIT", &asker, &from, "closed by us"]);
        client.and_then(seconds_left).is_some()
            && picture.has(&["CLOSE ", &giver, &back, "closed by remote"])
    });
    let left = |picture: &Picture| seconds_left(row(picture, &["TIME_WAIT", &from])?);
    let first = left(&closed).expect("the condition before");
    assert!(first <= 60, "TIME_WAIT lasts 60 s, not {first}:\n{closed}");
    view.until("TIME_WAIT counting down", |picture| left(picture).is_some_and(|s| s < first));
}

/// What is left of TIME_WAIT: `41 s left`.
fn seconds_left(row: &str) -> Option<u64> {
    let (before, _) = row.split_once(" s left")?;
    before.rsplit(' ').next()?.parse().ok()
}

pub fn ladder(stage: &Stage) {
    // High enough for table and ladder, all of it.
    let view = stage.view_with((120, 60), &[crate::stage::UTF8]);
    let listener = stage.listen(8080);
    let pairs = [stage.connect(&listener), stage.connect(&listener)];
    let (asker, giver) = (owner(&stage.asker), owner(&stage.giver));
    view.until("both ends of two connections", |picture| {
        picture.count(&["ESTABLISHED", ":8080"]) == 4
    });

    // The table's rows stand below its heading; the selected one bears the mark.
    let selected = |picture: &Picture| {
        let (heading, _) = picture.line(&["STATE", "OWNER"])?;
        Some(picture.line(&["▸"])?.0 - heading)
    };
    for (keys, place) in
        [(["j"], 1), (["j"], 2), (["Down"], 3), (["k"], 2), (["Up"], 1), (["G"], 4), (["g"], 1)]
    {
        view.press(&keys);
        view.until(&format!("row {place} selected by {keys:?}"), |picture| {
            selected(picture) == Some(place)
        });
    }

    let (pair, from) = (pairs[1], pairs[1].client_address());
    let arrow = format!("{from} → 127.0.0.1:8080");
    let place = view.picture();
    let (heading, _) = place.line(&["STATE", "OWNER"]).expect("the table's heading");
    let (at, _) = place.line(&["ESTABLISHED", &asker, &arrow]).expect("the client's row");
    (1..at - heading).for_each(|_| view.press(&["j"]));
    view.until("the client's row selected", |picture| picture.has(&["▸", &asker, &arrow]));
    view.press(&["Enter"]);
    view.until("the open pane, over both ends", |picture| {
        picture.has(&["┌ c", &asker, &arrow])
            && picture.has(&[&format!("{asker} {from}"), &format!("{giver} 127.0.0.1:8080")])
            && picture.has(&["├─ SYN seq 0 ─", "▶│"])
            && picture.has(&["│◀─", "─ SYN+ACK seq 0 ack 1 ─┤"])
    });

    let (asked, given) = pair.exchange("/hello", Duration::from_millis(5), "404 Not Found");
    pair.close();
    // A FIN takes a sequence number, as the SYN before it did.
    let first = format!("├─ FIN seq {} ack {} ─", asked + 1, given + 1);
    let second = format!("─ FIN seq {} ack {} ─┤", given + 1, asked + 2);
    let whole = view.until("request, answer and both FINs, in their order", |picture| {
        let places = [
            picture.line(&["├─ SYN seq 0 ─", "▶│"]),
            picture.line(&["├═ GET /hello ═", "▶│", "request"]),
            picture.line(&["│◀═", "═ 404 text/plain 5 B ═┤", "answer"]),
            picture.line(&[&first, "▶│"]),
            picture.line(&["│◀─", &second]),
        ];
        let places = places.map(|line| line.map(|(at, _)| at));
        places.iter().all(Option::is_some) && places.is_sorted()
    });
    assert!(whole.has(&["▸ TIME_WAIT", &asker, &arrow]), "not selected any more:\n{whole}");

    view.press(&["Escape"]);
    view.until("the closed pane, the row still selected", |picture| {
        !picture.has(&["┌ c"]) && picture.has(&["▸ TIME_WAIT", &asker, &arrow])
    });
    view.press(&["Escape"]);
    view.until("nothing selected", |picture| !picture.has(&["▸"]));
}
