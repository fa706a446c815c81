//! The C interface: header, shared and static library, pkg-config file, examples in C and C++, misuse, under valgrind and gcc's
//! address sanitizer.

use super::{STEPS, blocks, compare, folder, header, read, target_folder, write};
use crate::command::{Failure, Outcome, program};
use crate::tools;
use std::fs;
use std::path::Path;

const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Werror", "-g"];
/// Of the C library's own allocations none may be lost; what Rust's run time keeps for the life of the process is no leak.
const VALGRIND: &[&str] = &[
    "-q",
    "--error-exitcode=9",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
];

/// Builds and walks it.
pub fn run() -> Result<Outcome, Failure> {
    let wanted = [("gcc", "gcc"), ("g++", "g++"), ("valgrind", "valgrind"), ("pkg-config", "pkgconf")];
    let missing = wanted.into_iter().filter(|(tool, _)| !program(tool).args(["--version"]).succeeds());
    let missing: Vec<&str> = missing.map(|(_, package)| package).collect();
    if !missing.is_empty()
        && let Outcome::Skipped(why) = tools::install_debian(&missing)?
    {
        return Ok(Outcome::Skipped(format!("the C door: {why}")));
    }
    header::check()?;
    super::build_native()?;
    let prefix = folder("prefix")?;
    install(&prefix)?;
    walk(&prefix)
}

/// Lays the library out as a package would.
fn install(prefix: &Path) -> Result<(), Failure> {
    let copy = |from: &Path, to: &Path| {
        let copied = fs::create_dir_all(to.parent().unwrap_or(prefix)).and_then(|()| fs::copy(from, to));
        copied.map(drop).map_err(|e| Failure::new(format!("{} to {}: {e}", from.display(), to.display())))
    };
    copy(Path::new("capi/include/orrery.h"), &prefix.join("include/orrery.h"))?;
    for library in ["liborrery.so", "liborrery.a"] {
        copy(&target_folder().join("debug").join(library), &prefix.join("lib").join(library))?;
    }
    let package = read("capi/orrery.pc.in")?.replace("@PREFIX@", &prefix.to_string_lossy());
    let version = read("Cargo.toml")?;
    let version = version.lines().find_map(|line| line.strip_prefix("version = "));
    let package = package.replace("@VERSION@", version.unwrap_or_default().trim_matches('"'));
    let folder = prefix.join("lib/pkgconfig");
    fs::create_dir_all(&folder).map_err(|e| Failure::new(format!("{}: {e}", folder.display())))?;
    write(folder.join("orrery.pc"), &package)
}

fn flags(prefix: &Path, is_static: bool) -> Result<Vec<String>, Failure> {
    let mut ask = program("pkg-config").args(["--cflags", "--libs"]);
    if is_static {
        ask = ask.args(["--static"]);
    }
    let found = ask.args(["orrery"]).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).output()?;
    Ok(found.split_whitespace().map(str::to_owned).collect())
}

fn walk(prefix: &Path) -> Result<Outcome, Failure> {
    let (out, library) = (folder("c")?, prefix.join("lib"));
    let shared = flags(prefix, false)?;
    let built = |name: &str| out.join(name).to_string_lossy().into_owned();
    let gcc = |source: &str, name: &str, more: &[&str], link: &[String]| {
        let compiler = if source.ends_with(".cpp") { ["g++", "-std=c++17"] } else { ["gcc", "-std=c11"] };
        let build = program(compiler[0]).args([compiler[1]]).args(WARNINGS).args(more);
        build.args([source, "-o", &built(name)]).args(link).args(["-lpthread"]).run()
    };
    let run =
        |command: &[&str]| program(command[0]).args(&command[1..]).env("LD_LIBRARY_PATH", &library).output();
    gcc("capi/tests/conformance.c", "conformance", &[], &shared)?;
    gcc("capi/tests/misuse.c", "misuse", &[], &shared)?;
    gcc("capi/examples/shop.c", "shop", &[], &shared)?;
    gcc("capi/examples/shop.cpp", "shop-cpp", &[], &shared)?;
    gcc("capi/tests/conformance.c", "conformance-asan", &["-fsanitize=address"], &shared)?;
    gcc("capi/tests/misuse.c", "misuse-asan", &["-fsanitize=address"], &shared)?;
    let archive = library.join("liborrery.a").to_string_lossy().into_owned();
    let private = flags(prefix, true)?.into_iter().filter(|flag| flag != "-lorrery");
    let link: Vec<String> = std::iter::once(archive).chain(private).collect();
    gcc("capi/examples/shop.c", "shop-static", &[], &link)?;

    for (name, wrapper) in [("conformance", &[][..]), ("conformance", VALGRIND), ("conformance-asan", &[])] {
        let scratch = folder("c-scratch")?;
        let scratch = scratch.to_string_lossy();
        let program = built(name);
        let mut command: Vec<&str> = if wrapper.is_empty() { Vec::new() } else { vec!["valgrind"] };
        command.extend(wrapper);
        command.extend([&*program, STEPS, &*scratch]);
        let valgrind = if wrapper.is_empty() { "" } else { " under valgrind" };
        compare(&format!("C, {name}{valgrind}"), &run(&command)?)?;
    }
    run(&[&built("misuse-asan")])?;
    let misuse = built("misuse");
    run(&[&["valgrind"], VALGRIND, &[&misuse]].concat())?;
    page(&run(&[&built("shop")])?, &run(&[&built("shop-static")])?)?;
    let squares = run(&[&built("shop-cpp")])?;
    match squares.starts_with("333833500\n23505: ") {
        true => Ok(Outcome::Passed),
        false => Err(Failure::new(format!("shop.cpp printed {squares}"))),
    }
}

/// The page's program is the example, and what it prints is what the page says.
fn page(shared: &str, linked: &str) -> Result<(), Failure> {
    let page = read("docs/c.md")?;
    if blocks(&page, "c").first() != Some(&read("capi/examples/shop.c")?) {
        return Err(Failure::new("docs/c.md: its first program is not capi/examples/shop.c"));
    }
    for printed in [shared, linked] {
        if blocks(&page, "text").first().map(String::as_str) != Some(printed) {
            return Err(Failure::new(format!(
                "docs/c.md says otherwise than its program, which prints\n{printed}"
            )));
        }
    }
    Ok(())
}
