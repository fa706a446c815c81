//! The npm package: packed, installed into an empty project, and walked in Node and in headless Chromium.

use super::{STEPS, compare, folder, python, target_folder, write};
use crate::command::{Failure, Outcome, cargo, program, repository_root};
use crate::wasm::package::{self, copy, copy_files};
use crate::wasm::{self, Build};
use crate::{npm, tools};
use std::fs;
use std::path::{Path, PathBuf};

/// Debian's, and what other systems and CI images have.
const CHROMIUM: &str = "/usr/bin/chromium";
const BROWSERS: &[&str] = &[CHROMIUM, "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// Builds the package and walks it in Node.
pub fn node() -> Result<Outcome, Failure> {
    match build(Build::Shipped)? {
        Ok(built) => walk_node(&built),
        Err(missing) => Ok(Outcome::Skipped(missing)),
    }
}

fn build(how: Build) -> Result<Result<PathBuf, String>, Failure> {
    let crates = ["-p", "orrery-wasm", "-p", "orrery-wasm-bind", "--all-targets"];
    cargo(&["clippy", "--locked"]).args(crates).args(["--", "-D", "warnings"]).run()?;
    if how == Build::Shipped {
        wasm::clippy()?;
    }
    package::build(how)
}

/// Builds the package and walks it in Chromium.
pub fn browser() -> Result<Outcome, Failure> {
    match build(Build::Shipped)? {
        Ok(built) => walk_browser(&built),
        Err(missing) => Ok(Outcome::Skipped(missing)),
    }
}

/// Both, from one build: the one that is shipped.
pub fn run() -> Result<Outcome, Failure> {
    walk(Build::Shipped)
}

/// Both, from a build that takes less.
pub fn run_quickly() -> Result<Outcome, Failure> {
    walk(Build::Tests)
}

fn walk(how: Build) -> Result<Outcome, Failure> {
    let built = match build(how)? {
        Ok(built) => built,
        Err(missing) => return Ok(Outcome::Skipped(missing)),
    };
    walk_node(&built)?;
    walk_browser(&built)
}

/// Builds the package and measures it beside its peers.
pub fn bench() -> Result<Outcome, Failure> {
    let built = match package::build(Build::Shipped)? {
        Ok(built) => built,
        Err(missing) => return Ok(Outcome::Skipped(missing)),
    };
    let peers = npm::install("bench/js", "node-peers")?;
    copy(Path::new("bench/js/bench.js"), &peers.join("bench.js"))?;
    run_node(&peers, &["bench.js".into(), text(&built)])
}

/// Node with an absolute script and arguments, in a folder.
fn run_node(folder: &Path, arguments: &[String]) -> Result<Outcome, Failure> {
    program("node").args(arguments).folder(folder).run()
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}

fn walk_node(built: &Path) -> Result<Outcome, Failure> {
    let (root, tools) = (repository_root(), npm::tools()?);
    let project = folder("node")?;
    write(project.join("package.json"), "{ \"private\": true, \"type\": \"module\" }\n")?;
    let packed = program("npm").args(["pack", "--silent", "--pack-destination"]).args([&project]);
    let packed = packed.folder(built).output()?;
    let packed = format!("./{}", packed.trim());
    program("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", &packed])
        .folder(&project)
        .run()?;
    // First without anything else: the package needs nothing.
    let first = "const { open } = await import('orrerydb'); const db = await open('memory'); \
        console.log(await db.query('select 1 as one')); await db.close()";
    run_node(&project, &["--input-type=module".into(), "-e".into(), first.into()])?;
    // Arrow's own package reads what `queryArrow` gives, TypeScript what `index.d.ts` says.
    for name in ["apache-arrow", "typescript"] {
        link(&tools.join("node_modules").join(name), &project.join("node_modules").join(name))?;
    }
    copy_files("wasm/tests", &project.join("tests"))?;
    let steps = text(root.join(STEPS));
    let transcript = program("node").args(["tests/conformance.js", &steps]).folder(&project);
    compare("Node", &transcript.output()?)?;
    let native = native_shell()?;
    run_node(&project, &["tests/node.js".into(), text(&native)])?;
    let types = ["node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--target", "es2022", "--lib"];
    let types = types.into_iter().chain(["es2022,dom", "--module", "nodenext", "tests/types.ts"]);
    program("node").args(types).folder(&project).run()?;
    let page = folder("node-page")?;
    link(&project.join("node_modules"), &page.join("node_modules"))?;
    write(page.join("package.json"), "{ \"private\": true, \"type\": \"module\" }\n")?;
    run_node(&page, &[text(root.join("wasm/tests/follow.js")), text(root.join("docs/javascript.md"))])
}

fn walk_browser(built: &Path) -> Result<Outcome, Failure> {
    let installed = BROWSERS.iter().find(|path| Path::new(path).exists()).copied();
    if installed.is_none()
        && let Outcome::Skipped(why) = tools::install_debian(&["chromium"])?
    {
        return Ok(Outcome::Skipped(format!("the browser door: {why}")));
    }
    let chromium = installed.unwrap_or(CHROMIUM);
    let tools = npm::tools()?;
    let site = site(built)?;
    copy_files("wasm/tests", &site.join("tests"))?;
    copy(&tools.join("node_modules/apache-arrow/Arrow.es2015.min.js"), &site.join("arrow.js"))?;
    // The script finds the browser's driver beside itself.
    let scripts = folder("browser")?;
    link(&tools.join("node_modules"), &scripts.join("node_modules"))?;
    write(scripts.join("package.json"), "{ \"private\": true, \"type\": \"module\" }\n")?;
    copy(Path::new("wasm/tests/browser.js"), &scripts.join("browser.js"))?;
    let steps = text(repository_root().join(STEPS));
    let script =
        |part: &str| program("node").args(["browser.js", part, &text(&site), chromium]).folder(&scripts);
    compare("Chromium", &script("conformance").args([&steps]).output()?)?;

    // A file of Python's goes there and back.
    let python = match python::installed()? {
        Ok(python) => text(python),
        Err(missing) => {
            println!("Python's files do not go into the browser: {missing}");
            String::new()
        }
    };
    let (native, files) = (native_shell()?, repository_root().join("py/tests/files.py"));
    let walked = script("walk").args([&text(&native), &python, &text(files)]);
    walked.args([&scripts.join("demo.png")]).run()
}

/// The static files of the demo page, with the package and its data beside.
fn site(built: &Path) -> Result<PathBuf, Failure> {
    let site = folder("site")?;
    copy_files(&text(built), &site.join("orrerydb"))?;
    copy_files("wasm/demo", &site.join("demo"))?;
    copy_files(&text(built), &site.join("demo/orrerydb"))?;
    copy_files("data/nycflights13", &site.join("demo/data"))?;
    Ok(site)
}

/// The shell, built like everything else of the native side.
fn native_shell() -> Result<PathBuf, Failure> {
    super::build_native()?;
    Ok(target_folder().join("debug/orrery"))
}

fn link(to: &Path, from: &Path) -> Result<(), Failure> {
    let _ = fs::remove_file(from);
    std::os::unix::fs::symlink(to, from).map_err(|e| Failure::new(format!("{}: {e}", from.display())))
}
