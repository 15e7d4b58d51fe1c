//! HTTP/1.1 messages as far as the demo's own server and clients need them (RFC 9112).

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// Bytes that a head may have.
const HEAD_BYTES: u64 = 16 * 1024;
/// Bytes that a body may have.
const BODY_BYTES: u64 = 1024 * 1024;

/// A message's first line and header fields, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Request line or status line.
    pub first_line: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The value of the first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether the sender will close after this message.
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn content_length(&self) -> io::Result<u64> {
        let Some(value) = self.field("content-length") else { return Ok(0) };
        let length = value.parse().ok().filter(|&length| length <= BODY_BYTES);
        length.ok_or_else(|| {
            invalid(format!("content-length {value} is no number up to {BODY_BYTES}"))
        })
    }
}

/// The next head; `None` where the other side has closed instead.
pub async fn read_head(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Head>> {
    let mut reader = reader.take(HEAD_BYTES);
    let first_line = read_line(&mut reader).await?;
    if first_line.is_empty() {
        return Ok(None);
    }
    let mut fields = Vec::new();
    loop {
        let line = read_line(&mut reader).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(Head { first_line: first_line.trim_end().to_owned(), fields }))
}

/// The body that follows a head, chunk framing taken off.
pub async fn read_body(
    reader: &mut (impl AsyncBufRead + Unpin),
    head: &Head,
) -> io::Result<Vec<u8>> {
    if head.is_chunked() {
        return read_chunks(reader).await;
    }
    let length = head.content_length()?;
    read_exactly(reader, length).await
}

async fn read_chunks(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(&mut (&mut *reader).take(HEAD_BYTES)).await?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        let room = BODY_BYTES - body.len() as u64;
        let size = u64::from_str_radix(size, 16).ok().filter(|&size| size <= room);
        let size =
            size.ok_or_else(|| invalid(format!("{line:?} is no chunk size up to {room}")))?;
        if size == 0 {
            break;
        }
        body.extend(read_exactly(reader, size).await?);
        read_line(&mut (&mut *reader).take(HEAD_BYTES)).await?;
    }
    // Trailers, up to the empty line.
    while !read_line(&mut (&mut *reader).take(HEAD_BYTES)).await?.trim_end().is_empty() {}
    Ok(body)
}

async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

async fn read_exactly(
    reader: &mut (impl AsyncBufRead + Unpin),
    length: u64,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).await?;
    match bytes.len() as u64 {
        read if read == length => Ok(bytes),
        read => Err(invalid(format!("a body of {length} bytes ended after {read}"))),
    }
}

/// An error about what came over the wire.
pub fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn message(mut bytes: &[u8]) -> io::Result<Option<(Head, Vec<u8>)>> {
        let Some(head) = read_head(&mut bytes).await? else { return Ok(None) };
        let body = read_body(&mut bytes, &head).await?;
        Ok(Some((head, body)))
    }

    #[tokio::test]
    async fn a_chunked_body_is_put_together_and_its_trailers_are_read() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nDigest: z\r\n\r\n";
        let (head, body) = message(bytes).await.unwrap().unwrap();
        assert_eq!((head.first_line.as_str(), body.as_slice()), ("HTTP/1.1 200 OK", &b"abcde"[..]));
    }

    #[tokio::test]
    async fn an_end_between_messages_is_no_error_and_one_within_is() {
        assert!(message(b"").await.unwrap().is_none());
        assert!(message(b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort").await.is_err());
    }

    #[tokio::test]
    async fn sizes_that_are_none_or_too_large_are_refused() {
        assert!(message(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").await.is_err());
        assert!(
            message(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n").await.is_err()
        );
    }

    #[tokio::test]
    async fn an_endless_line_ends_at_the_bound() {
        let bytes = vec![b'x'; 2 * HEAD_BYTES as usize];
        let head = read_head(&mut bytes.as_slice()).await.unwrap().unwrap();
        assert_eq!(head.first_line.len() as u64, HEAD_BYTES);
    }
}
