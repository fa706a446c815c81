//! Compiles the planted bugs in and checks that the simulator catches each.
