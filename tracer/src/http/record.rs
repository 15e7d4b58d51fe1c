//! From the engine's exchange to the contract's record, secrets redacted.

use super::exchange::{Exchange, Message};
use crate::record::{self, ConnId, SocketAddress, redact};

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
    /// Secrets are shown as they are.
    pub show_secrets: bool,
}

impl Exchange {
    /// The record of this exchange.
    #[must_use]
    pub fn to_record(&self, context: &RecordContext<'_>) -> record::Exchange {
        let show = context.show_secrets;
        record::Exchange {
            conn: context.conn,
            number: self.number,
            protocol: self.protocol().map(str::to_owned),
            method: self.method().map(str::to_owned),
            scheme: Some(context.scheme.to_owned()),
            authority: self.recorded_authority(context),
            target: self.target().map(|target| {
                if show { target.to_owned() } else { redact::target(target).into_owned() }
            }),
            status: self.status(),
            reason: self.reason().map(str::to_owned),
            request: self.request.as_ref().map(|m| request(m, show)),
            response: self.response.as_ref().map(|m| response(m, show)),
            timing: self.timing(context),
            reused_connection: self.reused_connection,
            complete: self.complete(),
            missing_bytes: self.missing_bytes(),
        }
    }

    fn recorded_authority(&self, context: &RecordContext<'_>) -> Option<String> {
        self.request.as_ref()?;
        let named = self.authority().map(str::to_owned);
        named.or_else(|| context.server.map(|server| server.to_string()))
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

fn request(message: &Message, show_secrets: bool) -> record::Request {
    record::Request {
        at: Some(message.first_at),
        headers: headers(message, show_secrets),
        body_bytes: Some(message.body_bytes),
    }
}

fn response(message: &Message, show_secrets: bool) -> record::Response {
    record::Response {
        at: Some(message.first_at),
        headers: headers(message, show_secrets),
        body_bytes: Some(message.body_bytes),
        media_type: media_type(message),
        from_cache: Some(from_cache(message)),
    }
}

fn headers(message: &Message, show_secrets: bool) -> Vec<record::Header> {
    let shown = |name: &str, value: &str| match show_secrets {
        true => value.to_owned(),
        false => redact::field(name, value).into_owned(),
    };
    message.head.fields().map(|(name, value)| (name.to_owned(), shown(name, value))).collect()
}

fn media_type(message: &Message) -> Option<String> {
    let value = message.head.field("content-type")?;
    let media_type = value.split(';').next().unwrap_or(value).trim();
    (!media_type.is_empty()).then(|| media_type.to_ascii_lowercase())
}

/// Whether a cache answered: a 304, an age, or what caches of the field say of themselves.
fn from_cache(message: &Message) -> bool {
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
    message.head.status == 304 || message.head.fields().any(says_hit)
}

/// Of `MISS, HIT` what the cache nearest to the client says.
fn last_member(value: &str) -> &str {
    value.rsplit(',').next().unwrap_or(value).trim()
}
