//! Submodules of an attempt's worktree.
//!
//! What a person's checkouts have of a submodule lies in its store, `modules/<name>` in the
//! common directory. A worktree gets a repository of its own for each, which borrows the objects
//! of the store: no network is needed, and what an agent does to it goes with the worktree.
//! Only what it committed there is fetched into the store, and kept under a ref, before that.
//!
//! An agent may have rewritten a submodule's configuration: git is never made to look at the
//! files there by the submodule's own, always by the store's.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::error::{GitError, Result};
use super::refs::{from_git2, to_git2};
use super::repo::{Repo, open};
use super::run::Call;
use super::worktree::{Worktree, copy_file, whole};
use crate::base::{Millis, Oid, sha256_hex};

/// A submodule of a worktree, at the commit that a tree wants.
struct Module {
    /// Relative to the worktree's top.
    path: PathBuf,
    commit: Oid,
    store: PathBuf,
    git_dir: PathBuf,
}

/// A submodule as the repository above it names it.
struct Named {
    name: String,
    path: PathBuf,
    commit: Oid,
}

impl Repo {
    /// The git directories of submodules, nested ones included, that the user's checkouts share.
    pub(super) fn module_stores(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        stores_below(&self.common_dir().join("modules"), &mut found);
        found
    }

    /// Makes every submodule of `tree` that the user's checkouts have be there in a worktree, at
    /// the very commit and with its files. Others stay empty, as they are for the user.
    pub fn settle_submodules(&self, wt: &Worktree, tree: &Oid) -> Result<()> {
        for module in self.modules(wt, tree)? {
            let work = wt.path().join(&module.path);
            if head_of(self, &work).as_ref() == Some(&module.commit) && !self.is_dirty(wt, &module)? {
                continue;
            }
            self.populate(wt, &module, &work)?;
        }
        Ok(())
    }

    /// What keeps the submodules of a worktree from landing, in words, and the paths of those that
    /// were looked at. Whatever an agent made in them is in their stores afterwards, below `keep_ref`.
    pub(super) fn keep_submodules(
        &self,
        wt: &Worktree,
        base: &Oid,
        tree: &Oid,
        keep_ref: &str,
    ) -> Result<(Vec<String>, BTreeSet<PathBuf>)> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        let at_base = self.modules(wt, base)?;
        for wanted in self.modules(wt, tree)? {
            let (path, work) = (wanted.path.display().to_string(), wt.path().join(&wanted.path));
            let Some(head) = head_of(self, &work) else { continue };
            let module = Module { commit: head.clone(), ..wanted };
            let store = module.store.display();
            let is_as_before = at_base.iter().any(|m| m.path == module.path && m.commit == head);
            if !is_as_before && !self.store_has(&module, &head)? {
                let keep = format!("{keep_ref}-{}", head.short());
                self.fetch_into(&module, &work, &keep)?;
                if !self.refs_contain(&git_dir_of(&work), &["refs/remotes"], &head)? {
                    problems.push(format!(
                        "submodule {path} points at {}, which no branch of its remote has: push it there first; it is kept as {keep} in {store}",
                        head.short()
                    ));
                }
            }
            if self.is_dirty(wt, &module)? {
                let keep = format!("{keep_ref}-files");
                self.keep_files(wt, &module, &keep)?;
                problems.push(format!("submodule {path} has changes that were not committed in it; they are kept as {keep} in {store}"));
            }
            seen.insert(module.path);
        }
        // What was there at the base and is no more at that place goes unseen above.
        for gone in at_base.into_iter().filter(|m| !seen.contains(&m.path)) {
            let work = wt.path().join(&gone.path);
            if let Some(head) = head_of(self, &work) {
                let module = Module { commit: head.clone(), ..gone };
                if !self.store_has(&module, &head)? {
                    self.fetch_into(&module, &work, &format!("{keep_ref}-{}", head.short()))?;
                }
            }
        }
        Ok((problems, seen))
    }

    /// The paths of populated submodules in an index, below `files`. What their HEADs say is put
    /// into the index, because git itself would have each look at its files by its own rules.
    /// One without a commit is put on the list `broken`, and is no submodule any more.
    pub(super) fn update_gitlinks(&self, wt: &Worktree, files: &Path, index: &Path, broken: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
        let entries = git2::Index::open(index)?;
        let links = entries.iter().filter(|e| e.mode == 0o160_000);
        let links: Vec<(PathBuf, Oid)> = links.map(|e| (PathBuf::from(OsStr::from_bytes(&e.path)), from_git2(e.id))).collect();
        let (mut input, mut populated) = (Vec::new(), Vec::new());
        for (path, was) in links {
            let work = files.join(&path);
            if fs::symlink_metadata(work.join(".git")).is_err() {
                continue;
            }
            let (mode, oid) = match head_of(self, &work) {
                Some(head) if head == was => ("", was),
                Some(head) => ("160000", head),
                None => {
                    broken.push(path.clone());
                    ("0", was)
                }
            };
            if !mode.is_empty() {
                input.extend_from_slice(format!("{mode} {oid}\t").as_bytes());
                input.extend_from_slice(path.as_os_str().as_bytes());
                input.push(0);
            }
            populated.push(path);
        }
        if !input.is_empty() {
            self.git_on(wt, files, index, ["update-index", "-z", "--index-info"]).input(input).ok()?;
        }
        Ok(populated)
    }

    /// The submodules of a tree that have stores, those of submodules included.
    fn modules(&self, wt: &Worktree, tree: &Oid) -> Result<Vec<Module>> {
        let mut out = Vec::new();
        let mut open = vec![(self.common_dir().to_owned(), self.admin_dir(wt), PathBuf::new(), tree.clone())];
        while let Some((from, git_dir, top, tree)) = open.pop() {
            for Named { name, path, commit } in self.named_in(&from, &tree)? {
                let inside = Path::new("modules").join(&name);
                let (store, git_dir) = (from.join(&inside), git_dir.join(&inside));
                if !is_store(&store) {
                    continue;
                }
                let path = top.join(path);
                open.push((store.clone(), git_dir.clone(), path.clone(), commit.clone()));
                out.push(Module { path, commit, store, git_dir });
            }
        }
        // The one that holds another comes first.
        out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(out)
    }

    /// What `.gitmodules` of a tree or commit names, with the commit that is wanted of each. A tree
    /// that is not to be had names none.
    fn named_in(&self, git_dir: &Path, tree: &Oid) -> Result<Vec<Named>> {
        let repo = open(git_dir)?;
        let Ok(tree) = repo.find_object(to_git2(tree)?, None).and_then(|o| o.peel_to_tree()) else { return Ok(Vec::new()) };
        let Some(file) = tree.get_name(".gitmodules") else { return Ok(Vec::new()) };
        let blob = self.git_store(git_dir, ["cat-file", "blob"]).arg(file.id().to_string()).ok()?;
        let list = self.git_store(git_dir, ["config", "--file", "-", "-z", "--get-regexp", r"^submodule\..*\.path$"]).input(blob).run()?;
        let mut out = Vec::new();
        for record in list.stdout.split(|b| *b == 0) {
            let record = String::from_utf8_lossy(record);
            let Some((key, path)) = record.split_once('\n') else { continue };
            let name = key.strip_prefix("submodule.").and_then(|k| k.strip_suffix(".path")).unwrap_or_default();
            let (name, path) = (name.to_owned(), PathBuf::from(path));
            if !is_plain(Path::new(&name)) || !is_plain(&path) {
                continue;
            }
            if let Ok(entry) = tree.get_path(&path)
                && entry.filemode() == 0o160_000
            {
                out.push(Named { name, path, commit: from_git2(entry.id()) });
            }
        }
        Ok(out)
    }

    /// Makes a submodule anew, with a repository that borrows from the store.
    fn populate(&self, wt: &Worktree, module: &Module, work: &Path) -> Result<()> {
        let path = module.path.display();
        if !self.git_store(&module.store, ["cat-file", "-e"]).arg(format!("{}^{{commit}}", module.commit)).run()?.status.success() {
            return Err(GitError::refused(format!(
                "submodule {path}: {} does not hold {}: run `git submodule update --init --recursive -- {path}` in your checkout",
                module.store.display(),
                module.commit.short()
            )));
        }
        let through_link = work.ancestors().skip(1).take_while(|dir| *dir != wt.path()).any(|dir| dir.is_symlink());
        if through_link {
            return Err(GitError::refused(format!("submodule {path} stands behind a link")));
        }
        for dir in [work, &module.git_dir] {
            remove_dir(dir)?;
            fs::create_dir_all(dir).map_err(|e| GitError::io("creating", dir, &e))?;
        }
        self.borrow_store(module, work)?;
        let link = format!("gitdir: {}\n", module.git_dir.display());
        fs::write(work.join(".git"), link).map_err(|e| GitError::io("writing", work, &e))?;
        let call = |args: &[&'static str]| whole(self.git_submodule(&module.git_dir, work, args.iter().copied()));
        call(&["update-ref", "--no-deref", "HEAD"]).arg(module.commit.as_str()).ok()?;
        call(&["read-tree", "--reset", "-u"]).arg(module.commit.as_str()).ok()?;
        copy_file(&module.git_dir.join("index"), &self.module_index(wt, module))
    }

    /// A repository whose objects, branches and remotes are those of the store.
    fn borrow_store(&self, module: &Module, work: &Path) -> Result<()> {
        let (store, git_dir) = (&module.store, &module.git_dir);
        let init = Call::new(&self.inner.program, self.common_dir(), ["init", "--quiet", "--bare", "--template=", "--"]);
        init.arg(git_dir).guarded(self.overrides()).ok()?;
        let objects = store.join("objects");
        let info = git_dir.join("objects/info");
        let lend =
            fs::create_dir_all(&info).and_then(|()| fs::write(info.join("alternates"), [objects.as_os_str().as_bytes(), b"\n"].concat()));
        lend.map_err(|e| GitError::io("writing", &info, &e))?;
        if store.join("shallow").is_file() {
            fs::copy(store.join("shallow"), git_dir.join("shallow")).map_err(|e| GitError::io("copying", &store.join("shallow"), &e))?;
        }
        let refs = ["for-each-ref", "--format=create %(refname) %(objectname)", "refs/heads", "refs/remotes", "refs/tags"];
        let refs = self.git_store(store, refs).ok()?;
        self.git_store(git_dir, ["update-ref", "--stdin"]).input(refs).ok()?;
        let set = |key: &str, value: &OsStr| self.git_store(git_dir, ["config", "--add", key]).arg(value).ok();
        self.git_store(git_dir, ["config", "core.bare", "false"]).ok()?;
        set("core.worktree", work.as_os_str())?;
        let wanted = r"^(remote\..*\.(url|fetch|promisor|partialclonefilter)|extensions\.partialclone)$";
        let config = store.join("config");
        let found = self.git_store(store, ["config", "--file"]).arg(&config).arg("-z").arg("--get-regexp").arg(wanted).run()?;
        let found = if found.status.success() { found.stdout } else { Vec::new() };
        for record in found.split(|b| *b == 0).filter(|r| !r.is_empty()) {
            let record = String::from_utf8_lossy(record);
            let (key, value) = record.split_once('\n').unwrap_or((&record, "true"));
            if key.starts_with("extensions.") {
                self.git_store(git_dir, ["config", "core.repositoryFormatVersion", "1"]).ok()?;
            }
            set(key, OsStr::new(value))?;
        }
        Ok(())
    }

    /// Whether the files are other than those of the commit, whatever the submodule's own
    /// repository says of them. Nested submodules are looked at by themselves.
    fn is_dirty(&self, wt: &Worktree, module: &Module) -> Result<bool> {
        let work = wt.path().join(&module.path);
        let on = self.on_files(wt, module, &work)?;
        let changed = on(&["diff-index", "--quiet", "--ignore-submodules=all"]).arg(module.commit.as_str()).run()?;
        match changed.code() {
            Some(0) => {}
            Some(1) => return Ok(true),
            _ => return Err(changed.error()),
        }
        let mut untracked = false;
        on(&["ls-files", "--others", "--exclude-standard", "-z"]).each_record(|_| untracked = true)?;
        Ok(untracked)
    }

    /// Calls on a submodule's files, with the store's configuration and an index of ours, whose
    /// stat information is fresh.
    fn on_files<'a>(&'a self, wt: &Worktree, module: &'a Module, work: &'a Path) -> Result<impl Fn(&[&'static str]) -> Call<'a>> {
        let index = self.module_index(wt, module);
        let shown = index.clone();
        let on = move |args: &[&'static str]| {
            whole(self.git_submodule(&module.store, work, args.iter().copied())).env("GIT_INDEX_FILE", shown.clone())
        };
        // What is the same as before keeps what is known of its file.
        on(&["read-tree", "-m", "-i"]).arg(module.commit.as_str()).ok()?;
        on(&["update-index", "-q", "--refresh"]).run()?;
        Ok(on)
    }

    /// Keeps files that were not committed in a submodule, as a commit in its store.
    fn keep_files(&self, wt: &Worktree, module: &Module, keep: &str) -> Result<()> {
        let work = wt.path().join(&module.path);
        let on = self.on_files(wt, module, &work)?;
        let mut paths = b".".to_vec();
        let entries = git2::Index::open(&self.module_index(wt, module))?;
        for link in entries.iter().filter(|e| e.mode == 0o160_000) {
            paths.extend_from_slice(b"\0:(exclude,literal)");
            paths.extend_from_slice(&link.path);
        }
        on(&["add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"]).input(paths).ok()?;
        let tree = on(&["write-tree"]).oid()?;
        let index = self.module_index(wt, module);
        fs::remove_file(&index).map_err(|e| GitError::io("removing", &index, &e))?;
        let parents = [module.commit.clone()];
        let commit =
            self.commit_tree(&tree, &parents, "Files that were not committed\n", Millis(0))?.env("GIT_DIR", &module.store).oid()?;
        self.git_store(&module.store, ["update-ref", "-m", "drover", keep, commit.as_str()]).ok().map(drop)
    }

    /// Whether a store's own branches, remote branches or tags contain a commit.
    fn store_has(&self, module: &Module, commit: &Oid) -> Result<bool> {
        self.refs_contain(&module.store, &["refs/heads", "refs/remotes", "refs/tags"], commit)
    }

    fn refs_contain(&self, git_dir: &Path, refs: &[&'static str], commit: &Oid) -> Result<bool> {
        let call = self.git_store(git_dir, ["for-each-ref", "--count=1", "--contains", commit.as_str()]);
        let answer = refs.iter().fold(call, |call, prefix| call.arg(prefix)).run()?;
        // A store that does not know the commit at all says so as an error.
        Ok(answer.status.success() && !answer.stdout.is_empty())
    }

    /// Fetches the HEAD of a worktree's submodule into its store.
    fn fetch_into(&self, module: &Module, work: &Path, keep: &str) -> Result<()> {
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--refmap=", "--"];
        let call = self.git_store(&module.store, fetch).config("protocol.file.allow=always");
        call.arg(git_dir_of(work)).arg(format!("+HEAD:{keep}")).ok().map(drop)
    }

    /// Where the saved index of a submodule's files is.
    fn module_index(&self, wt: &Worktree, module: &Module) -> PathBuf {
        let hash = sha256_hex(module.path.as_os_str().as_bytes());
        self.indexes().join(format!("{}.sub-{}", wt.name(), &hash[..12]))
    }

    /// A call on a submodule's repository as such.
    fn git_store<'a>(&'a self, git_dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        let call = Call::new(&self.inner.program, git_dir, args).env("GIT_DIR", git_dir).env("GIT_NO_LAZY_FETCH", "1");
        call.guarded(self.overrides())
    }

    fn git_submodule<'a>(&'a self, git_dir: &Path, work: &Path, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        let call = Call::new(&self.inner.program, work, args).env("GIT_DIR", git_dir).env("GIT_WORK_TREE", work);
        call.guarded(self.overrides())
    }
}

/// The repository that a directory is the top of, as its `.git` says.
fn git_dir_of(work: &Path) -> PathBuf {
    let link = work.join(".git");
    let named = fs::read_to_string(&link).ok();
    let named = named.as_deref().and_then(|text| text.strip_prefix("gitdir:")).map(|path| work.join(path.trim()));
    named.unwrap_or(link)
}

/// The commit that a submodule's repository stands at. Nothing of it but refs is read.
fn head_of(repo: &Repo, work: &Path) -> Option<Oid> {
    fs::symlink_metadata(work.join(".git")).ok()?;
    let call = repo.git_store(&git_dir_of(work), ["rev-parse", "--verify", "--quiet", "HEAD"]);
    call.oid().ok()
}

fn is_store(dir: &Path) -> bool {
    dir.join("HEAD").is_file() && dir.join("objects").is_dir()
}

/// A relative path that stays below where it starts.
fn is_plain(path: &Path) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(name) if !name.eq_ignore_ascii_case(".git"));
    path.components().next().is_some() && path.components().all(plain)
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => fs::remove_file(dir).map_err(|e| GitError::io("removing", dir, &e)),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("removing", dir, &e)),
        _ => Ok(()),
    }
}

/// A store's name may hold slashes; one inside another stands in its `modules`.
fn stores_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        if is_store(&path) {
            stores_below(&path.join("modules"), found);
            found.push(path);
        } else {
            stores_below(&path, found);
        }
    }
}
