//! The table: every scenario with its name, what lies between its ends, and when it begins.

mod closing;
mod crowds;
mod kinds;
mod older;
mod opening;
mod owners;
mod repair;
mod resets;
mod timewait;
mod translated;

use tracer::tcp::TcpState::{
    self, Close, CloseWait, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent, TimeWait,
};

pub use owners::connect_and_end_if_asked;

use crate::expect::Lives;
use crate::stage::{Between, Stage};

/// Whether a scenario begins before the tracer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    BeforeTheTracer,
    UnderTheTracer,
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub between: Between,
    pub begins: Begins,
    /// Plays it on the stage, and says what must have been told.
    pub play: fn(&Stage) -> Lives,
}

/// The life of a client that closes first, and so has the TIME_WAIT.
const ACTIVE_CLIENT: &[TcpState] = &[SynSent, Established, FinWait1, FinWait2, TimeWait, Close];
/// The life of a client whose server closes first.
const PASSIVE_CLIENT: &[TcpState] = &[SynSent, Established, CloseWait, LastAck, Close];
/// The life of a server end that closes first.
const ACTIVE_SERVER: &[TcpState] = &[SynRecv, Established, FinWait1, FinWait2, TimeWait, Close];
/// The life of a server end whose client closes first.
const PASSIVE_SERVER: &[TcpState] = &[SynRecv, Established, CloseWait, LastAck, Close];
/// Opened, then cut off.
const CUT_CLIENT: &[TcpState] = &[SynSent, Established, Close];
const CUT_SERVER: &[TcpState] = &[SynRecv, Established, Close];

const fn local(name: &'static str, play: fn(&Stage) -> Lives) -> Scenario {
    Scenario { name, between: Between::Loopback, begins: Begins::UnderTheTracer, play }
}

const fn wired(name: &'static str, play: fn(&Stage) -> Lives) -> Scenario {
    Scenario { between: Between::Wire, ..local(name, play) }
}

const fn older(name: &'static str, play: fn(&Stage) -> Lives) -> Scenario {
    Scenario { begins: Begins::BeforeTheTracer, ..local(name, play) }
}

const fn older_wired(name: &'static str, play: fn(&Stage) -> Lives) -> Scenario {
    Scenario { begins: Begins::BeforeTheTracer, ..wired(name, play) }
}

/// Every scenario.
pub const TABLE: &[Scenario] = &[
    local("the_client_closes_first", closing::client_first),
    local("the_server_closes_first", closing::server_first),
    wired("both_close_at_once", closing::both_at_once),
    wired("fin_and_ack_come_combined", closing::fin_and_ack_combined),
    local("data_comes_late_to_a_half_closed_connection", closing::half_close_with_late_data),
    wired("the_last_ack_is_lost", closing::last_ack_lost),
    local("an_owner_that_dies_closes", closing::owner_dies),
    wired("an_orphan_in_fin_wait1_gives_up", closing::orphan_in_fin_wait1_gives_up),
    local("an_orphan_in_fin_wait2_times_out", closing::orphan_in_fin_wait2_times_out),
    local("the_client_resets_by_linger_zero", resets::by_the_client),
    local("the_server_resets_by_linger_zero", resets::by_the_server),
    local("closing_with_unread_data_resets", resets::unread_data),
    local("a_reset_after_fin_is_told_as_reset", resets::after_fin),
    local("data_at_a_peer_that_has_closed_is_reset", resets::data_at_a_closed_peer),
    wired("a_connection_that_hears_nothing_times_out", resets::user_timeout),
    local("a_closed_port_refuses", opening::refused),
    wired("a_syn_into_a_black_hole_times_out", opening::black_hole),
    wired("the_network_says_unreachable", opening::unreachable),
    local("without_a_route_nothing_happens", opening::no_route),
    wired("a_program_gives_up_in_syn_sent", opening::given_up),
    wired("a_syn_ack_is_lost", opening::syn_ack_lost),
    wired("a_syn_ack_is_never_answered", opening::syn_ack_never_answered),
    wired("a_syn_ack_is_answered_by_a_reset", opening::syn_ack_answered_by_reset),
    local("a_full_backlog_drops_the_syn", opening::full_backlog),
    wired("a_full_backlog_drops_the_third_segment", opening::full_backlog_at_the_ack),
    local("syn_cookies_are_forced", opening::syn_cookies),
    wired("a_listener_closes_with_a_half_open_connection", opening::listener_closes_half_open),
    wired("the_third_segment_comes_after_the_listener", opening::ack_after_the_listener),
    local("a_listener_closes_with_connections_nobody_accepted", opening::never_accepted),
    wired("syns_that_cross_open_one_connection", opening::simultaneous_open),
    local("a_four_tuple_in_use_cannot_be_connected", opening::tuple_in_use),
    local("time_wait_lasts_to_its_natural_end", timewait::natural_end),
    local("a_connect_takes_time_wait_over", timewait::taken_over_by_connect),
    local("a_new_syn_takes_time_wait_over", timewait::taken_over_by_syn),
    wired("a_reset_kills_time_wait", timewait::killed_by_reset),
    local("without_room_there_is_no_time_wait", timewait::no_room),
    local("an_orphan_in_fin_wait2_gets_its_fin_soon", timewait::orphan_gets_fin_soon),
    local("an_orphan_in_fin_wait2_gets_its_fin_late", timewait::orphan_gets_fin_late),
    wired("an_orphan_gets_its_fin_from_another_host", timewait::orphan_gets_fin_from_afar),
    local("a_service_address_is_translated", translated::service_address),
    local("a_port_is_redirected", translated::redirected),
    local("a_source_address_is_masqueraded", translated::masqueraded),
    local("a_service_address_of_ipv6_is_translated", translated::service_address_v6),
    local("a_service_address_is_translated_to_a_syn_cookie", translated::to_syn_cookie),
    local("both_ends_are_restored", repair::both_ends),
    local("a_connection_is_taken_out_and_restored", repair::moved),
    local("a_program_that_ends_at_once_has_its_binary", owners::ends_at_once),
    local("another_process_accepts", owners::another_process_accepts),
    local("a_child_goes_on_after_fork", owners::child_goes_on),
    local("a_client_goes_on_after_fork", owners::client_child_goes_on),
    local("ipv6", kinds::ipv6),
    local("an_ipv4_client_at_a_dual_stack_listener", kinds::dual_stack),
    local("an_ipv6_socket_connects_to_an_ipv4_address", kinds::mapped_client),
    local("a_socket_connects_to_itself", kinds::to_itself),
    local("one_socket_lives_twice", kinds::lives_twice),
    wired("data_sent_again_counts_once", kinds::retransmitted),
    local("mptcp_doubles_nothing", kinds::mptcp),
    local("fast_open", kinds::fast_open),
    local("defer_accept", kinds::defer_accept),
    wired("one_four_tuple_on_two_interfaces", kinds::same_tuple_on_two_interfaces),
    local("a_sockmap_is_reported", kinds::in_sockmap),
    local("five_hundred_at_once", crowds::five_hundred),
    local("a_four_tuple_is_reused_within_milliseconds", crowds::same_tuple),
    older("older_than_the_tracer_in_established", older::established),
    older("older_than_the_tracer_in_fin_wait2_and_close_wait", older::half_closed),
    older("older_than_the_tracer_as_an_orphan_in_fin_wait2", older::orphan),
    older("older_than_the_tracer_in_time_wait", older::time_wait),
    older_wired("older_than_the_tracer_in_syn_recv", older::syn_recv),
    older_wired("older_than_the_tracer_in_syn_sent", older::syn_sent),
];
