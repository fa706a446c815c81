//! The npm package: the module for JavaScript, made small, with the JavaScript around it. Its size is held by
//! `ci/wasm-size.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Build, compile, find_toolchain, gzip_bytes};
use crate::command::{Failure, Outcome, cargo, program};
use crate::npm;

const RATCHET: &str = "ci/wasm-size.txt";
/// A compiler's whims; anything more is a decision.
const SLACK_PER_MILLE: usize = 10;
const MODULE: &str = "orrerydb_wasm_bg.wasm";

/// Builds it, as it is shipped also makes it small and holds its size; the folder, or what is missing.
pub fn build(how: Build) -> Result<Result<PathBuf, String>, Failure> {
    let toolchain = match find_toolchain()? {
        Ok(toolchain) => toolchain,
        Err(missing) => return Ok(Err(missing)),
    };
    if !npm::is_installed() {
        return Ok(Err("the JavaScript package needs node (20 or newer) and npm".into()));
    }
    let module = compile(&toolchain, how, "orrery-wasm")?.join("orrerydb_wasm.wasm");
    let name = if how == Build::Shipped { "npm" } else { "npm-tests" };
    let package = crate::doors::folder(name)?.join("orrerydb");
    fs::create_dir_all(&package).map_err(|e| Failure::new(format!("{}: {e}", package.display())))?;
    let bind = cargo(&["run", "--locked", "-q", "-p", "orrery-wasm-bind", "--"]);
    bind.args([&module, &package]).run()?;
    copy_files("wasm/js", &package)?;
    for (from, to) in [("wasm/package.json", "package.json"), ("docs/javascript.md", "README.md")] {
        copy(Path::new(from), &package.join(to))?;
    }
    if how == Build::Shipped {
        let bound = package.join(MODULE);
        let smaller = npm::tools()?.join("node_modules/.bin/wasm-opt");
        program(&smaller.to_string_lossy()).args(["-Oz"]).args([&bound]).args(["-o"]).args([&bound]).run()?;
        check_size(&bound)?;
    }
    Ok(Ok(package))
}

/// As [`build`], for the command.
pub fn run() -> Result<Outcome, Failure> {
    Ok(build(Build::Shipped)?.map_or_else(Outcome::Skipped, |_| Outcome::Passed))
}

/// Copies the files of a folder, not of those in it.
pub fn copy_files(from: &str, to: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(from).map_err(|e| Failure::new(format!("{from}: {e}")))?;
    fs::create_dir_all(to).map_err(|e| Failure::new(format!("{}: {e}", to.display())))?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        copy(&path, &to.join(path.file_name().expect("an entry of a folder has a name")))?;
    }
    Ok(())
}

/// Copies a file.
pub fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(|e| Failure::new(format!("{}: {e}", from.display())))
}

fn check_size(module: &Path) -> Result<(), Failure> {
    let bytes = fs::read(module).map_err(|e| Failure::new(format!("{}: {e}", module.display())))?;
    let gzipped = gzip_bytes(&bytes)?;
    println!("the package's module: {} bytes, {gzipped} gzipped", bytes.len());
    let text = fs::read_to_string(RATCHET).map_err(|e| Failure::new(format!("{RATCHET}: {e}")))?;
    let held = ratchet(&text).ok_or_else(|| Failure::new(format!("{RATCHET} has no line of a number")))?;
    match gzipped > held + held / 1000 * SLACK_PER_MILLE {
        true => Err(Failure::new(format!(
            "{gzipped} bytes gzipped are more than the {held} of {RATCHET}: make it smaller, or raise the line with a reason"
        ))),
        false => {
            if gzipped < held - held / 1000 * SLACK_PER_MILLE {
                println!("{RATCHET} may be lowered to {gzipped}");
            }
            Ok(())
        }
    }
}

/// The number in the file's last line that is no comment.
fn ratchet(text: &str) -> Option<usize> {
    text.lines().rfind(|line| !line.starts_with('#') && !line.trim().is_empty())?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratchet_is_its_last_number() {
        assert_eq!(ratchet("# bytes\n1700\n"), Some(1700));
        assert_eq!(ratchet("# bytes\n"), None);
        assert_eq!(ratchet("many\n"), None);
    }
}
