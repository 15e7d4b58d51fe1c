//! What the engine tells, as far as a filter lets it through.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::Output;
use crate::filter::{Filter, Selector};
use crate::record::{ConnId, Connection, Record};

/// Records that pass a filter, each with its connection as far as it is known.
pub struct Selected {
    selector: Selector,
    /// Connections as last told; empty where nobody asked to be told.
    known: HashMap<ConnId, Arc<Connection>>,
}

impl Selected {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Selected { selector: Selector::new(filter), known: HashMap::new() }
    }

    /// These are there, as they are now.
    pub fn know(&mut self, connections: &[Arc<Connection>]) {
        self.known.extend(connections.iter().map(|known| (known.id, Arc::clone(known))));
    }

    /// Whether a connection that goes on would pass.
    pub fn passes_open(&mut self, connection: &Connection) -> bool {
        self.selector.passes_open(connection)
    }

    /// Calls `each` for what passes.
    ///
    /// # Errors
    /// The first one of `each`.
    pub fn each<E>(
        &mut self,
        outputs: &[Output],
        mut each: impl FnMut(&Record, Option<&Connection>) -> Result<(), E>,
    ) -> Result<(), E> {
        for output in outputs {
            match output {
                Output::Changed(connection) => {
                    self.known.insert(connection.id, Arc::clone(connection));
                }
                Output::Record(record) => {
                    let connection = record.conn().and_then(|id| self.known.get(&id)).cloned();
                    if self.selector.passes(record, connection.as_deref()) {
                        each(record, connection.as_deref())?;
                    }
                    if let Record::Connection(ended) = record {
                        self.known.remove(&ended.id);
                    }
                }
                Output::Lasting(_) => {}
            }
        }
        Ok(())
    }

    /// Calls `each` for those that last and would pass.
    ///
    /// # Errors
    /// The first one of `each`.
    pub fn lasting<E>(
        &mut self,
        outputs: &[Output],
        mut each: impl FnMut(&Connection) -> Result<(), E>,
    ) -> Result<(), E> {
        for output in outputs {
            if let Output::Lasting(connection) = output
                && self.selector.passes_open(connection)
            {
                each(connection)?;
            }
        }
        Ok(())
    }

    /// Those of `connections`, as they are now, whose records would pass.
    pub fn open(
        &mut self,
        connections: Vec<Arc<Connection>>,
    ) -> impl Iterator<Item = Arc<Connection>> + '_ {
        let selector = &mut self.selector;
        connections.into_iter().filter(|connection| selector.passes_open(connection))
    }
}
