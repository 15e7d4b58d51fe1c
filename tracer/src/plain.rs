//! A line per change.
