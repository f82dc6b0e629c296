//! An answer as compact text: tables, pages, names and numbers as they are read.

mod around;
mod hex;
pub mod json;
pub mod page;
mod quote;
mod render;
pub mod table;
mod tokens;
mod unit;
mod vocabulary;

pub use around::around;
pub use hex::{hex, unhex};
pub use quote::{quote, quote_path, unquote};
pub use render::render;
pub use tokens::tokens_at_most;
