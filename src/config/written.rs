//! The file as it is written: its sections, one line each.

use std::path::PathBuf;

use super::{
    Environment, Paths, Settings, Tokens, docker, files,
    key::{At, Change, Section, Wrong, keep_top, read_each, read_top},
    limits, listeners, log, own,
    reading::{LineColumn, Misread, Raw, keys_of},
    web,
};
use crate::audit::Sink;
use rights::grant::Grants;

/// How the keys of a section stand in the file: at its top, or in parentheses behind the section's name.
macro_rules! name {
    (flat $name:ident) => {
        None
    };
    (nested $name:ident) => {
        Some(stringify!($name))
    };
}

/// The sections, in the order of the example: how their keys stand in the file, and the module of each.
macro_rules! sections {
    ($($form:ident $name:ident,)*) => {
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(super) struct Written {
            $(pub(super) $name: $name::Written,)*
        }

        impl Written {
            /// The keys at the top of the file.
            fn top() -> Vec<&'static str> {
                let mut all = vec![];
                $(match name!($form $name) {
                    None => all.extend($name::Written::KEYS),
                    Some(name) => all.push(name),
                })*
                all
            }

            /// Reads a key at the top of the file; whether there is such a key. What is wrong with one in parentheses is told.
            fn read(
                &mut self,
                before: &Self,
                key: &str,
                raw: &Raw<'_>,
                misread: &mut Vec<Misread>,
            ) -> Result<bool, Misread> {
                Ok($(read_top(&mut self.$name, name!($form $name), &before.$name, key, raw, misread)?)||*)
            }

            /// Leaves a key at the top of the file as it is in `before`.
            fn keep(&mut self, before: &Self, key: &str) {
                $(keep_top(&mut self.$name, name!($form $name), &before.$name, key);)*
            }

            /// Leaves a key as it is in `before`.
            fn revert(&mut self, at: At, before: &Self) {
                $(if name!($form $name) == at.section {
                    self.$name.keep(at.key, &before.$name);
                })*
            }

            /// Takes from `new` what comes into force with a reload; says of every key that differs.
            pub(super) fn take(&mut self, new: &Self) -> Vec<Change> {
                let mut changes = vec![];
                $(self.$name.take(&new.$name, name!($form $name), &mut changes);)*
                changes
            }

            #[cfg(test)]
            pub(super) fn shown() -> Vec<super::shown::Part> {
                use super::shown::{Part, Shown};
                vec![$(Part::new(name!($form $name), $name::Written::keys(), &$name::Written::default())),*]
            }
        }
    };
}

sections! {
    flat listeners,
    flat web,
    flat own,
    nested docker,
    nested files,
    nested limits,
    flat log,
}

/// A file that was read key by key.
#[derive(Debug)]
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
        let read = |written: &mut Self, key: &str, raw: &Raw<'_>, misread: &mut Vec<Misread>| {
            written.read(before, key, raw, misread)
        };
        let keep = |written: &mut Self, key: &str| written.keep(before, key);
        read_each(&mut written, &raws, &Self::top(), &mut misread, read, keep);
        Ok(Read { written, misread, raws })
    }

    /// What it names for the server's own, as far as that makes sense.
    pub(super) fn own(&self, environment: &Environment) -> Vec<PathBuf> {
        let Paths { state_directory, token_file, audit, root: _ } = self.own.clone().meaning(environment);
        let log = if let Sink::File(log) = audit { Some(log) } else { None };
        let listeners = self.listeners.clone().meaning().unwrap_or_default();
        let keys = listeners.into_iter().filter_map(|listener| Some(listener.tls?.key));
        [state_directory, token_file].into_iter().chain(log).chain(keys).collect()
    }

    /// The same with every key that is wrong, or that contradicts another, as it is in `before`, and what that means. Whether it has its ground is
    /// not looked at.
    pub(super) fn sound(&self, before: &Self, environment: &Environment, file: Option<PathBuf>) -> (Self, Settings) {
        let mut written = self.clone();
        loop {
            match written.meaning(environment, file.clone()) {
                Ok(settings) => return (written, settings),
                Err(wrong) => {
                    let unsound = written.clone();
                    wrong.iter().for_each(|(at, _)| written.revert(*at, before));
                    if written == unsound {
                        // what contradicts it was right before: then all is as it was
                        written = before.clone();
                    }
                }
            }
        }
    }

    /// What it means, checked; `file` is where it stands. Else all that is wrong, at least one thing.
    pub(super) fn settings(&self, environment: &Environment, file: Option<PathBuf>) -> Result<Settings, Vec<Wrong>> {
        let settings = self.meaning(environment, file)?;
        settings.check_ground().map_err(|one| vec![one])?;
        Ok(settings)
    }

    fn meaning(&self, environment: &Environment, file: Option<PathBuf>) -> Result<Settings, Vec<Wrong>> {
        // taken apart without `..`: a section that nobody gives a meaning does not compile
        let Self { listeners, web, own, docker, files, limits, log } = self.clone();
        let mut wrong = vec![];
        let listeners = listeners.meaning().map_err(|one| wrong.push(one)).ok();
        let docker = docker.meaning(environment).map_err(|one| wrong.push(one)).ok();
        let files = files.meaning().map_err(|one| wrong.push(one)).ok();
        let (Some(listeners), Some(docker), Some(files)) = (listeners, docker, files) else { return Err(wrong) };
        let (allowed_hosts, allowed_origins) = web.meaning(&listeners);
        let own = own.meaning(environment);
        Ok(Settings {
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
            docker,
            files,
            log: log.meaning(),
        })
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
