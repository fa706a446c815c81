//! What comes from npm: pinned by a folder's `package-lock.json`, installed once below the target directory.

use std::fs;
use std::path::PathBuf;

use crate::command::{Failure, program};
use crate::doors::target_folder;
use crate::wasm::package::copy;

/// Whether Node and npm are here.
pub fn is_installed() -> bool {
    let node = "process.exit(Number(process.versions.node.split('.')[0]) >= 20 ? 0 : 1)";
    program("node").args(["-e", node]).succeeds() && program("npm").args(["--version"]).succeeds()
}

/// The folder with the tools' `node_modules`.
pub fn tools() -> Result<PathBuf, Failure> {
    install("ci/npm", "node-tools")
}

/// Installs what the lockfile in `from` says into a folder of this name, unless it is there.
pub fn install(from: &str, name: &str) -> Result<PathBuf, Failure> {
    let folder = target_folder().join("doors").join(name);
    let lock = "package-lock.json";
    let read = |path: PathBuf| fs::read(path).ok();
    let wanted = read(PathBuf::from(from).join(lock));
    // npm writes this file last.
    let is_there = folder.join("node_modules/.package-lock.json").exists();
    if is_there && read(folder.join(lock)) == wanted {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).map_err(|e| Failure::new(format!("{}: {e}", folder.display())))?;
    for name in ["package.json", lock] {
        copy(&PathBuf::from(from).join(name), &folder.join(name))?;
    }
    program("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).folder(&folder).install()?;
    Ok(folder)
}
