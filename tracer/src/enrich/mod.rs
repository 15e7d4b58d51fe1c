//! What the kernel's events do not tell: sockets older than the tracer, processes, containers, namespaces.
//!
//! All of it is asked of /proc and sock_diag, at the edge of the program; what comes back is plain values.

pub mod looker;
pub mod netns;
pub mod owners;
pub mod process;
pub mod sockets;
