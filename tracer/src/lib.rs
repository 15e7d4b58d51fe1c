//! tracer: what every TCP connection on this host is doing, from SYN to the end of TIME_WAIT.
//!
//! Data flows one way: hook -> [`ring`] -> [`decode`] -> [`conn`] (the tracker) and [`http`] ->
//! [`pipeline`] -> [`record`]s -> view, recording, export. `docs/architecture.md` is the map.

pub mod by_conn;
pub mod cli;
pub mod conn;
pub mod daemon;
pub mod decode;
pub mod demo;
pub mod engine;
pub mod enrich;
pub mod event;
pub mod export;
pub mod filter;
pub mod http;
pub mod load;
mod mapping;
pub mod merge;
pub mod pipeline;
pub mod plain;
pub mod playback;
pub mod ports;
pub mod prefetch;
pub mod record;
pub mod recording;
pub mod ring;
pub mod sanitize;
mod scheduling;
pub mod selected;
pub mod tcp;
pub mod time;
pub mod tui;
pub mod view_update;
