//! `include`: other files, what each may define, and what its groups may name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::FILES_MAX;
use crate::destinations::Destinations;
use crate::fault::{Place, RuleId};
use crate::files::{Entry, Files};
use crate::keys::{self, DEFINABLE};
use crate::pack::is_nothing;
use crate::tree::{self, Node};
use crate::walk::{Fields, Walk, closest, list};

/// A file that was included.
pub(crate) struct Included {
    /// Its name in faults.
    pub(crate) file: Arc<Path>,
    /// Where its paths begin.
    pub(crate) folder: PathBuf,
    pub(crate) tree: Node,
    pub(crate) rights: Rights,
}

/// What an include allows the files that it names.
#[derive(Clone)]
pub(crate) struct Rights {
    /// Where it stands.
    pub(crate) place: Place,
    may_define: BTreeSet<&'static str>,
    /// The only destinations that its groups may name, if there is such a limit.
    pub(crate) may_use: Option<BTreeSet<String>>,
}

/// Reads all included files, in the order of the includes and of their names.
pub(crate) fn read(walk: &mut Walk, files: &mut Files, node: &Node) -> Vec<Included> {
    let tree::Value::List(list) = &node.value else {
        let mend = "write a list, as in `include: [{ files: \"teams/*.yaml\", may_define: [groups] }]`";
        walk.wrong_type(node, "`include`", "a list", mend);
        return Vec::new();
    };
    let mut included = Vec::new();
    // Which include was the first to name a file; none is the job file itself.
    let mut first: BTreeMap<String, Option<Place>> = BTreeMap::from([(files.main().to_owned(), None)]);
    for node in list {
        let Some(fields) = walk.fields(node, &keys::INCLUDE) else { continue };
        let rights = Rights::read(walk, &fields);
        let (Some(node), Some(rights)) = (fields.get("files"), rights) else { continue };
        for path in find(walk, files, node) {
            let name = files.name(&path);
            match first.get(&name) {
                None => {}
                Some(None) => {
                    let message = format!("`{name}` includes itself");
                    walk.fault(node.position, RuleId::Include, message, "write a pattern that leaves it out");
                    continue;
                }
                Some(Some(other)) => {
                    let message = format!("`{name}` is included by {} already", other.seen_from(&walk.file));
                    walk.fault(node.position, RuleId::Include, message, "write patterns that share no file");
                    continue;
                }
            }
            first.insert(name, Some(rights.place.clone()));
            included.extend(file(walk, files, node, &path, &rights));
        }
    }
    included
}

/// Reads one included file.
fn file(walk: &mut Walk, files: &mut Files, node: &Node, path: &Path, rights: &Rights) -> Option<Included> {
    let (file, text) = match files.text(path) {
        Ok(read) => read,
        Err((rule, message)) => {
            walk.fault(node.position, rule, message, "correct the path, or make the file readable");
            return None;
        }
    };
    match tree::read(&text, &file, &mut walk.faults) {
        Ok(tree) => {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            Some(Included { file, folder, tree, rights: rights.clone() })
        }
        Err(fault) => {
            walk.faults.push(fault);
            None
        }
    }
}

impl Rights {
    fn read(walk: &mut Walk, fields: &Fields) -> Option<Self> {
        for (key, mend) in [
            ("files", "write which, as in `files: \"teams/*.yaml\"`"),
            ("may_define", "write what they may hold, as in `may_define: [groups]`"),
        ] {
            if fields.get(key).is_none() {
                walk.fault(fields.position, RuleId::MissingKey, format!("an include has no `{key}`"), mend);
            }
        }
        let mut may_define = BTreeSet::new();
        for node in walk.one_or_more(fields.get("may_define")?, "`may_define`") {
            let Some(text) = walk.text(node, "a value of `may_define`") else { continue };
            if let Some(key) = DEFINABLE.iter().find(|key| **key == text) {
                may_define.insert(*key);
                continue;
            }
            let mend = match closest(text, DEFINABLE) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("it may name {}", list(DEFINABLE)),
            };
            walk.fault(node.position, RuleId::Value, format!("`{text}` cannot be allowed to a file"), mend);
        }
        let limits = fields.get("may_use").and_then(|node| walk.filled(node, &keys::MAY_USE));
        let names = limits.and_then(|limits| limits.get("destinations")).map(|node| {
            let nodes = walk.one_or_more(node, "`destinations`");
            nodes.iter().filter_map(|node| walk.text(node, "a destination")).map(str::to_owned).collect()
        });
        if let Some((key, _)) = fields.entry("may_use").filter(|_| !may_define.contains("groups")) {
            let message = "`may_use` limits groups, and these files may define none";
            walk.fault(key.position, RuleId::Include, message, "leave it out, or allow `groups` in `may_define`");
        }
        Some(Self { place: walk.place(fields.position), may_define, may_use: names })
    }

    /// Whether a file may have the key.
    pub(crate) fn allow(&self, key: &str) -> bool {
        self.may_define.contains(key)
    }

    /// Notes keys of an included file that it may not have.
    pub(crate) fn check(&self, walk: &mut Walk, fields: &Fields) {
        for (key, _) in fields.entries().filter(|(key, _)| key.text != "version") {
            if key.text == "include" {
                let mend = "include it in the job file";
                walk.fault(key.position, RuleId::Include, "an included file includes others", mend);
            } else if !self.may_define.contains(key.text) {
                let allowed: Vec<_> = self.may_define.iter().copied().collect();
                let place = self.place.seen_from(&walk.file);
                let message = format!("this file may not define `{}`: its `may_define` is in {place}", key.text);
                walk.fault(key.position, RuleId::MayDefine, message, format!("it may define {}", list(&allowed)));
            }
        }
    }
}

/// Notes destinations that `may_use` names and that there are not.
pub(crate) fn check_names(walk: &mut Walk, node: &Node, destinations: &Destinations) {
    let tree::Value::List(includes) = &node.value else { return };
    let limits = includes.iter().filter_map(|include| include.get("may_use")?.get("destinations"));
    for node in limits {
        let names = if let tree::Value::List(names) = &node.value { names } else { std::slice::from_ref(node) };
        for node in names {
            if let tree::Value::Text(name) = &node.value {
                destinations.expect(walk, node, name);
            }
        }
    }
}

/// The files that a pattern names, sorted. None is a fault if there is no pattern in it, else a warning.
fn find(walk: &mut Walk, files: &mut Files, node: &Node) -> Vec<PathBuf> {
    let Some(pattern) = walk.text(node, "`files`") else { return Vec::new() };
    if !is_pattern(pattern) {
        return vec![walk.folder.join(pattern)];
    }
    match matches(walk, files, pattern) {
        Ok(paths) => {
            if paths.is_empty() {
                let message = format!("no file matches `{pattern}`");
                walk.warn(node.position, RuleId::Include, message, "correct it, or leave it out");
            }
            paths
        }
        Err(why) => {
            let message = format!("`{pattern}` cannot be looked for: {why}");
            walk.fault(node.position, RuleId::Include, message, "write it as in `teams/*.yaml`");
            Vec::new()
        }
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', ']', '{', '}'])
}

/// The files that match, folder by folder.
fn matches(walk: &Walk, files: &mut Files, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { walk.folder.clone() }];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !is_pattern(part) {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        if part.contains("**") {
            return Err("it has `**`; one `*` stands for one folder".to_owned());
        }
        let glob = GlobBuilder::new(part).build().map_err(|error| error.kind().to_string())?;
        let glob = glob.compile_matcher();
        let mut found = Vec::new();
        for path in paths {
            let names = names(files, &path).map_err(|error| format!("`{}`: {error}", files.name(&path)))?;
            found.extend(names.into_iter().filter(|name| fits(&glob, part, name)).map(|name| path.join(name)));
        }
        if found.len() > FILES_MAX {
            return Err(format!("more than {FILES_MAX} paths match"));
        }
        paths = found;
    }
    // What was listed is a file, or a fault when it is read; what was not may be missing here and there.
    let is_listed = pattern.rsplit('/').next().is_some_and(is_pattern);
    paths.retain(|path| match files.look(path) {
        Ok(entry) => matches!(entry, Entry::File(_)),
        Err(error) => is_listed || error.kind() != ErrorKind::NotFound,
    });
    paths.sort();
    Ok(paths)
}

/// Names that begin with `.` are those of editors and tools, if the pattern does not ask for them.
fn fits(glob: &GlobMatcher, pattern: &str, name: &str) -> bool {
    glob.is_match(name) && (pattern.starts_with('.') || !name.starts_with('.'))
}

/// The names in a folder; none in what is no folder.
fn names(files: &mut Files, folder: &Path) -> io::Result<Vec<String>> {
    match files.look(folder) {
        // A name that is not UTF-8 is not found later, which is a fault.
        Ok(Entry::Folder(names)) => Ok(names.iter().map(|name| name.to_string_lossy().into_owned()).collect()),
        Ok(Entry::File(_)) => Ok(Vec::new()),
        Err(error) if is_nothing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
