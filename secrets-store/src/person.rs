//! Who runs this process: `user@host`, for the record. It knows nothing of
//! stores.

use std::sync::LazyLock;

/// What is kept of a host's or user's name.
const MAX_CHARS: usize = 100;

/// The user of this process and the name of this machine.
pub(crate) fn current() -> String {
    static PERSON: LazyLock<String> = LazyLock::new(|| {
        // Not `$USER`, which is whatever somebody set it to.
        let user = user(rustix::process::getuid().as_raw());
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy().into_owned();
        format!("{user}@{}", plain(&host))
    });
    PERSON.clone()
}

/// The name of a user, or the number of one that has none here.
pub(crate) fn user(id: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_name(&passwd, id).map_or_else(|| format!("uid {id}"), |name| plain(&name))
}

/// Whether a user is the only member of a group, as some systems make one for each
/// user. Not if it isn't known who is.
pub(crate) fn is_alone_in(user: u32, group: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    is_only_member(&read("/etc/passwd"), &read("/etc/group"), user, group)
}

/// The same for files like `/etc/passwd` and `/etc/group`.
fn is_only_member(passwd: &str, groups: &str, user: u32, group: u32) -> bool {
    let Some(name) = user_name(passwd, user) else {
        return false;
    };
    let others_first_group = passwd.lines().any(|line| {
        let mut fields = line.split(':');
        let other = fields.next();
        other != Some(&name) && fields.nth(2).and_then(|id| id.parse().ok()) == Some(group)
    });
    let mut entries = groups.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let id: u32 = fields.next()?.parse().ok()?;
        (id == group).then(|| fields.next().unwrap_or_default())
    });
    let is_only_one = |members: &str| {
        let mut members = members.split(',').filter(|member| !member.is_empty());
        members.all(|member| member == name)
    };
    // Two lines may have the same number.
    let mut is_known = false;
    let alone = entries.all(|members| {
        is_known = true;
        is_only_one(members)
    });
    alone && is_known && !others_first_group
}

/// The name of a user in a file like `/etc/passwd`.
fn user_name(passwd: &str, id: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

/// One line of readable characters.
fn plain(text: &str) -> String {
    let visible = text.chars().filter(|c| !c.is_control());
    visible.take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_have_one_member_alone() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/:/\nbob:x:1001:100::/:/\n";
        let groups = "root:x:0:\nann:x:1000:\nusers:x:100:\nops:x:50:ann,bob\nown:x:51:ann\n";
        for (user, group, alone) in [
            (1000, 1000, true),
            (1000, 51, true),
            (1000, 50, false),
            // Bob's, although he isn't listed.
            (1000, 100, false),
            (1001, 100, true),
            (0, 0, true),
            // Nobody knows who that is.
            (1002, 1000, false),
            (1000, 52, false),
        ] {
            assert_eq!(
                is_only_member(passwd, groups, user, group),
                alone,
                "{user} {group}"
            );
        }
    }

    #[test]
    fn users_are_known_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nodd\n\nalice:x:1000:100:Alice:/:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(user_name(passwd, 0).as_deref(), Some("root"));
        assert_eq!(user_name(passwd, 100), None);
        assert_eq!(user(4_000_000_000), "uid 4000000000");
        assert_eq!(plain("a\u{1b}[2J\nb"), "a[2Jb");
        let (user, host) = current()
            .split_once('@')
            .map(|(a, b)| (a.len(), b.len()))
            .unwrap();
        assert!(user > 0 && host > 0);
    }
}
