//! A WASM module around the core, built only to look at its import section (L1): a core that reached for a file, a
//! clock or entropy would import it. `cargo xtask wasm` builds and reads it.
//!
//! It must touch the public doors of the core, or the linker would strip what the check is about: extend
//! [`orrery_probe`] when a door is added. It does not test behaviour.
#![allow(unsafe_code, reason = "an exported symbol needs `#[unsafe(no_mangle)]`")]

/// Runs a little of the core and answers a number that depends on all of it.
// SAFETY: no other symbol of this name is linked into the module.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_probe(seed: u64) -> u64 {
    let bytes = seed.to_le_bytes();
    let error = orrery_base::Error::unsupported(format_args!("feature {seed}"));
    orrery_base::hash::hash64(seed, &bytes)
        ^ u64::from(orrery_base::hash::checksum(error.to_string().as_bytes()))
}
