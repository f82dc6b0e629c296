//! From a file's bytes to its keys, each with its value as it is written: what is wrong with one of them costs no other.

use std::{fmt, path::Path};

use rustix::fs::Mode;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};

use super::fault;
use kernel::root::read_own;

/// More keys than this in one pair of parentheses are no configuration.
const MOST_KEYS: usize = 200;

/// A file larger than this is no configuration.
const LARGEST: usize = 1024 * 1024;

/// A line and a column of a file, counted from 1.
pub(super) type LineColumn = (usize, usize);

/// What was expected, and where, as far as that can be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// Line and column, counted from 1.
    pub place: Option<(usize, usize)>,
    /// What was expected there.
    pub why: String,
}

impl Misread {
    pub(super) fn at(place: LineColumn, why: impl Into<String>) -> Self {
        Self { place: Some(place), why: why.into() }
    }

    pub(super) fn somewhere(why: impl Into<String>) -> Self {
        Self { place: None, why: why.into() }
    }

    /// In words, of this file.
    pub(super) fn of(&self, file: &Path) -> String {
        match self.place {
            Some((line, column)) => format!("{}:{line}:{column}: {}", file.display(), self.why),
            None => format!("{}: {}", file.display(), self.why),
        }
    }
}

/// A file's content. It says who may do what, so it may not be anybody's to change.
pub(super) fn bytes_of(file: &Path) -> Result<Vec<u8>, Misread> {
    let bytes = read_own(file, LARGEST).map_err(|error| Misread::somewhere(format!("cannot be read: {error}")))?;
    if rustix::fs::stat(file).is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH)) {
        return Err(Misread::somewhere(format!("everybody may write to it: chmod o-w {}", file.display())));
    }
    Ok(bytes)
}

/// The whole of a file as one value, and its text.
pub(super) fn understood<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &str), Misread> {
    let text = text_of(bytes)?;
    Ok((Raw::whole(text).value()?, text))
}

/// The value of a key as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    text: &'a str,
    /// Where the text begins.
    place: LineColumn,
    /// Where the key's name stands.
    pub(super) name: LineColumn,
}

impl<'a> Raw<'a> {
    /// The whole of a file.
    fn whole(text: &'a str) -> Self {
        Self { text, place: (1, 1), name: (1, 1) }
    }

    /// What it means.
    pub(super) fn value<T: DeserializeOwned>(&self) -> Result<T, Misread> {
        options().from_str(self.text).map_err(|error| self.misread(&error))
    }

    /// The keys in these parentheses, in their order; one can be there twice.
    pub(super) fn keys(&self) -> Result<Vec<(&'a str, Self)>, Misread> {
        let text = self.text;
        let keys: Keys<'a> = options().from_str(text).map_err(|error| self.misread(&error))?;
        if keys.0.len() > MOST_KEYS {
            return Err(Misread::at(self.place, format!("expected at most {MOST_KEYS} keys")));
        }
        let all = keys.0.into_iter().map(|(key, value)| {
            let begin = value.as_ptr().addr() - text.as_ptr().addr();
            let before = &text[..begin];
            let name = before.rfind(&key).unwrap_or(begin);
            let place = |before: &str| self.moved(fault::place_after(before));
            let raw = Self { text: value, place: place(before), name: place(&text[..name]) };
            (&text[name..begin.min(name + key.len())], raw)
        });
        Ok(all.collect())
    }

    /// Where `key` stands in it.
    pub(super) fn place_of(&self, key: &str) -> LineColumn {
        self.moved(fault::place_of(self.text, key))
    }

    fn misread(&self, error: &ron::error::SpannedError) -> Misread {
        // the span reaches from the last thing understood to where reading stopped
        let at = if error.code == ron::Error::Eof { error.span.end } else { error.span.start };
        Misread::at(self.moved((at.line, at.col)), fault::expectation(&error.code))
    }

    /// The same place, counted from the beginning of the file.
    fn moved(&self, (line, column): LineColumn) -> LineColumn {
        (self.place.0 + line - 1, if line == 1 { self.place.1 + column - 1 } else { column })
    }
}

/// The keys at the top of a file, in its order; one can be there twice.
pub(super) fn keys_of(bytes: &[u8]) -> Result<Vec<(&str, Raw<'_>)>, Misread> {
    Raw::whole(text_of(bytes)?).keys()
}

fn text_of(bytes: &[u8]) -> Result<&str, Misread> {
    if bytes.len() > LARGEST {
        return Err(Misread::somewhere("is larger than 1 MiB"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        Misread::at(fault::place_after(&before), "expected UTF-8")
    })
}

fn options() -> ron::Options {
    ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME)
}

/// The keys of a struct, whatever they are, and what stands there.
struct Keys<'a>(Vec<(String, &'a str)>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Config", &[], Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Keys<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(keys: and values) in parentheses")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
        let mut keys = vec![];
        while let Some(Name(name)) = map.next_key()? {
            keys.push((name, map.next_value::<&ron::value::RawValue>()?.get_ron()));
        }
        Ok(Keys(keys))
    }
}

/// The name of a key.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Identifier;
        impl Visitor<'_> for Identifier {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(name.to_owned()))
            }
        }
        deserializer.deserialize_identifier(Identifier)
    }
}
