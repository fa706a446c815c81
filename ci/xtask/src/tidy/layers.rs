//! The map of DESIGN and ARCHITECTURE as a table: which of our packages may depend on which, and what the core may not
//! pull in at all. The arrows that are not in the table must not exist.

use crate::metadata::{Metadata, Package};

/// For each package of ours, which others of ours its code may use. Development dependencies are free.
const MAP: &[(&str, &[&str])] = &[
    ("orrery-base", &[]),
    ("orrery-row", &["orrery-base"]),
    ("orrery-store", &["orrery-base", "orrery-row"]),
    ("orrery-sql", &["orrery-base", "orrery-row"]),
    ("orrery-engine", &["orrery-base", "orrery-row", "orrery-store", "orrery-sql"]),
    ("orrery-drivers", &["orrery-base", "orrery-engine"]),
    ("orrery-sim", &["orrery-base", "orrery-store", "orrery-engine"]),
    ("orrery-plants", &["orrery-base", "orrery-sim"]),
    ("orrery-fuzz", &["orrery-base", "orrerydb"]),
    ("orrerydb", &["orrery-engine", "orrery-drivers"]),
    ("orrery-py", &["orrerydb"]),
    ("orrery-capi", &["orrerydb"]),
    ("orrery-wasm", &["orrerydb", "orrery-ipc"]),
    ("orrery-ipc", &[]),
    ("orrery-wasm-bind", &[]),
    ("orrery-cli", &["orrerydb", "orrery-sim"]),
    ("orrery-tests", &["orrerydb", "orrery-drivers", "orrery-engine", "orrery-sim"]),
    ("orrery-bench", &["orrerydb", "orrery-tests"]),
    ("xtask", &[]),
    ("orrery-wasm-probe", &["orrery-engine"]),
];

/// The packages under `core/`.
const CORE: &[&str] = &["orrery-base", "orrery-row", "orrery-store", "orrery-sql", "orrery-engine"];

/// Direct dependencies from outside that a core package may have; the arrow family counts as one.
const EXTERNAL_MAX: usize = 8;

/// What brings a runtime, a thread pool, sockets or OS randomness: nothing in the core may pull it in (L1, L2).
/// `getrandom` is not here: `ahash` below Arrow's select crate names it, keyed at build time by CONST_RANDOM_SEED.
const NEVER_IN_CORE: &[&str] =
    &["async-io", "async-std", "futures-executor", "mio", "rand", "rayon", "smol", "socket2", "tokio"];

/// Checks every package of ours.
pub fn findings(metadata: &Metadata) -> Vec<String> {
    let mut findings: Vec<String> = metadata.ours().flat_map(edges).collect();
    for package in metadata.ours().filter(|package| CORE.contains(&package.name.as_str())) {
        findings.extend(external_count(package));
        findings.extend(reached(metadata, package));
    }
    findings
}

fn edges(package: &Package) -> Vec<String> {
    let name = &package.name;
    let Some((_, allowed)) = MAP.iter().find(|(known, _)| known == name) else {
        return vec![format!("{name}: not on the map: add it to MAP in ci/xtask/src/tidy/layers.rs")];
    };
    let ours = package.dependencies.iter().filter(|dependency| dependency.is_ours);
    let coded = ours.filter(|dependency| dependency.kind.as_deref() != Some("dev"));
    let wrong = coded.filter(|dependency| !allowed.contains(&dependency.name.as_str()));
    wrong.map(|to| format!("{name}: may not depend on {}: the map has no such arrow", to.name)).collect()
}

fn external_count(package: &Package) -> Option<String> {
    let outside = package.dependencies.iter().filter(|d| !d.is_ours && d.kind.is_none());
    let mut families: Vec<&str> =
        outside.map(|d| if d.name.starts_with("arrow-") { "arrow" } else { d.name.as_str() }).collect();
    families.sort_unstable();
    families.dedup();
    (families.len() > EXTERNAL_MAX).then(|| {
        format!(
            "{}: {} direct dependencies, at most {EXTERNAL_MAX}: {}",
            package.name,
            families.len(),
            families.join(", ")
        )
    })
}

fn reached(metadata: &Metadata, package: &Package) -> Vec<String> {
    let closure = metadata.closure(&package.id);
    let banned = closure.iter().filter(|reached| NEVER_IN_CORE.contains(&reached.name.as_str()));
    banned
        .map(|reached| {
            format!("{}: pulls in {}, which the core may not (L1, L2)", package.name, reached.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn package(name: &str, dependencies: &[(&str, bool, Option<&str>)]) -> Package {
        let dependency = |(name, is_ours, kind): &(&str, bool, Option<&str>)| Dependency {
            name: name.to_string(),
            kind: kind.map(str::to_string),
            is_ours: *is_ours,
        };
        let dependencies = dependencies.iter().map(dependency).collect();
        Package { id: name.into(), name: name.into(), dependencies, ..Package::default() }
    }

    #[test]
    fn arrows_off_the_map_are_found() {
        assert!(edges(&package("orrery-store", &[("orrery-base", true, None)])).is_empty());
        assert_eq!(edges(&package("orrery-store", &[("orrery-sql", true, None)])).len(), 1);
        assert!(edges(&package("orrery-store", &[("orrery-sql", true, Some("dev"))])).is_empty());
        assert_eq!(edges(&package("orrery-new", &[])).len(), 1);
    }

    #[test]
    fn the_arrow_family_counts_as_one() {
        let mut names = vec!["arrow-array", "arrow-ord", "arrow-select", "a", "b", "c", "d", "e", "f", "g"];
        let build = |names: &[&str]| {
            package("orrery-sql", &names.iter().map(|n| (*n, false, None)).collect::<Vec<_>>())
        };
        assert!(external_count(&build(&names)).is_none());
        names.push("h");
        assert!(external_count(&build(&names)).unwrap().contains("9 direct"));
    }

    #[test]
    fn a_runtime_below_the_core_is_found() {
        let packages = vec![package("orrery-sql", &[]), package("middle", &[]), package("tokio", &[])];
        let edges = vec![
            ("orrery-sql".into(), vec!["middle".into()]),
            ("middle".into(), vec!["tokio".into()]),
            ("tokio".into(), vec![]),
        ];
        let metadata = Metadata { packages, edges };
        assert_eq!(reached(&metadata, &metadata.packages[0]).len(), 1);
    }
}
