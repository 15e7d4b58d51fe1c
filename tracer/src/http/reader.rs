//! Reads the messages of one direction: heads, content by its framing, and what lies between messages.

use super::Flow;
use super::body::Body;
use super::exchange::{Ending, Exchange, Message};
use super::framing::{self, Asked, Content};
use super::head::{self, Head, Malformed};
use super::head_buffer::{HeadBuffer, Pushed};
use super::heads::Heads;
use super::limits::{Counters, Limits};
use super::moment::Moment;
use super::pair::{Found, Pairing, Resume};
use super::proxy::{self, ProxyHeader};
use crate::record::SocketAddress;
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
    /// Position of the opposite stream's first byte.
    pub opposite_first: u64,
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
    /// Behind a response that has no content, whatever its fields announce: some servers send it.
    Stray { body: Body, has_begun: bool },
    /// Place lost. A request begins with a packet, a response where the pairing allows it.
    Seek,
    /// Behind a CONNECT that has no response yet: what comes is the tunnel's if there will be one.
    Connect,
    /// Behind CONNECT or 101.
    Tunnel,
}

/// What may come before the first request.
#[derive(Debug, Default)]
enum Preface {
    /// Nothing more.
    #[default]
    Over,
    /// A PROXY protocol header, with the next byte.
    MayBegin,
    /// The rest of one that began at this moment.
    Begun(Moment, Box<ProxyHeader>),
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
    preface: Preface,
    /// The client that a PROXY protocol header names, until it is taken.
    pub proxied_for: Option<Box<SocketAddress>>,
    /// Position on the stream of the first byte of the message being read.
    begin: u64,
    /// Position on the stream of the byte to be read next.
    position: u64,
    /// Of the message whose content is being read.
    progress: Ending,
    /// A message ended in the bytes being read now.
    ended_in_packet: bool,
    /// The head being read began in one packet with the end of the message before it.
    shares_packet: bool,
    has_begun_message: bool,
    malformed: u32,
    /// Bytes looked through before the first message.
    seek_bytes: u64,
    /// Position behind the last byte that was seen; 0 where none was.
    seen_end: u64,
    /// Position behind the last byte whose value was read.
    read_end: u64,
    /// Of requests: at least one began unseen since the last.
    hidden: bool,
    /// Of requests: where the responses had come to when bytes of unknown content passed since the last.
    dropped_at: Option<u64>,
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
            preface: Preface::Over,
            proxied_for: None,
            begin: 0,
            position: 0,
            progress: Ending::to_come(Timestamp(0), 0),
            ended_in_packet: false,
            shares_packet: false,
            has_begun_message: false,
            malformed: 0,
            seek_bytes: 0,
            seen_end: 0,
            read_end: 0,
            hidden: false,
            dropped_at: None,
            alien: false,
            upgraded: false,
        }
    }

    /// The stream's first byte will be a message's.
    pub fn begin_in_step(&mut self) {
        if self.state == State::Seek && !self.has_begun_message {
            self.state = State::Head { tentative: false };
            self.preface = Preface::MayBegin;
        }
    }

    /// Whether a message was found.
    pub fn has_begun(&self) -> bool {
        self.has_begun_message
    }

    /// Bytes of an unfinished head.
    pub fn buffered_bytes(&self) -> usize {
        let preface = match &self.preface {
            Preface::Begun(_, header) => header.bytes().len(),
            _ => 0,
        };
        self.head.bytes().len() + preface
    }

    /// Whether a message may begin with the next byte.
    pub fn may_begin_message(&self) -> bool {
        self.is_at_message_end() || self.state == State::Seek || self.may_be_absent()
    }

    /// Whether the next byte is the first behind a message.
    fn is_at_message_end(&self) -> bool {
        match self.state {
            State::Head { .. } => self.head.is_empty(),
            State::Stray { has_begun, .. } => !has_begun,
            _ => false,
        }
    }

    /// The request waited for had a response that makes no tunnel.
    pub fn leave_connect(&mut self) {
        if self.state == State::Connect {
            let nothing_dropped = self.dropped_at.is_none();
            self.state =
                if nothing_dropped { State::Head { tentative: false } } else { State::Seek };
        }
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
            State::Body { body, may_be_absent: false } | State::Stray { body, has_begun: true } => {
                body.skippable()
            }
            State::Head { .. } | State::Body { .. } | State::Stray { .. } => 0,
            State::Seek | State::Connect | State::Tunnel => u64::MAX,
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
        now: Moment,
        begins_packet: bool,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) {
        self.ended_in_packet = false;
        if !matches!(self.preface, Preface::Over) && self.flow != Some(Flow::Response) {
            return self.read_preface(now, begins_packet, bytes, context);
        }
        if self.flow == Some(Flow::Response) && context.pairing.take_refuted() {
            self.head.clear();
            self.state = State::Seek;
        }
        let mut rest = bytes;
        while !rest.is_empty() && !self.alien {
            self.position = context.position_of(rest);
            let at_packet_start = begins_packet && rest.len() == bytes.len();
            rest = match &self.state {
                State::Head { .. } => self.read_message_start(now, at_packet_start, rest, context),
                State::Body { .. } => self.read_body(now.at, rest, context),
                State::Stray { .. } => self.read_stray(now, at_packet_start, rest, context),
                State::Seek => self.seek(now, at_packet_start, rest, context),
                State::Connect => {
                    self.dropped_at = Some(now.opposite_end);
                    context.counters.tunnel_bytes += rest.len() as u64;
                    &[]
                }
                State::Tunnel => {
                    context.counters.tunnel_bytes += rest.len() as u64;
                    &[]
                }
            };
        }
        self.seen_end = context.stream_end;
        self.read_end = context.stream_end;
    }

    /// At the connection's first bytes: a PROXY protocol header may come before the first request.
    fn read_preface(
        &mut self,
        now: Moment,
        begins_packet: bool,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) {
        if matches!(self.preface, Preface::MayBegin) && !ProxyHeader::may_begin(bytes) {
            self.preface = Preface::Over;
            return self.bytes(now, begins_packet, bytes, context);
        }
        let (first, mut header) = match std::mem::take(&mut self.preface) {
            Preface::Begun(first, header) => (first, header),
            _ => (now, Box::default()),
        };
        match header.push(bytes) {
            proxy::Pushed::More => {
                self.preface = Preface::Begun(first, header);
                self.seen_end = context.stream_end;
                self.read_end = context.stream_end;
            }
            proxy::Pushed::Whole(used, source) => {
                self.proxied_for = source.map(Box::new);
                self.bytes(now, false, &bytes[used..], context);
            }
            proxy::Pushed::NoHeader => {
                let all = [header.bytes(), bytes].concat();
                self.bytes(first, begins_packet, &all, context);
            }
        }
    }

    /// Passes over bytes without their values, at most [`Reader::skippable`]. `seen`: a packet covered them.
    pub fn skip(&mut self, now: Moment, bytes: u64, seen: bool, context: &mut Context<'_>) {
        if !seen {
            context.counters.missing_bytes += bytes;
        }
        self.position = context.stream_end;
        match &mut self.state {
            State::Body { body, .. } => {
                let (content, done) = body.skip(bytes);
                if seen {
                    self.seen_end = context.stream_end;
                    self.progress.body_bytes += content;
                    self.progress.last_at = self.progress.last_at.max(now.at);
                } else {
                    self.progress.miss(bytes);
                }
                if done {
                    self.end_message(true, context);
                }
            }
            State::Stray { body, .. } => {
                context.counters.stray_bytes += bytes;
                if body.skip(bytes).1 {
                    self.state = State::Head { tentative: false };
                }
            }
            State::Seek | State::Connect | State::Tunnel => {
                self.drop_bytes(now, bytes, seen, context);
            }
            State::Head { .. } => {}
        }
        if seen {
            self.seen_end = context.stream_end;
        }
    }

    /// Bytes whose values were needed are not to be had. `now`: when the first packet behind them passed.
    pub fn gap(&mut self, now: Moment, bytes: u64, seen: bool, context: &mut Context<'_>) {
        if !seen {
            context.counters.missing_bytes += bytes;
        }
        if matches!(self.state, State::Seek | State::Connect | State::Tunnel) {
            return self.skip(now, bytes, seen, context);
        }
        self.preface = Preface::Over;
        let position = context.stream_end.saturating_sub(bytes);
        let between = self.is_at_message_end();
        let in_message = self.cut_message(now.at, context);
        if self.flow == Some(Flow::Response) {
            if !in_message {
                context.pairing.response_unseen(position, context.out);
            }
        } else {
            self.hidden |= between;
            self.dropped_at = self.dropped_at.max(seen.then_some(now.opposite_end));
        }
        self.lose_framing(in_message, context);
        if seen {
            self.seen_end = context.stream_end;
        }
    }

    /// The sender ended its stream.
    pub fn end(&mut self, at: Timestamp, context: &mut Context<'_>) {
        let until_close = matches!(&self.state, State::Body { body: Body::UntilClose, .. });
        let in_step = until_close || self.is_at_message_end();
        self.break_off(at, until_close, context);
        match self.flow {
            Some(Flow::Request) => context.pairing.requests_end(in_step, context.out),
            Some(Flow::Response) => context.pairing.responses_end(in_step, context.out),
            None => {}
        }
    }

    /// The connection is gone: the message being read ends here.
    pub fn abort(&mut self, at: Timestamp, context: &mut Context<'_>) {
        self.break_off(at, false, context);
    }

    fn break_off(&mut self, at: Timestamp, ended: bool, context: &mut Context<'_>) {
        self.position = context.stream_end;
        if self.cut_message(at, context) {
            self.end_message(ended, context);
        }
        self.head.clear();
        self.state = State::Seek;
    }

    fn seek<'b>(
        &mut self,
        now: Moment,
        at_packet_start: bool,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        let used = if self.flow == Some(Flow::Response) {
            self.seek_response(at_packet_start, bytes, context)
        } else {
            self.seek_request(now, at_packet_start, bytes, context)
        };
        if let Some(used) = used {
            self.state = State::Head { tentative: true };
            self.drop_bytes(now, used as u64, true, context);
            return &bytes[used..];
        }
        self.seek_bytes = self.seek_bytes.saturating_add(bytes.len() as u64);
        self.alien |= !self.has_begun_message && self.seek_bytes > context.limits.max_seek_bytes;
        self.drop_bytes(now, bytes.len() as u64, true, context);
        &[]
    }

    /// Bytes before the next response, where it may begin among `bytes`.
    fn seek_response(
        &mut self,
        at_packet_start: bool,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Option<usize> {
        let may_begin = at_packet_start && head::begins_response(bytes);
        let pairing = &mut *context.pairing;
        let resume = pairing.resume(self.position, self.seen_end, may_begin, context.out);
        match resume {
            Resume::Here => Some(0),
            Resume::At(later) => {
                let before = usize::try_from(later - self.position).ok()?;
                if before >= bytes.len() {
                    return None;
                }
                // Bytes before it have been seen: the next response begins exactly there.
                let exact = pairing.resume(later, later, false, context.out);
                (exact == Resume::Here).then_some(before)
            }
            Resume::Nowhere => None,
        }
    }

    fn seek_request(
        &mut self,
        now: Moment,
        at_packet_start: bool,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Option<usize> {
        let begins = at_packet_start
            && head::begins_request(bytes, self.read_end < self.position)
            && context.pairing.may_follow(now.opposite_end, self.dropped_at);
        if begins {
            self.flow = Some(Flow::Request);
        }
        begins.then_some(0)
    }

    /// Notes bytes that belong to no known message.
    fn drop_bytes(&mut self, now: Moment, bytes: u64, seen: bool, context: &mut Context<'_>) {
        if bytes == 0 {
            return;
        }
        match self.state {
            State::Tunnel => return context.counters.tunnel_bytes += bytes,
            State::Connect => context.counters.tunnel_bytes += bytes,
            _ if seen => context.counters.stray_bytes += bytes,
            _ => {}
        }
        if seen && self.flow != Some(Flow::Response) {
            self.dropped_at = self.dropped_at.max(Some(now.opposite_end));
        }
    }

    /// At the first byte behind a message, or in a head.
    fn read_message_start<'b>(
        &mut self,
        now: Moment,
        at_packet_start: bool,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        let between = self.is_at_message_end();
        if between
            && self.flow == Some(Flow::Response)
            && !context.pairing.awaits_response(self.position)
            && !(at_packet_start && STATUS_LINE.starts_with(&bytes[..bytes.len().min(7)]))
            && self.has_begun_message
        {
            // No request asked for it and it is no message: content where none is allowed.
            self.state = State::Seek;
            return bytes;
        }
        let tentative = self.state == State::Head { tentative: true };
        let again = tentative && at_packet_start && !between;
        let left = self.read_head(now, bytes, context);
        // What was taken for a head was none, but this packet may begin with one.
        if again && self.state == State::Seek { self.seek(now, true, bytes, context) } else { left }
    }

    /// Content behind a response that has none, or the next message.
    fn read_stray<'b>(
        &mut self,
        now: Moment,
        at_packet_start: bool,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        let next = bytes.len().min(STATUS_LINE.len());
        let may_begin = STATUS_LINE.starts_with(&bytes[..next])
            && (at_packet_start || context.pairing.awaits_response(self.position));
        let State::Stray { body, has_begun } = &mut self.state else { return bytes };
        if !*has_begun && may_begin {
            self.state = State::Head { tentative: false };
            return bytes;
        }
        *has_begun = true;
        let Ok(step) = body.advance(bytes) else {
            self.state = State::Seek;
            return self.seek(now, at_packet_start, bytes, context);
        };
        context.counters.stray_bytes += step.used as u64;
        if step.done {
            self.state = State::Head { tentative: false };
        }
        &bytes[step.used..]
    }

    fn read_head<'b>(
        &mut self,
        now: Moment,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        if !self.head.is_empty() {
            return self.read_buffered_head(now, bytes, context);
        }
        // RFC 9112 section 2.2: empty lines before a start line are ignored.
        let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let bytes = &bytes[blank..];
        if bytes.is_empty() {
            return bytes;
        }
        self.begin = context.position_of(bytes);
        self.flow = self.flow.or_else(|| flow_of(bytes));
        if self.flow != Some(Flow::Response) {
            self.open_request(now, context);
        }
        let Some(flow) = self.flow else {
            return self.read_buffered_head(now, bytes, context);
        };
        let most = bytes.len().min(context.limits.max_head_bytes);
        match context.heads.parse(flow, &bytes[..most]) {
            Ok(Some((head, used))) => {
                self.position = context.position_of(&bytes[used..]);
                let read = ReadHead { head, first_at: now.at, cut_bytes: 0, faulty: false };
                self.begin_message(read, now.at, context);
                &bytes[used..]
            }
            Ok(None) => self.read_buffered_head(now, bytes, context),
            Err(Malformed) => self.refuse(now, bytes.len(), context),
        }
    }

    /// The first byte of what may be a request's head passed at `now`.
    fn open_request(&mut self, now: Moment, context: &mut Context<'_>) {
        self.shares_packet = self.ended_in_packet;
        let hidden = std::mem::take(&mut self.hidden);
        self.dropped_at = None;
        let found = if self.state == (State::Head { tentative: true }) {
            Found::AfterDamage { hidden }
        } else {
            Found::InStep
        };
        let first = context.opposite_first;
        let Context { pairing, limits, counters, out, .. } = context;
        pairing.request_opens(now.opposite_end, first, found, limits, counters, out);
    }

    fn read_buffered_head<'b>(
        &mut self,
        now: Moment,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        let used = match self.head.push(now.at, bytes, context.limits.max_head_bytes) {
            Pushed::Whole(used) => used,
            Pushed::TooLong => return self.refuse(now, bytes.len(), context),
            Pushed::More => {
                self.learn_flow(context);
                let begun = self.head.bytes();
                let may_go_on = |flow| head::may_go_on(flow, begun);
                if begun.len() <= START_BYTES && !self.flow.is_none_or(may_go_on) {
                    return self.refuse(now, bytes.len(), context);
                }
                return &[];
            }
        };
        self.learn_flow(context);
        let flow = *self.flow.get_or_insert(Flow::Request);
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
                self.begin_message(read, now.at, context);
                &bytes[used..]
            }
            Ok(None) | Err(Malformed) => self.refuse(now, bytes.len(), context),
        }
    }

    /// Too few bytes of a head came first to tell a request from a response.
    fn learn_flow(&mut self, context: &mut Context<'_>) {
        if self.flow.is_none() {
            self.flow = flow_of(self.head.bytes());
            if self.flow == Some(Flow::Response) {
                context.pairing.request_refused(context.out);
            }
        }
    }

    /// Whether a message was being read; of one that breaks off in its head begins what is known.
    fn cut_message(&mut self, at: Timestamp, context: &mut Context<'_>) -> bool {
        match self.state {
            State::Body { .. } => true,
            State::Head { .. } => {
                let is_request = !self.head.is_empty() && self.flow == Some(Flow::Request);
                self.begin_cut(at, context) || is_request
            }
            _ => false,
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
        self.seen_end = self.position;
        self.has_begun_message = true;
        self.malformed = 0;
        self.state = State::Head { tentative: false };
        if is_interim(status) {
            context.pairing.interim(status, self.begin, context.out);
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
        self.begin_content(content, response && asked == Asked::Unknown, context);
    }

    fn message(&self, head: Head, first_at: Timestamp, last_at: Timestamp) -> Message {
        // Positions are sequence numbers that do not wrap.
        Message::new(head, self.begin as u32, first_at, last_at)
    }

    fn announce(&mut self, message: Message, context: &mut Context<'_>) -> Asked {
        let Context { pairing, limits, counters, out, .. } = context;
        if self.flow == Some(Flow::Response) {
            return pairing.response_begins(message, self.begin, self.position, out);
        }
        if std::mem::take(&mut self.shares_packet) {
            pairing.request_shares_packet();
        }
        pairing.request_begins(message, limits, counters, out);
        Asked::Unknown
    }

    fn begin_content(&mut self, content: Content, may_be_absent: bool, context: &mut Context<'_>) {
        match content {
            Content::None => self.end_message(true, context),
            Content::Stray(body) => {
                self.end_message(true, context);
                self.state = State::Stray { body, has_begun: false };
            }
            Content::Body(body) => self.state = State::Body { body, may_be_absent },
            Content::Tunnel if self.flow == Some(Flow::Request) => {
                self.end_message(true, context);
                if !self.upgraded {
                    self.state = State::Connect;
                }
            }
            Content::Tunnel => {
                self.end_message(true, context);
                self.upgraded = true;
                self.state = State::Tunnel;
            }
            Content::Faulty => self.lose_framing(true, context),
        }
    }

    fn read_body<'b>(
        &mut self,
        at: Timestamp,
        bytes: &'b [u8],
        context: &mut Context<'_>,
    ) -> &'b [u8] {
        let may_be_next = self.may_be_absent() && context.pairing.awaits_response(self.position);
        if may_be_next && bytes.starts_with(STATUS_LINE) {
            self.end_message(true, context);
            return bytes;
        }
        if self.is_next_request(bytes, context) {
            self.end_message(false, context);
            self.ended_in_packet = false;
            return bytes;
        }
        let State::Body { body, may_be_absent } = &mut self.state else { return bytes };
        if may_be_next && STATUS_LINE.starts_with(bytes) {
            // Content or the next response: too few bytes to tell.
            self.lose_framing(true, context);
            return bytes;
        }
        *may_be_absent = false;
        let Ok(step) = body.advance(bytes) else {
            context.counters.malformed += 1;
            self.lose_framing(true, context);
            return bytes;
        };
        self.progress.last_at = self.progress.last_at.max(at);
        self.progress.body_bytes += step.content;
        self.position += step.used as u64;
        self.seen_end = self.position;
        if step.done {
            self.end_message(true, context);
        }
        &bytes[step.used..]
    }

    /// Where content may be absent, a status line in its place is the next response, if one is awaited.
    fn may_be_absent(&self) -> bool {
        matches!(self.state, State::Body { may_be_absent: true, .. })
    }

    /// A client that waited for 100 and got a final answer need not send its content (RFC 9110 section
    /// 10.1.1): it may go on with a request.
    fn is_next_request(&self, bytes: &[u8], context: &Context<'_>) -> bool {
        self.flow == Some(Flow::Request)
            && self.progress.body_bytes == 0
            && context.pairing.needs_no_content()
            && head::begins_request(bytes, false)
    }

    fn end_message(&mut self, ended: bool, context: &mut Context<'_>) {
        self.progress.ended = ended;
        self.progress.wire_bytes = self.position.saturating_sub(self.begin);
        self.state = if self.upgraded { State::Tunnel } else { State::Head { tentative: false } };
        self.ended_in_packet = true;
        let Context { pairing, out, .. } = context;
        match self.flow {
            Some(Flow::Request) => pairing.request_ends(&self.progress, out),
            Some(Flow::Response) => {
                pairing.response_ends(&self.progress, self.seen_end, self.position, out);
            }
            None => {}
        }
    }

    /// Ends the message being read, if any, where its framing was lost, and looks for the next.
    fn lose_framing(&mut self, in_message: bool, context: &mut Context<'_>) {
        context.counters.framing_losses += u64::from(in_message || self.has_begun_message);
        if in_message {
            self.progress.missing_bytes = None;
            self.end_message(false, context);
        }
        self.state = if self.upgraded { State::Tunnel } else { State::Seek };
        context.pairing.place_lost(self.flow, context.out);
    }

    /// What should be a head is none.
    fn refuse<'b>(&mut self, now: Moment, bytes: usize, context: &mut Context<'_>) -> &'b [u8] {
        let was_tentative = self.state == State::Head { tentative: true };
        self.head.clear();
        self.state = State::Seek;
        self.drop_bytes(now, bytes as u64, true, context);
        if self.flow == Some(Flow::Response) {
            context.pairing.response_unseen(self.begin, context.out);
        } else {
            context.pairing.request_refused(context.out);
            if !was_tentative {
                context.pairing.request_refuted();
            }
        }
        if !was_tentative {
            // A stream that was never HTTP has lost nothing.
            context.counters.malformed += u64::from(self.has_begun_message);
            self.malformed += 1;
            self.alien |= !self.has_begun_message || self.malformed >= context.limits.max_malformed;
            self.lose_framing(false, context);
        }
        &[]
    }
}

/// So many bytes of a head that comes in parts are looked at each time whether it may be one.
const START_BYTES: usize = 256;
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
