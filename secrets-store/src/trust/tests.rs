use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;

/// Somebody who is neither this user nor root.
const MALLORY: u32 = 61_234;

/// Whom files of the machine around a container seem to belong to.
const NOBODY: u32 = 65_534;

struct Place(tempfile::TempDir);

impl Place {
    /// A folder with `file` in the folder `inner`.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("inner")).unwrap();
        fs::write(place.path("inner/file"), "x").unwrap();
        place.mode("inner", 0o755);
        place.mode("inner/file", 0o644);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn check(&self, name: &str) -> Result<Option<Tolerated>, String> {
        check(&self.path(name)).map_err(|error| error.to_string())
    }

    fn refused(&self, name: &str, says: &str) {
        let error = self.check(name).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

/// Only root can give files away.
#[expect(clippy::print_stderr, reason = "a test that tries less says so")]
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not tried: files of other users, which only root can make");
    }
    is_root
}

#[test]
fn what_others_can_write_is_refused() {
    let place = Place::new();
    assert_eq!(place.check("inner/file"), Ok(None));
    for (mode, says) in [
        (0o646, "can be written by everybody (mode 0646)"),
        (0o666, "run `chmod go-w "),
        (0o602, "everybody (mode 0602)"),
    ] {
        place.mode("inner/file", mode);
        place.refused("inner/file", says);
    }
    place.mode("inner/file", 0o444);
    assert_eq!(place.check("inner/file"), Ok(None));
    place.mode("inner", 0o777);
    place.refused("inner/file", "inner can be written by everybody");
    place.refused("inner", "inner can be written by everybody");
    // What is made there by anybody first would be believed.
    place.refused("inner/no-such-file", "inner can be written by everybody");
    place.mode("inner", 0o1777);
    assert_eq!(place.check("inner/file"), Ok(None));
}

#[test]
fn what_is_not_there_was_written_by_nobody() {
    let place = Place::new();
    for name in ["none", "inner/none", "none/none/none", "inner/../none"] {
        assert_eq!(place.check(name), Ok(None), "{name}");
    }
    assert!(check(Path::new("/dev/null")).is_ok());
    assert!(place.check("inner/file/none").is_err());
}

#[test]
fn a_link_is_judged_by_what_it_leads_to() {
    let place = Place::new();
    symlink("inner/file", place.path("link")).unwrap();
    symlink(place.path("link"), place.path("second")).unwrap();
    symlink("inner", place.path("folder")).unwrap();
    for name in ["link", "second", "folder/file", "folder/../link"] {
        assert_eq!(place.check(name), Ok(None), "{name}");
    }
    place.mode("inner", 0o777);
    for name in ["link", "second", "folder/file"] {
        place.refused(name, "inner can be written by everybody");
    }
    symlink("loop", place.path("loop")).unwrap();
    assert!(place.check("loop").is_err());
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let give = |name: &str, owner| chown(place.path(name), Some(owner), None).unwrap();
    give("inner/file", MALLORY);
    place.refused("inner/file", "file belongs to uid 61234, and neither to");
    give("inner/file", ROOT);
    give("inner", MALLORY);
    place.refused("inner/file", "inner belongs to uid 61234");
    give("inner", ROOT);
    // Also in a folder in which everybody keeps their own.
    place.mode("inner", 0o1777);
    symlink("file", place.path("inner/link")).unwrap();
    std::os::unix::fs::lchown(place.path("inner/link"), Some(MALLORY), None).unwrap();
    place.refused("inner/link", "link belongs to uid 61234");
}

#[test]
fn what_the_caller_of_sudo_owns_is_warned_of() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let by_sudo = Judge {
        us: ROOT,
        caller: Some(MALLORY),
        unmapped: None,
    };
    let file = place.path("inner/file");
    assert_eq!(by_sudo.check(&file).unwrap(), None);
    chown(place.path("inner"), Some(MALLORY), None).unwrap();
    chown(&file, Some(MALLORY), None).unwrap();
    let warning = by_sudo.check(&file).unwrap().unwrap();
    assert_eq!(warning.path, place.path("inner"));
    let text = warning.to_string();
    assert!(
        text.contains("belongs to uid 61234, who called sudo"),
        "{text}"
    );
    // Not what a third one can write.
    chown(&file, Some(MALLORY + 1), None).unwrap();
    by_sudo.check(&file).unwrap_err();
    chown(&file, Some(MALLORY), None).unwrap();
    place.mode("inner/file", 0o666);
    by_sudo.check(&file).unwrap_err();
}

#[test]
fn a_group_of_ones_own_is_nobody_else() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    // Root's own group, and one that is known to nobody.
    for (group, is_fine) in [(0, person::is_alone_in(0, 0)), (61_234, false)] {
        chown(place.path("inner/file"), None, Some(group)).unwrap();
        place.mode("inner/file", 0o664);
        assert_eq!(place.check("inner/file").is_ok(), is_fine, "{group}");
    }
    place.refused("inner/file", "can be written by its group (mode 0664)");
}

#[test]
fn folders_of_the_machine_around_a_container_are_as_roots() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let judge = |unmapped| Judge {
        us: ROOT,
        caller: None,
        unmapped,
    };
    let file = place.path("inner/file");
    chown(place.path("inner"), Some(NOBODY), None).unwrap();
    judge(None).check(&file).unwrap_err();
    assert_eq!(judge(Some(NOBODY)).check(&file).unwrap(), None);
    // Files are not.
    chown(&file, Some(NOBODY), None).unwrap();
    judge(Some(NOBODY)).check(&file).unwrap_err();
}
