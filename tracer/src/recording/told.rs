//! What a block tells besides its records.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{Connection, Record};
use crate::time::Timestamp;
use crate::view_update::Stats;

/// One thing that a block tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A record.
    Record(Record),
    /// A connection that goes on, as it is so far.
    Note(Arc<Connection>),
    /// Figures about the run.
    Figures(Figures),
}

/// Figures about the run that sends the stream, and its clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The time of the records' clock when they were taken.
    pub at: Timestamp,
    /// The figures.
    pub stats: Stats,
}
