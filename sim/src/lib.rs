//! The deterministic world (DESIGN §7): one seed gives a virtual disk, a clock, a scheduler, faults and a workload, and
//! the same run every time. See docs/simulation.md.

pub mod disk;
pub mod trace;
pub mod world;
