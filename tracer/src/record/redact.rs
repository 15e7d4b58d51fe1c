//! Secrets in heads and targets, replaced by [`REDACTED`] before a record exists.
//!
//! What is kept is what tells a reader which secret it was, and nothing of the secret: the scheme of
//! `authorization` where it is a registered one (`Bearer [redacted]`), the names of cookies
//! (`sid=[redacted]; theme=[redacted]`) and the attributes of `set-cookie`, the names of query
//! parameters. Where the syntax is not the expected one the whole value goes: a leak is worse than a gap.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

/// Stands for a secret.
pub const REDACTED: &str = "[redacted]";

/// URLs within query parameters within URLs that are looked into.
const MAX_NESTING: u8 = 3;

/// Authentication schemes that are no secret themselves (IANA's registry and common ones).
const SCHEMES: [&str; 20] = [
    "basic",
    "bearer",
    "digest",
    "negotiate",
    "ntlm",
    "dpop",
    "gnap",
    "hoba",
    "mutual",
    "oauth",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "vapid",
    "concealed",
    "aws4-hmac-sha256",
    "apikey",
    "token",
    "sharedkey",
    "kerberos",
];

/// What the value of a header field is, for redaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Credentials,
    Cookies,
    SetCookie,
    /// A secret as a whole.
    Secret,
    Url,
}

impl Kind {
    /// `name` in lower case.
    fn of(name: &[u8]) -> Self {
        match name {
            b"authorization" | b"proxy-authorization" => Kind::Credentials,
            b"cookie" | b"cookie2" => Kind::Cookies,
            b"set-cookie" | b"set-cookie2" => Kind::SetCookie,
            b"ocp-apim-subscription-key"
            | b"x-functions-key"
            | b"x-access-key"
            | b"x-auth-key"
            | b"x-session-id"
            | b"x-amz-credential"
            | b"cf-access-jwt-assertion"
            | b"x-forwarded-client-cert" => Kind::Secret,
            b"referer" | b"location" | b"content-location" | b"destination" | b"refresh"
            | b"x-original-url" | b"x-original-uri" | b"x-rewrite-url" | b"x-forwarded-uri"
            | b"link" => Kind::Url,
            _ if ends_as_secret(name) => Kind::Secret,
            _ => Kind::Plain,
        }
    }
}

/// Endings of the names of fields that are secrets, looked up by their last letter.
fn ends_as_secret(name: &[u8]) -> bool {
    match name.last() {
        Some(b'n') => name.ends_with(b"token") || name.ends_with(b"authorization"),
        Some(b't') => name.ends_with(b"secret") || name.ends_with(b"jwt"),
        Some(b'd') => name.ends_with(b"password"),
        Some(b'y') => [&b"api-key"[..], b"apikey", b"api_key", b"secret-key"]
            .iter()
            .any(|e| name.ends_with(e)),
        Some(b'e') => name.ends_with(b"-signature"),
        _ => false,
    }
}

/// Endings of such names.
const SECRET_ENDINGS: [&str; 8] =
    ["token", "secret", "password", "passwd", "apikey", "signature", "sessionid", "credential"];

/// The value of a header field (`name` in lower case) without its secrets.
#[must_use]
pub fn field<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    match Kind::of(name.as_bytes()) {
        Kind::Plain => Cow::Borrowed(value),
        Kind::Credentials => Cow::Owned(authorization(value)),
        Kind::Cookies => Cow::Owned(cookies(value)),
        Kind::SetCookie => Cow::Owned(set_cookie(value)),
        Kind::Secret => Cow::Borrowed(REDACTED),
        Kind::Url => url(value, MAX_NESTING),
    }
}

/// Whether [`field`] may find a secret in a field of this name (in lower case).
#[must_use]
pub fn may_hold_secret(name: &[u8]) -> bool {
    Kind::of(name) != Kind::Plain
}

/// A request target, in any of its forms, without its secrets.
#[must_use]
pub fn target(target: &str) -> Cow<'_, str> {
    url(target, MAX_NESTING)
}

fn authorization(value: &str) -> String {
    match value.trim().split_once([' ', '\t']) {
        Some((scheme, _)) if SCHEMES.iter().any(|s| s.eq_ignore_ascii_case(scheme)) => {
            [scheme, " ", REDACTED].concat()
        }
        _ => REDACTED.to_owned(),
    }
}

fn cookies(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    for (i, pair) in value.split(';').enumerate() {
        shown.push_str(if i == 0 { "" } else { "; " });
        push_named(&mut shown, pair.trim());
    }
    shown
}

fn push_named(shown: &mut String, pair: &str) {
    match pair.split_once('=') {
        Some((name, _)) => {
            shown.push_str(name);
            shown.push('=');
            shown.push_str(REDACTED);
        }
        None if pair.is_empty() => {}
        None => shown.push_str(REDACTED),
    }
}

fn set_cookie(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut parts = value.split(';').map(str::trim);
    push_named(&mut shown, parts.next().unwrap_or(""));
    for attribute in parts {
        shown.push_str("; ");
        push_cookie_attribute(&mut shown, attribute);
    }
    shown
}

fn push_cookie_attribute(shown: &mut String, attribute: &str) {
    let known = [
        "path",
        "domain",
        "expires",
        "max-age",
        "samesite",
        "secure",
        "httponly",
        "partitioned",
        "priority",
        "version",
    ];
    let name = attribute.split_once('=').map_or(attribute, |(name, _)| name).trim();
    // A value with `=` is no attribute's: `Path=/, b=2` is a second cookie, put in by who joins fields.
    let is_plain = attribute.bytes().filter(|&b| b == b'=').count() < 2;
    if is_plain && known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
        shown.push_str(attribute);
    } else {
        push_named(shown, attribute);
    }
}

/// What parts the parameters of a query and of a fragment.
const fn is_query_mark(byte: u8) -> bool {
    matches!(byte, b'?' | b'#' | b'&' | b';')
}

/// What parts a path from its matrix parameters: `/a;jsessionid=1F3/b`.
const fn is_path_mark(byte: u8) -> bool {
    matches!(byte, b'/' | b';')
}

/// Takes userinfo, secret parameters of query and fragment, and session ids in the path out of a URL or of
/// a part of one.
fn url(text: &str, nesting: u8) -> Cow<'_, str> {
    let suspicious = |b| matches!(b, b'?' | b'#' | b'@' | b';' | b'&' | b'=');
    if !text.bytes().any(suspicious) {
        return Cow::Borrowed(text);
    }
    let path_end = memchr::memchr2(b'?', b'#', text.as_bytes()).unwrap_or(text.len());
    let (path, rest) = text.split_at(path_end);
    let userinfo = userinfo(path);
    if userinfo.is_none() && !has_secret_parameter(path, rest, nesting) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + REDACTED.len());
    match userinfo {
        Some(found) => {
            let path = [&path[..found.start], REDACTED, &path[found.end..]].concat();
            push_parameters(&mut shown, &path, is_path_mark, 0);
        }
        None => push_parameters(&mut shown, path, is_path_mark, 0),
    }
    push_parameters(&mut shown, rest, is_query_mark, nesting);
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

fn has_secret_parameter(path: &str, rest: &str, nesting: u8) -> bool {
    let has_secret = |text, is_mark, nesting| {
        parameters(text, is_mark).any(|(p, _)| secret_parameter(p, nesting).is_some())
    };
    // A fragment carries tokens in OAuth's implicit grant.
    path.contains('=') && has_secret(path, is_path_mark, 0)
        || has_secret(rest, is_query_mark, nesting)
}

/// The parts of `text` between marks, each with the mark behind it. Marks are ASCII.
fn parameters(text: &str, is_mark: fn(u8) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.bytes().position(is_mark);
        let (parameter, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let (mark, behind) = behind.split_at(behind.len().min(1));
        rest = behind;
        Some((parameter, mark))
    })
}

/// Where the userinfo of a URL up to the end of its path is; of a URL within that path too.
fn userinfo(path: &str) -> Option<Range<usize>> {
    memchr::memchr(b'@', path.as_bytes())?;
    if path.contains("//") { nested_userinfo(path) } else { userinfo_at(path, 0) }
}

/// The same, where an authority has `//` before it.
fn nested_userinfo(text: &str) -> Option<Range<usize>> {
    text.match_indices("//").find_map(|(i, slashes)| userinfo_at(text, i + slashes.len()))
}

fn userinfo_at(text: &str, authority: usize) -> Option<Range<usize>> {
    let rest = &text[authority..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest[..end].rfind('@').map(|at| authority..authority + at)
}

fn push_parameters(shown: &mut String, text: &str, is_mark: fn(u8) -> bool, nesting: u8) {
    // Who parts by `&` alone has `;` and `?` in values: what has no name there is more of the secret.
    let mut in_secret = false;
    for (parameter, mark) in parameters(text, is_mark) {
        in_secret &= !parameter.contains('=');
        match secret_parameter(parameter, nesting) {
            Some(name) => {
                in_secret = true;
                shown.push_str(name);
                shown.push('=');
                shown.push_str(REDACTED);
            }
            None if in_secret && !parameter.is_empty() => shown.push_str(REDACTED),
            None => shown.push_str(parameter),
        }
        in_secret &= matches!(mark, ";" | "?");
        shown.push_str(mark);
    }
}

/// The name in `name=value` where that says that the value is a secret, or where the value is an encoded
/// URL that holds one.
fn secret_parameter(parameter: &str, nesting: u8) -> Option<&str> {
    let (name, value) = parameter.split_at(parameter.bytes().position(|b| b == b'=')?);
    let value = &value[1..];
    let secret = !value.is_empty()
        && (is_secret_name(&percent_decoded(name)) || holds_secret(value, nesting));
    secret.then_some(name)
}

fn holds_secret(value: &str, nesting: u8) -> bool {
    let Some(nesting) = nesting.checked_sub(1) else { return false };
    let decoded = percent_decoded(value);
    if decoded.contains('@') && nested_userinfo(&decoded).is_some() {
        return true;
    }
    let Cow::Owned(decoded) = decoded else { return false };
    // A query without its URL is one too: `state=a%3D1%26token%3Dx`. Whether it begins with one, its first `?` does
    // not tell: `a%3D1%26token%3Dx%26next%3D%2Fb%3Fc`.
    matches!(url(&["?", &decoded].concat(), nesting), Cow::Owned(_))
}

/// Names of query parameters that hold a secret, in lower case without `-` and `_`.
fn is_secret_word(word: &[u8]) -> bool {
    matches!(
        word,
        b"token"
            | b"accesstoken"
            | b"idtoken"
            | b"refreshtoken"
            | b"apikey"
            | b"key"
            | b"secret"
            | b"clientsecret"
            | b"password"
            | b"passwd"
            | b"passphrase"
            | b"pass"
            | b"pwd"
            | b"auth"
            | b"authorization"
            | b"authkey"
            | b"signature"
            | b"sig"
            | b"sign"
            | b"hmac"
            | b"session"
            | b"sessionid"
            | b"sessionkey"
            | b"sid"
            | b"phpsessid"
            | b"jsessionid"
            | b"code"
            | b"codeverifier"
            | b"jwt"
            | b"bearer"
            | b"assertion"
            | b"clientassertion"
            | b"samlresponse"
            | b"samlart"
            | b"xamzsignature"
            | b"xamzcredential"
            | b"xamzsecuritytoken"
            | b"awsaccesskeyid"
            | b"accesskey"
            | b"accesskeyid"
            | b"secretkey"
            | b"privatekey"
            | b"credential"
            | b"credentials"
            | b"otp"
            | b"ticket"
    )
}

/// `user[api-key]` is judged by each of its words.
fn is_secret_name(name: &str) -> bool {
    name.as_bytes().split(|b| matches!(b, b'[' | b']' | b'.' | b' ')).any(|word| {
        let letters = word.iter().filter(|b| !matches!(b, b'-' | b'_'));
        let plain: SmallVec<[u8; 64]> = letters.map(u8::to_ascii_lowercase).collect();
        is_secret_word(&plain) || SECRET_ENDINGS.iter().any(|e| plain.ends_with(e.as_bytes()))
    })
}

fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let byte = if bytes[i] == b'%' { bytes.get(i + 1..i + 3).and_then(hex_byte) } else { None };
        decoded.push(byte.unwrap_or(bytes[i]));
        i += if byte.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_keeps_a_registered_scheme_and_nothing_else() {
        for (value, shown) in [
            ("Bearer abc.def", "Bearer [redacted]"),
            ("basic dXNlcjpwdw==", "basic [redacted]"),
            ("Digest username=\"u\", response=\"r\"", "Digest [redacted]"),
            ("abcdef", "[redacted]"),
            ("s3cret word", "[redacted]"),
            ("", "[redacted]"),
        ] {
            assert_eq!(field("authorization", value), shown);
            assert_eq!(field("proxy-authorization", value), shown);
        }
    }

    #[test]
    fn cookies_keep_their_names() {
        assert_eq!(
            field("cookie", "sid=1; theme=dark=x;a=\"b\""),
            "sid=[redacted]; theme=[redacted]; a=[redacted]"
        );
        assert_eq!(field("cookie", "loose"), "[redacted]");
    }

    #[test]
    fn set_cookie_keeps_its_name_and_known_attributes() {
        assert_eq!(
            field("set-cookie", "sid=1; Path=/; Max-Age=60; HttpOnly; odd=2; other"),
            "sid=[redacted]; Path=/; Max-Age=60; HttpOnly; odd=[redacted]; [redacted]"
        );
    }

    #[test]
    fn a_second_cookie_in_one_set_cookie_is_not_taken_for_an_attribute() {
        for (value, shown) in [
            ("a=1; Path=/, b=2", "a=[redacted]; Path=[redacted]"),
            ("a=1; Secure, b=2", "a=[redacted]; Secure, b=[redacted]"),
            (
                "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT, b=2; Path=/",
                "a=[redacted]; Expires=[redacted]; Path=/",
            ),
            (
                "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
                "a=[redacted]; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
            ),
        ] {
            assert_eq!(field("set-cookie", value), shown);
        }
    }

    #[test]
    fn fields_that_are_secrets_by_name_are_replaced() {
        for name in [
            "x-api-key",
            "x-amz-security-token",
            "x-csrf-token",
            "private-token",
            "x-goog-api-key",
            "apikey",
            "api_key",
            "token",
            "access_token",
            "password",
            "x-authorization",
            "x-secret-key",
        ] {
            assert_eq!(field(name, "v"), REDACTED, "{name}");
        }
        for name in
            ["host", "etag", "content-type", "sec-websocket-key", "idempotency-key", "x-request-id"]
        {
            assert_eq!(field(name, "v"), "v", "{name}");
        }
    }

    #[test]
    fn query_parameters_that_look_like_secrets_are_replaced() {
        for (text, shown) in [
            ("/a?b=1&token=x&c=2", "/a?b=1&token=[redacted]&c=2"),
            ("/a?Access_Token=x", "/a?Access_Token=[redacted]"),
            ("/a?api-key=x;pwd=y", "/a?api-key=[redacted];pwd=[redacted]"),
            ("/a?%74oken=x", "/a?%74oken=[redacted]"),
            ("/a?%54%4F%4B%45%4E=x", "/a?%54%4F%4B%45%4E=[redacted]"),
            ("/a?user[password]=x", "/a?user[password]=[redacted]"),
            (
                "/a?X-Amz-Signature=x&X-Amz-Credential=y&X-Amz-Date=z",
                "/a?X-Amz-Signature=[redacted]&X-Amz-Credential=[redacted]&X-Amz-Date=z",
            ),
            ("/a?code=x&state=y", "/a?code=[redacted]&state=y"),
            ("/a?token=a=b", "/a?token=[redacted]"),
            ("/a?token=", "/a?token="),
            ("/a?token", "/a?token"),
            ("/a?b=1#access_token=x", "/a?b=1#access_token=[redacted]"),
            ("/a?b=?token=x", "/a?b=?token=[redacted]"),
            ("/a;jsessionid=1F/b;v=1?c=d", "/a;jsessionid=[redacted]/b;v=1?c=d"),
            ("/a?csrfmiddlewaretoken=x", "/a?csrfmiddlewaretoken=[redacted]"),
            ("/a?next=https%3A%2F%2Fx%2F%3Fid_token%3Dy", "/a?next=[redacted]"),
            ("/a?next=https%3A%2F%2Fx%2F%3Fid%3Dy", "/a?next=https%3A%2F%2Fx%2F%3Fid%3Dy"),
            ("/a?s=p%3D1%26token%3Dx", "/a?s=[redacted]"),
            ("/a?%zz=%f&b=%", "/a?%zz=%f&b=%"),
            ("/a?s=p%3D1%26token%3Dx%26next%3D%2Fb%3Fc", "/a?s=[redacted]"),
            ("/a?password=x;y?z&b=1;c", "/a?password=[redacted];[redacted]?[redacted]&b=1;c"),
            ("/a;jsessionid=1F;v/b", "/a;jsessionid=[redacted];[redacted]/b"),
        ] {
            assert_eq!(target(text), shown);
        }
    }

    #[test]
    fn targets_without_secrets_are_not_copied() {
        for text in ["/", "*", "/a/b.html", "example.com:443", "/a?b=1&c=2", "http://x/y?z"] {
            assert!(matches!(target(text), Cow::Borrowed(t) if t == text), "{text}");
        }
    }

    #[test]
    fn userinfo_is_replaced() {
        assert_eq!(target("http://u:p@x/y@z?a=b"), "http://[redacted]@x/y@z?a=b");
        assert_eq!(target("u:p@x:443"), "[redacted]@x:443");
        assert_eq!(field("location", "//u:p@x"), "//[redacted]@x");
        assert_eq!(field("referer", "https://x/?q=1&key=2"), "https://x/?q=1&key=[redacted]");
        assert_eq!(target("/a@b"), "/a@b");
    }

    #[test]
    fn userinfo_of_a_url_within_another_is_replaced() {
        for (text, shown) in [
            ("/a?url=https://u:p@x/", "/a?url=[redacted]"),
            ("/a?url=https%3A%2F%2Fu%3Ap%40x%2F", "/a?url=[redacted]"),
            ("/a?b=c%3Dhttps%253A%252F%252Fu%253Ap%2540x", "/a?b=[redacted]"),
            ("http://x/web/https://u:p@y/z", "http://x/web/https://[redacted]@y/z"),
            ("/a?url=https://x/@b", "/a?url=https://x/@b"),
            ("/a?url=https://x&mail=u@y", "/a?url=https://x&mail=u@y"),
            ("/a?url=https%3A%2F%2Fx%3Fmail%3Du%40y", "/a?url=https%3A%2F%2Fx%3Fmail%3Du%40y"),
            ("/a?mail=u@y", "/a?mail=u@y"),
        ] {
            assert_eq!(target(text), shown);
        }
    }
}
