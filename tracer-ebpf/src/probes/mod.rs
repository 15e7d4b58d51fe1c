//! One file per hook family.

mod exec;
mod owner;
mod packet;
mod payload;
mod reset;
mod retransmit;
mod state;
mod timers;
