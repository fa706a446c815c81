//! The deterministic world: virtual disk, clock, scheduler, workloads, models and checkers.
