//! The drivers, written once: files, memory and the test drivers.
