//! Reads the messages of one direction: heads, content by its framing, and the search for a new
//! beginning after a loss.

use super::Flow;
use super::body::Body;
use super::exchange::{Ending, Exchange, Message};
use super::framing::{self, Asked, Content};
use super::head::{self, Head, Malformed};
use super::head_buffer::{HeadBuffer, Pushed};
use super::heads::Heads;
use super::limits::{Counters, Limits};
use super::pair::Pairing;
use crate::time::Timestamp;

/// What the readers of both directions share.
pub(super) struct Context<'a> {
    pub pairing: &'a mut Pairing,
    pub limits: &'a Limits,
    pub counters: &'a mut Counters,
    pub heads: &'a mut Heads,
    pub out: &'a mut Vec<Exchange>,
    /// Position on the stream behind what the reader is told of.
    pub stream_end: u64,
}

impl Context<'_> {
    /// Where on the stream the last bytes of what the reader is told of begin.
    fn position_of(&self, rest: &[u8]) -> u64 {
        self.stream_end.saturating_sub(rest.len() as u64)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// At or in a head. `tentative`: it was taken for one after a loss.
    Head { tentative: bool },
    /// In content. `may_be_absent`: a response whose request is unknown may answer HEAD.
    Body { body: Body, may_be_absent: bool },
    /// Place lost: waits for a packet that begins with a message.
    Seek,
    /// Behind CONNECT or 101.
    Tunnel,
}

/// A head and what its reading told.
struct ReadHead {
    head: Head,
    first_at: Timestamp,
    /// Bytes of it that were not kept.
    cut_bytes: u64,
    /// Fields that say where the message ends are among them.
    faulty: bool,
}

/// Reader of one direction.
#[derive(Debug)]
pub(super) struct Reader {
    /// Requests or responses; `None` until the content has told.
    pub flow: Option<Flow>,
    state: State,
    head: HeadBuffer,
    /// Position on the stream of the first byte of the message being read.
    begin: u64,
    /// Position on the stream of the byte to be read next.
    position: u64,
    /// Of the message whose content is being read.
    progress: Ending,
    /// A message ended in the bytes being read now.
    ended_in_packet: bool,
    has_begun_message: bool,
    malformed: u32,
    /// Bytes dropped before the first message.
    seek_bytes: u64,
    dropped_beginning: bool,
    /// The bytes are no HTTP.
    pub alien: bool,
    /// A response made a tunnel of the connection: no message begins any more.
    pub upgraded: bool,
}

impl Reader {
    pub fn new(flow: Option<Flow>) -> Self {
        Reader {
            flow,
            state: State::Seek,
            head: HeadBuffer::default(),
            begin: 0,
            position: 0,
            progress: Ending::to_come(Timestamp(0), 0),
            ended_in_packet: false,
            has_begun_message: false,
            malformed: 0,
            seek_bytes: 0,
            dropped_beginning: false,
            alien: false,
            upgraded: false,
        }
    }

    /// The stream's first byte will be a message's.
    pub fn begin_in_step(&mut self) {
        if self.state == State::Seek && !self.has_begun_message {
            self.state = State::Head { tentative: false };
        }
    }

    /// Whether a message was found.
    pub fn has_begun(&self) -> bool {
        self.has_begun_message
    }

    /// Bytes of an unfinished head.
    pub fn buffered_bytes(&self) -> usize {
        self.head.bytes().len()
    }

    /// Whether a message would begin with the next byte.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Head { .. }) && self.head.is_empty()
            || self.state == State::Seek
    }

    /// The connection is a tunnel from here on, or from the end of the message whose content is being read:
    /// a client ends its request before it switches (RFC 9110 section 7.8).
    pub fn become_tunnel(&mut self) {
        self.upgraded = true;
        if !matches!(self.state, State::Body { .. }) {
            self.head.clear();
            self.state = State::Tunnel;
        }
    }

    /// How many bytes from here can be passed over without their values.
    pub fn skippable(&self) -> u64 {
        match &self.state {
            State::Body { body, may_be_absent: false } => body.skippable(),
            State::Head { .. } | State::Body { .. } => 0,
            State::Seek | State::Tunnel => u64::MAX,
        }
    }

    /// How many bytes from here are certain to need no values.
    pub fn content_ahead(&self) -> u64 {
        match &self.state {
            State::Body { body, may_be_absent: false } => body.content_ahead(),
            State::Tunnel => u64::MAX,
            _ => 0,
        }
    }

    /// Takes the stream's next bytes.
    pub fn bytes(
        &mut self,
        at: Timestamp,
        begins_packet: bool,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) {
        self.ended_in_packet = false;
        let mut rest = bytes;
        while !rest.is_empty() && !self.alien {
            self.position = context.position_of(rest);
            let at_packet_start = begins_packet && rest.len() == bytes.len();
            rest = match &self.state {
                State::Head { tentative } => {
                    let again = *tentative && at_packet_start && !self.head.is_empty();
                    let left = self.read_head(at, rest, context);
                    // What was taken for a head was none, but this packet may begin with one.
                    if again && self.state == State::Seek {
                        self.seek(at, true, rest, context)
                    } else {
                        left
                    }
                }
                State::Body { .. } => self.read_body(at, rest, context),
                State::Seek => self.seek(at, at_packet_start, rest, context),
                State::Tunnel => {
                    context.counters.tunnel_bytes += rest.len() as u64;
                    &[]
                }
            };
        }
    }

    /// Passes over bytes without their values, at most [`Reader::skippable`]. `seen`: a packet covered them.
    pub fn skip(&mut self, at: Timestamp, bytes: u64, seen: bool, context: &mut Context<'_>) {
        if !seen {
            context.counters.missing_bytes += bytes;
        }
        self.position = context.stream_end;
        match &mut self.state {
            State::Body { body, .. } => {
                let (content, done) = body.skip(bytes);
                if seen {
                    self.progress.body_bytes += content;
                    self.progress.last_at = self.progress.last_at.max(at);
                } else {
                    self.progress.missing_bytes += bytes;
                }
                if done {
                    self.end_message(true, context);
                }
            }
            State::Seek => self.drop_bytes(at, bytes, context),
            State::Tunnel => context.counters.tunnel_bytes += bytes,
            State::Head { .. } => {}
        }
    }

    /// Bytes whose values were needed are not to be had. `at`: when the first packet behind them passed.
    pub fn gap(&mut self, at: Timestamp, bytes: u64, seen: bool, context: &mut Context<'_>) {
        if !seen {
            context.counters.missing_bytes += bytes;
        }
        let in_message = match self.state {
            State::Body { .. } => true,
            State::Head { .. } => self.begin_cut(at, context),
            State::Seek | State::Tunnel => return self.drop_bytes(at, bytes, context),
        };
        self.progress.missing_bytes += bytes;
        self.lose_framing(at, in_message, context);
    }

    /// What came before the first packet of a stream without a known start may have been lost.
    pub fn lose_beginning(&mut self, at: Timestamp, context: &mut Context<'_>) {
        if self.flow != Some(Flow::Response) {
            context.pairing.requests_lost(true);
        }
        if self.flow != Some(Flow::Request) {
            context.pairing.responses_lost(at, context.out);
        }
    }

    /// The sender ended its stream.
    pub fn end(&mut self, at: Timestamp, context: &mut Context<'_>) {
        let until_close = matches!(&self.state, State::Body { body: Body::UntilClose, .. });
        self.break_off(at, until_close, context);
        if self.flow == Some(Flow::Response) {
            context.pairing.responses_end(context.out);
        }
    }

    /// The connection is gone: the message being read ends here.
    pub fn abort(&mut self, at: Timestamp, context: &mut Context<'_>) {
        self.break_off(at, false, context);
    }

    fn break_off(&mut self, at: Timestamp, ended: bool, context: &mut Context<'_>) {
        self.position = context.stream_end;
        let in_message = match self.state {
            State::Body { .. } => true,
            State::Head { .. } => self.begin_cut(at, context),
            State::Seek | State::Tunnel => false,
        };
        if in_message {
            self.end_message(ended, context);
        }
        self.head.clear();
        self.state = State::Seek;
    }

    fn seek<'b>(
        &mut self,
        at: Timestamp,
        at_packet_start: bool,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        let found = if at_packet_start { head::begins_message(bytes) } else { None };
        if found.is_some_and(|found| self.flow.is_none_or(|flow| flow == found)) {
            self.flow = found;
            self.state = State::Head { tentative: true };
            return bytes;
        }
        self.drop_bytes(at, bytes.len() as u64, context);
        &[]
    }

    /// Notes bytes that belong to no known message.
    fn drop_bytes(&mut self, at: Timestamp, bytes: u64, context: &mut Context<'_>) {
        if self.state == State::Tunnel {
            context.counters.tunnel_bytes += bytes;
            return;
        }
        if self.flow == Some(Flow::Response) {
            context.pairing.responses_lost(at, context.out);
        }
        if !self.has_begun_message {
            self.dropped_beginning = true;
            self.seek_bytes = self.seek_bytes.saturating_add(bytes);
            self.alien |= self.seek_bytes > context.limits.max_seek_bytes;
        }
    }

    fn read_head<'b>(
        &mut self,
        at: Timestamp,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        if !self.head.is_empty() {
            return self.read_buffered_head(at, bytes, context);
        }
        // RFC 9112 section 2.2: empty lines before a start line are ignored.
        let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let bytes = &bytes[blank..];
        if bytes.is_empty() {
            return bytes;
        }
        self.begin = context.position_of(bytes);
        let Some(flow) = self.flow.or_else(|| flow_of(bytes)) else {
            return self.read_buffered_head(at, bytes, context);
        };
        self.flow = Some(flow);
        let most = bytes.len().min(context.limits.max_head_bytes);
        match context.heads.parse(flow, &bytes[..most]) {
            Ok(Some((head, used))) => {
                self.position = context.position_of(&bytes[used..]);
                self.begin_message(
                    ReadHead { head, first_at: at, cut_bytes: 0, faulty: false },
                    at,
                    context,
                );
                &bytes[used..]
            }
            Ok(None) => self.read_buffered_head(at, bytes, context),
            Err(Malformed) => self.refuse(at, bytes.len(), context),
        }
    }

    fn read_buffered_head<'b>(
        &mut self,
        at: Timestamp,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        let used = match self.head.push(at, bytes, context.limits.max_head_bytes) {
            Pushed::Whole(used) => used,
            Pushed::TooLong => return self.refuse(at, bytes.len(), context),
            Pushed::More => {
                self.flow = self.flow.or_else(|| flow_of(self.head.bytes()));
                return &[];
            }
        };
        let flow =
            *self.flow.get_or_insert_with(|| flow_of(self.head.bytes()).unwrap_or(Flow::Request));
        match head::parse(flow, self.head.bytes()) {
            Ok(Some((head, _))) => {
                let cut_bytes = self.head.cut_bytes();
                let read = ReadHead {
                    head,
                    first_at: self.head.first_at(),
                    cut_bytes,
                    faulty: self.head.framing_cut(),
                };
                self.head.clear();
                context.counters.head_bytes_cut += cut_bytes;
                self.position = context.position_of(&bytes[used..]);
                self.begin_message(read, at, context);
                &bytes[used..]
            }
            Ok(None) | Err(Malformed) => self.refuse(at, bytes.len(), context),
        }
    }

    /// The start of a head that breaks off is still told where its start line is whole.
    fn begin_cut(&mut self, at: Timestamp, context: &mut Context<'_>) -> bool {
        let (first_at, cut_bytes) = (self.head.first_at(), self.head.cut_bytes());
        let cut = self.flow.and_then(|flow| head::parse_cut(flow, self.head.bytes()));
        self.head.clear();
        let Some(head) = cut else { return false };
        if is_interim(head.status) {
            return false;
        }
        context.counters.head_bytes_cut += cut_bytes;
        self.progress = Ending::to_come(first_at, cut_bytes);
        self.has_begun_message = true;
        self.announce(self.message(head, first_at, at), context);
        true
    }

    fn begin_message(&mut self, read: ReadHead, at: Timestamp, context: &mut Context<'_>) {
        let ReadHead { head, first_at, cut_bytes, faulty } = read;
        let status = head.status;
        self.has_begun_message = true;
        self.malformed = 0;
        self.state = State::Head { tentative: false };
        if is_interim(status) {
            context.pairing.interim(status, first_at);
            return;
        }
        self.progress = Ending::to_come(at, cut_bytes);
        let response = self.flow == Some(Flow::Response);
        let mut content =
            if response { framing::of_response(&head) } else { framing::of_request(&head) };
        if faulty {
            content = Content::Faulty;
        }
        let asked = self.announce(self.message(head, first_at, at), context);
        if response {
            content = framing::of_answer(status, asked, content);
        }
        self.begin_content(content, response && asked == Asked::Unknown, at, context);
    }

    fn message(&self, head: Head, first_at: Timestamp, last_at: Timestamp) -> Message {
        // Positions are sequence numbers that do not wrap.
        Message::new(head, self.begin as u32, first_at, last_at)
    }

    fn announce(&mut self, message: Message, context: &mut Context<'_>) -> Asked {
        if self.flow == Some(Flow::Response) {
            return context.pairing.response_begins(message, context.out);
        }
        if self.ended_in_packet {
            context.pairing.request_shares_packet();
        }
        if std::mem::take(&mut self.dropped_beginning) {
            context.pairing.requests_lost(true);
        }
        context.pairing.request_begins(message, context.limits, context.counters);
        Asked::Unknown
    }

    fn begin_content(
        &mut self,
        content: Content,
        may_be_absent: bool,
        at: Timestamp,
        context: &mut Context<'_>,
    ) {
        match content {
            Content::None => self.end_message(true, context),
            Content::Body(body) => self.state = State::Body { body, may_be_absent },
            Content::Tunnel => {
                self.end_message(true, context);
                self.upgraded = true;
                self.state = State::Tunnel;
            }
            Content::Faulty => self.lose_framing(at, true, context),
        }
    }

    fn read_body<'b>(
        &mut self,
        at: Timestamp,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        if self.is_next_message(bytes) {
            self.end_message(true, context);
            return bytes;
        }
        if self.is_next_request(bytes, context) {
            self.end_message(false, context);
            return bytes;
        }
        let State::Body { body, may_be_absent } = &mut self.state else { return bytes };
        if *may_be_absent && STATUS_LINE.starts_with(bytes) {
            // Content or the next response: too few bytes to tell.
            self.lose_framing(at, true, context);
            return bytes;
        }
        *may_be_absent = false;
        let Ok(step) = body.advance(bytes) else {
            context.counters.malformed += 1;
            self.lose_framing(at, true, context);
            return bytes;
        };
        self.progress.last_at = self.progress.last_at.max(at);
        self.progress.body_bytes += step.content;
        self.position += step.used as u64;
        if step.done {
            self.end_message(true, context);
        }
        &bytes[step.used..]
    }

    /// Where content may be absent, a status line in its place is the next response.
    fn is_next_message(&self, bytes: &[u8]) -> bool {
        matches!(self.state, State::Body { may_be_absent: true, .. })
            && bytes.starts_with(STATUS_LINE)
    }

    /// A client that waited for 100 and got a final answer need not send its content (RFC 9110 section
    /// 10.1.1): it may go on with a request.
    fn is_next_request(&self, bytes: &[u8], context: &Context<'_>) -> bool {
        self.flow == Some(Flow::Request)
            && self.progress.body_bytes == 0
            && context.pairing.needs_no_content()
            && head::begins_message(bytes) == Some(Flow::Request)
    }

    fn end_message(&mut self, ended: bool, context: &mut Context<'_>) {
        self.progress.ended = ended;
        self.progress.wire_bytes = self.position.saturating_sub(self.begin);
        self.state = if self.upgraded { State::Tunnel } else { State::Head { tentative: false } };
        self.ended_in_packet = true;
        match self.flow {
            Some(Flow::Request) => context.pairing.request_ends(&self.progress, context.out),
            Some(Flow::Response) => context.pairing.response_ends(&self.progress, context.out),
            None => {}
        }
    }

    /// Ends the message being read, if any, where its framing was lost, and looks for the next.
    fn lose_framing(&mut self, at: Timestamp, in_message: bool, context: &mut Context<'_>) {
        context.counters.framing_losses += 1;
        if in_message {
            self.end_message(false, context);
        }
        self.state = if self.upgraded { State::Tunnel } else { State::Seek };
        match self.flow {
            Some(Flow::Request) => context.pairing.requests_lost(!in_message),
            Some(Flow::Response) => context.pairing.responses_lost(at, context.out),
            None => {}
        }
    }

    /// What should be a head is none.
    fn refuse<'b>(&mut self, at: Timestamp, bytes: usize, context: &mut Context<'_>) -> &'b [u8] {
        let was_tentative = self.state == State::Head { tentative: true };
        self.head.clear();
        if was_tentative {
            self.state = State::Seek;
            self.drop_bytes(at, bytes as u64, context);
            return &[];
        }
        context.counters.malformed += 1;
        self.malformed += 1;
        self.alien |= !self.has_begun_message || self.malformed >= context.limits.max_malformed;
        self.lose_framing(at, false, context);
        &[]
    }
}

const STATUS_LINE: &[u8] = b"HTTP/1.";

/// 101 is final: it is the last message of the connection.
const fn is_interim(status: u16) -> bool {
    status / 100 == 1 && status != 101
}

/// Requests or responses, by the first bytes; `None` where they are too few to tell.
fn flow_of(bytes: &[u8]) -> Option<Flow> {
    let prefix = &STATUS_LINE[..5];
    if bytes.starts_with(prefix) {
        Some(Flow::Response)
    } else {
        (!prefix.starts_with(bytes)).then_some(Flow::Request)
    }
}
