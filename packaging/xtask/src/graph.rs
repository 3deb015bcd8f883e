//! The graph of crates, as `cargo metadata` tells it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::command::Tool;
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// One crate of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    /// The crate's name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence, an SPDX expression; none if it does not say.
    pub(crate) licence: Option<String>,
}

/// All crates that this platform's build may use, and who uses whom in what is shipped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    packages: BTreeMap<String, Package>,
    /// By package id: ids of normal and build dependencies; development dependencies are left out.
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    /// Asks cargo.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self, Trouble> {
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let text =
            Tool::new(&workspace.root, "cargo metadata --format-version 1 --filter-platform")
                .arg(platform)
                .output()?;
        let json = serde_json::from_str(&text)
            .map_err(|error| Trouble::Failed(format!("cargo metadata: {error}")))?;
        Ok(Self::of(&json))
    }

    fn of(json: &Value) -> Self {
        let mut graph = Self::default();
        for package in list(json, "packages") {
            let licence = text(package, "license");
            let entry = Package {
                name: text(package, "name").unwrap_or_default(),
                version: text(package, "version").unwrap_or_default(),
                licence,
            };
            graph.packages.insert(text(package, "id").unwrap_or_default(), entry);
        }
        for node in json.get("resolve").into_iter().flat_map(|resolve| list(resolve, "nodes")) {
            let used = list(node, "deps").iter().filter(|dependency| is_shipped(dependency));
            let used = used.filter_map(|dependency| text(dependency, "pkg")).collect();
            graph.edges.insert(text(node, "id").unwrap_or_default(), used);
        }
        graph
    }

    /// The crates that the crates of these names use, directly or not, those names left out.
    pub(crate) fn beneath(&self, names: &[&str]) -> BTreeSet<&Package> {
        let roots =
            self.packages.iter().filter(|(_, package)| names.contains(&package.name.as_str()));
        let mut open: Vec<&String> = roots.map(|(id, _)| id).collect();
        let mut seen: BTreeSet<&String> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            for next in self.edges.get(id).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        let found = seen.into_iter().filter_map(|id| self.packages.get(id));
        found.filter(|package| !names.contains(&package.name.as_str())).collect()
    }

    /// The crates that one crate of the workspace names itself.
    #[cfg(test)]
    pub(crate) fn direct(&self, name: &str) -> BTreeSet<&str> {
        let ids =
            self.packages.iter().filter(|(_, package)| package.name == name).map(|(id, _)| id);
        let used = ids.filter_map(|id| self.edges.get(id)).flatten();
        used.filter_map(|id| self.packages.get(id)).map(|package| package.name.as_str()).collect()
    }
}

/// Whether a dependency is needed by the build of a program, not only by its tests.
fn is_shipped(dependency: &Value) -> bool {
    list(dependency, "dep_kinds").iter().any(|kind| text(kind, "kind").as_deref() != Some("dev"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph() -> Graph {
        let package =
            |id: &str| json!({"id": id, "name": id, "version": "1.0.0", "license": "MIT"});
        let uses = |id: &str, kind: Option<&str>| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        Graph::of(&json!({
            "packages": [package("program"), package("library"), package("deep"), package("checker"), package("other")],
            "resolve": {"nodes": [
                {"id": "program", "deps": [uses("library", None), uses("checker", Some("dev"))]},
                {"id": "library", "deps": [uses("deep", Some("build"))]},
                {"id": "other", "deps": [uses("checker", None)]},
            ]},
        }))
    }

    #[test]
    fn what_only_tests_use_is_not_shipped() {
        let graph = graph();
        let names: Vec<&str> =
            graph.beneath(&["program"]).iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["deep", "library"]);
        assert_eq!(graph.direct("program"), BTreeSet::from(["library"]));
    }

    #[test]
    fn an_answer_of_another_shape_is_an_empty_graph() {
        assert!(Graph::of(&json!({"packages": 3})).beneath(&["program"]).is_empty());
    }
}
