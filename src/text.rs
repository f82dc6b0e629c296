//! An answer as compact text, and the sanitizing of untrusted text.

mod arguments;
mod around;
mod clean;
mod hex;
pub mod json;
mod names;
mod quote;
mod redact;
mod render;
mod tokens;
mod unit;
mod vocabulary;

pub use around::around;
pub use clean::{clean, clean_value};
pub use hex::{hex, unhex};
pub use quote::{quote, quote_path, unquote};
#[cfg(test)]
pub(crate) use redact::spelled;
pub use redact::{ENCODED, MARK, Redactor, is_folded, redact_arguments, redact_line, redact_value};
pub use render::render;
pub use tokens::tokens_at_most;
