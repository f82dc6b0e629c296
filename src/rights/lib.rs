//! What a caller may do: a [`scope`], with its actions, on its targets. A [`grant`] is one of them in words.

pub mod grant;
pub mod scope;
