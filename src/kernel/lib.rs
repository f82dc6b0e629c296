//! What the kernel tells: bytes in, structs out. [`root`] opens its files and [`netlink`] asks it, [`proc`] takes apart what comes, and what can go
//! wrong is a [`failure`].

pub mod failure;
pub mod netlink;
pub mod proc;
pub mod root;
