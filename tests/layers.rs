//! The shape of the source, which no compiler holds.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lanes::lane::Lane;
use rights::scope::{Action, Scope, Targets};

/// The modules of the program itself, lowest first. A module may use what stands before it. Below them are crates, which Cargo holds apart.
const LAYERS: &[&[&str]] =
    &[&["unix"], &["audit"], &["guard"], &["gate"], &["config"], &["server", "init"], &["args"], &["command"]];

/// What each crate may not link, neither itself nor by another of ours: what is below the tools knows nothing of MCP, and what only takes apart
/// bytes waits for nothing. (`search` has the token by which a call is cancelled from tokio-util, and runs nothing by it.)
const APART: &[(&str, &[&str])] = &[
    ("kernel", &["tokio", "hyper", "rmcp", "bollard"]),
    ("redact", &["tokio", "hyper", "rmcp", "bollard", "rustix"]),
    ("text", &["tokio", "hyper", "rmcp", "bollard"]),
    ("rights", &["tokio", "hyper", "rmcp", "bollard"]),
    ("lanes", &["hyper", "rmcp", "bollard"]),
    ("jail", &["tokio", "hyper", "rmcp", "bollard"]),
    ("search", &["tokio", "hyper", "rmcp", "bollard"]),
    ("engine", &["rmcp"]),
    ("facts", &["rmcp"]),
    ("auth", &["hyper", "rmcp", "bollard"]),
    ("tools", &["tokio-rustls", "listenfd"]),
];

/// Where files are opened: callers' in the jail, the kernel's below the root, and the server's own.
const OPENING: &[&str] = &[
    "jail/",
    "kernel/root.rs",
    "config/reading.rs",
    "auth/store.rs",
    "audit/file.rs",
    "engine/journal.rs",
    "init/etc.rs",
    "init/record.rs",
    "command/token.rs",
];

/// What a tool is, and none itself.
const TOOL: &str = "tools/tool.rs";

/// The one file that starts a process, which is this program itself.
const STARTING: &str = "init/child.rs";

/// The files that may hold one `unsafe` block each.
const UNSAFE: &[&str] = &["main.rs"];

#[test]
fn imports_point_down() {
    let rank = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    for (name, text) in sources() {
        let from = name.split('/').next().unwrap().trim_end_matches(".rs");
        if from == "lib" || from == "main" || APART.iter().any(|(member, _)| *member == from) {
            continue;
        }
        let from_rank = rank(from).unwrap_or_else(|| panic!("{from} has no layer; give it one here and in the design"));
        for to in used(&text) {
            let to_rank = rank(&to).unwrap_or_else(|| panic!("{name} uses {to}, which has no layer"));
            assert!(to == from || to_rank < from_rank, "{name}: {from} may not use {to}");
        }
    }
}

#[test]
fn every_crate_links_only_what_it_may() {
    let manifest = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let members = manifest("Cargo.toml");
    let members = members.lines().find_map(|line| line.strip_prefix("members = ")).expect("the members");
    let members: Vec<&str> =
        members.split('"').skip(1).step_by(2).map(|path| path.trim_start_matches("src/")).collect();
    assert_eq!(members, APART.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let linked = |name: &str| -> Vec<String> {
        let text = manifest(&format!("src/{name}/Cargo.toml"));
        let (_, rest) = text.split_once("[dependencies]\n").expect("[dependencies]");
        rest.lines()
            .take_while(|line| !line.is_empty())
            .map(|line| line.split('.').next().unwrap().to_owned())
            .collect()
    };
    for (name, apart) in APART {
        let (mut all, mut at) = (linked(name), 0);
        while let Some(one) = all.get(at).cloned() {
            assert!(!apart.contains(&one.as_str()), "{name} links {one}");
            if members.contains(&one.as_str()) {
                all.extend(linked(&one));
            }
            at += 1;
        }
    }
}

#[test]
fn no_import_goes_round_the_layers() {
    for (name, text) in sources() {
        if name == "main.rs" {
            continue;
        }
        assert!(!code(&text).contains("systemmanager_mcp::"), "{name} names its own crate from outside");
    }
}

#[test]
fn the_layers_name_only_what_is_there() {
    let there: BTreeSet<String> =
        sources().iter().map(|(name, _)| name.split('/').next().unwrap().trim_end_matches(".rs").to_owned()).collect();
    for module in LAYERS.iter().copied().flatten() {
        assert!(there.contains(*module), "{module} is gone");
    }
}

#[test]
fn no_process_is_ever_spawned() {
    for (name, text) in sources() {
        if name == STARTING {
            let (file, code) = (text.as_str(), code(&text));
            assert_eq!(code.matches("Command::new(").count(), 1);
            assert!(
                code.contains("Command::new(PROGRAM)") && file.contains("const PROGRAM: &str = \"/proc/self/exe\";")
            );
            continue;
        }
        let text = code(&text);
        for word in
            ["process::Command", "std::process::*", "posix_spawn", "execve", "execveat", "fork", "vfork", "clone3"]
        {
            assert!(!has_word(&text, word), "{name} has {word}");
        }
        // std::process is there for the exit code alone
        for (at, _) in text.match_indices("std::process::") {
            let rest = &text[at + "std::process::".len()..];
            assert!(
                rest.starts_with("ExitCode") || rest.starts_with("id()"),
                "{name}: std::process::{}",
                &rest[..rest.len().min(20)]
            );
        }
    }
}

/// What blocks there could keep the server's own work waiting.
#[test]
fn no_work_blocks_in_the_pool_that_all_share() {
    for (name, text) in sources() {
        let text = code(&text);
        for word in ["spawn_blocking", "block_in_place"] {
            assert!(!has_word(&text, word), "{name} has {word}: use the threads of a lane, or `threads`");
        }
    }
}

#[test]
fn files_are_opened_in_few_places() {
    for (name, text) in sources() {
        if OPENING.iter().any(|place| name == *place || place.ends_with('/') && name.starts_with(place)) {
            continue;
        }
        let text = code(&text);
        for word in ["openat", "openat2", "fs::open", "File::open", "File::create", "OpenOptions", "tokio::fs"] {
            assert!(!has_word(&text, word), "{name} has {word}");
        }
        // a group: use rustix::fs::{Mode, open}
        for (at, _) in text.match_indices("fs::{") {
            let group = text[at..].split('}').next().unwrap_or_default();
            assert!(!has_word(group, "open"), "{name}: {group}");
        }
    }
}

#[test]
fn unsafe_stands_in_one_place_and_says_why() {
    for (name, text) in sources() {
        let blocks =
            code(&text).split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| *word == "unsafe").count();
        if blocks == 0 {
            continue;
        }
        assert!(UNSAFE.contains(&name.as_str()), "{name} has an unsafe block");
        assert_eq!(blocks, 1, "{name}");
        assert!(text.contains("// SAFETY: "), "{name} does not say why its unsafe block is sound");
    }
}

#[test]
fn every_parser_of_a_kernel_file_is_fuzzed() {
    let list = fs::read_to_string(root().join("src/kernel/proc.rs")).unwrap();
    let targets = fs::read_to_string(root().join("tests/fuzz/targets/mod.rs")).unwrap();
    let parsers: Vec<_> = list.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(parsers.len() > 30, "{parsers:?}");
    for parser in parsers {
        let source = fs::read_to_string(root().join(format!("src/kernel/proc/{parser}.rs"))).unwrap();
        let takes_text = |signature: &str| ["&[u8]", "&str", "AsRef<"].iter().any(|text| signature.contains(text));
        if !code(&source).split("pub fn ").skip(1).any(|rest| takes_text(rest.split('{').next().unwrap())) {
            continue; // it gives numbers their names, and reads nothing
        }
        let target = root().join(format!("tests/fuzz/targets/{parser}.rs"));
        let text = fs::read_to_string(&target).unwrap_or_else(|_| panic!("{parser} has no fuzz target"));
        assert!(text.contains(&format!("{parser}::")), "the target {parser} is not about {parser}");
        assert!(targets.lines().any(|line| line.trim() == parser), "{parser} is not in tests/fuzz/targets/mod.rs");
    }
}

/// Through the turn, which knows who asks: what the host has of Docker and files reaches as far as the configuration lets everybody.
#[test]
fn tools_reach_containers_and_files_only_as_far_as_their_callers_grants() {
    for (name, text) in sources().iter().filter(|(name, _)| name.starts_with("tools") && name != TOOL) {
        let code = code(text).replace(char::is_whitespace, "");
        for word in [".docker()", ".jail()"] {
            assert!(!code.contains(word), "{name} has {word}: Turn::docker and Turn::jail take the scope");
        }
    }
}

/// What tools have in common stands in `facts`, or in a module of their group that is no tool.
#[test]
fn a_tool_never_imports_another_tool() {
    let sources = sources();
    let is_tool = |text: &str| text.contains("impl Tool for ") || text.contains("impl Acting for ");
    let module = |name: &str| name.trim_end_matches(".rs").split('/').map(str::to_owned).collect::<Vec<_>>();
    let tools: Vec<_> = (sources.iter())
        .filter(|(name, text)| name.starts_with("tools/") && is_tool(text))
        .map(|(name, _)| module(name))
        .collect();
    assert_eq!(tools.len(), tools::TOOLS.len());
    for (name, text) in sources.iter().filter(|(name, _)| name.starts_with("tools/")) {
        let own = module(name);
        for path in named(&own, text) {
            let of = tools.iter().find(|tool| path.starts_with(tool) && !own.starts_with(tool));
            assert!(of.is_none(), "{name} imports the tool {}", path.join("::"));
        }
    }
}

#[test]
fn every_file_of_a_tool_is_on_the_list() {
    let list = fs::read_to_string(root().join("src/tools/lib.rs")).unwrap();
    let list = &list[list.find("TOOLS: &[Entry]").expect("the list")..];
    let mut seen = 0;
    for (name, text) in sources() {
        if name == TOOL || name == "tools/lib.rs" {
            continue;
        }
        let Some(rest) = name.strip_prefix("tools/").and_then(|name| name.strip_suffix(".rs")) else { continue };
        if !text.contains("impl Tool for ") && !text.contains("impl Acting for ") {
            // a group's list of modules, or what two tools share
            assert!(!text.contains("const NAME: &'static str"), "{name}");
            continue;
        }
        let path = rest.replace('/', "::");
        assert!(list.contains(&format!("{path}::")), "{name} is not on the list in src/tools/lib.rs");
        let tool = Path::new(rest).file_name().unwrap().to_str().unwrap();
        assert!(
            text.contains(&format!("NAME: &'static str = \"{tool}\"")),
            "{name}: the tool is not called as its file"
        );
        seen += 1;
    }
    let entries = code(list).matches("Entry::of::<").count() + code(list).matches("Entry::acting::<").count();
    assert_eq!(seen, entries, "a file is one tool");
}

#[test]
fn every_fact_that_can_be_exposed_is() {
    let list = fs::read_to_string(root().join("src/facts/lib.rs")).unwrap();
    let (_, list) = list.split_once("pub const EXPOSED").expect("the list");
    let (list, _) = list.split_once("];").unwrap();
    let mut there = 0;
    for (name, _) in sources().iter().filter(|(_, text)| code(text).contains("pub fn expose(seen: &Seen")) {
        let fact = name.trim_start_matches("facts/").trim_end_matches(".rs");
        assert!(list.contains(&format!("    {fact}::expose,")), "{name} is not in EXPOSED of src/facts/lib.rs");
        there += 1;
    }
    assert_eq!(there, list.matches("::expose,").count());
}

#[test]
fn the_readme_shows_the_list_as_it_is() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- tools -->\n").expect("<!-- tools --> in the README");
    let (table, _) = rest.split_once("<!-- /tools -->").expect("<!-- /tools --> in the README");
    let scratch = crate::common::Scratch::new();
    let said = crate::common::run(&scratch, &["tools", "--markdown"]);
    assert_eq!(table.trim(), said.out.trim(), "put the output of `tools --markdown` into the README");
}

#[test]
fn the_readme_shows_an_answer_as_it_is() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let answer = fs::read_to_string(root().join("tests/golden/qemu/overview.txt")).unwrap();
    assert!(readme.contains(answer.trim()), "put tests/golden/qemu/overview.txt into the README's transcript");
}

#[test]
fn the_readme_shows_the_lanes_as_they_are() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme.split_once("| lane (key of `limits`)").expect("the table of lanes in the README");
    for lane in Lane::ALL {
        let (spec, room) = (lane.spec(), lane.spec().usual());
        let row = table.lines().find(|line| line.trim().starts_with(&format!("| `{}`", spec.key)));
        let cells: Vec<String> = row.unwrap_or_default().split('|').map(|cell| cell.trim().replace(',', "")).collect();
        let number = |number: usize| if number == 0 { "–".to_owned() } else { number.to_string() };
        let per_minute = number(room.per_minute.map_or(0, |calls| calls as usize));
        let share = if spec.parts == 2 { "half" } else { "a quarter" };
        let expected = [number(room.running), number(room.waiting), per_minute, share.to_owned()];
        assert_eq!(cells.get(2..6), Some(&expected[..]), "{}", spec.key);
    }
}

#[test]
fn the_readme_shows_scopes_with_their_actions_and_targets_as_they_are() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- grants -->\n").expect("<!-- grants --> in the README");
    let (table, _) = rest.split_once("<!-- /grants -->").expect("<!-- /grants --> in the README");
    let words = |actions: &mut dyn Iterator<Item = &Action>| {
        let words: Vec<String> = actions.map(|action| format!("`{}`", action.name())).collect();
        if words.is_empty() { "–".to_owned() } else { words.join(" ") }
    };
    let rows = Scope::ALL.iter().map(|scope| {
        let without = words(&mut scope.actions().iter().filter(|action| !action.has_target()));
        let targets = match scope.targets() {
            Targets::None => "–".to_owned(),
            Targets::Containers if without == "–" => "containers".to_owned(),
            Targets::Containers => format!("containers, but not for {without}"),
            Targets::Paths => "a file, or a directory and what is below it".to_owned(),
        };
        format!("| `{scope}` | {} | {targets} |", words(&mut scope.actions().iter()))
    });
    assert_eq!(table.lines().skip(2).collect::<Vec<_>>(), rows.collect::<Vec<_>>());
}

#[test]
fn every_section_of_the_configuration_is_on_the_list() {
    let (sections, list): (Vec<_>, Vec<_>) = sources()
        .into_iter()
        .filter(|(name, _)| name.starts_with("config/"))
        .partition(|(name, _)| name != "config/written.rs");
    let (_, rest) = list[0].1.split_once("\nsections! {").expect("the list");
    let listed: BTreeSet<&str> = rest
        .split('}')
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split(' ').nth(1))
        .collect();
    let there = sections.iter().filter(|(_, text)| text.contains("\nsection! {"));
    let there: BTreeSet<String> =
        there.map(|(name, _)| name["config/".len()..].trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(there.iter().map(String::as_str).collect::<BTreeSet<_>>(), listed);
}

/// One more is one file and one line.
#[test]
fn every_route_is_on_the_list() {
    let sources = sources();
    let (_, list) = sources.iter().find(|(name, _)| name == "server/http.rs").unwrap();
    let is_route =
        |(name, text): &&(String, String)| name.starts_with("server/http/") && text.contains("const ROUTE: Route");
    let routes: Vec<&str> = sources.iter().filter(is_route).map(|(name, _)| name.as_str()).collect();
    for name in &routes {
        let module = name.rsplit('/').next().unwrap().trim_end_matches(".rs");
        assert!(list.contains(&format!("{module}::ROUTE")), "{name} is not in ROUTES");
    }
    assert!(routes.len() >= 4, "{routes:?}");
}

/// The test's own reading of imports, which must not be fooled.
#[test]
fn groups_and_paths_are_found_and_words_in_comments_are_not() {
    let text = "use crate::{\n    audit::{Client, RequestId},\n    auth::Caller, text,\n    tool::{self, Entry},\n};\n\
        // crate::comment\n/// [`crate::doc`]\nfn f() { crate::host::g(); let s = \"crate::string\"; }\nuse crate::root::read;\n\
        pub(in crate::server) fn x() {}\n";
    assert_eq!(used(text), ["audit", "auth", "text", "tool", "host", "root", "server"]);
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Every file below src, by its path there.
fn sources() -> Vec<(String, String)> {
    fn visit(directory: &Path, prefix: &str, into: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                visit(&entry.path(), &format!("{name}/"), into);
            } else if name.ends_with(".rs") {
                into.push((name, fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    let mut found = vec![];
    visit(&root().join("src"), "", &mut found);
    assert!(found.len() > 20, "this is not the source");
    found.sort();
    found
}

/// A source without its comments, strings and unit tests.
fn code(text: &str) -> String {
    // unit tests stand last in a file
    let tests = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\n#[expect("];
    let text = &text[..tests.iter().filter_map(|begin| text.find(begin)).min().unwrap_or(text.len())];
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\''") || rest.starts_with("'\\\\'") {
            rest[1..].find("'").map_or(1, |_| if rest.starts_with("'\"'") { 3 } else { 4 })
        } else if c == 'r' && (rest.starts_with("r\"") || rest.starts_with("r#\"") || rest.starts_with("r##\"")) {
            let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = 2 + hashes;
            rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
        } else if c == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |at| at + 2)
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    code
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word)
        .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next()))
}

/// The modules of this crate that a file names, `use crate::{…}` and paths alike.
fn used(text: &str) -> Vec<String> {
    let text = code(text);
    let mut found = vec![];
    for (at, _) in text.match_indices("crate") {
        // not `crate::` within another word
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let Some(rest) = text[at..].strip_prefix("crate::") else { continue };
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_words(group)),
            None => found.extend(first_word(rest)),
        }
    }
    found
}

/// The modules below `super` and `crate::tools` that a source of the module `own` names, as paths from the root of the crate.
fn named(own: &[String], text: &str) -> Vec<Vec<String>> {
    let text = code(text);
    let mut found = vec![];
    for start in ["super::", "crate::"] {
        for (at, _) in text.match_indices(start) {
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let (mut rest, mut base) = (&text[at..], own.to_vec());
            while let Some(above) = rest.strip_prefix("super::") {
                base.pop();
                rest = above;
            }
            if let Some(below) = rest.strip_prefix("crate::") {
                (base, rest) = (vec!["tools".to_owned()], below);
            }
            let mut words = vec![];
            while let Some((word, below)) = rest.split_once("::") {
                if word.contains(|c: char| !(c.is_alphanumeric() || c == '_')) {
                    break;
                }
                words.push(word.to_owned());
                rest = below;
            }
            base.extend(words);
            let last = match rest.strip_prefix('{') {
                Some(group) => first_words(group),
                None => first_word(rest).into_iter().collect(),
            };
            found.extend(last.into_iter().map(|word| [base.clone(), vec![word]].concat()));
        }
    }
    found
}

/// The first word of each part of a group, at its outermost level.
fn first_words(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0, 0, vec![]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.extend(first_word(&group[start..at]));
                return found;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(first_word(&group[start..at]));
                start = at + 1;
            }
            _ => (),
        }
    }
    found
}

fn first_word(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(path.len());
    // `crate::NAME` at the top would be lib.rs's own, of which there is none
    (end > 0).then(|| path[..end].to_owned())
}
