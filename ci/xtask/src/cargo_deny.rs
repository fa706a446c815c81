//! Licences, sources and duplicate versions of everything in the resolved graph, over `cargo metadata`.
//!
//! It does not look at advisories: their database is fetched from the network, so `cargo deny` does that in the public
//! CI file. `deny.toml` says the same rules to cargo-deny; change both together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::command::{Failure, Outcome};
use crate::metadata::{Metadata, Package};

/// Licences that a dependency may have with no further word.
const ALLOWED_LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages under another licence, each with the reason why that is fine.
const LICENCE_EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "cbindgen",
    "MPL-2.0",
    "a tool of the tests that writes orrery.h; nothing of it is linked or shipped",
)];

/// Versions that stand twice in the graph, with their reasons.
const DUPLICATES_FILE: &str = "ci/duplicates.txt";

/// Runs the check.
pub fn run() -> Result<Outcome, Failure> {
    let metadata = Metadata::load()?;
    let listed =
        fs::read_to_string(DUPLICATES_FILE).map_err(|e| Failure::new(format!("{DUPLICATES_FILE}: {e}")))?;
    let mut findings = licence_findings(&metadata);
    findings.extend(source_findings(&metadata));
    findings.extend(duplicate_findings(&metadata, &parse_duplicates(&listed)?));
    for finding in &findings {
        println!("{finding}");
    }
    println!("{} packages checked, {} findings", metadata.packages.len(), findings.len());
    match findings.is_empty() {
        true => Ok(Outcome::Passed),
        false => Err(Failure::new(format!("{} findings", findings.len()))),
    }
}

fn licence_findings(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let Package { name, version, licence, .. } = package;
        let licence = licence.as_deref().unwrap_or("no licence");
        let is_excepted = LICENCE_EXCEPTIONS.iter().any(|(who, what, _)| who == name && *what == licence);
        if !is_excepted && !is_allowed(licence) {
            findings.push(format!("{name} {version}: licence {licence} is not in ALLOWED_LICENCES"));
        }
    }
    findings
}

/// Whether an SPDX expression can be met by allowed licences. `OR` is the weakest operator and `AND` binds tighter;
/// the old `/` means `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (allowed, rest) = any_of(&words);
    allowed && rest.is_empty()
}

fn any_of<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut allowed, mut rest) = all_of(words);
    while let ["OR", tail @ ..] = rest {
        let (next, after) = all_of(tail);
        allowed |= next;
        rest = after;
    }
    (allowed, rest)
}

fn all_of<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut allowed, mut rest) = one_of(words);
    while let ["AND", tail @ ..] = rest {
        let (next, after) = one_of(tail);
        allowed &= next;
        rest = after;
    }
    (allowed, rest)
}

fn one_of<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inner @ ..] => match any_of(inner) {
            (allowed, [")", rest @ ..]) => (allowed, rest),
            (_, rest) => (false, rest),
        },
        [name, "WITH", exception, rest @ ..] => {
            (ALLOWED_LICENCES.contains(&format!("{name} WITH {exception}").as_str()), rest)
        }
        [name, rest @ ..] => (ALLOWED_LICENCES.contains(name), rest),
        [] => (false, &[]),
    }
}

fn source_findings(metadata: &Metadata) -> Vec<String> {
    let foreign = |package: &&Package| package.source.as_ref().is_some_and(|s| !s.starts_with("registry+"));
    let say = |package: &Package| {
        let source = package.source.as_deref().unwrap_or_default();
        format!("{} {}: comes from {source}, not from the registry", package.name, package.version)
    };
    metadata.packages.iter().filter(foreign).map(say).collect()
}

/// Lines of `name | reason`; `#` begins a comment.
fn parse_duplicates(text: &str) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once('|') {
            Some((name, reason)) if !reason.trim().is_empty() => names.insert(name.trim().to_string()),
            _ => {
                return Err(Failure::new(format!(
                    "{DUPLICATES_FILE}: `{line}` has no reason: `name | reason`"
                )));
            }
        };
    }
    Ok(names)
}

fn duplicate_findings(metadata: &Metadata, listed: &BTreeSet<String>) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    versions.retain(|_, found| found.len() > 1);
    let unlisted = versions.iter().filter(|(name, _)| !listed.contains(**name));
    let mut findings: Vec<String> = unlisted
        .map(|(name, found)| {
            format!("{name}: versions {} and no reason in {DUPLICATES_FILE}", found.join(", "))
        })
        .collect();
    let stale = listed.iter().filter(|name| !versions.contains_key(name.as_str()));
    findings.extend(
        stale.map(|name| format!("{name}: listed in {DUPLICATES_FILE} but stands once: remove the line")),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in
            ["GPL-3.0", "MIT AND GPL-3.0", "", "no licence", "(MIT", "MIT OR Apache-2.0 WITH", "MPL-2.0"]
        {
            assert!(!is_allowed(bad), "{bad}");
        }
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR Apache-2.0"));
        assert!(!is_allowed("GPL-2.0 WITH Classpath-exception-2.0"));
    }

    fn package(name: &str, version: &str, source: Option<&str>) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            licence: Some("MIT".into()),
            source: source.map(str::to_string),
            ..Package::default()
        }
    }

    #[test]
    fn duplicates_need_a_reason_and_reasons_a_duplicate() {
        let packages =
            vec![package("a", "1.0.0", None), package("a", "2.0.0", None), package("b", "1.0.0", None)];
        let metadata = Metadata { packages, edges: Vec::new() };
        assert!(duplicate_findings(&metadata, &BTreeSet::new())[0].starts_with("a: versions 1.0.0, 2.0.0"));
        let listed = parse_duplicates("# why\na | the parser is behind\nb | old\n").unwrap();
        let findings = duplicate_findings(&metadata, &listed);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("b: listed"), "{findings:?}");
        assert!(parse_duplicates("a |").is_err());
    }

    #[test]
    fn only_the_registry_is_a_source() {
        let packages = vec![
            package("ours", "1.0.0", None),
            package("theirs", "1.0.0", Some("registry+https://example.org/index")),
            package("forked", "1.0.0", Some("git+https://example.org/forked")),
        ];
        let findings = source_findings(&Metadata { packages, edges: Vec::new() });
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("forked 1.0.0"));
    }
}
