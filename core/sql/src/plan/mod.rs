//! Plans. The physical plan here is what the optimizer gives and the executor runs.

pub mod logical;
pub mod physical;
mod walk;
pub use physical::*;
