//! One file per hook family.

mod exec;
mod follow;
mod owner;
mod packet;
mod payload;
mod reset;
mod retransmit;
mod slice;
mod state;
mod timers;
