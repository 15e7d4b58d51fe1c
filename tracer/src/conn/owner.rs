//! Whose socket it is.

use super::connection::Owner;
use super::tables::Key;
use super::tracker::{Change, Tracker};
use crate::event::{self, Event, State};
use crate::tcp::TcpState;

impl Tracker {
    /// A process accepted the socket, or sent or received on it, in its own context.
    pub(super) fn apply_owner(&mut self, event: &Event<'_>, owner: &event::Owner) {
        let Some(id) = self.find(event.cookie, &owner.tuple, false) else {
            self.counters.unattributed += 1;
            return;
        };
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
        if connection
            .owner
            .as_ref()
            .is_some_and(|known| known.pid == owner.pid && known.comm == owner.comm)
        {
            return;
        }
        let pid = owner.pid.get();
        connection.owner = Some(owner);
        self.changes.push(Change::Owned { conn: id, pid, cgroup_id });
    }
}
