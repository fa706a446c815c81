//! The Python module: a wheel, installed into an empty virtual environment, walked there.

use super::{STEPS, compare, folder, target_folder};
use crate::command::{Failure, Outcome, cargo, program, repository_root};
use std::fs;
use std::path::{Path, PathBuf};

/// Builds and walks it.
pub fn run() -> Result<Outcome, Failure> {
    let has_python =
        program("python3").args(["-c", "import sys, venv; assert sys.version_info >= (3, 10)"]).succeeds();
    if !has_python {
        return Ok(Outcome::Skipped("the Python door needs python3, 3.10 or newer, with venv".into()));
    }
    cargo(&["clippy", "--locked", "-p", "orrery-py", "--", "-D", "warnings"]).run()?;
    // The tool that builds wheels may stay from run to run; the environment that they are installed into is new.
    let tools = target_folder().join("doors/python-tools");
    let maturin = tools.join("bin/maturin");
    if !maturin.exists() {
        environment(&tools)?;
        pip(&tools, &["-r", "py/tests/requirements-build.txt"])?;
    }
    let wheels = folder("wheels")?;
    let build = program(&maturin.to_string_lossy());
    build
        .args(["build", "--locked", "--profile", "dev", "-m", "py/Cargo.toml", "-o"])
        .args([&wheels])
        .run()?;
    let wheel = wheel(&wheels)?;
    let clean = folder("python")?;
    environment(&clean)?;
    // First without anything else: the module needs nothing.
    pip(&clean, &[&wheel.to_string_lossy()])?;
    let python = clean.join("bin/python").to_string_lossy().into_owned();
    program(&python)
        .args(["-c", "import orrerydb; print(orrerydb.connect().execute('select 1').fetchall())"])
        .run()?;
    pip(&clean, &["-r", "py/tests/requirements.txt"])?;
    compare("Python", &program(&python).args(["py/tests/conformance.py", STEPS]).output()?)?;
    program(&python).args(["py/tests/test_orrerydb.py"]).run()?;
    let root = repository_root();
    let page = program(&python).args([root.join("py/tests/follow.py"), root.join("docs/python.md")]);
    page.folder(folder("python-page")?).run()
}

fn environment(path: &Path) -> Result<Outcome, Failure> {
    program("python3").args(["-m", "venv", "--clear"]).args([path]).run()
}

fn pip(environment: &Path, arguments: &[&str]) -> Result<Outcome, Failure> {
    let pip = program(&environment.join("bin/python").to_string_lossy());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(arguments).run()
}

fn wheel(folder: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| Failure::new(format!("{}: {e}", folder.display())))?;
    let mut paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.next().ok_or_else(|| Failure::new("maturin made no wheel"))
}
