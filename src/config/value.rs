//! Single values, each read by a visitor that says what it expects.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, Unexpected, Visitor},
};

/// What is read from a string, and what that string must look like.
pub(super) trait FromText: Sized {
    const EXPECTED: &'static str;
    fn read(text: &str) -> Option<Self>;
}

/// A value written as a string.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct As<T>(pub(super) T);

impl<'de, T: FromText> Deserialize<'de> for As<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(std::marker::PhantomData<T>);
        impl<T: FromText> Visitor<'_> for Text<T> {
            type Value = As<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<As<T>, E> {
                T::read(text).map(As).ok_or_else(|| E::invalid_value(Unexpected::Other("something else"), &self))
            }
        }
        deserializer.deserialize_str(Text(std::marker::PhantomData))
    }
}

impl FromText for SocketAddr {
    const EXPECTED: &'static str = "an address and a port like \"127.0.0.1:8080\" or \"[::1]:8080\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for PathBuf {
    const EXPECTED: &'static str = "an absolute path like \"/etc/example\"";

    fn read(text: &str) -> Option<Self> {
        (text.starts_with('/') && !text.contains('\0')).then(|| text.into())
    }
}

/// A whole number from 1 to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct UpTo<const MAX: u32>(pub(super) u32);

impl<const MAX: u32> UpTo<MAX> {
    pub(super) fn count(self) -> usize {
        self.0 as usize
    }

    pub(super) fn seconds(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl<'de, const MAX: u32> Deserialize<'de> for UpTo<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Number(MAX).deserialize(deserializer).map(Self)
    }
}

/// Reads a whole number from 1 to this one.
pub(super) struct Number(pub(super) u32);

impl<'de> DeserializeSeed<'de> for Number {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Number {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {}", self.0)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u32, E> {
        let within = u32::try_from(number).ok().filter(|number| (1..=self.0).contains(number));
        within.ok_or_else(|| E::invalid_value(Unexpected::Other("another"), &self))
    }
}
