//! conn.
