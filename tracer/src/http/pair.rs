//! Which response answers which request.
//!
//! Responses come in the order of their requests (RFC 9112 section 9.3.2). While both streams are whole,
//! pairing is counting. After damage it rests on positions. Each request has a *floor*: the position that
//! the response stream had reached when the request's first byte passed. Its response begins at or behind
//! its floor. A client that does not pipeline sends a request only after the whole response to the one
//! before, so the response to request k lies between floor k and floor k+1, whatever was lost in other
//! places. After damage:
//!
//! - a response begins exactly at a floor: the first byte that passed after that request;
//! - where a hole covers the floor and damage before it explains the hole, the message behind the hole
//!   is the response if both streams are in step from there to the next response: until then the
//!   exchange is *unconfirmed* and not written;
//! - a request begins at a packet's first byte, after the response to the request before it;
//! - content of unknown length is never searched for messages.
//!
//! A client that has pipelined gives no such evidence. After damage its requests and responses are not
//! paired up to the connection's end.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::Flow;
use super::exchange::{Ending, Exchange, MAX_INTERIM, Message};
use super::framing::Asked;
use super::limits::{Counters, Limits};

/// How the beginning of a request was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Where the request before it ended, or as the stream's first byte.
    InStep,
    /// Behind damage. `hidden`: another request began in it.
    AfterDamage { hidden: bool },
}

/// Where the next response may begin, for a reader that has lost its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// At the position asked about.
    Here,
    /// Not before this position.
    At(u64),
    /// At no known position.
    Nowhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    /// Its response is being read. `may_end`: where its head ended, and it too, if the request whose
    /// method is not known was a HEAD.
    Begun {
        may_end: Option<u64>,
    },
    /// Its response ended, or is known to be lost.
    Over,
}

/// An exchange whose request has begun.
#[derive(Debug)]
struct Pending {
    exchange: Exchange,
    floor: u64,
    found: Found,
    /// The hidden request before it had no response yet when this one began.
    hidden_is_open: bool,
    /// A hole lies before its response.
    behind_hole: bool,
    /// Not certain to be a request: only a response proves it.
    tentative: bool,
    request_ended: bool,
    answer: Answer,
    /// The response is not certain to be the answer.
    unconfirmed: bool,
}

impl Pending {
    /// Whether its response was read and is not certain to be the answer.
    fn is_unconfirmed(&self) -> bool {
        self.unconfirmed && self.answer == Answer::Over
    }

    fn is_being_answered(&self) -> bool {
        matches!(self.answer, Answer::Begun { .. })
    }

    fn is_finished(&self) -> bool {
        self.request_ended && self.answer == Answer::Over && !self.unconfirmed
    }
}

/// Pairs the messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// In order; all but the last have their request whole. Boxed: a connection that idles keeps no room
    /// for heads.
    queue: VecDeque<Box<Pending>>,
    queue_bytes: usize,
    /// The response being read, when its request is not known.
    orphan: Option<Box<Exchange>>,
    exchanges: u64,
    /// Floor of the last request.
    last_floor: Option<u64>,
    from_the_start: bool,
    /// Position behind the last response that was read and answers a known request.
    response_end: u64,
    /// Position of the last response that answers no known request.
    orphan_begin: Option<u64>,
    /// Something was lost.
    damaged: bool,
    /// The pairing rests on the client not pipelining.
    assumed: bool,
    pipelines: bool,
    /// The response being read turned out to be none.
    refuted: bool,
    /// No pairing any more.
    given_up: bool,
    requests_over: bool,
    responses_over: bool,
}

impl Pairing {
    /// `from_the_start`: the connection's first byte was seen.
    pub fn begin(&mut self, from_the_start: bool) {
        self.from_the_start = from_the_start;
        self.assumed = !from_the_start;
        // Begun before that was known: it came with the SYN.
        let first = self.queue.front_mut().filter(|p| from_the_start && p.exchange.number == 1);
        if let Some(first) = first {
            first.exchange.reused_connection = Some(false);
        }
    }

    /// Bytes of heads that wait for their exchange to end.
    pub fn buffered_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Whether a response that begins at `position` would answer a known request.
    pub fn awaits_response(&self, position: u64) -> bool {
        self.awaited().is_some_and(|i| self.queue[i].floor <= position)
    }

    /// Whether no known request waits for its response.
    pub fn expects_nothing(&self) -> bool {
        self.awaited().is_none()
    }

    /// Whether the last request is a CONNECT without a response.
    pub fn awaits_tunnel(&self) -> bool {
        self.queue.back().is_some_and(|last| {
            last.answer == Answer::Awaited && last.exchange.method() == Some("CONNECT")
        })
    }

    /// The client sent a request in one packet with the one before it.
    pub fn request_shares_packet(&mut self) {
        self.pipelines = true;
    }

    /// Whether a request may begin behind bytes of unknown content. `floor`: its floor; `dropped_at`: that
    /// of the last of those bytes.
    pub fn may_follow(&self, floor: u64, dropped_at: Option<u64>) -> bool {
        let passed = [self.last_floor, dropped_at].into_iter().flatten();
        let answered_since = passed.max().is_none_or(|passed| passed < floor);
        match self.queue.back().map(|last| last.answer) {
            // Without content the response has ended, whatever its fields announce.
            Some(Answer::Begun { may_end }) => may_end == Some(floor) && answered_since,
            _ => answered_since,
        }
    }

    /// The first byte of a request's head was read. `floor`: its floor. `responses_begin`: position of the response stream's first byte.
    pub fn request_opens(
        &mut self,
        floor: u64,
        responses_begin: u64,
        found: Found,
        limits: &Limits,
        counters: &mut Counters,
        out: &mut Vec<Exchange>,
    ) {
        let follows_hidden = found == Found::AfterDamage { hidden: true };
        // Without a byte of response since, the hidden request is not answered yet. A response that is not
        // certain to answer the request before it may be its own.
        let hidden_is_open = follows_hidden
            && floor <= self.response_end.max(responses_begin)
            && !self.has_unconfirmed();
        if follows_hidden {
            self.refute_unconfirmed();
            self.tell_finished(out);
        }
        if self.queue.len() >= limits.max_outstanding {
            counters.outstanding_overflows += 1;
            self.give_up(out);
        }
        // It was read late, and what was taken for a response without a request may be its own.
        let is_late = self.orphan_begin.is_some_and(|orphan| floor <= orphan);
        if is_late {
            self.note_doubt(out);
        }
        let answer = if is_late || self.given_up { Answer::Over } else { Answer::Awaited };
        self.last_floor = Some(floor);
        let exchange = self.new_exchange(None);
        self.queue.push_back(Box::new(Pending {
            exchange,
            floor,
            found,
            hidden_is_open,
            behind_hole: false,
            tentative: hidden_is_open || self.given_up && found != Found::InStep,
            request_ended: false,
            answer,
            unconfirmed: found != Found::InStep,
        }));
    }

    /// The head of the request that was opened last was read.
    pub fn request_begins(
        &mut self,
        request: Message,
        limits: &Limits,
        counters: &mut Counters,
        out: &mut Vec<Exchange>,
    ) {
        let bytes = request.head.heap_bytes();
        let full = self.queue.len() > 1 && self.queue_bytes + bytes > limits.max_outstanding_bytes;
        if let Some(last) = self.queue.back_mut().filter(|last| !last.request_ended) {
            last.exchange.request = Some(request);
            self.queue_bytes += bytes;
        }
        if full {
            counters.outstanding_overflows += 1;
            self.give_up(out);
        }
    }

    /// What was opened as a request is none.
    pub fn request_refused(&mut self, out: &mut Vec<Exchange>) {
        let Some(last) = self.queue.back_mut().filter(|last| !last.request_ended) else { return };
        last.request_ended = true;
        if last.answer == Answer::Awaited {
            self.forget_last();
        } else {
            self.tell_finished(out);
        }
    }

    /// Bytes that are no request follow the last one where the next would begin. If it was found behind
    /// damage and has no response yet, it was content that reads like a request.
    pub fn request_refuted(&mut self) {
        let is_content = self.queue.back().is_some_and(|last| {
            last.found != Found::InStep && last.answer == Answer::Awaited && last.request_ended
        });
        if is_content {
            self.forget_last();
        }
    }

    fn forget_last(&mut self) {
        if let Some(last) = self.queue.pop_back() {
            self.queue_bytes = self.queue_bytes.saturating_sub(heap_bytes(&last.exchange));
            self.exchanges -= u64::from(last.exchange.number == self.exchanges);
        }
    }

    /// The request being read came to its end, or to where it breaks off.
    pub fn request_ends(&mut self, end: &Ending, out: &mut Vec<Exchange>) {
        if let Some(last) = self.queue.back_mut().filter(|p| !p.request_ended) {
            last.request_ended = true;
            end_half(&mut last.exchange.request, end);
            self.tell_finished(out);
        }
    }

    /// The request being read waited for 100 before its content and got a final answer in its place.
    pub fn needs_no_content(&self) -> bool {
        self.queue.back().is_some_and(|last| {
            let request = last.exchange.request.as_ref();
            last.answer == Answer::Over
                && last.exchange.response.is_some()
                && !last.exchange.interim.contains(&100)
                && request
                    .and_then(|m| m.head.field("expect"))
                    .is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue"))
        })
    }

    /// An interim response (1xx) was read at `position`.
    pub fn interim(&mut self, status: u16, position: u64, out: &mut Vec<Exchange>) {
        self.settle_unconfirmed(position);
        self.tell_finished(out);
        let awaited = self.awaited().and_then(|i| self.queue.get_mut(i));
        if let Some(pending) = awaited.filter(|p| p.floor <= position) {
            let known = &mut pending.exchange.interim;
            if known.len() < MAX_INTERIM {
                known.push(status);
            }
        }
    }

    /// A final response's head was read that begins at `position`; gives what it answers.
    pub fn response_begins(
        &mut self,
        response: Message,
        position: u64,
        head_end: u64,
        out: &mut Vec<Exchange>,
    ) -> Asked {
        self.look_for_pipelining(position, out);
        self.settle_unconfirmed(position);
        self.tell_finished(out);
        if let Some(i) = self.awaited().filter(|&i| self.queue[i].floor <= position) {
            if !self.queue[i].hidden_is_open {
                let pending = &mut self.queue[i];
                let asked = Asked::by(pending.exchange.method());
                let may_end = (asked == Asked::Unknown).then_some(head_end);
                pending.answer = Answer::Begun { may_end };
                pending.exchange.response = Some(response);
                return asked;
            }
            // The unseen request before it is still unanswered: the client pipelines, or this is none.
            self.give_up(out);
        }
        self.orphan_begin = Some(position);
        self.orphan = Some(Box::new(self.new_exchange(Some(response))));
        Asked::Unknown
    }

    /// The response being read came to its end, or to where it breaks off. `seen_end`: behind the last
    /// byte of it that was seen; `end`: its end on the stream.
    pub fn response_ends(
        &mut self,
        ending: &Ending,
        seen_end: u64,
        end: u64,
        out: &mut Vec<Exchange>,
    ) {
        if let Some(mut exchange) = self.orphan.take() {
            end_half(&mut exchange.response, ending);
            out.push(*exchange);
        } else if let Some(i) = self.queue.iter().position(|p| p.is_being_answered()) {
            self.response_end = self.response_end.max(end);
            self.queue[i].answer = Answer::Over;
            end_half(&mut self.queue[i].exchange.response, ending);
            if self.queue.get(i + 1).is_some_and(|next| next.floor < seen_end) {
                self.note_pipelining(out);
            }
            self.tell_finished(out);
        }
    }

    /// Bytes at `position`, where a response would begin, are not to be had.
    pub fn response_unseen(&mut self, position: u64, out: &mut Vec<Exchange>) {
        let awaited = self.awaited().filter(|&i| self.queue[i].floor <= position);
        if let Some(i) = awaited.filter(|&i| !self.queue[i].hidden_is_open) {
            self.queue[i].answer = Answer::Over;
            self.tell_finished(out);
        }
    }

    /// Whether the response being read turned out to be none, once.
    pub fn take_refuted(&mut self) -> bool {
        std::mem::take(&mut self.refuted)
    }

    /// Whether and where the response stream can be read again. `position`: of its next byte;
    /// `seen_end`: behind the last byte before it that was seen, 0 where there is none; `may_begin`: a
    /// packet begins there, with a status line.
    pub fn resume(
        &mut self,
        position: u64,
        seen_end: u64,
        may_begin: bool,
        out: &mut Vec<Exchange>,
    ) -> Resume {
        let first = self.awaited().unwrap_or(self.queue.len());
        let due = self.queue.range(first..).take_while(|p| p.floor <= position).count();
        let next = self.queue.get(first + due).map_or(Resume::Nowhere, |p| Resume::At(p.floor));
        let Some(last) = due.checked_sub(1).map(|last| first + last) else { return next };
        let floor = self.queue[last].floor;
        if due > 1 && self.queue[last - 1].floor == floor {
            self.note_pipelining(out);
            return Resume::Nowhere;
        }
        let begins_unseen = seen_end == 0;
        let behind_hole = due == 1 && may_begin && (begins_unseen || seen_end <= floor);
        if floor == position && !begins_unseen || behind_hole {
            self.refute_older(last);
            let found = &mut self.queue[last];
            found.behind_hole = floor != position;
            found.unconfirmed |= found.behind_hole;
            // Where there is a hole, the response to the hidden request lies in it.
            found.hidden_is_open &= floor == position;
            self.queue.range_mut(first..last).for_each(|p| p.answer = Answer::Over);
            self.tell_finished(out);
            return Resume::Here;
        }
        next
    }

    /// Place in one of the streams was lost.
    pub fn place_lost(&mut self, flow: Option<Flow>, out: &mut Vec<Exchange>) {
        if flow == Some(Flow::Response) {
            self.refute_unconfirmed();
        }
        self.note_doubt(out);
    }

    /// From now on the pairing rests on positions.
    fn note_doubt(&mut self, out: &mut Vec<Exchange>) {
        self.events_lost();
        if self.pipelines {
            self.give_up(out);
        }
        self.tell_finished(out);
    }

    /// Something of this connection was lost.
    pub fn events_lost(&mut self) {
        self.damaged = true;
        self.assumed = true;
    }

    /// No request comes any more. `in_step`: the stream ended between two requests.
    pub fn requests_end(&mut self, in_step: bool, out: &mut Vec<Exchange>) {
        self.requests_over |= in_step;
        self.confirm_at_end(out);
    }

    /// No response comes any more. `in_step`: the stream ended between two responses.
    pub fn responses_end(&mut self, in_step: bool, out: &mut Vec<Exchange>) {
        self.responses_over |= in_step;
        self.confirm_at_end(out);
        self.expect_no_more(out);
    }

    fn confirm_at_end(&mut self, out: &mut Vec<Exchange>) {
        if self.requests_over && self.responses_over {
            self.queue.iter_mut().for_each(|p| p.unconfirmed = false);
            self.tell_finished(out);
        }
    }

    /// Tells what is left. Messages being read have been ended before.
    pub fn close(&mut self, out: &mut Vec<Exchange>) {
        if self.damaged {
            self.refute_unconfirmed();
        }
        while let Some(pending) = self.queue.pop_front() {
            self.tell(*pending, out);
        }
        out.extend(self.orphan.take().map(|exchange| *exchange));
        *self = Pairing { exchanges: self.exchanges, ..Pairing::default() };
    }

    fn awaited(&self) -> Option<usize> {
        self.queue.iter().position(|p| p.answer == Answer::Awaited)
    }

    fn new_exchange(&mut self, response: Option<Message>) -> Exchange {
        self.exchanges += 1;
        let first = self.exchanges == 1;
        let reused_connection =
            if first { self.from_the_start.then_some(false) } else { Some(true) };
        Exchange {
            number: self.exchanges,
            request: None,
            response,
            interim: SmallVec::new(),
            reused_connection,
        }
    }

    /// A second request that began before the first one's response did shows that the client pipelines.
    fn look_for_pipelining(&mut self, position: u64, out: &mut Vec<Exchange>) {
        let Some(i) = self.awaited() else { return };
        if self.queue.get(i + 1).is_some_and(|next| next.floor <= position) {
            self.note_pipelining(out);
        }
    }

    /// If the pairing rested on the client not pipelining, it is over.
    fn note_pipelining(&mut self, out: &mut Vec<Exchange>) {
        self.pipelines = true;
        if self.assumed {
            self.give_up(out);
        }
    }

    /// A response begins in step behind an unconfirmed one: where it begins at the floor of the next
    /// request, there was one response between the two requests and no more.
    fn settle_unconfirmed(&mut self, position: u64) {
        let Some(i) = self.queue.iter().position(|p| p.is_unconfirmed()) else { return };
        // Behind a hole, requests that are not known may have begun.
        let behind_hole = self.queue[i].behind_hole;
        let next_is_next = |next: &Pending| match next.found {
            Found::InStep => true,
            Found::AfterDamage { hidden } => !hidden && !behind_hole,
        };
        let next = self.queue.get(i + 1);
        if next.is_some_and(|next| next.floor == position && next_is_next(next)) {
            self.queue[i].unconfirmed = false;
        } else {
            self.refute_unconfirmed();
        }
    }

    fn has_unconfirmed(&self) -> bool {
        self.queue.iter().any(|p| p.is_unconfirmed())
    }

    fn refute_unconfirmed(&mut self) {
        self.refute_older(self.queue.len());
    }

    /// Of the first `count` entries.
    fn refute_older(&mut self, count: usize) {
        let has_response = |p: &&mut Box<Pending>| p.unconfirmed && p.answer != Answer::Awaited;
        for pending in self.queue.iter_mut().take(count).filter(has_response) {
            self.refuted |= pending.is_being_answered();
            pending.unconfirmed = false;
            pending.answer = Answer::Over;
            pending.exchange.response = None;
        }
    }

    fn give_up(&mut self, out: &mut Vec<Exchange>) {
        self.refute_unconfirmed();
        self.expect_no_more(out);
    }

    /// The requests that are open have no response, and neither will any other.
    fn expect_no_more(&mut self, out: &mut Vec<Exchange>) {
        self.given_up = true;
        for pending in self.queue.iter_mut().filter(|p| p.answer == Answer::Awaited) {
            pending.answer = Answer::Over;
            pending.unconfirmed = false;
        }
        self.tell_finished(out);
    }

    fn tell_finished(&mut self, out: &mut Vec<Exchange>) {
        while self.queue.front().is_some_and(|p| p.is_finished()) {
            let Some(pending) = self.queue.pop_front() else { return };
            self.queue_bytes = self.queue_bytes.saturating_sub(heap_bytes(&pending.exchange));
            self.tell(*pending, out);
        }
    }

    /// What only a response would have proved to be a request is not an exchange without one.
    fn tell(&mut self, pending: Pending, out: &mut Vec<Exchange>) {
        let exchange = pending.exchange;
        let is_certain = exchange.response.is_some() || !pending.tentative;
        if is_certain && (exchange.request.is_some() || exchange.response.is_some()) {
            out.push(exchange);
        } else if exchange.number == self.exchanges {
            self.exchanges -= 1;
        }
    }
}

fn heap_bytes(exchange: &Exchange) -> usize {
    exchange.request.as_ref().map_or(0, |m| m.head.heap_bytes())
}

fn end_half(half: &mut Option<Message>, end: &Ending) {
    if let Some(message) = half {
        message.end_with(end);
    }
}
