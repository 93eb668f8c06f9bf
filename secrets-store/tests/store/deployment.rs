//! A directory with an identity file, and the address of a store: in it, or in a
//! database of its own on the server of this process.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use age::secrecy::ExposeSecret;
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_secrets_store::{
    Error, Generation, Identities, NewSecret, SecretName, SecretString, Store, StoreUrl,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

/// One server for all tests; it lets everybody in, but for `with_password`.
pub(crate) static SERVER: LazyLock<Server> = LazyLock::new(|| {
    Server::start(&Config {
        hba: vec![
            "host all with_password 127.0.0.1/32 scram-sha-256".into(),
            "host all all 127.0.0.1/32 trust".into(),
        ],
        log_statements: true,
        ..Config::default()
    })
});

/// The value that must not be seen anywhere but in `reveal`.
pub(crate) const CANARY: &str = "canary-5d1f0c";

pub(crate) struct Deployment {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) identities: Identities,
    pub(crate) url: StoreUrl,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identities = identity(&dir.path().join("age.key"));
        let url = address(&dir.path().join("store/secrets.db"), "");
        Self {
            dir,
            identities,
            url,
        }
    }

    /// The same in a database of its own.
    pub(crate) fn postgresql() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("store_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        SERVER.sql(&format!("CREATE DATABASE {database}"));
        let url = format!(
            "postgresql://postgres@{}:{}/{database}",
            SERVER.host(),
            SERVER.port()
        );
        Self {
            url: url.parse().unwrap(),
            ..Self::new()
        }
    }

    pub(crate) fn is_postgresql(&self) -> bool {
        self.url.path().is_none()
    }

    /// A new one on the same kind of database.
    pub(crate) fn another(&self) -> Self {
        if self.is_postgresql() {
            Self::postgresql()
        } else {
            Self::new()
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.url.path().unwrap()
    }

    /// The same store, to be read only.
    pub(crate) fn read_only(&self) -> StoreUrl {
        format!("{}?mode=ro", self.url).parse().unwrap()
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open_or_create(&self.url, &self.identities)
            .await
            .unwrap()
    }

    /// What opening it fails with.
    pub(crate) async fn refused(&self) -> Error {
        Store::open(&self.url, &self.identities).await.unwrap_err()
    }

    /// The database behind the store's back.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(self.path())
            .create_if_missing(true)
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn raw_postgresql(&self) -> PgConnection {
        let options: PgConnectOptions = self.url.to_string().parse().unwrap();
        options.connect().await.unwrap()
    }

    pub(crate) async fn sql(&self, statement: &'static str) {
        let statement = sqlx::raw_sql(statement);
        if self.is_postgresql() {
            statement
                .execute(&mut self.raw_postgresql().await)
                .await
                .unwrap();
        } else {
            statement.execute(&mut self.raw().await).await.unwrap();
        }
    }

    /// Another identity, in a file of its own.
    pub(crate) fn stranger(&self) -> Identities {
        identity(&self.dir.path().join("stranger.key"))
    }
}

pub(crate) fn address(path: &Path, parameters: &str) -> StoreUrl {
    let url = format!("sqlite:{}{parameters}", path.display());
    url.parse().unwrap()
}

/// Makes an identity file there and reads it.
pub(crate) fn identity(path: &Path) -> Identities {
    let key = age::x25519::Identity::generate().to_string();
    write(path, key.expose_secret(), 0o600);
    Identities::from_file(path).unwrap()
}

pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    path.to_owned()
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub(crate) fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

pub(crate) fn generation(number: u32) -> Generation {
    number.try_into().unwrap()
}

pub(crate) fn password() -> NewSecret {
    NewSecret::new("prod", "secrets_password")
}

pub(crate) fn canary() -> SecretString {
    CANARY.into()
}

/// For a generation that is there.
pub(crate) fn never() -> SecretString {
    unreachable!("a value is made that is there")
}
