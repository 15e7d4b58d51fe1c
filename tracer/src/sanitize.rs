//! sanitize.
