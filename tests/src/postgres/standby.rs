//! A server that follows another one: it can be read, and not changed.

use std::fmt::Write as _;
use std::sync::Mutex;

use super::installation::Account;
use super::{SUPERUSER, Server, Tls, make_folder, read, run, write, write_private};
use crate::lifeline;
use crate::port::Port;

impl Server {
    /// Starts a hot standby of this server, with its roles and databases. Panics
    /// unless that has [`Tls::Off`].
    #[must_use]
    pub fn standby(&self) -> Self {
        assert_eq!(self.tls, Tls::Off, "its certificate would be another's");
        let account = Account::of_servers();
        let folder = lifeline::folder("postgresql-standby-");
        // The command makes it anew in a folder where its user may.
        let data = folder.path().join("data");
        make_folder(&data, account);
        lifeline::set_mode(&data, 0o700);
        let mut backup = self.installation.command("pg_basebackup", account);
        backup
            .args([
                "--write-recovery-conf",
                "--wal-method",
                "stream",
                "--no-sync",
            ])
            .args(["--checkpoint", "fast", "--pgdata"])
            .arg(&data)
            .arg("--host")
            .arg(self.socket_dir())
            .args(["--port", &self.port().to_string(), "--username", SUPERUSER])
            .env("PGPASSWORD", &self.superuser_password)
            .current_dir(folder.path());
        run(&mut backup);
        let mut server = Self {
            installation: self.installation.clone(),
            account,
            port: Port::reserve(),
            tls: Tls::Off,
            authority: None,
            process: None,
            superuser_password: self.superuser_password.clone(),
            sessions: Mutex::default(),
            folder,
        };
        let password = server.superuser_password_file();
        write_private(&password, &server.superuser_password);
        make_folder(&server.socket_dir(), account);
        let path = server.data().join("postgresql.conf");
        let mut text = read(&path);
        write!(
            text,
            "port = {}\nunix_socket_directories = '{}'\n",
            server.port(),
            server.socket_dir().display()
        )
        .expect("writing to a string");
        write(&path, &text);
        server.start_again();
        server
    }
}
