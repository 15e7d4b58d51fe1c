//! Which response answers which request.
//!
//! Responses come in the order of their requests (RFC 9112 section 9.3.2), so as long as both streams are
//! whole the pairing is plain counting. Where framing was lost, the number of messages that went by is
//! unknown, and counting is over until there is a new fixed point. The only one HTTP/1 offers is a client
//! that sends a request when all earlier ones are answered. So after a loss:
//!
//! - a response never answers a request that began after it;
//! - a request that began before the bytes that made the response stream uncertain is told alone: its
//!   response may have been among them;
//! - the next request is paired only if the client was seen to wait ([`WAITS`] times in a row, with nothing
//!   lost between), nothing seen before it is unanswered, and a response was seen for what a hole in the
//!   request stream must have held; or if the client was seen to wait so often since the loss;
//! - a client that was seen to pipeline gives no such fixed point: after a loss its requests and responses
//!   are told one by one to the connection's end.
//!
//! What is not certain is told as a request alone and a response alone, both incomplete. A connection
//! that is older than the tracer starts with the benefit of the doubt: it is taken to wait.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::exchange::{Ending, Exchange, MAX_INTERIM, Message};
use super::framing::Asked;
use super::limits::{Counters, Limits};
use crate::time::Timestamp;

/// So many requests in a row that each came after exactly one response to the one before show a client
/// that waits.
const WAITS: u32 = 2;

/// A request whose place in the order is certain.
#[derive(Debug)]
struct Pending {
    exchange: Exchange,
    began_at: Timestamp,
    request_ended: bool,
    response_ended: bool,
}

/// Pairs the messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// In order; all but the last have their request whole. Boxed: a connection that idles keeps no room
    /// for heads.
    queue: VecDeque<Box<Pending>>,
    queue_bytes: usize,
    /// Entries at the front of the queue whose response has ended (their request has not).
    answered: usize,
    /// The request being read, when its response cannot be told.
    alone: Option<Box<Exchange>>,
    /// The response being read, when its request cannot be told.
    orphan: Option<Box<Exchange>>,
    exchanges: u64,
    from_the_start: bool,
    /// Requests that began up to this moment may have been answered unseen.
    uncertain_to: Option<Timestamp>,
    /// Requests of unknown number came before the next one.
    order_unknown: bool,
    /// Responses still to come for requests that are not in the queue, as far as known.
    owed: u32,
    /// Responses that came for requests that were not seen (yet to be noticed as a hole).
    credit: u32,
    /// Responses that ended since the last request began.
    responses: u32,
    /// Requests in a row, since the last loss, that came after exactly one response.
    alternations: u32,
    /// The client was seen to wait.
    waits: bool,
    /// The pairing rests on the client not pipelining.
    assumed: bool,
    pipelines: bool,
    /// No pairing any more.
    given_up: bool,
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

    /// Whether a response that begins now would find no request.
    pub fn expects_nothing(&self) -> bool {
        self.unanswered().is_none()
    }

    /// The client sent a request in one packet with the one before it.
    pub fn request_shares_packet(&mut self) {
        self.pipelines = true;
    }

    /// A request's head was read.
    pub fn request_begins(&mut self, request: Message, limits: &Limits, counters: &mut Counters) {
        let began_at = request.first_at;
        self.look_for_waiting();
        let uncertain = self.uncertain_to.is_some_and(|to| began_at <= to);
        if uncertain || self.alternations >= WAITS {
            // Whatever came before was answered before this began: seen, or in what was lost.
            self.owed = 0;
        }
        let out_of_order = self.order_unknown && !self.is_settled();
        let bytes = request.head.heap_bytes();
        let full = self.queue.len() >= limits.max_outstanding
            || self.queue_bytes + bytes > limits.max_outstanding_bytes;
        counters.outstanding_overflows += u64::from(full);
        let exchange = self.new_exchange(Some(request), None);
        if self.given_up || uncertain || out_of_order || full {
            if !uncertain {
                self.order_unknown = true;
                self.owed = self.owed.saturating_add(1);
            }
            self.alone = Some(Box::new(exchange));
            return;
        }
        self.assumed |= self.order_unknown;
        self.order_unknown = false;
        self.credit = 0;
        self.queue_bytes += bytes;
        self.queue.push_back(Box::new(Pending {
            exchange,
            began_at,
            request_ended: false,
            response_ended: false,
        }));
    }

    /// Counts the requests that came after exactly one response.
    fn look_for_waiting(&mut self) {
        let waited = self.responses == 1 && self.unanswered().is_none() && self.orphan.is_none();
        self.alternations = if waited { self.alternations.saturating_add(1) } else { 0 };
        self.responses = 0;
        self.waits |= self.alternations >= WAITS;
    }

    /// Whether everything that came before a request that begins now is answered.
    fn is_settled(&self) -> bool {
        self.waits
            && !self.pipelines
            && self.owed == 0
            && self.unanswered().is_none()
            && self.orphan.is_none()
    }

    /// The request being read came to its end, or to where it breaks off.
    pub fn request_ends(&mut self, end: &Ending, out: &mut Vec<Exchange>) {
        if let Some(mut exchange) = self.alone.take() {
            end_half(&mut exchange.request, end);
            out.push(*exchange);
        } else if let Some(last) = self.queue.back_mut().filter(|p| !p.request_ended) {
            last.request_ended = true;
            end_half(&mut last.exchange.request, end);
            self.tell_finished(out);
        }
    }

    /// The request being read waited for 100 before its content and got a final answer in its place.
    pub fn needs_no_content(&self) -> bool {
        self.queue.back().is_some_and(|last| {
            let request = last.exchange.request.as_ref();
            last.response_ended
                && !last.exchange.interim.contains(&100)
                && request
                    .and_then(|m| m.head.field("expect"))
                    .is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue"))
        })
    }

    /// An interim response (1xx) was read.
    pub fn interim(&mut self, status: u16, at: Timestamp) {
        if let Some(pending) = self.unanswered().and_then(|i| self.queue.get_mut(i)) {
            let known = &mut pending.exchange.interim;
            if pending.began_at <= at && known.len() < MAX_INTERIM {
                known.push(status);
            }
        }
    }

    /// A final response's head was read; gives what it answers.
    pub fn response_begins(&mut self, response: Message, out: &mut Vec<Exchange>) -> Asked {
        let began_at = response.first_at;
        self.look_for_pipelining(began_at, out);
        let front = self
            .unanswered()
            .and_then(|i| self.queue.get_mut(i))
            .filter(|p| p.began_at <= began_at);
        if let Some(pending) = front {
            pending.exchange.response = Some(response);
            return Asked::by(pending.exchange.method().unwrap_or(""));
        }
        self.uncertain_to = self.uncertain_to.max(Some(began_at));
        self.orphan = Some(Box::new(self.new_exchange(None, Some(response))));
        Asked::Unknown
    }

    /// The response being read came to its end, or to where it breaks off.
    pub fn response_ends(&mut self, end: &Ending, out: &mut Vec<Exchange>) {
        self.responses = self.responses.saturating_add(1);
        if let Some(mut exchange) = self.orphan.take() {
            end_half(&mut exchange.response, end);
            out.push(*exchange);
            match self.owed.checked_sub(1) {
                Some(left) => self.owed = left,
                None => self.credit = self.credit.saturating_add(1),
            }
        } else if let Some(pending) = self.unanswered().and_then(|i| self.queue.get_mut(i)) {
            pending.response_ended = true;
            end_half(&mut pending.exchange.response, end);
            self.answered += 1;
            self.tell_finished(out);
        }
    }

    /// Framing of the request stream was lost. `whole_requests`: the loss began between two requests, so
    /// that at least one more request is in it.
    pub fn requests_lost(&mut self, whole_requests: bool) {
        self.order_unknown = true;
        self.given_up |= self.pipelines;
        self.responses = 0;
        self.alternations = 0;
        if !whole_requests {
            return;
        }
        match self.credit.checked_sub(1) {
            Some(left) => self.credit = left,
            None => self.owed = self.owed.saturating_add(1),
        }
    }

    /// Bytes of the response stream that passed at `at` or before belong to no known message.
    pub fn responses_lost(&mut self, at: Timestamp, out: &mut Vec<Exchange>) {
        self.uncertain_to = self.uncertain_to.max(Some(at));
        self.owed = 0;
        self.credit = 0;
        self.responses = 0;
        self.alternations = 0;
        self.order_unknown |= self.exchanges > 0 && !self.waits;
        self.assumed = true;
        self.given_up |= self.pipelines;
        let to = if self.given_up { Timestamp(u64::MAX) } else { at };
        self.tell_unanswered(to, out);
    }

    /// No response comes any more.
    pub fn responses_end(&mut self, out: &mut Vec<Exchange>) {
        self.given_up = true;
        self.tell_unanswered(Timestamp(u64::MAX), out);
    }

    /// Tells what is left. Messages being read have been ended before.
    pub fn close(&mut self, out: &mut Vec<Exchange>) {
        out.extend(self.queue.drain(..).map(|p| p.exchange));
        out.extend(self.alone.take().map(|exchange| *exchange));
        out.extend(self.orphan.take().map(|exchange| *exchange));
        *self = Pairing { exchanges: self.exchanges, ..Pairing::default() };
    }

    fn unanswered(&self) -> Option<usize> {
        (self.answered < self.queue.len()).then_some(self.answered)
    }

    fn new_exchange(&mut self, request: Option<Message>, response: Option<Message>) -> Exchange {
        self.exchanges += 1;
        let first = self.exchanges == 1;
        let reused_connection =
            if first { self.from_the_start.then_some(false) } else { Some(true) };
        Exchange {
            number: self.exchanges,
            request,
            response,
            interim: SmallVec::new(),
            reused_connection,
        }
    }

    /// A second request that began before the first one's response did shows that the client pipelines.
    /// If the pairing rested on its not doing so, it is over.
    fn look_for_pipelining(&mut self, response_at: Timestamp, out: &mut Vec<Exchange>) {
        self.pipelines |=
            self.queue.get(self.answered + 1).is_some_and(|p| p.began_at <= response_at);
        if self.pipelines && self.assumed && !self.given_up {
            self.given_up = true;
            self.tell_unanswered(Timestamp(u64::MAX), out);
        }
    }

    /// Tells the requests that began up to `to` and have no whole response; one still being read is told
    /// at its end.
    fn tell_unanswered(&mut self, to: Timestamp, out: &mut Vec<Exchange>) {
        while self.queue.get(self.answered).is_some_and(|p| p.began_at <= to) {
            let Some(pending) = self.queue.remove(self.answered) else { return };
            self.queue_bytes = self.queue_bytes.saturating_sub(heap_bytes(&pending.exchange));
            if pending.request_ended {
                out.push(pending.exchange);
            } else {
                self.alone = Some(Box::new(pending.exchange));
            }
        }
    }

    fn tell_finished(&mut self, out: &mut Vec<Exchange>) {
        while self.queue.front().is_some_and(|p| p.request_ended && p.response_ended) {
            let Some(pending) = self.queue.pop_front() else { return };
            self.answered -= 1;
            self.queue_bytes = self.queue_bytes.saturating_sub(heap_bytes(&pending.exchange));
            out.push(pending.exchange);
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
