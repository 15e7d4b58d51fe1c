//! Raw events of many connections, as the kernel side writes them, and the core that takes them in.

#![allow(dead_code, reason = "each bench uses the part it needs")]

pub mod check;
pub mod counting;
pub mod drive;
pub mod life;
pub mod tape;
pub mod traffic;
