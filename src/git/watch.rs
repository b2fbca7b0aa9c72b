//! Which keys of git's configuration are watched while agents run: those whose value is a
//! command, names where commands are read from, or makes git work on other files; and those that
//! decide what of the files a commit holds, or what a checkout writes.

/// Whole keys, lower case.
const KEYS: &[&str] = &[
    "core.alternaterefscommand",
    "core.askpass",
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

/// Whole keys, lower case, whose last value counts, and which differ from nothing at all only where
/// that is not git's own default, given beside: what a commit holds of the files, what a checkout
/// writes, how a merge is made.
const CONTENT: &[(&str, &str)] = &[
    ("add.ignore-errors", "false"),
    ("add.ignoreerrors", "false"),
    ("attr.tree", ""),
    (ATTRIBUTES, ""),
    ("core.autocrlf", "false"),
    ("core.checkroundtripencoding", "shift-jis"),
    ("core.eol", "native"),
    (EXCLUDES, ""),
    ("core.filemode", "true"),
    ("core.ignorecase", "false"),
    ("core.precomposeunicode", "false"),
    ("core.protecthfs", "false"),
    ("core.protectntfs", "true"),
    ("core.safecrlf", "warn"),
    ("core.symlinks", "true"),
    ("diff.renames", "true"),
    ("merge.default", "text"),
    ("merge.directoryrenames", "conflict"),
    ("merge.renames", "true"),
    ("merge.renormalize", "false"),
];
/// Name files beside the configuration, with patterns.
pub(super) const EXCLUDES: &str = "core.excludesfile";
pub(super) const ATTRIBUTES: &str = "core.attributesfile";

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
        _ => KEYS.contains(&key) || is_content(key) || IN_SECTION.iter().any(|(s, names)| *s == section && names.contains(&name)),
    }
}

/// Whether it decides what a commit or a checkout holds: then it matters too that it went away.
pub(super) fn is_content(key: &str) -> bool {
    default_of(key).is_some()
}

fn default_of(key: &str) -> Option<&'static str> {
    CONTENT.iter().find(|(name, _)| *name == key).map(|(_, default)| *default)
}

/// What the values of such a key come to: the last one, and nothing where git does the same
/// without it, so that a tool that writes down a default is no reason to stop.
pub(super) fn effective(key: &str, values: &[String]) -> Option<String> {
    let last = values.last()?;
    if matches!(key, EXCLUDES | ATTRIBUTES) {
        return Some(last.clone());
    }
    let value = match last.to_lowercase().as_str() {
        "yes" | "on" | "1" => "true".to_owned(),
        "no" | "off" | "0" => "false".to_owned(),
        other => other.to_owned(),
    };
    (Some(value.as_str()) != default_of(key)).then_some(value)
}

/// A value that makes git do as if the key were not there, or fail rather than run anything.
pub(super) fn neutral(key: &str) -> &'static str {
    if let Some(default) = default_of(key) {
        return default;
    }
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
        for key in [
            "user.name",
            "branch.main.remote",
            "remote.origin.url",
            "merge.conflictstyle",
            "filter.lfs.required",
            "merge.tool",
            "diff.algorithm",
        ] {
            assert!(!is_watched(key, "!x"), "{key}");
        }
        assert!(!is_watched("alias.st", "status") && !is_watched("pager.log", "false"));
    }

    #[test]
    fn a_default_that_is_written_down_is_as_good_as_none() {
        let of = |key: &str, values: &[&str]| effective(key, &values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_eq!(of("core.filemode", &["true"]), None);
        assert_eq!(of("core.filemode", &["false", "yes"]), None);
        assert_eq!(of("core.filemode", &["true", "0"]).as_deref(), Some("false"));
        assert_eq!(of("core.autocrlf", &["Input"]).as_deref(), Some("input"));
        assert_eq!(of("core.autocrlf", &[]), None);
        assert!(is_watched("core.autocrlf", "input") && is_watched("core.excludesfile", "x"));
        assert_eq!((neutral("core.filemode"), neutral("merge.renames"), neutral("merge.x.driver")), ("true", "true", "false"));
    }
}
