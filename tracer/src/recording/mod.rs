//! recording.
