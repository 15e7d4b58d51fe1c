//! Lives told by hand-made events.
