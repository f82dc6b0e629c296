//! JSON that others wrote, before anything is read from it: well-formed, and without a name twice.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What a value of JSON takes in memory, in bytes, besides its text.
pub const VALUE: usize = 80;

/// Refuses what is no JSON, is nested deeper than 128, or has a name twice: two readers of one object could then see two different
/// things. Says how many values are in it, lists and objects included.
pub fn check(body: &[u8]) -> serde_json::Result<usize> {
    serde_json::from_slice(body).map(|Strict(values)| values)
}

/// Any JSON in which no object has a name twice, and how many values it has.
#[derive(Debug)]
struct Strict(usize);

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
        Ok(Strict(1))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict(1))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict(1))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict(1))
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict(1))
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
        let mut values = 1;
        while let Some(Strict(more)) = list.next_element()? {
            values += more;
        }
        Ok(Strict(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let (mut names, mut values) = (HashSet::new(), 1);
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name stands twice in one object"));
            }
            let Strict(more) = map.next_value()?;
            values += more;
        }
        Ok(Strict(values))
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
            assert!(check(body.as_bytes()).is_err(), "{body}");
        }
        assert!(check(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).is_ok());
    }

    #[test]
    fn every_value_counts() {
        for (body, values) in [("1", 1), ("[]", 1), ("[0,0,\"a\"]", 4), (r#"{"a":{"b":[null,true]},"c":1.5}"#, 6)] {
            assert_eq!(check(body.as_bytes()).unwrap(), values, "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_no_json() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(check(deep.as_bytes()).is_err());
    }

    #[test]
    fn half_a_body_or_none_is_no_json() {
        for body in [&b"{"[..], b"\xff", b"", b"{} {}"] {
            assert!(check(body).is_err());
        }
    }
}
