//! From the engine's exchange to the contract's record, secrets redacted.

use compact_str::ToCompactString;

use super::exchange::{Exchange, Message};
use super::fields::Subjects;
use super::head::Head;
use crate::record::{self, ConnId, Headers, SocketAddress, Text, redact};

/// What an exchange's record needs from its connection.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext<'a> {
    /// The connection end.
    pub conn: ConnId,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// SYN to ESTABLISHED; told on the connection's first exchange only.
    pub connect_us: Option<u64>,
    /// TLS handshake, likewise.
    pub tls_us: Option<u64>,
    /// The server's address, the authority of a request that names none (RFC 9110 section 7.1).
    pub server: Option<SocketAddress>,
    /// Initial sequence number of the client; `None` where it is not known, or not which end that is.
    pub client_isn: Option<u32>,
    /// The server's, likewise.
    pub server_isn: Option<u32>,
    /// Secrets are shown as they are.
    pub show_secrets: bool,
}

impl Exchange {
    /// The record of this exchange.
    #[must_use]
    pub fn to_record(&self, context: &RecordContext<'_>) -> record::Exchange {
        self.clone().into_record(context)
    }

    /// As [`Exchange::to_record`]; headers without secrets are taken over as they are.
    #[must_use]
    pub fn into_record(self, context: &RecordContext<'_>) -> record::Exchange {
        let show = context.show_secrets;
        record::Exchange {
            conn: context.conn,
            number: self.number,
            protocol: self.protocol().map(Text::const_new),
            scheme: Some(context.scheme.into()),
            authority: self.recorded_authority(context),
            status: self.status(),
            timing: self.timing(context),
            reused_connection: self.reused_connection,
            complete: self.complete(),
            missing_bytes: self.missing_bytes(),
            target: self.target().map(|target| shown_target(target, show)),
            method: self.method().map(Text::from),
            reason: self.reason().map(Text::from),
            request: self.request.map(|message| request(message, context)),
            response: self.response.map(|message| response(message, context)),
        }
    }

    fn recorded_authority(&self, context: &RecordContext<'_>) -> Option<Text> {
        self.request.as_ref()?;
        let named = self.authority().map(Text::from);
        named.or_else(|| context.server.map(|server| server.to_compact_string()))
    }

    fn timing(&self, context: &RecordContext<'_>) -> record::Timing {
        let first = self.reused_connection == Some(false);
        let request = self.request.as_ref();
        let response = self.response.as_ref();
        let sent = request.filter(|m| m.ended);
        record::Timing {
            connect_us: context.connect_us.filter(|_| first),
            tls_us: context.tls_us.filter(|_| first),
            send_us: sent.map(|m| m.last_at.since_us(m.first_at)),
            wait_us: sent
                .zip(response)
                .map(|(request, response)| response.first_at.since_us(request.last_at)),
            receive_us: response.filter(|m| m.ended).map(|m| m.last_at.since_us(m.first_at)),
        }
    }
}

fn shown_target(target: &str, show_secrets: bool) -> Text {
    if show_secrets { target.into() } else { redact::target(target).into() }
}

/// `None` where the initial sequence number is not known.
fn relative(seq: u32, isn: Option<u32>) -> Option<u32> {
    isn.map(|isn| seq.wrapping_sub(isn))
}

fn request(message: Message, context: &RecordContext<'_>) -> record::Request {
    record::Request {
        at: Some(message.first_at),
        seq: relative(message.seq, context.client_isn),
        wire_bytes: message.wire_bytes,
        wire_head: message.head.wire_head(context.show_secrets),
        headers: headers(message.head, context.show_secrets),
        body_bytes: Some(message.body_bytes),
    }
}

fn response(message: Message, context: &RecordContext<'_>) -> record::Response {
    record::Response {
        at: Some(message.first_at),
        seq: relative(message.seq, context.server_isn),
        wire_bytes: message.wire_bytes,
        body_bytes: Some(message.body_bytes),
        media_type: media_type(&message.head),
        from_cache: Some(from_cache(&message.head)),
        wire_head: message.head.wire_head(context.show_secrets),
        headers: headers(message.head, context.show_secrets),
    }
}

fn headers(head: Head, show_secrets: bool) -> Headers {
    if show_secrets { head.fields } else { head.into_shown() }
}

fn media_type(head: &Head) -> Option<Text> {
    let value = head.field("content-type")?;
    let media_type = value.split(';').next().unwrap_or(value).trim();
    let mut text = Text::new(media_type);
    text.make_ascii_lowercase();
    (!text.is_empty()).then_some(text)
}

/// Whether a cache answered: a 304, an age, or what caches of the field say of themselves.
fn from_cache(head: &Head) -> bool {
    let says_hit = |(name, value): (&str, &str)| match name {
        "age" => value.trim().parse::<u64>().is_ok_and(|seconds| seconds > 0),
        "x-cache" | "x-cache-status" | "x-proxy-cache" | "cf-cache-status" | "x-cache-hit"
        | "x-varnish-cache" => {
            last_member(value).get(..3).is_some_and(|word| word.eq_ignore_ascii_case("hit"))
        }
        // RFC 9211: each member is one cache, the one nearest to the client last.
        "cache-status" => value.split(',').any(|cache| cache.split(';').any(|p| p.trim() == "hit")),
        // Varnish names two transactions when the answer was stored by an earlier one.
        "x-varnish" => value.split_whitespace().count() == 2,
        _ => false,
    };
    head.status == 304 || head.subjects.has(Subjects::CACHE) && head.fields().any(says_hit)
}

/// Of `MISS, HIT` what the cache nearest to the client says.
fn last_member(value: &str) -> &str {
    value.rsplit(',').next().unwrap_or(value).trim()
}
