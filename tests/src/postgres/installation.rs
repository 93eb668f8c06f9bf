//! Where PostgreSQL's programs are, as whom they run, and a fresh data folder.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use rand::distr::{Alphanumeric, SampleString};
use tempfile::TempDir;

use super::{SUPERUSER, language, run, verifier, write_private};
use crate::lifeline;

/// Where Debian and its relatives install each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The version that `scripts/setup.sh` installs beside the machine's own, and its
/// folder among the tools.
const BESIDE: (u32, &str) = (18, "postgresql-18");

/// A data folder for each installation, and rounds of a login, that this process has
/// used.
static TEMPLATES: LazyLock<Mutex<HashMap<(PathBuf, u32), Template>>> =
    LazyLock::new(Mutex::default);

/// The folder of templates. Being static, it is the lifeline that removes it.
static TEMPLATE_FOLDER: LazyLock<TempDir> = LazyLock::new(|| lifeline::folder("templates-"));

/// PostgreSQL's programs.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    programs: PathBuf,
}

impl Installation {
    /// That of a version, or else the machine's own.
    pub(super) fn find(version: Option<u32>, account: Option<Account>) -> Self {
        let programs = match version.filter(|version| *version == BESIDE.0) {
            Some(_) => beside(account).or_else(|| of_the_machine(version)),
            None => of_the_machine(version),
        };
        let programs = programs.unwrap_or_else(|| {
            let version = version.map_or_else(String::new, |version| format!(" {version}"));
            panic!(
                "found no PostgreSQL{version} server in {DEBIAN} or by `pg_config`: \
                 `scripts/setup.sh postgresql` installs it on Debian"
            )
        });
        for program in ["initdb", "postgres", "psql"] {
            assert!(
                programs.join(program).is_file(),
                "there is no {program} in {}",
                programs.display()
            );
        }
        Self { programs }
    }

    /// The machine's own, with its translations.
    pub(super) fn translated(account: Option<Account>) -> Self {
        static REACHED: OnceLock<PathBuf> = OnceLock::new();
        match language::translated() {
            Some(folder) => {
                let folder = reached(&REACHED, &folder, account, "translated");
                Self {
                    programs: folder.join("programs"),
                }
            }
            None => Self::find(None, account),
        }
    }

    pub(super) fn programs(&self) -> &Path {
        &self.programs
    }

    /// A command that runs as `account`, with nothing of our environment.
    pub(super) fn command(&self, program: &str, account: Option<Account>) -> Command {
        let mut command = Command::new(self.programs.join(program));
        clean(&mut command);
        if let Some(account) = account {
            account.run_as(&mut command);
        }
        command
    }

    /// The template of this installation, made at its first use.
    pub(super) fn template(&self, account: Option<Account>, login_rounds: u32) -> Template {
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        let number = templates.len();
        let name = number.to_string();
        let make = || self.initdb(account, login_rounds, TEMPLATE_FOLDER.path(), &name);
        templates
            .entry((self.programs.clone(), login_rounds))
            .or_insert_with(make)
            .clone()
    }

    /// Makes the data folder `name` in `folder`.
    pub(super) fn initdb(
        &self,
        account: Option<Account>,
        login_rounds: u32,
        folder: &Path,
        name: &str,
    ) -> Template {
        let superuser_password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let data = folder.join(name);
        super::make_folder(&data, account);
        // initdb reads it as the servers' user, and needs an empty data folder.
        let password_file = folder.join(format!("{name}.password"));
        write_private(&password_file, &verifier(&superuser_password, login_rounds));
        give(&password_file, account);
        let mut initdb = self.command("initdb", account);
        initdb
            .arg("--pgdata")
            .arg(&data)
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", SUPERUSER])
            .args(["--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8"])
            .args(["--no-sync", "--no-instructions"])
            .current_dir(folder);
        run(&mut initdb);
        fs::remove_file(&password_file).expect("cannot remove a file that was just written");
        Template {
            data,
            superuser_password,
        }
    }
}

/// The major versions that are there: the machine's own first, then the one that
/// `scripts/setup.sh` installs.
pub(super) fn versions() -> Vec<u32> {
    let own = own_version();
    let beside = folder_beside().map(|_| BESIDE.0);
    own.into_iter()
        .chain(beside.filter(|version| own != Some(*version)))
        .collect()
}

fn own_version() -> Option<u32> {
    let programs = of_the_machine(None)?;
    let output = Command::new(programs.join("postgres"))
        .arg("--version")
        .output();
    // "postgres (PostgreSQL) 15.18 (Debian ...)"
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    text.split([' ', '.']).nth(2)?.parse().ok()
}

fn folder_beside() -> Option<PathBuf> {
    let folder = tool(BESIDE.1)?;
    folder.join("bin/postgres").is_file().then_some(folder)
}

/// A folder of what `scripts/setup.sh` has installed, where the cache is.
pub(super) fn tool(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache.filter(|path| path.is_absolute()).or(home)?;
    Some(cache.join("nixops4-resources/tools").join(name))
}

/// The programs that `scripts/setup.sh` has installed, where `account` can run them.
fn beside(account: Option<Account>) -> Option<PathBuf> {
    static REACHED: OnceLock<PathBuf> = OnceLock::new();
    let folder = folder_beside()?;
    Some(reached(&REACHED, &folder, account, "programs").join("bin"))
}

/// The locales that `scripts/setup.sh` has made, where `account` can read them.
pub(super) fn locales(account: Option<Account>) -> PathBuf {
    static REACHED: OnceLock<PathBuf> = OnceLock::new();
    let folder = language::locales().expect("`scripts/setup.sh german` makes the locale");
    reached(&REACHED, &folder, account, "locales")
}

/// Where a folder can be reached by `account`: a home folder may be closed to it, and
/// what is in it is linked or copied, then.
fn reached(
    known: &OnceLock<PathBuf>,
    folder: &Path,
    account: Option<Account>,
    name: &str,
) -> PathBuf {
    let Some(account) = account else {
        return folder.to_owned();
    };
    let find = || {
        let mut trial = Command::new("ls");
        clean(&mut trial);
        account.run_as(&mut trial);
        let trial = trial.arg("--").arg(folder).output();
        if trial.is_ok_and(|done| done.status.success()) {
            return folder.to_owned();
        }
        let links = TEMPLATE_FOLDER.path().join(name);
        let copy = |how| {
            let mut copy = Command::new("cp");
            clean(&mut copy);
            copy.args([how, "--"]).arg(folder).arg(&links);
            copy
        };
        // No links from one filesystem to another.
        if !copy("-al").output().is_ok_and(|done| done.status.success()) {
            let _nothing_there = fs::remove_dir_all(&links);
            run(&mut copy("-a"));
        }
        links
    };
    known.get_or_init(find).clone()
}

/// The file with the translations of the machine's own server.
pub(super) fn own_translations(language: &str) -> Option<PathBuf> {
    let version = own_version()?;
    let folder = if Path::new(DEBIAN).join(version.to_string()).is_dir() {
        PathBuf::from("/usr/share/locale")
    } else {
        let output = Command::new("pg_config").arg("--localedir").output().ok()?;
        PathBuf::from(String::from_utf8(output.stdout).ok()?.trim())
    };
    Some(
        folder
            .join(language)
            .join(format!("LC_MESSAGES/postgres-{version}.mo")),
    )
}

/// The programs of a version that the machine has by itself.
fn of_the_machine(version: Option<u32>) -> Option<PathBuf> {
    let debian = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|found| version.is_none_or(|version| version == *found))
        .map(|found| (found, Path::new(DEBIAN).join(found.to_string()).join("bin")))
        // A client alone has a folder as well.
        .filter(|(_, programs)| programs.join("postgres").is_file())
        .max();
    match debian {
        Some((_, programs)) => Some(programs),
        None => pg_config(version),
    }
}

/// The programs that `pg_config` names, if its version is the wanted one.
fn pg_config(version: Option<u32>) -> Option<PathBuf> {
    let ask = |what| {
        let output = Command::new("pg_config").arg(what).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let programs = PathBuf::from(ask("--bindir")?);
    if let Some(version) = version {
        // "PostgreSQL 15.18 (Debian ...)"
        let text = ask("--version")?;
        let number = text.split([' ', '.']).nth(1)?;
        if number != version.to_string() {
            return None;
        }
    }
    programs.join("postgres").is_file().then_some(programs)
}

/// A data folder that no server runs in, and its superuser's password.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) data: PathBuf,
    pub(super) superuser_password: String,
}

impl Template {
    pub(super) fn copy_to(&self, account: Option<Account>, data: &Path) {
        super::make_folder(data, account);
        lifeline::set_mode(data, 0o700);
        let mut copy = Command::new("cp");
        clean(&mut copy);
        // The folder around is ours, so only its contents can be copied as them.
        copy.args(["-R", "-p", "--"])
            .arg(self.data.join("."))
            .arg(data)
            .current_dir("/");
        if let Some(account) = account {
            account.run_as(&mut copy);
        }
        run(&mut copy);
    }
}

/// The unprivileged user that servers run as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// `None` unless we are root: then servers run as ourselves.
    pub(super) fn of_servers() -> Option<Self> {
        static FOUND: LazyLock<Account> = LazyLock::new(|| {
            ["postgres", "nobody"]
                .into_iter()
                .find_map(Account::named)
                .expect("there is neither a user postgres nor nobody, and PostgreSQL refuses root")
        });
        rustix::process::geteuid().is_root().then(|| *FOUND)
    }

    fn named(name: &str) -> Option<Self> {
        let ask = |what| {
            let output = Command::new("id").args([what, name]).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            text.trim().parse().ok()
        };
        Some(Self {
            user: ask("-u")?,
            group: ask("-g")?,
        })
    }

    fn run_as(self, command: &mut Command) {
        command.uid(self.user).gid(self.group);
    }
}

/// Hands a file or folder over to the servers' account.
pub(super) fn give(path: &Path, account: Option<Account>) {
    if let Some(Account { user, group }) = account {
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .unwrap_or_else(|error| panic!("cannot chown {}: {error}", path.display()));
    }
}

/// Nothing of ours but `PATH` reaches a program.
pub(super) fn clean(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    command
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
}

/// Why a program could not be run; a folder that the servers' user cannot enter
/// is the likely reason.
pub(super) fn cannot_run(command: &Command, error: &io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    let hint = if error.kind() == io::ErrorKind::PermissionDenied {
        ": as root it runs as the user postgres or nobody, who must be able to reach it"
    } else {
        ""
    };
    format!("cannot run {program}: {error}{hint}")
}
