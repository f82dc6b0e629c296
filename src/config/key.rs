//! What a key of the file is: its name, what may stand there, what it means, its default, and when a change of it comes into force. All of
//! it stands in the file of the key's section, by [`section!`]; the example and the options of NixOS are written from there.

use serde::de::DeserializeOwned;

use super::reading::{Misread, Raw};

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
pub(super) trait Section: Clone + Default + PartialEq + DeserializeOwned {
    /// Its keys, in the order of the example.
    const KEYS: &'static [&'static str];

    /// Reads the value of one of its keys.
    fn read(&mut self, key: &str, raw: &Raw<'_>) -> Result<(), Misread>;

    /// Leaves one of its keys as it is in `before`.
    fn keep(&mut self, key: &str, before: &Self);

    /// Takes from `new` what comes into force with a reload, but for `except`. Says of every key that differs.
    fn take(&mut self, new: &Self, name: Option<&'static str>, except: &[At], changes: &mut Vec<Change>);
}

/// Where the keys of a section stand.
pub(super) trait Form {
    /// The section's name as its keys have it before them.
    fn before(name: &'static str) -> Option<&'static str>;

    /// The keys at the top of the file that are this section's.
    fn top<S: Section>(name: &'static str) -> Vec<&'static str>;

    /// Reads a key at the top of the file, if it is this section's.
    fn read<S: Section>(name: &str, section: &mut S, key: &str, raw: &Raw<'_>) -> Result<bool, Misread>;

    /// Leaves a key at the top of the file as it is in `before`, if it is this section's.
    fn keep<S: Section>(name: &str, section: &mut S, key: &str, before: &S);
}

/// At the top of the file.
pub(super) struct Flat;

impl Form for Flat {
    fn before(_: &'static str) -> Option<&'static str> {
        None
    }

    fn top<S: Section>(_: &'static str) -> Vec<&'static str> {
        S::KEYS.to_vec()
    }

    fn read<S: Section>(_: &str, section: &mut S, key: &str, raw: &Raw<'_>) -> Result<bool, Misread> {
        let is_own = S::KEYS.contains(&key);
        if is_own {
            section.read(key, raw)?;
        }
        Ok(is_own)
    }

    fn keep<S: Section>(_: &str, section: &mut S, key: &str, before: &S) {
        section.keep(key, before);
    }
}

/// In parentheses of their own, behind the section's name.
pub(super) struct Nested;

impl Form for Nested {
    fn before(name: &'static str) -> Option<&'static str> {
        Some(name)
    }

    fn top<S: Section>(name: &'static str) -> Vec<&'static str> {
        vec![name]
    }

    fn read<S: Section>(name: &str, section: &mut S, key: &str, raw: &Raw<'_>) -> Result<bool, Misread> {
        let is_own = key == name;
        if is_own {
            *section = raw.value()?;
        }
        Ok(is_own)
    }

    fn keep<S: Section>(name: &str, section: &mut S, key: &str, before: &S) {
        if key == name {
            section.clone_from(before);
        }
    }
}

/// A section: for each key the words of the example, `name: type = default, when it comes into force;`.
macro_rules! section {
    ($($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr, $when:ident;)*) => {
        /// The section as it is written.
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[cfg_attr(test, derive(serde::Serialize))]
        #[serde(default, deny_unknown_fields)]
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
            ) -> Result<(), $crate::config::reading::Misread> {
                match key {
                    $(stringify!($key) => self.$key = raw.value()?,)*
                    _ => {}
                }
                Ok(())
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
                except: &[$crate::config::key::At],
                changes: &mut Vec<$crate::config::key::Change>,
            ) {
                use $crate::config::key::{At, Change, When};
                $(
                    if self.$key != new.$key {
                        let change = Change { at: At { section, key: stringify!($key) }, when: When::$when };
                        if change.when == When::Live && !except.contains(&change.at) {
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
