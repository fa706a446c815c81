//! The Python module: a wheel, installed into an empty virtual environment, walked there.

use super::{STEPS, compare, folder, target_folder};
use crate::command::{Failure, Outcome, Program, cargo, program, repository_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Builds and walks it.
pub fn run() -> Result<Outcome, Failure> {
    let python = match installed()? {
        Ok(python) => python,
        Err(missing) => return Ok(Outcome::Skipped(missing)),
    };
    cargo(&["clippy", "--locked", "-p", "orrery-py", "--", "-D", "warnings"]).run()?;
    pip(&python, &["-r", "py/tests/requirements.txt"])?;
    let run = |arguments: &[&str]| program(&python.to_string_lossy()).args(arguments);
    compare("Python", &run(&["py/tests/conformance.py", STEPS]).output()?)?;
    run(&["py/tests/test_orrerydb.py"]).run()?;
    let root = repository_root();
    let page = run(&[]).args([root.join("py/tests/follow.py"), root.join("docs/python.md")]);
    page.folder(folder("python-page")?).run()
}

/// The interpreter of an environment that has nothing but the module, made once a run of ours; or what is missing here.
pub fn installed() -> Result<Result<PathBuf, String>, Failure> {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    if let Some(python) = MADE.get() {
        return Ok(Ok(python.clone()));
    }
    let has_python =
        program("python3").args(["-c", "import sys, venv; assert sys.version_info >= (3, 10)"]).succeeds();
    if !has_python {
        return Ok(Err("the Python door needs python3, 3.10 or newer, with venv".into()));
    }
    // The tool that builds wheels may stay from run to run; the environment that they are installed into is new.
    let tools = target_folder().join("doors/python-tools");
    let maturin = tools.join("bin/maturin");
    if !maturin.exists() {
        let python = environment(&tools)?;
        pip(&python, &["-r", "py/tests/requirements-build.txt"])?;
    }
    let wheels = folder("wheels")?;
    let build = program(&maturin.to_string_lossy());
    build
        .args(["build", "--locked", "--profile", "dev", "-m", "py/Cargo.toml", "-o"])
        .args([&wheels])
        .run()?;
    let python = environment(&folder("python")?)?;
    let module = wheel(&wheels)?;
    pip_of(&python).args(["--no-deps"]).args([&module]).run()?;
    let first = "import orrerydb; print(orrerydb.connect().execute('select 1').fetchall())";
    program(&python.to_string_lossy()).args(["-c", first]).run()?;
    Ok(Ok(MADE.get_or_init(|| python).clone()))
}

/// An empty environment's interpreter.
fn environment(path: &Path) -> Result<PathBuf, Failure> {
    program("python3").args(["-m", "venv", "--clear"]).args([path]).run()?;
    Ok(path.join("bin/python"))
}

fn pip(python: &Path, arguments: &[&str]) -> Result<Outcome, Failure> {
    pip_of(python).args(arguments).install()
}

fn pip_of(python: &Path) -> Program {
    let pip = program(&python.to_string_lossy());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
}

fn wheel(folder: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| Failure::new(format!("{}: {e}", folder.display())))?;
    let mut paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.next().ok_or_else(|| Failure::new("maturin made no wheel"))
}
