//! The npm package: packed, installed into an empty project, and walked in Node and in headless Chromium.

use super::{STEPS, compare, folder, target_folder, write};
use crate::command::{Failure, Outcome, cargo, program, repository_root};
use crate::wasm::package::{self, copy, copy_files};
use crate::{npm, tools};
use std::fs;
use std::path::{Path, PathBuf};

const CHROMIUM: &str = "/usr/bin/chromium";

/// Builds the package and walks it in Node.
pub fn node() -> Result<Outcome, Failure> {
    match build()? {
        Ok(built) => walk_node(&built),
        Err(missing) => Ok(Outcome::Skipped(missing)),
    }
}

/// Nothing in the crates depends on the target, so clippy looks at them on the machine's own, which every tool has.
fn build() -> Result<Result<PathBuf, String>, Failure> {
    let crates = ["-p", "orrery-wasm", "-p", "orrery-wasm-bind", "--all-targets"];
    cargo(&["clippy", "--locked"]).args(crates).args(["--", "-D", "warnings"]).run()?;
    package::build()
}

/// Builds the package and walks it in Chromium.
pub fn browser() -> Result<Outcome, Failure> {
    match build()? {
        Ok(built) => walk_browser(&built),
        Err(missing) => Ok(Outcome::Skipped(missing)),
    }
}

/// Both, from one build.
pub fn run() -> Result<Outcome, Failure> {
    let built = match build()? {
        Ok(built) => built,
        Err(missing) => return Ok(Outcome::Skipped(missing)),
    };
    walk_node(&built)?;
    walk_browser(&built)
}

/// Builds the package and measures it beside its peers.
pub fn bench() -> Result<Outcome, Failure> {
    let built = match package::build()? {
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
    if !Path::new(CHROMIUM).exists()
        && let Outcome::Skipped(why) = tools::install_debian(&["chromium"])?
    {
        return Ok(Outcome::Skipped(format!("the browser door: {why}")));
    }
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
        |part: &str| program("node").args(["browser.js", part, &text(&site), CHROMIUM]).folder(&scripts);
    compare("Chromium", &script("conformance").args([&steps]).output()?)?;

    let native = native_shell()?;
    let (made, changed) = (scripts.join("made.orrery"), scripts.join("changed.orrery"));
    let tables = "create table stock (id integer primary key, name text not null); insert into stock values (1, 'lamp')";
    shell(&native, &made, tables)?;
    script("walk").args([&made, &changed, &scripts.join("demo.png")]).run()?;
    let found = shell(&native, &changed, "select id, name from stock order by id")?;
    if !found.contains("lamp") || !found.contains("from a browser") || found.contains("after the export") {
        return Err(Failure::new(format!("the file that came out of the browser has\n{found}")));
    }
    program(&text(&native)).args(["check"]).args([&changed]).run()
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
    cargo(&["build", "--locked", "-q", "-p", "orrery-cli"]).run()?;
    Ok(target_folder().join("debug/orrery"))
}

fn shell(native: &Path, file: &Path, sql: &str) -> Result<String, Failure> {
    program(&text(native)).args([&text(file), "-c", sql]).output()
}

fn link(to: &Path, from: &Path) -> Result<(), Failure> {
    let _ = fs::remove_file(from);
    std::os::unix::fs::symlink(to, from).map_err(|e| Failure::new(format!("{}: {e}", from.display())))
}
