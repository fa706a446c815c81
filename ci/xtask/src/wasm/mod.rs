//! `cargo xtask wasm`: builds the core for `wasm32-unknown-unknown`, fails if the module imports anything (L1) and
//! prints its size. Then the npm package (`package.rs`).
//!
//! The target's std comes from rustup where that works. Where it cannot be fetched, root on Debian builds it once from
//! Debian's own pair of compiler and std source (the two must be of one version), for this target only.

mod imports;
pub mod package;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::command::{Failure, Outcome, Program, cargo, program};
use crate::tools;

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "rust-web-src", "lld-22"];
const DEBIAN_LINKER: &str = "wasm-ld-22";

/// Which compiler can build for the target.
enum Toolchain {
    /// The one that builds everything else.
    Ours,
    /// Debian's, for this target only.
    Debian,
}

/// How the modules are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Small, which takes minutes: what is shipped, and its size held.
    Shipped,
    /// In the profile of all other tests: quick, and with assertions.
    Tests,
}

/// Builds the modules as they are shipped, and looks into the probe.
pub fn run() -> Result<Outcome, Failure> {
    look(Build::Shipped)
}

/// The same as the tests have them.
pub fn run_quickly() -> Result<Outcome, Failure> {
    look(Build::Tests)
}

fn look(build: Build) -> Result<Outcome, Failure> {
    match find_toolchain()? {
        Ok(toolchain) => {
            check(&compile(&toolchain, build, "orrery-wasm-probe")?.join("orrery_wasm_probe.wasm"))
        }
        Err(missing) => Ok(Outcome::Skipped(missing)),
    }
}

/// Looks at what depends on the target, where the compiler that has the lints can build for it.
pub fn clippy() -> Result<(), Failure> {
    if has_std("rustc") {
        let crates = ["-p", "orrery-wasm", "-p", "orrerydb", "-p", "orrery-drivers", "--target", TARGET];
        let clippy = cargo(&["clippy", "--locked"]).args(crates).args(["--", "-D", "warnings"]);
        clippy.env("CARGO_TARGET_DIR", target_dir()).run()?;
    }
    Ok(())
}

/// Builds the module of a package; the folder it is in.
fn compile(toolchain: &Toolchain, build: Build, package: &str) -> Result<PathBuf, Failure> {
    // The tests want both modules, which share all of the core.
    let (profile, folder, packages) = match build {
        Build::Shipped => ("wasm", "wasm", vec!["-p", package]),
        Build::Tests => ("dev", "debug", vec!["-p", "orrery-wasm-probe", "-p", "orrery-wasm"]),
    };
    let target_dir = target_dir();
    let cargo = cargo(&["build", "--locked", "--profile", profile, "--target", TARGET])
        .args(packages)
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_ENCODED_RUSTFLAGS", remaps().join("\u{1f}"));
    match toolchain {
        Toolchain::Ours => cargo.run()?,
        Toolchain::Debian => debian_pair(cargo).run()?,
    };
    Ok(target_dir.join(TARGET).join(folder))
}

/// A module names the source files of its panics: not where they lay on this machine, so that the same source gives the
/// same module everywhere.
fn remaps() -> Vec<String> {
    let user = || std::env::home_dir().map(|home| home.join(".cargo"));
    let Some(cargo) = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(user) else {
        return Vec::new();
    };
    let entries = fs::read_dir(cargo.join("registry/src")).into_iter().flatten().flatten();
    let folders = entries.map(|entry| format!("--remap-path-prefix={}=crates", entry.path().display()));
    let mut folders: Vec<String> = folders.collect();
    folders.sort();
    folders
}

fn check(path: &Path) -> Result<Outcome, Failure> {
    let module = fs::read(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    let sections = imports::read(&module).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    if !sections.exports.iter().any(|name| name == "orrery_probe") {
        return Err(Failure::new(
            "the module does not export orrery_probe: the linker stripped what is checked",
        ));
    }
    println!("the core as WASM: {} bytes, {} gzipped", module.len(), gzip_bytes(&module)?);
    if !sections.imports.is_empty() {
        let list = sections.imports.join(", ");
        return Err(Failure::new(format!(
            "the core imports {list}: it may take nothing from the world (L1)"
        )));
    }
    println!("imports nothing");
    Ok(Outcome::Passed)
}

fn gzip_bytes(module: &[u8]) -> Result<usize, Failure> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let packed = encoder.write_all(module).and_then(|()| encoder.finish());
    packed.map(|packed| packed.len()).map_err(|e| Failure::new(format!("gzip: {e}")))
}

/// Apart from the native one: two compilers in one folder would rebuild each other's work.
fn target_dir() -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    base.join("wasm")
}

/// The compiler to use, or what is missing.
fn find_toolchain() -> Result<Result<Toolchain, String>, Failure> {
    if has_std("rustc") || (program("rustup").args(["target", "add", TARGET]).succeeds() && has_std("rustc"))
    {
        return Ok(Ok(Toolchain::Ours));
    }
    let is_installed =
        Path::new(DEBIAN_RUSTC).exists() && program(DEBIAN_LINKER).args(["--version"]).succeeds();
    if !is_installed && let Outcome::Skipped(why) = tools::install_debian(DEBIAN_PACKAGES)? {
        return Ok(Err(format!("needs `rustup target add {TARGET}`; without it {why}")));
    }
    if !has_std(DEBIAN_RUSTC) {
        build_debian_std()?;
    }
    Ok(Ok(Toolchain::Debian))
}

/// Whether this compiler has the target's core library.
fn has_std(rustc: &str) -> bool {
    let Ok(folder) = std_folder(rustc) else { return false };
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn std_folder(rustc: &str) -> Result<PathBuf, Failure> {
    let folder = program(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    Ok(PathBuf::from(folder.trim()))
}

/// The environment that makes cargo use Debian's compiler and linker for the target.
fn debian_pair(build: Program) -> Program {
    build.env("RUSTC", DEBIAN_RUSTC).env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
}

/// Builds std for the target from Debian's source and puts it where Debian's compiler looks. Once a machine, ~45 s.
fn build_debian_std() -> Result<(), Failure> {
    let version = program(DEBIAN_RUSTC).args(["-vV"]).output()?;
    let version = version.lines().find_map(|line| line.strip_prefix("release: "));
    let version = version.ok_or_else(|| Failure::new("rustc -vV says no release"))?;
    let manifest = format!("/usr/src/rustc-{version}/library/sysroot/Cargo.toml");
    let build_dir = target_dir().join("std");
    let build =
        cargo(&["build", "-q", "--locked", "--release", "--manifest-path", &manifest, "--target", TARGET])
            .args(["--no-default-features", "--features", "panic-unwind"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &build_dir)
            .env("CARGO_PROFILE_RELEASE_PANIC", "unwind")
            .env(
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
                "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes",
            );
    debian_pair(build).run()?;
    let from = build_dir.join(TARGET).join("release/deps");
    install_std(&from, &std_folder(DEBIAN_RUSTC)?).map_err(|e| Failure::new(format!("installing std: {e}")))
}

fn install_std(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        fs::remove_file(entry?.path())?;
    }
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let (Some(name), Some("rlib")) = (path.file_name(), path.extension().and_then(|e| e.to_str())) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
