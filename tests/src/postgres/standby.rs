//! A server that follows another one: it can be read, and not changed.

use std::fmt::Write as _;
use std::sync::Mutex;

use super::installation::{Account, Template};
use super::{SUPERUSER, Server, Tls, make_folder, read, write, write_private};
use crate::lifeline;
use crate::port::Port;

impl Server {
    /// Starts a hot standby of this server, with its roles and databases: a copy of
    /// it while it is stopped for a moment, told to follow it. Panics unless that has
    /// [`Tls::Off`].
    #[must_use]
    pub fn standby(&mut self) -> Self {
        assert_eq!(self.tls, Tls::Off, "its certificate would be another's");
        let account = Account::of_servers();
        let folder = lifeline::folder("postgresql-standby-");
        self.stop();
        let copied = Template {
            data: self.data(),
            superuser_password: self.superuser_password.clone(),
        };
        copied.copy_to(account, &folder.path().join("data"));
        self.start_again();
        let mut server = Self {
            installation: self.installation.clone(),
            account,
            port: Port::reserve(),
            tls: Tls::Off,
            authority: None,
            locales: self.locales.clone(),
            process: None,
            superuser_password: copied.superuser_password,
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
            "port = {}\nunix_socket_directories = '{}'\n\
             primary_conninfo = 'host={} port={} user={SUPERUSER} password={}'\n",
            server.port(),
            server.socket_dir().display(),
            self.socket_dir().display(),
            self.port(),
            server.superuser_password
        )
        .expect("writing to a string");
        write(&path, &text);
        write(&server.data().join("standby.signal"), "");
        server.start_again();
        server
    }
}
