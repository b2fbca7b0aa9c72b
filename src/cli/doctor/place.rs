//! The machine: directories, disks, what the kernel allows, what a dead git left.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access, statfs};

use super::Check;
use crate::engine::preflight::{MIN_FREE, free_bytes};
use crate::git::{Repo, check_writable};

/// Fewer watches, or instances, than this and a large checkout cannot be watched.
const WATCHES: u64 = 8192;
const INSTANCES: u64 = 64;

/// A directory that Drover writes to, which need not be there yet.
pub fn directory(name: &str, dir: &Path, way_out: &str) -> Vec<Check> {
    let free = free_bytes(dir);
    let mut checks = vec![match (free.filter(|f| *f < MIN_FREE), writable(dir)) {
        (Some(free), _) => Check::error(
            name,
            format!("{} has only {} MiB free", dir.display(), free >> 20),
            format!("Free some space: {} MiB is the least that a run is begun with.", MIN_FREE >> 20),
        ),
        (None, Err(why)) => Check::error(name, format!("{} cannot be written: {why}", dir.display()), way_out),
        (None, Ok(())) => {
            let free = free.map(|f| format!(", {} MiB free", f >> 20)).unwrap_or_default();
            Check::ok(name, format!("{}{free}", dir.display()))
        }
    }];
    if let Some(system) = network(dir) {
        let fix = "Use a disk of this machine: locks and the record are made for one, and worktrees are slow elsewhere.";
        checks.push(Check::warning(name, format!("{} is on {system}", dir.display()), fix));
    }
    checks
}

fn writable(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return check_writable(dir);
    }
    let above = dir.ancestors().find(|d| d.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
    if !above.is_dir() {
        return Err(std::io::Error::other(format!("{} is no directory", above.display())));
    }
    access(above, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| std::io::Error::other(format!("{}: {e}", above.display())))
}

/// The file system of a directory, where that is one of another machine.
fn network(dir: &Path) -> Option<&'static str> {
    let found = dir.ancestors().find_map(|d| statfs(d).ok())?;
    // The kernel's numbers; the type is not the same on all machines.
    match found.f_type as u64 & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x0102_1997 => Some("9p"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f => Some("AFS"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x6573_5546 => Some("FUSE"),
        _ => None,
    }
}

/// What the kernel allows to be watched, for `drover watch`.
pub fn inotify() -> Check {
    let limit = |name: &str| -> Option<u64> { fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok() };
    let (Some(watches), Some(instances)) = (limit("max_user_watches"), limit("max_user_instances")) else {
        return Check::warning("inotify", "its limits cannot be read", "`drover watch` may not notice what changes.");
    };
    let found = format!("{watches} watches, {instances} instances for each user");
    match watches < WATCHES || instances < INSTANCES {
        true => Check::warning(
            "inotify",
            found,
            format!(
                "`drover watch` may need more: sudo sysctl fs.inotify.max_user_watches={} fs.inotify.max_user_instances=256",
                WATCHES * 16
            ),
        ),
        false => Check::ok("inotify", found),
    }
}

/// Lock files of git that nobody may hold any more.
pub fn leftovers(repo: &Repo) -> Vec<Check> {
    let mut lock = repo.index().into_os_string();
    lock.push(".lock");
    let lock = Path::new(&lock);
    match lock.symlink_metadata() {
        Ok(_) => vec![Check::warning(
            "git lock",
            format!("{} is there: a git is at work in the checkout, or was killed", lock.display()),
            "If no git runs, remove it: until then the checkout cannot be brought up to what lands.",
        )],
        Err(_) => Vec::new(),
    }
}
