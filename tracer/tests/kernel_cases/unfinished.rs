//! Requests that never end, and what a server makes of them.

use crate::support::expect::Check;
use crate::support::place::Place;
use crate::support::records::Exchange;
use crate::support::table::Case;
use crate::talk::{Talk, at_both_ends};

pub const CASES: &[Case] = &[
    Case::scripted("a_request_without_the_rest_of_its_content_is_answered_once", content),
    Case::scripted("a_request_without_its_last_chunk_is_answered_once", last_chunk),
    Case::scripted("a_request_without_the_end_of_its_head_is_answered_once", head),
    Case::scripted("a_request_line_without_end_is_answered_once", request_line),
    Case::scripted("a_whole_exchange_before_an_unfinished_one_stays_whole", behind_a_whole_one),
];

const TIMEOUT: &str = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
                       content-length: 7\r\n\r\ntoo slo";
const BAD: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbad";

/// The request so far, the response, and the server closes. `method`: what the request says, where
/// it says so much.
fn play(place: &mut Place, request: &str, response: &str, method: Option<&str>) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(request);
    talk.answer(response);
    talk.close_by_server();
    let status: u16 = response[9..12].parse().expect("a status");
    let method = method.map(str::to_owned);
    vec![at_both_ends(move |_, exchanges| match exchanges {
        [only] => one(only, status, method.as_deref()),
        _ => Err(format!("{} exchanges, not one", exchanges.len())),
    })]
}

fn one(exchange: &Exchange, status: u16, method: Option<&str>) -> Result<(), String> {
    if exchange.status != Some(status) || exchange.complete {
        return Err(format!("it is not an incomplete one with {status}"));
    }
    // A head that did not end may be recorded as far as it came.
    if method.is_some() && exchange.method.as_deref() != method {
        return Err(format!("its method is not {method:?}"));
    }
    Ok(())
}

fn content(place: &mut Place) -> Vec<Check> {
    let head = "POST /slow HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000\r\n\r\nten bytes.";
    play(place, head, TIMEOUT, Some("POST"))
}

fn last_chunk(place: &mut Place) -> Vec<Check> {
    let head =
        "PUT /slow HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    play(place, head, BAD, Some("PUT"))
}

fn head(place: &mut Place) -> Vec<Check> {
    play(place, "GET /slow HTTP/1.1\r\nhost: a.test\r\nx-slow: lor", TIMEOUT, None)
}

fn request_line(place: &mut Place) -> Vec<Check> {
    play(place, "GET /slow-and-never-ended", BAD, None)
}

fn behind_a_whole_one(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.small("/whole");
    talk.ask("GET /slow HTTP/1.1\r\nhost: a.te");
    talk.answer(TIMEOUT);
    talk.close_by_server();
    vec![at_both_ends(|_, exchanges| match exchanges {
        [whole, slow] if whole.complete && whole.status == Some(200) => one(slow, 408, None),
        _ => Err("not a whole one and an unfinished one".into()),
    })]
}
