//! Secrets in heads and targets, replaced by [`REDACTED`] before a record exists.
//!
//! What is kept is what tells a reader which secret it was, and nothing of the secret: the scheme of
//! `authorization` where it is a registered one (`Bearer [redacted]`), the names of cookies
//! (`sid=[redacted]; theme=[redacted]`) and the attributes of `set-cookie`, the names of query
//! parameters. Where the syntax is not the expected one the whole value goes: a leak is worse than a gap.

use std::borrow::Cow;

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

/// Header fields whose whole value is a secret, beside those ending as [`secret_field_name`] says.
const SECRET_FIELDS: [&str; 8] = [
    "ocp-apim-subscription-key",
    "x-functions-key",
    "x-access-key",
    "x-auth-key",
    "x-session-id",
    "x-amz-credential",
    "cf-access-jwt-assertion",
    "x-forwarded-client-cert",
];

/// Header fields that hold a URL.
const URL_FIELDS: [&str; 10] = [
    "referer",
    "location",
    "content-location",
    "destination",
    "refresh",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-uri",
    "link",
];

/// Names of query parameters that hold a secret; compared without case, `-` and `_`.
const SECRET_PARAMETERS: [&str; 46] = [
    "token",
    "accesstoken",
    "idtoken",
    "refreshtoken",
    "apikey",
    "key",
    "secret",
    "clientsecret",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "auth",
    "authorization",
    "authkey",
    "signature",
    "sig",
    "sign",
    "hmac",
    "session",
    "sessionid",
    "sessionkey",
    "sid",
    "phpsessid",
    "jsessionid",
    "code",
    "codeverifier",
    "jwt",
    "bearer",
    "assertion",
    "clientassertion",
    "samlresponse",
    "samlart",
    "xamzsignature",
    "xamzcredential",
    "xamzsecuritytoken",
    "awsaccesskeyid",
    "accesskey",
    "accesskeyid",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "otp",
    "ticket",
];

/// Endings of such names.
const SECRET_ENDINGS: [&str; 8] =
    ["token", "secret", "password", "passwd", "apikey", "signature", "sessionid", "credential"];

/// The value of a header field (`name` in lower case) without its secrets.
#[must_use]
pub fn field<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    match name {
        "authorization" | "proxy-authorization" => Cow::Owned(authorization(value)),
        "cookie" | "cookie2" => Cow::Owned(cookies(value)),
        "set-cookie" | "set-cookie2" => Cow::Owned(set_cookie(value)),
        _ if secret_field_name(name) => Cow::Borrowed(REDACTED),
        _ if URL_FIELDS.contains(&name) => url(value, MAX_NESTING),
        _ => Cow::Borrowed(value),
    }
}

/// A request target, in any of its forms, without its secrets.
#[must_use]
pub fn target(target: &str) -> Cow<'_, str> {
    url(target, MAX_NESTING)
}

fn secret_field_name(name: &str) -> bool {
    let endings = ["-token", "-secret", "-password", "api-key", "apikey", "-jwt", "-signature"];
    SECRET_FIELDS.contains(&name) || endings.iter().any(|ending| name.ends_with(ending))
}

fn authorization(value: &str) -> String {
    match value.trim().split_once([' ', '\t']) {
        Some((scheme, _)) if SCHEMES.iter().any(|s| s.eq_ignore_ascii_case(scheme)) => {
            format!("{scheme} {REDACTED}")
        }
        _ => REDACTED.to_owned(),
    }
}

fn cookies(value: &str) -> String {
    value.split(';').map(|pair| named(pair.trim())).collect::<Vec<_>>().join("; ")
}

fn named(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) => format!("{name}={REDACTED}"),
        None if pair.is_empty() => String::new(),
        None => REDACTED.to_owned(),
    }
}

fn set_cookie(value: &str) -> String {
    let mut parts = value.split(';');
    let mut shown = named(parts.next().unwrap_or("").trim());
    for attribute in parts {
        shown.push_str("; ");
        shown.push_str(&cookie_attribute(attribute.trim()));
    }
    shown
}

fn cookie_attribute(attribute: &str) -> String {
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
    if known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
        attribute.to_owned()
    } else {
        named(attribute)
    }
}

/// What parts the parameters of a query and of a fragment.
const MARKS: [char; 4] = ['?', '#', '&', ';'];

/// Takes userinfo, secret parameters of query and fragment, and session ids in the path out of a URL or of
/// a part of one.
fn url(text: &str, nesting: u8) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'?' | b'#' | b'@' | b';' | b'&' | b'=')) {
        return Cow::Borrowed(text);
    }
    let path_end = text.find(['?', '#']).unwrap_or(text.len());
    let (path, rest) = text.split_at(path_end);
    let mut shown = path_parameters(&userinfo(path));
    // A fragment carries tokens in OAuth's implicit grant.
    for part in rest.split_inclusive(MARKS) {
        let parameter = part.strip_suffix(MARKS).unwrap_or(part);
        shown.push_str(&parameter_value(parameter, nesting));
        shown.push_str(&part[parameter.len()..]);
    }
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

fn userinfo(path: &str) -> Cow<'_, str> {
    let authority = path.find("//").map_or(0, |i| i + 2);
    let end = path[authority..].find('/').map_or(path.len(), |i| authority + i);
    match path[authority..end].rfind('@') {
        Some(at) => {
            Cow::Owned(format!("{}{REDACTED}{}", &path[..authority], &path[authority + at..]))
        }
        None => Cow::Borrowed(path),
    }
}

/// Matrix parameters: `/a;jsessionid=1F3/b`.
fn path_parameters(path: &str) -> String {
    let mut shown = String::with_capacity(path.len());
    for part in path.split_inclusive(['/', ';']) {
        let parameter = part.trim_end_matches(['/', ';']);
        shown.push_str(&parameter_value(parameter, 0));
        shown.push_str(&part[parameter.len()..]);
    }
    shown
}

/// `name=value` with the value replaced where the name says it is a secret, or where it is an encoded URL
/// that holds one.
fn parameter_value(parameter: &str, nesting: u8) -> Cow<'_, str> {
    let Some((name, value)) = parameter.split_once('=') else { return Cow::Borrowed(parameter) };
    let secret = !value.is_empty()
        && (is_secret_name(&percent_decoded(name)) || holds_secret(value, nesting));
    if secret { Cow::Owned(format!("{name}={REDACTED}")) } else { Cow::Borrowed(parameter) }
}

fn holds_secret(value: &str, nesting: u8) -> bool {
    let Some(nesting) = nesting.checked_sub(1).filter(|_| value.contains('%')) else {
        return false;
    };
    let decoded = percent_decoded(value);
    // A query without its URL is one too: `state=a%3D1%26token%3Dx`.
    let query = if decoded.contains('?') { decoded } else { format!("?{decoded}") };
    matches!(url(&query, nesting), Cow::Owned(_))
}

/// `user[api-key]` is judged by each of its words.
fn is_secret_name(name: &str) -> bool {
    name.split(['[', ']', '.', ' ']).any(|word| {
        let plain: String = word
            .chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .map(|c| c.to_ascii_lowercase())
            .collect();
        SECRET_PARAMETERS.contains(&plain.as_str())
            || SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
    })
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let byte = if bytes[i] == b'%' { bytes.get(i + 1..i + 3).and_then(hex_byte) } else { None };
        decoded.push(byte.unwrap_or(bytes[i]));
        i += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
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
    fn fields_that_are_secrets_by_name_are_replaced() {
        for name in [
            "x-api-key",
            "x-amz-security-token",
            "x-csrf-token",
            "private-token",
            "x-goog-api-key",
            "apikey",
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
}
