//! Where a server listens.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// On TCP.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// On a unix socket.
    Socket(PathBuf),
}

impl Place {
    /// As libpq has it: a host that begins with `/` is the folder of a socket, in
    /// whose name the port is.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        if host.starts_with('/') {
            let folder = host.trim_end_matches('/');
            return Self::Socket(format!("{folder}/.s.PGSQL.{port}").into());
        }
        // A URL has an IPv6 address in brackets.
        let host = host.trim_matches(['[', ']']).to_owned();
        Self::Tcp { host, port }
    }

    /// Whether it is a unix socket, at whose other end the kernel has who it is.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// Whether nobody can listen on the way.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Tcp { host, .. } => {
                let address = host.parse::<IpAddr>();
                host == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// Whether anything takes connections there.
    pub async fn somebody_listens(&self) -> bool {
        match self {
            Self::Socket(path) => tokio::net::UnixStream::connect(path).await.is_ok(),
            Self::Tcp { host, port } => tokio::net::TcpStream::connect((host.as_str(), *port))
                .await
                .is_ok(),
        }
    }
}

/// `HOST:PORT`, or the path of the socket.
impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(out),
            Self::Tcp { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_libpq_has_them() {
        for (host, shown, is_local) in [
            ("db.example", "db.example:5432", false),
            ("192.0.2.1", "192.0.2.1:5432", false),
            ("localhost", "localhost:5432", true),
            ("127.9.9.9", "127.9.9.9:5432", true),
            ("::1", "[::1]:5432", true),
            ("[::1]", "[::1]:5432", true),
            ("localhost.example", "localhost.example:5432", false),
            ("/run/postgresql", "/run/postgresql/.s.PGSQL.5432", true),
            ("/run/postgresql/", "/run/postgresql/.s.PGSQL.5432", true),
        ] {
            let place = Place::new(host, 5432);
            assert_eq!(place.to_string(), shown);
            assert_eq!(place.is_local(), is_local, "{host}");
            assert_eq!(place.is_socket(), host.starts_with('/'));
        }
    }
}
