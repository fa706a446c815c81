//! The public Rust API of Orrery.
