//! The deterministic world (DESIGN §7): one seed gives a virtual disk, a clock, a scheduler, faults and a workload, and
//! the same run every time. See docs/simulation.md.
//!
//! [`run_seed`] is the door: `orrery-sim`, `orrery sim` and the planted bugs' runner all go through it.

pub mod check;
pub mod disk;
pub mod history;
pub mod injure;
pub mod knobs;
pub mod output;
pub mod report;
pub mod seed;
pub mod trace;
pub mod workload;
pub mod world;

pub use knobs::Door;
pub use output::Output;
pub use report::{SeedOutcome, SeedReport, rerun_command};
pub use seed::{SeedOptions, Trouble, run_seed};
