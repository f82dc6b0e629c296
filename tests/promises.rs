//! The table of promises in CONTRIBUTING.md names every module of tests, every room of the source that has unit tests and every step of
//! tests/run, and nothing that is gone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_test_stands_in_the_table_of_promises_and_nothing_else_does() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let (_, rest) = text.split_once("<!-- promises -->").expect("<!-- promises --> in CONTRIBUTING.md");
    let (table, _) = rest.split_once("<!-- /promises -->").expect("<!-- /promises --> in CONTRIBUTING.md");
    let all_steps = all_steps();
    let [quick_steps, default_steps] = ["QUICK", "DEFAULT"].map(|list| BTreeSet::from_iter(steps(list)));
    let quick_filters = quick_filters();
    let mut named = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        let held_by: Vec<&str> = cells[1].split('`').skip(1).step_by(2).collect();
        assert!(!held_by.is_empty(), "nothing tests this: {row}");
        let runs = |cell: &str| match cell {
            "●" => true,
            "" => false,
            _ => panic!("● or nothing, not {cell:?}: {row}"),
        };
        let [quick, default, full] = [cells[2], cells[3], cells[4]].map(runs);
        // each of them runs what the smaller one does
        assert!(full && (default || !quick), "{row}");
        // integration tests run in the step `unit`, those of Docker tools in `docker`
        let runs_by_default = |name: &&str| match name.split_once("::") {
            _ if all_steps.contains(*name) => default_steps.contains(*name),
            Some(("docker", _)) => default_steps.contains("docker"),
            _ => default_steps.contains("unit"),
        };
        let runs_in_quick = |name: &&str| {
            name.starts_with("src/") || quick_steps.contains(*name) || quick_filters.contains(&format!("{name}::"))
        };
        assert_eq!(default, held_by.iter().any(runs_by_default), "the column `default`: {row}");
        assert_eq!(quick, held_by.iter().any(runs_in_quick), "the column `quick`: {row}");
        named.extend(held_by.into_iter().map(str::to_owned));
    }
    let there: BTreeSet<String> = modules().into_iter().chain(rooms()).chain(all_steps).collect();
    let missing: Vec<&String> = there.difference(&named).collect();
    let gone: Vec<&String> = named.difference(&there).collect();
    assert!(missing.is_empty(), "the table of promises in CONTRIBUTING.md does not name {missing:?}");
    assert!(gone.is_empty(), "the table of promises in CONTRIBUTING.md names {gone:?}, which is not there");
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    fn read(path: &Path, into: &mut String) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| read(&entry.unwrap().path(), into));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let mut sources = String::new();
    ["src", "tests"].iter().for_each(|directory| read(&root().join(directory), &mut sources));
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let named: Vec<&str> =
        text.split('`').skip(1).step_by(2).filter(|word| word.contains("::") && !word.ends_with("::test")).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        let (_, function) = name.rsplit_once("::").unwrap();
        assert!(sources.contains(&format!("fn {function}(")), "SECURITY.md names {name}, which is not there");
    }
}

/// The modules of tests/main.rs, and the files below those that are directories as well.
fn modules() -> Vec<String> {
    let list = fs::read_to_string(root().join("tests/main.rs")).unwrap();
    let named = list.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let mut modules = vec![];
    for name in named.filter(|name| has_tests(&root().join(format!("tests/{name}.rs"))) || *name == "tokens") {
        modules.push(name.to_owned());
    }
    for directory in ["docker", "files"] {
        for file in fs::read_dir(root().join("tests").join(directory)).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "rs") && has_tests(&file) {
                modules.push(format!("{directory}::{}", file.file_stem().unwrap().to_str().unwrap()));
            }
        }
    }
    assert!(modules.len() > 20, "{modules:?}");
    modules
}

/// The rooms of the source that have unit tests, as `src/NAME`.
fn rooms() -> BTreeSet<String> {
    fn visit(path: &Path) -> bool {
        if path.is_dir() {
            fs::read_dir(path).unwrap().any(|entry| visit(&entry.unwrap().path()))
        } else {
            has_tests(path)
        }
    }
    let source = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let rooms: BTreeSet<String> = source
        .filter(|path| visit(path))
        .map(|path| format!("src/{}", path.file_stem().unwrap().to_str().unwrap()))
        .collect();
    assert!(rooms.len() > 10, "{rooms:?}");
    rooms
}

fn has_tests(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains("#[test]") || text.contains("#[tokio::test"))
}

fn all_steps() -> BTreeSet<String> {
    ["QUICK", "DEFAULT", "MORE"].iter().flat_map(|list| steps(list)).collect()
}

/// Which integration tests the step `quick` runs.
fn quick_filters() -> BTreeSet<String> {
    let steps = fs::read_to_string(root().join("tests/steps")).unwrap();
    let (_, rest) = steps.split_once("\nquick() {").expect("the step quick");
    let (_, rest) = rest.split_once("tests integration-tests ").expect("its integration tests");
    rest.lines().next().unwrap().split_whitespace().filter(|word| word.ends_with("::")).map(str::to_owned).collect()
}

/// A list of steps in tests/run.
fn steps(list: &str) -> Vec<String> {
    let run = fs::read_to_string(root().join("tests/run")).unwrap();
    let begin = format!("readonly {list}=(");
    let line = run.lines().find_map(|line| line.strip_prefix(&begin)?.strip_suffix(')')).expect(&begin);
    line.split_whitespace().map(str::to_owned).collect()
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}
