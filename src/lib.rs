//! systemmanager-mcp: built from the bottom up; the map comes with the last of its modules.

pub mod args;
pub mod audit;
pub mod auth;
pub mod config;
pub mod failure;
pub mod gate;
pub mod host;
pub mod proc;
pub mod root;
pub mod scope;
pub mod table;
pub mod text;
pub mod tool;
pub mod tools;
