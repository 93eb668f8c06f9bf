//! SQL through `psql`, for who asks about `psql` or TLS: `Server::sql` is quicker.
//! No password and no statement is ever in its arguments.

use std::io::{Seek, Write};
use std::process::Stdio;

use super::{Server, Tls, installation};

impl Server {
    /// Logs in over TCP, as strictly as the server allows (`verify-full` where
    /// it has a certificate), and runs statements; an error is what psql says.
    pub fn psql_as(
        &self,
        user: &str,
        password: &str,
        database: &str,
        sql: &str,
    ) -> Result<String, String> {
        let sslmode = match self.tls {
            Tls::Off => "disable",
            Tls::Offered | Tls::Required => "verify-full",
        };
        self.psql_with_sslmode(sslmode, user, password, database, sql)
    }

    /// The same with a given `sslmode`, such as `disable`.
    pub fn psql_with_sslmode(
        &self,
        sslmode: &str,
        user: &str,
        password: &str,
        database: &str,
        sql: &str,
    ) -> Result<String, String> {
        assert!(
            !password.contains('\n'),
            "a password file cannot hold a line break"
        );
        let password = password.replace('\\', r"\\").replace(':', r"\:");
        let mut password_file =
            tempfile::NamedTempFile::new_in(self.folder()).expect("cannot create a file");
        writeln!(password_file, "*:*:*:*:{password}").expect("cannot write a password file");
        let mut input = tempfile::tempfile().expect("cannot create a file");
        input
            .write_all(sql.as_bytes())
            .and_then(|()| input.rewind())
            .expect("cannot write psql's input");

        let mut psql = self.installation.command("psql", None);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"])
            .env("PGHOST", self.host())
            .env("PGSSLMODE", sslmode)
            .env("PGUSER", user)
            .env("PGDATABASE", database)
            .env("PGPORT", self.port().to_string())
            .env("PGPASSFILE", password_file.path())
            .env("PGCONNECT_TIMEOUT", "30")
            // So that no certificate of the caller's is sent.
            .env("HOME", self.folder())
            .current_dir(self.folder())
            .stdin(Stdio::from(input));
        if self.tls != Tls::Off {
            psql.env("PGSSLROOTCERT", self.ca_file());
        }
        let output = psql
            .output()
            .unwrap_or_else(|error| panic!("{}", installation::cannot_run(&psql, &error)));
        if output.status.success() {
            let rows = String::from_utf8_lossy(&output.stdout);
            Ok(rows.strip_suffix('\n').unwrap_or(&rows).to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr)
                .trim_end()
                .to_owned())
        }
    }
}
