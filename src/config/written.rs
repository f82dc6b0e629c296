//! The file as it is written: its sections, one line each.

use std::path::PathBuf;

use super::{
    Environment, Settings, Tokens, docker, files,
    key::{At, Change, Flat, Form, Nested, Section, Wrong},
    limits, listeners, log, own,
    reading::{LineColumn, Misread, Raw, keys_of},
    web,
};
use crate::grant::Grants;

/// The sections, in the order of the example: whether their keys stand at the top of the file (`Flat`) or in parentheses behind the section's
/// name (`Nested`), and the module of each.
macro_rules! sections {
    ($($form:ident $name:ident,)*) => {
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(super) struct Written {
            $(pub(super) $name: $name::Written,)*
        }

        impl Written {
            /// The keys at the top of the file.
            fn top() -> Vec<&'static str> {
                [$($form::top::<$name::Written>(stringify!($name))),*].concat()
            }

            /// Reads a key at the top of the file; whether there is such a key.
            fn read(&mut self, key: &str, raw: &Raw<'_>) -> Result<bool, Misread> {
                Ok($($form::read(stringify!($name), &mut self.$name, key, raw)?)||*)
            }

            /// Leaves a key at the top of the file as it is in `before`.
            fn keep(&mut self, key: &str, before: &Self) {
                $($form::keep(stringify!($name), &mut self.$name, key, &before.$name);)*
            }

            /// Takes from `new` what comes into force with a reload, but for `except`; says of every key that differs.
            pub(super) fn take(&mut self, new: &Self, except: &[At]) -> Vec<Change> {
                let mut changes = vec![];
                $(self.$name.take(&new.$name, $form::before(stringify!($name)), except, &mut changes);)*
                changes
            }

            #[cfg(test)]
            pub(super) fn shown() -> Vec<super::shown::Part> {
                use super::shown::{Part, Shown};
                vec![$(Part::new($form::before(stringify!($name)), $name::Written::keys(), &$name::Written::default())),*]
            }
        }
    };
}

sections! {
    Flat listeners,
    Flat web,
    Flat own,
    Nested docker,
    Nested files,
    Nested limits,
    Flat log,
}

/// A file that was read key by key.
pub(super) struct Read<'a> {
    /// What is written there; a key that did not read well is as it was before.
    pub(super) written: Written,
    /// What did not read well.
    pub(super) misread: Vec<Misread>,
    raws: Vec<(&'a str, Raw<'a>)>,
}

impl Written {
    /// Reads a file key by key. What does not read well is left as it is in `before`; an error: there are no keys.
    pub(super) fn of<'a>(bytes: &'a [u8], before: &Self) -> Result<Read<'a>, Misread> {
        let raws = keys_of(bytes)?;
        let (mut written, mut misread) = (Self::default(), vec![]);
        for (at, (key, raw)) in raws.iter().enumerate() {
            let wrong = if raws[..at].iter().any(|(earlier, _)| earlier == key) {
                Some(Misread::at(raw.name, format!("the key {key} stands here for the second time")))
            } else {
                match written.read(key, raw) {
                    Ok(true) => None,
                    Ok(false) => {
                        let why = format!("this key is not known; there is {}", Self::top().join(", "));
                        Some(Misread::at(raw.name, why))
                    }
                    Err(wrong) => Some(wrong),
                }
            };
            if let Some(wrong) = wrong {
                written.keep(key, before);
                misread.push(wrong);
            }
        }
        Ok(Read { written, misread, raws })
    }

    /// What it means, checked; `file` is where it stands.
    pub(super) fn settings(&self, environment: &Environment, file: Option<PathBuf>) -> Result<Settings, Wrong> {
        // taken apart without `..`: a section that nobody gives a meaning does not compile
        let Self { listeners, web, own, docker, files, limits, log } = self.clone();
        let listeners = listeners.meaning()?;
        let (allowed_hosts, allowed_origins) = web.meaning(&listeners);
        let own = own.meaning(environment);
        let settings = Settings {
            file,
            listeners,
            allowed_hosts,
            allowed_origins,
            state_directory: own.state_directory,
            root: own.root,
            tokens: Tokens::Store(own.token_file),
            grants: Grants::usual(),
            audit: own.audit,
            limits: limits.meaning(),
            docker: docker.meaning(environment)?,
            files: files.meaning()?,
            log: log.log,
        };
        settings.check_ground()?;
        Ok(settings)
    }
}

impl Read<'_> {
    /// Where a key stands. The first place if it does not stand there, as its default is at fault.
    pub(super) fn place_of(&self, at: At) -> LineColumn {
        let top = at.section.unwrap_or(at.key);
        match self.raws.iter().find(|(key, _)| *key == top) {
            None => (1, 1),
            Some((_, raw)) if at.section.is_some() => raw.place_of(at.key),
            Some((_, raw)) => raw.name,
        }
    }
}
