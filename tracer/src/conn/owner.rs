//! Whose socket it is.

use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::connection::{Owner, ProcessFacts};
use super::tables::Key;
use super::tracker::{Change, Tracker};
use crate::event::{self, Event, State};
use crate::tcp::TcpState;

impl Tracker {
    /// A process accepted the socket, or sent or received on it, in its own context.
    pub(super) fn apply_owner(&mut self, event: &Event<'_>, owner: &event::Owner) {
        let Some(id) = self.find_socket(event.cookie, &owner.tuple) else {
            self.counters.unattributed += 1;
            return;
        };
        if let Some(connection) = self.tables.get_mut(id) {
            connection.in_sockmap |= owner.in_sockmap;
        }
        if let Some(found) = Owner::from_task(&owner.task) {
            self.own(id, found, owner.task.cgroup_id);
        }
    }

    /// In these two changes the closing process is nearly always current; enough where nobody was seen before.
    /// In all others a state event's task is whoever was interrupted.
    pub(super) fn own_by_closing(&mut self, id: Key, state: &State) {
        let closes = matches!(
            (state.from, state.to),
            (TcpState::Established, TcpState::FinWait1) | (TcpState::CloseWait, TcpState::LastAck)
        );
        let unknown = self.tables.get(id).is_some_and(|c| c.owner.is_none());
        if closes
            && unknown
            && let Some(owner) = Owner::from_task(&state.task)
        {
            self.own(id, owner, state.task.cgroup_id);
        }
    }

    pub(super) fn own(&mut self, id: Key, owner: Owner, cgroup_id: u64) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        if connection.owner.as_ref().is_some_and(|known| known.is_same(&owner)) {
            return;
        }
        let pid = owner.pid.get();
        connection.owner = Some(self.owners.share(owner));
        self.changes.push(Change::Owned { conn: id, pid, cgroup_id });
    }

    /// Adds what the edge knows of a connection's owner.
    pub fn set_facts(&mut self, id: Key, facts: Arc<ProcessFacts>) {
        let owner = self.tables.get_mut(id).and_then(|c| c.owner.as_mut());
        if let Some(owner) = owner.filter(|owner| owner.facts.as_ref() != Some(&facts)) {
            let known = Owner { facts: Some(facts), ..Owner::clone(owner) };
            *owner = self.owners.replace(known);
        }
    }
}

/// Processes whose owners are shared at once; beyond that sharing begins anew.
const SHARED_MAX: usize = 4096;

/// One owner for all connections of a process.
#[derive(Default)]
pub(super) struct Owners {
    by_pid: FxHashMap<NonZeroU32, Arc<Owner>>,
}

impl Owners {
    /// The shared owner of this process and name, with what is known of it by now.
    fn share(&mut self, owner: Owner) -> Arc<Owner> {
        match self.by_pid.get(&owner.pid) {
            Some(known) if known.is_same(&owner) => Arc::clone(known),
            _ => self.replace(owner),
        }
    }

    fn replace(&mut self, owner: Owner) -> Arc<Owner> {
        if self.by_pid.len() >= SHARED_MAX {
            self.by_pid.clear();
        }
        let owner = Arc::new(owner);
        self.by_pid.insert(owner.pid, Arc::clone(&owner));
        owner
    }
}
