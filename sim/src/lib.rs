//! The deterministic world (DESIGN §7): one seed gives a virtual disk, a clock, a scheduler, faults and a workload, and
//! the same run every time. See docs/simulation.md.
//!
//! [`run_seed`] is the door: `orrery-sim`, `orrery sim` and the planted bugs' runner all go through it.

pub mod check;
pub mod disk;
pub mod history;
pub mod trace;
pub mod world;
