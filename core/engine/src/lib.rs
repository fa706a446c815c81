//! The only crate that wires the core together: sessions, statements, tasks.
