//! What cargo knows about the workspace, read from `cargo metadata`: our packages with their direct dependencies, and
//! every package of the resolved graph.

use serde_json::Value;

use crate::command::{Failure, cargo};

/// The platforms whose dependencies count: those that CI builds for.
pub const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown"];

/// A package of the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Cargo's id, unique in the graph.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SPDX expression of its manifest, if it has one.
    pub licence: Option<String>,
    /// Where it comes from: `None` for a package of this repository.
    pub source: Option<String>,
    /// Path of its manifest.
    pub manifest_path: String,
    /// Direct dependencies as its manifest declares them.
    pub dependencies: Vec<Dependency>,
}

/// A dependency as a manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The package's name (not the renamed one).
    pub name: String,
    /// `None` for a normal one, else "dev" or "build".
    pub kind: Option<String>,
    /// Whether it is a package of this repository.
    pub is_ours: bool,
}

/// The workspace and the graph below it.
#[derive(Debug, Default)]
pub struct Metadata {
    /// Every package of the graph, ours among them.
    pub packages: Vec<Package>,
    /// For each package id the ids of its normal and build dependencies, on [`PLATFORMS`].
    pub edges: Vec<(String, Vec<String>)>,
}

impl Metadata {
    /// Asks cargo; the lock file must be up to date.
    pub fn load() -> Result<Self, Failure> {
        let mut arguments = vec!["metadata", "--format-version", "1", "--locked"];
        for platform in PLATFORMS {
            arguments.extend(["--filter-platform", platform]);
        }
        Self::parse(&cargo(&arguments).output()?)
    }

    /// Reads cargo's answer.
    pub fn parse(json: &str) -> Result<Self, Failure> {
        let root: Value =
            serde_json::from_str(json).map_err(|e| Failure::new(format!("cargo metadata: {e}")))?;
        let packages = array(&root, "packages").iter().map(package).collect();
        let edges = array(&root["resolve"], "nodes").iter().map(edge).collect();
        Ok(Metadata { packages, edges })
    }

    /// The packages of this repository.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_none())
    }

    /// Every package that `id` needs to build, itself among them.
    pub fn closure(&self, id: &str) -> Vec<&Package> {
        let mut seen = std::collections::BTreeSet::new();
        let mut waiting = vec![id];
        while let Some(next) = waiting.pop() {
            if seen.insert(next) {
                let edge = self.edges.iter().find(|(from, _)| from == next);
                waiting.extend(edge.iter().flat_map(|(_, to)| to.iter().map(String::as_str)));
            }
        }
        self.packages.iter().filter(|package| seen.contains(package.id.as_str())).collect()
    }
}

fn package(value: &Value) -> Package {
    Package {
        id: text(value, "id"),
        name: text(value, "name"),
        version: text(value, "version"),
        licence: value["license"].as_str().map(str::to_string),
        source: value["source"].as_str().map(str::to_string),
        manifest_path: text(value, "manifest_path"),
        dependencies: array(value, "dependencies").iter().map(dependency).collect(),
    }
}

fn dependency(value: &Value) -> Dependency {
    Dependency {
        name: text(value, "name"),
        kind: value["kind"].as_str().map(str::to_string),
        is_ours: value["source"].is_null(),
    }
}

fn edge(value: &Value) -> (String, Vec<String>) {
    let is_built = |dep: &&Value| array(dep, "dep_kinds").iter().any(|kind| kind["kind"] != "dev");
    (text(value, "id"), array(value, "deps").iter().filter(is_built).map(|dep| text(dep, "pkg")).collect())
}

fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_string()
}
