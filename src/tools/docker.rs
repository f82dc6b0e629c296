//! Containers and what they are made of.

pub(crate) mod container_control;
pub(crate) mod container_update;
