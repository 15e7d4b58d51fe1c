//! Whose socket it is.

use super::connection::Owner;
use super::tracker::{Change, Tracker};
use crate::event::{self, Event, State};
use crate::record::ConnId;
use crate::tcp::TcpState;

impl Tracker {
    /// A process accepted the socket, or sent or received on it, in its own context.
    pub(super) fn apply_owner(&mut self, event: &Event<'_>, owner: &event::Owner) {
        let Some(id) = self.find(event.cookie, &owner.tuple, false) else {
            self.counters.unattributed += 1;
            return;
        };
        self.own(id, Owner::from_task(&owner.task), owner.task.cgroup_id);
    }

    /// In these two changes the closing process is nearly always current; enough where nobody was seen before.
    /// In all others a state event's task is whoever was interrupted.
    pub(super) fn own_by_closing(&mut self, id: ConnId, state: &State) {
        let closes = matches!(
            (state.from, state.to),
            (TcpState::Established, TcpState::FinWait1) | (TcpState::CloseWait, TcpState::LastAck)
        );
        let unknown = self.tables.get(id).is_some_and(|c| c.owner.is_none());
        if closes && unknown && state.task.pid != 0 {
            self.own(id, Owner::from_task(&state.task), state.task.cgroup_id);
        }
    }

    pub(super) fn own(&mut self, id: ConnId, owner: Owner, cgroup_id: u64) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        if connection
            .owner
            .as_ref()
            .is_some_and(|known| known.pid == owner.pid && known.comm == owner.comm)
        {
            return;
        }
        let pid = owner.pid;
        connection.owner = Some(owner);
        self.changes.push(Change::Owned { conn: id, pid, cgroup_id });
    }
}
