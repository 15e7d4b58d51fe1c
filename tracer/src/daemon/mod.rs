//! What `tracer daemon` says to others: a stream in the recording format over a socket of this host, and figures over HTTP.
//!
//! The tracing thread owns everything that is known. A client's thread asks it ([`Ask`]), is answered at the next look, and
//! packs and writes by itself: who reads slowly, or not at all, holds nobody up but itself, and is cut off where it falls too
//! far behind ([`Audience`]).

mod audience;
pub mod connect;
mod metrics;
mod metrics_http;
pub mod protocol;
mod server;

pub use audience::{Audience, Look};
pub use metrics::{HttpFigures, Metrics, RunFigures};
pub use metrics_http::serve_metrics;
pub use server::{Ask, History, Live, Server};
