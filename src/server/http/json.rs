//! A body's JSON, before rmcp reads it: well-formed, without a name twice, and a JSON-RPC message.

use std::{collections::HashSet, fmt};

use rmcp::model::ClientJsonRpcMessage;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// Not JSON, nested deeper than 128, or with a name twice: two readers of one object could then see two different calls.
    #[error("Parse error")]
    NotJson,
    /// JSON, but no request, notification or answer of MCP.
    #[error("Invalid Request")]
    NotRpc,
}

impl Flaw {
    /// The code of JSON-RPC for it.
    pub(super) fn code(self) -> i32 {
        match self {
            Self::NotJson => -32700,
            Self::NotRpc => -32600,
        }
    }
}

/// Checks a body.
pub(super) fn check(body: &[u8]) -> Result<(), Flaw> {
    let Strict = serde_json::from_slice(body).map_err(|_| Flaw::NotJson)?;
    serde_json::from_slice::<ClientJsonRpcMessage>(body).map(drop).map_err(|_| Flaw::NotRpc)
}

/// Any JSON in which no object has a name twice.
#[derive(Debug)]
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
        while list.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name stands twice in one object"));
            }
            map.next_value::<Strict>()?;
        }
        Ok(Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_twice_is_no_json_at_any_depth_and_however_it_is_spelled() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}"#,
            r#"[{"a":1,"a":1}]"#,
        ] {
            assert_eq!(check(body.as_bytes()), Err(Flaw::NotJson), "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_no_json() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(check(deep.as_bytes()), Err(Flaw::NotJson));
    }

    #[test]
    fn what_is_no_message_is_told_from_what_is_no_json() {
        assert_eq!(check(b"{"), Err(Flaw::NotJson));
        assert_eq!(check(b"\xff"), Err(Flaw::NotJson));
        assert_eq!(check(b""), Err(Flaw::NotJson));
        assert_eq!(check(b"[]"), Err(Flaw::NotRpc));
        assert_eq!(check(br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#), Err(Flaw::NotRpc));
        assert_eq!(check(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), Ok(()));
    }
}
