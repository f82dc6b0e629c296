//! systemmanager-mcp.

pub mod failure;
pub mod proc;
pub mod scope;
