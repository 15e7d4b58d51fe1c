//! The program starts in the middle of a message whose content reads like HTTP: no exchange is made
//! of it, and what follows is recorded.

use crate::support::expect::{Check, Ex};
use crate::support::place::Place;
use crate::support::records::Exchange;
use crate::support::table::{Case, Play};
use crate::talk::{Talk, at_both_ends, get};

pub const CASES: &[Case] = &[
    Case::across_the_start("nothing_is_made_of_the_text_of_a_download", download),
    Case::across_the_start("nothing_is_made_of_the_text_of_a_chunked_download", chunked),
    Case::across_the_start("nothing_is_made_of_the_text_of_an_upload", upload),
    Case::across_the_start("a_connection_that_was_idle_at_the_start_is_recorded", idle),
    Case::across_the_start("a_response_to_a_request_before_the_start_is_no_other_ones", answered),
];

/// A message and a request, as a log of a server may have them.
fn text() -> String {
    let message = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
    let request = "GET /false HTTP/1.1\r\nhost: x\r\n\r\n";
    [message, request].concat().repeat(20)
}

/// The two exchanges after the start, complete; before them at most one that is incomplete and of
/// the message that was under way, and none of its text.
fn after() -> Vec<Check> {
    vec![at_both_ends(|_, exchanges| {
        let is_after = |e: &Exchange| e.target.as_deref().is_some_and(|t| t.starts_with("/after"));
        let after: Vec<&Exchange> = exchanges.iter().filter(|e| is_after(e)).collect();
        let found: Vec<_> = after.iter().map(|e| Ex::from(*e)).collect();
        let expected = |number: u64, path: &str| Ex::new(number, "GET", path, 200, 2);
        let first = after.first().map_or(0, |e| e.number);
        if found != [expected(first, "/after1"), expected(first + 1, "/after2")] {
            return Err("the exchanges after the start are wrong".into());
        }
        let before: Vec<&Exchange> = exchanges.iter().filter(|e| !is_after(e)).collect();
        match before[..] {
            [] => Ok(()),
            [one] if !one.complete && one.target.as_deref() != Some("/false") => Ok(()),
            _ => Err("exchanges that never were".into()),
        }
    })]
}

fn finish(talk: Talk) -> Vec<Check> {
    talk.small("/after1");
    talk.small("/after2");
    talk.close();
    after()
}

const ROUNDS: usize = 12;

fn download(place: &mut Place) -> Play {
    let talk = Talk::new(place);
    talk.ask(get("/download"));
    let bytes = text().len() * ROUNDS;
    talk.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n"));
    (0..ROUNDS / 2).for_each(|_| talk.answer(text()));
    Box::new(move |_| {
        (ROUNDS / 2..ROUNDS).for_each(|_| talk.answer(text()));
        finish(talk)
    })
}

fn chunked(place: &mut Place) -> Play {
    let talk = Talk::new(place);
    talk.ask(get("/download"));
    talk.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", text().len(), text());
    let rest = chunk.clone();
    (0..ROUNDS / 2).for_each(|_| talk.answer(&chunk));
    Box::new(move |_| {
        (ROUNDS / 2..ROUNDS).for_each(|_| talk.answer(&rest));
        talk.answer("0\r\n\r\n");
        finish(talk)
    })
}

fn upload(place: &mut Place) -> Play {
    let talk = Talk::new(place);
    let bytes = text().len() * ROUNDS;
    talk.ask(format!("PUT /up HTTP/1.1\r\nhost: a.test\r\ncontent-length: {bytes}\r\n\r\n"));
    (0..ROUNDS / 2).for_each(|_| talk.ask(text()));
    Box::new(move |_| {
        (ROUNDS / 2..ROUNDS).for_each(|_| talk.ask(text()));
        talk.answer("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
        finish(talk)
    })
}

fn idle(place: &mut Place) -> Play {
    let talk = Talk::new(place);
    talk.small("/before");
    Box::new(move |_| finish(talk))
}

/// The request was before the start, its response comes after it.
fn answered(place: &mut Place) -> Play {
    let talk = Talk::new(place);
    talk.ask(get("/before"));
    Box::new(move |_| {
        talk.answer("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone");
        finish(talk)
    })
}
