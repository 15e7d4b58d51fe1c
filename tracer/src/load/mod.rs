//! load.

pub mod cgroup;
pub mod host;
pub mod kallsyms;
pub mod mountinfo;
pub mod offsets;
