//! An answer as compact text, and the sanitizing of untrusted text.

mod arguments;
mod clean;
pub mod json;
mod names;
mod redact;
mod render;
mod tokens;
mod unit;
mod vocabulary;

pub use clean::{clean, clean_value};
pub use redact::{Redactor, redact_arguments, redact_line, redact_value};
pub use render::render;
pub use tokens::tokens_at_most;
