//! Which keys of git's configuration are watched while agents run: those whose value is a
//! command, names where commands are read from, or makes git work on other files.

/// Whole keys, lower case.
const KEYS: &[&str] = &[
    "core.alternaterefscommand",
    "core.askpass",
    "core.attributesfile",
    "core.bare",
    "core.editor",
    "core.fsmonitor",
    "core.gitproxy",
    "core.hookspath",
    "core.pager",
    "core.sshcommand",
    "core.worktree",
    "diff.external",
    "gpg.program",
    "gpg.ssh.defaultkeycommand",
    "include.path",
    "init.templatedir",
    "interactive.difffilter",
    "lfs.standalonetransferagent",
    "sendemail.sendmailcmd",
    "sendemail.smtpserver",
    "sequence.editor",
    "uploadpack.packobjectshook",
];

/// Sections with the keys in them that are watched; a section is given without its subsection.
const IN_SECTION: &[(&str, &[&str])] = &[
    ("browser", &["cmd", "path"]),
    ("credential", &["helper"]),
    ("diff", &["command", "textconv"]),
    ("difftool", &["cmd", "path"]),
    ("filter", &["clean", "smudge", "process"]),
    ("gpg", &["program"]),
    ("guitool", &["cmd"]),
    ("hook", &["command"]),
    ("includeif", &["path"]),
    ("lfs", &["clean", "smudge", "path"]),
    ("man", &["cmd", "path"]),
    ("merge", &["driver"]),
    ("mergetool", &["cmd", "path"]),
    ("protocol", &["allow"]),
    ("remote", &["uploadpack", "receivepack", "vcs"]),
    ("tar", &["command"]),
    ("trailer", &["command", "cmd"]),
    ("url", &["insteadof", "pushinsteadof"]),
];

/// Whether a change of the key is more than a plain one. `key` is as git lists it: section and
/// name in lower case, the subsection as it was written.
pub(super) fn is_watched(key: &str, value: &str) -> bool {
    let Some((section, rest)) = key.split_once('.') else { return false };
    let name = rest.rsplit_once('.').map_or(rest, |(_, name)| name);
    match section {
        "alias" => value.starts_with('!'),
        "submodule" => name == "update" && value.starts_with('!'),
        "pager" => !matches!(value, "true" | "false"),
        _ => KEYS.contains(&key) || IN_SECTION.iter().any(|(s, names)| *s == section && names.contains(&name)),
    }
}

/// A value that makes git do as if the key were not there, or fail rather than run anything.
pub(super) fn neutral(key: &str) -> &'static str {
    match key {
        "core.bare" => "false",
        "core.sshcommand" => "ssh",
        "gpg.program" => "gpg",
        "gpg.ssh.program" => "ssh-keygen",
        _ if key.starts_with("merge.") => "false",
        _ if key.starts_with("protocol.") => "never",
        _ if key.starts_with("submodule.") => "none",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_would_run_is_watched_and_plain_settings_are_not() {
        for key in [
            "core.hookspath",
            "core.fsmonitor",
            "filter.lfs.clean",
            "filter.a.b.process",
            "merge.union.driver",
            "credential.helper",
            "credential.https://x.example/a.b.helper",
            "includeif.gitdir:/a/.path",
            "include.path",
            "alias.st",
            "pager.log",
            "remote.origin.uploadpack",
            "url.ext::sh -c x.insteadof",
            "gpg.ssh.program",
            "protocol.ext.allow",
        ] {
            assert!(is_watched(key, "!x"), "{key}");
        }
        for key in
            ["user.name", "branch.main.remote", "remote.origin.url", "core.autocrlf", "filter.lfs.required", "merge.tool", "diff.algorithm"]
        {
            assert!(!is_watched(key, "!x"), "{key}");
        }
        assert!(!is_watched("alias.st", "status") && !is_watched("pager.log", "false"));
    }
}
