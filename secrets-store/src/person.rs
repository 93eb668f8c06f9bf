//! Who runs this process: `user@host`, for the record. It knows nothing of
//! stores.

use std::sync::LazyLock;

/// What is kept of a host's or user's name.
const MAX_CHARS: usize = 100;

/// The user of this process and the name of this machine.
pub(crate) fn current() -> String {
    static PERSON: LazyLock<String> = LazyLock::new(|| {
        let user = rustix::process::getuid().as_raw();
        // Not `$USER`, which is whatever somebody set it to.
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = user_name(&passwd, user).unwrap_or_else(|| format!("uid {user}"));
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy().into_owned();
        format!("{}@{}", plain(&user), plain(&host))
    });
    PERSON.clone()
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
    fn users_are_known_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nodd\n\nalice:x:1000:100:Alice:/:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(user_name(passwd, 0).as_deref(), Some("root"));
        assert_eq!(user_name(passwd, 100), None);
        assert_eq!(plain("a\u{1b}[2J\nb"), "a[2Jb");
        let (user, host) = current()
            .split_once('@')
            .map(|(a, b)| (a.len(), b.len()))
            .unwrap();
        assert!(user > 0 && host > 0);
    }
}
