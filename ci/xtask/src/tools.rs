//! What the checks need beside the Rust toolchain, and how it is had: installed where we may (root on Debian), else the
//! step that needs it says what is missing.

use std::path::Path;

use crate::command::{Failure, Outcome, cargo, program};

/// Whether `cargo nextest` is installed.
pub fn has_nextest() -> bool {
    cargo(&["nextest", "--version"]).succeeds()
}

/// Installs Debian packages if this is root on Debian; otherwise says that they are missing.
pub fn install_debian(packages: &[&str]) -> Result<Outcome, Failure> {
    let wanted = packages.join(" ");
    if !Path::new("/etc/debian_version").exists() || !is_root() {
        return Ok(Outcome::Skipped(format!(
            "needs the Debian packages {wanted}, and only root on Debian can install them"
        )));
    }
    program("apt-get").args(["update", "-qq"]).install()?;
    let install = program("apt-get").args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive").install()
}

fn is_root() -> bool {
    program("id").args(["-u"]).output().is_ok_and(|id| id.trim() == "0")
}
