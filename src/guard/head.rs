//! The head of a request, byte for byte: read to its end before anything is made of it, and refused if two readers could read it in two
//! ways.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest head, in bytes.
pub(super) const LONGEST: usize = 16 << 10;

/// The longest body, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;

/// The most fields.
const FIELDS: usize = 64;

/// What there is to know of a request before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `GET`.
    pub method: String,
    /// `/v1.41/containers/json?all=1`.
    pub target: String,
    /// How many bytes follow.
    pub length: u64,
}

/// Reads up to the empty line, and says where that ends; too long a head has its end where reading stopped. `None`: the other side has
/// gone.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<(Vec<u8>, usize)>> {
    let mut bytes = Vec::with_capacity(1 << 10);
    let mut seen: usize = 0;
    loop {
        if let Some(end) = end(&bytes, seen.saturating_sub(2)) {
            return Ok(Some((bytes, end)));
        }
        seen = bytes.len();
        if seen > LONGEST {
            return Ok(Some((bytes, seen)));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// Where the body begins, if the head is all there. A lone line feed ends a head for some readers, so it does here too, to be refused.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find_map(|at| match &bytes[at..] {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

impl Head {
    /// Reads a whole head, its empty line included.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > LONGEST {
            return Err("the head is too long");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "the head is no text")?;
        let text = text.strip_suffix("\r\n\r\n").ok_or("the head does not end")?;
        let mut lines = text.split("\r\n");
        let mut request = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (request.next(), request.next(), request.next(), request.next())
        else {
            return Err("the first line is none of HTTP/1.1");
        };
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err("the method is none");
        }
        // another's address, or * or an authority, is no path here
        if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the target is no path");
        }
        let mut fields = Fields::default();
        for (at, line) in lines.enumerate() {
            if at == FIELDS {
                return Err("the head has too many fields");
            }
            fields.take(line)?;
        }
        if !fields.host {
            return Err("the head names no host");
        }
        let length = fields.length.unwrap_or(0);
        if length > 0 && matches!(method, "GET" | "HEAD") {
            return Err("what only reads has no body");
        }
        if length > LARGEST {
            return Err("the body is too long");
        }
        Ok(Self { method: method.to_owned(), target: target.to_owned(), length })
    }
}

#[derive(Default)]
struct Fields {
    host: bool,
    length: Option<u64>,
}

impl Fields {
    fn take(&mut self, line: &str) -> Result<(), &'static str> {
        let (name, value) = line.split_once(':').ok_or("a field has no value")?;
        // a space before the colon, or at the beginning of a line that goes on with the one before, is a name's for nobody
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err("a field has no name");
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err("a field has characters that none has");
        }
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "host" if std::mem::replace(&mut self.host, true) => Err("the host is named twice"),
            "content-length" => {
                let is_number = (1..=9).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
                let length = value.parse().ok().filter(|_| is_number).ok_or("the length is none")?;
                if self.length.replace(length).is_some() { Err("the length is said twice") } else { Ok(()) }
            }
            "transfer-encoding" | "trailer" => Err("a body comes in one piece, with its length before it"),
            "upgrade" | "http2-settings" => Err("the protocol is not changed"),
            "connection" | "proxy-connection" => {
                let usual =
                    |word: &str| ["close", "keep-alive"].iter().any(|one| word.trim().eq_ignore_ascii_case(one));
                if value.split(',').all(usual) { Ok(()) } else { Err("the connection is not given to anything else") }
            }
            "expect" => Err("nobody waits for leave to send a body"),
            // everything else is not passed on
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, &'static str> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn a_head_is_read_as_it_stands() {
        let head =
            parse("POST /v1.41/x?a=b HTTP/1.1\r\nHost: d\r\nContent-Length: 12\r\nX-Registry-Auth: e30=\r\n\r\n");
        assert_eq!(head.unwrap(), Head { method: "POST".into(), target: "/v1.41/x?a=b".into(), length: 12 });
        let head = parse("GET /_ping HTTP/1.1\r\nhost:\r\nConnection: Keep-Alive, close\r\nUser-Agent: \u{e9}\r\n\r\n");
        assert_eq!(head.unwrap().length, 0);
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for head in [
            "GET /_ping HTTP/1.1\r\n\r\n",
            "GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n",
            "GET /_ping HTTP/2.0\r\nHost: d\r\n\r\n",
            "GET /_ping\r\nHost: d\r\n\r\n",
            "GET  /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET\t/_ping HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET /_ping HTTP/1.1 \r\nHost: d\r\n\r\n",
            "GET /_ping x HTTP/1.1\r\nHost: d\r\n\r\n",
            " GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
            "\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
            "get /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET http://d/_ping HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: d\r\n\r\n",
            "CONNECT d:1 HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET /_ping HTTP/1.1\nHost: d\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\n\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\nc: d\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\rc: d\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\r\n c\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\r\n\tc: d\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost : d\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nHost: d\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\n: b\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nA\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nA: \0\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 1, 1\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: +1\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 0x1\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length:\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 18446744073709551617\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nUpgrade: h2c\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nConnection: keep-alive, Upgrade\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nConnection: X-Registry-Auth\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "",
            "\r\n\r\n",
        ] {
            assert!(parse(head).is_err(), "{head:?}");
        }
        let many = "A: b\r\n".repeat(FIELDS);
        assert!(parse(&format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{many}\r\n")).is_err());
        let long = "a".repeat(LONGEST);
        assert!(parse(&format!("GET /_ping HTTP/1.1\r\nHost: d\r\nA: {long}\r\n\r\n")).is_err());
        assert!(Head::parse(b"GET /_ping HTTP/1.1\r\nHost: \xff\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn a_head_ends_where_any_reader_would_have_it_end() {
        for (bytes, head) in [
            (&b"GET / HTTP/1.1\r\nHost: d\r\n\r\nbody"[..], Some("GET / HTTP/1.1\r\nHost: d\r\n\r\n")),
            (b"GET / HTTP/1.1\nHost: d\n\nbody", Some("GET / HTTP/1.1\nHost: d\n\n")),
            (b"GET / HTTP/1.1\nHost: d\n\r\nbody", Some("GET / HTTP/1.1\nHost: d\n\r\n")),
            (b"GET / HTTP/1.1\r\nHost: d\r\n", None),
        ] {
            let read = read(&mut &*bytes).await.unwrap();
            let read = read.map(|(bytes, end)| String::from_utf8(bytes[..end].to_vec()).unwrap());
            assert_eq!(read.as_deref(), head);
        }
    }
}
