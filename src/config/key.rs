//! What a key of the file is: its name, what may stand there, what it means, its default, and when a change of it comes into force. All of
//! it stands in the file of the key's section, by [`section!`]; the example and the options of NixOS are written from there.

use super::{
    fault,
    reading::{Misread, Raw},
};

/// When a changed key comes into force in a server at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// With a reload.
    Live,
    /// With the next start: what is open already would mean something else than the file says.
    Restart,
}

/// Where a key stands: at the top of the file, or in the section of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) section: Option<&'static str>,
    pub(super) key: &'static str,
}

impl At {
    /// At the top of the file.
    pub(super) fn top(key: &'static str) -> Self {
        Self { section: None, key }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.section {
            Some(section) => write!(f, "{section}.{}", self.key),
            None => f.write_str(self.key),
        }
    }
}

/// A key at fault, and what was expected of it.
pub(super) type Wrong = (At, String);

/// A key whose value is another than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: At,
    pub(super) when: When,
}

/// A section as it is written. Made by [`section!`].
pub(super) trait Section: Clone + Default + PartialEq {
    /// Its keys, in the order of the example.
    const KEYS: &'static [&'static str];

    /// Reads the value of one of its keys; whether it has such a key.
    fn read(&mut self, key: &str, raw: &Raw<'_>) -> Result<bool, Misread>;

    /// Leaves one of its keys as it is in `before`.
    fn keep(&mut self, key: &str, before: &Self);

    /// Takes from `new` what comes into force with a reload. Says of every key that differs.
    fn take(&mut self, new: &Self, name: Option<&'static str>, changes: &mut Vec<Change>);
}

/// Reads keys one by one. What does not read well is told, and left as it is in `before`; where there is a key that is not known, so is what is
/// not there: it may be the one that was meant.
pub(super) fn read_each<T>(
    into: &mut T,
    raws: &[(&str, Raw<'_>)],
    known: &[&str],
    misread: &mut Vec<Misread>,
    read: impl Fn(&mut T, &str, &Raw<'_>, &mut Vec<Misread>) -> Result<bool, Misread>,
    keep: impl Fn(&mut T, &str),
) {
    let mut is_unknown = false;
    for (at, (key, raw)) in raws.iter().enumerate() {
        let wrong = if raws[..at].iter().any(|(earlier, _)| earlier == key) {
            // what is no key of ours is not quoted
            let key = known.iter().find(|one| *one == key).map_or_else(String::new, |key| format!(" {key}"));
            Some(Misread::at(raw.name, format!("the key{key} stands here for the second time")))
        } else {
            match read(into, key, raw, misread) {
                Ok(true) => None,
                Ok(false) => {
                    is_unknown = true;
                    Some(Misread::at(raw.name, fault::unknown(key, known)))
                }
                Err(wrong) => Some(wrong),
            }
        };
        if let Some(wrong) = wrong {
            keep(into, key);
            misread.push(wrong);
        }
    }
    if is_unknown {
        known.iter().filter(|key| !raws.iter().any(|(there, _)| there == *key)).for_each(|key| keep(into, key));
    }
}

/// Reads a key at the top of the file, if it is of this section: one of its own, or where the section has a name, that with all its keys in
/// parentheses.
pub(super) fn read_top<S: Section>(
    section: &mut S,
    name: Option<&str>,
    before: &S,
    key: &str,
    raw: &Raw<'_>,
    misread: &mut Vec<Misread>,
) -> Result<bool, Misread> {
    let Some(name) = name else { return section.read(key, raw) };
    let is_own = key == name;
    if is_own {
        let keep = |section: &mut S, key: &str| section.keep(key, before);
        read_each(section, &raw.keys()?, S::KEYS, misread, |section, key, raw, _| section.read(key, raw), keep);
    }
    Ok(is_own)
}

/// Leaves a key at the top of the file as it is in `before`, if it is of this section.
pub(super) fn keep_top<S: Section>(section: &mut S, name: Option<&str>, before: &S, key: &str) {
    match name {
        None => section.keep(key, before),
        Some(name) if name == key => section.clone_from(before),
        Some(_) => (),
    }
}

/// A section: for each key the words of the example, `name: type = default, when it comes into force;`.
macro_rules! section {
    ($($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr, $when:ident;)*) => {
        /// The section as it is written.
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(test, derive(serde::Serialize))]
        pub(in crate::config) struct Written {
            $(pub(in crate::config) $key: $type,)*
        }

        impl Default for Written {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::config::key::Section for Written {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            fn read(
                &mut self,
                key: &str,
                raw: &$crate::config::reading::Raw<'_>,
            ) -> Result<bool, $crate::config::reading::Misread> {
                match key {
                    $(stringify!($key) => self.$key = raw.value()?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn keep(&mut self, key: &str, before: &Self) {
                match key {
                    $(stringify!($key) => self.$key.clone_from(&before.$key),)*
                    _ => {}
                }
            }

            fn take(
                &mut self,
                new: &Self,
                section: Option<&'static str>,
                changes: &mut Vec<$crate::config::key::Change>,
            ) {
                use $crate::config::key::{At, Change, When};
                $(
                    if self.$key != new.$key {
                        let change = Change { at: At { section, key: stringify!($key) }, when: When::$when };
                        if change.when == When::Live {
                            self.$key.clone_from(&new.$key);
                        }
                        changes.push(change);
                    }
                )*
            }
        }

        #[cfg(test)]
        impl $crate::config::shown::Shown for Written {
            fn keys() -> Vec<$crate::config::shown::Key> {
                use $crate::config::{key::When, shown::{Key, Typed}};
                vec![$(Key {
                    name: stringify!($key),
                    about: vec![$($doc.strip_prefix(' ').unwrap_or($doc)),*],
                    kind: <$type as Typed>::kind(),
                    is_needed: false,
                    when: Some(When::$when),
                },)*]
            }
        }
    };
}

/// What stands in a list, several keys in parentheses: for each its words, and `name: type;`, or `name: type = default;` if it may be left out.
macro_rules! entry {
    ($(#[$about:meta])* $name:ident { $($(#[doc = $doc:literal])* $key:ident: $type:ty $(= $optional:ident)?;)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[cfg_attr(test, derive(serde::Serialize))]
        #[serde(deny_unknown_fields)]
        pub(in crate::config) struct $name {
            $($(#[serde($optional)])? pub(in crate::config) $key: $type,)*
        }

        #[cfg(test)]
        impl $crate::config::shown::Typed for $name {
            fn kind() -> $crate::config::shown::Kind {
                use $crate::config::shown::{Key, Kind, Typed};
                Kind::Keys(vec![$(Key {
                    name: stringify!($key),
                    about: vec![$($doc.strip_prefix(' ').unwrap_or($doc)),*],
                    kind: <$type as Typed>::kind(),
                    is_needed: <[&str]>::is_empty(&[$(stringify!($optional))?]),
                    when: None,
                },)*])
            }
        }
    };
}

pub(super) use {entry, section};
