//! What somebody can do who writes the database, and holds no identity that opens
//! it: everything that follows from public keys alone.

use nixops4_secrets_store::{ExposeSecret as _, Identities, Made, SecretString, Store};

use crate::deployment::{Deployment, SERVER, generation, identity, name, password};

/// What the forger would have everybody use.
pub(crate) const FORGED: &str = "the forger's value";

/// New key, old key, signature, when.
type Link = (Vec<u8>, Vec<u8>, Vec<u8>, i64);

/// The rows that say which store it is.
pub(crate) struct Head {
    store: (String, Vec<u8>, Vec<u8>, i64),
    recipients: Vec<(String, i64)>,
    succession: Vec<Link>,
}

macro_rules! read_head {
    ($conn:expr) => {{
        let mut conn = $conn;
        Head {
            store: sqlx::query_as("SELECT id, store_key, recipients_tag, created_at FROM store")
                .fetch_one(&mut conn)
                .await
                .unwrap(),
            recipients: sqlx::query_as("SELECT public_key, added_at FROM recipients")
                .fetch_all(&mut conn)
                .await
                .unwrap(),
            succession: sqlx::query_as(
                "SELECT new_key, old_key, signature, changed_at FROM succession",
            )
            .fetch_all(&mut conn)
            .await
            .unwrap(),
        }
    }};
}

macro_rules! write_head {
    ($conn:expr, $head:expr, $parts:expr) => {{
        let (mut conn, head) = ($conn, $head);
        let (id, key, tag, at) = &head.store;
        if $parts.contains(&"key") {
            sqlx::query("UPDATE store SET store_key = $1, recipients_tag = $2, created_at = $3")
                .bind(key)
                .bind(tag)
                .bind(at)
                .execute(&mut conn)
                .await
                .unwrap();
        }
        if $parts.contains(&"id") {
            sqlx::query("UPDATE store SET id = $1")
                .bind(id)
                .execute(&mut conn)
                .await
                .unwrap();
        }
        if $parts.contains(&"recipients") {
            sqlx::raw_sql("DELETE FROM recipients")
                .execute(&mut conn)
                .await
                .unwrap();
            for (key, at) in &head.recipients {
                sqlx::query("INSERT INTO recipients (public_key, added_at) VALUES ($1, $2)")
                    .bind(key)
                    .bind(at)
                    .execute(&mut conn)
                    .await
                    .unwrap();
            }
        }
        if $parts.contains(&"succession") {
            sqlx::raw_sql("DELETE FROM succession")
                .execute(&mut conn)
                .await
                .unwrap();
            for (new, old, signature, at) in &head.succession {
                sqlx::query(
                    "INSERT INTO succession (new_key, old_key, signature, changed_at) \
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(new)
                .bind(old)
                .bind(signature)
                .bind(at)
                .execute(&mut conn)
                .await
                .unwrap();
            }
        }
    }};
}

impl Deployment {
    pub(crate) async fn head(&self) -> Head {
        if self.is_postgresql() {
            read_head!(self.raw_postgresql().await)
        } else {
            read_head!(self.raw().await)
        }
    }

    /// Writes these parts of a head: `key`, `id`, `recipients`, `succession`.
    pub(crate) async fn set_head(&self, head: &Head, parts: &[&str]) {
        if self.is_postgresql() {
            write_head!(self.raw_postgresql().await, head, parts);
        } else {
            write_head!(self.raw().await, head, parts);
        }
    }

    /// A copy of the whole, elsewhere.
    pub(crate) fn copied(&self) -> Self {
        let copy = self.another();
        if self.is_postgresql() {
            SERVER.sql(&format!("DROP DATABASE {}", copy.database()));
            SERVER.sql(&format!(
                "CREATE DATABASE {} TEMPLATE {}",
                copy.database(),
                self.database()
            ));
        } else {
            std::fs::create_dir(copy.path().parent().unwrap()).unwrap();
            std::fs::copy(self.path(), copy.path()).unwrap();
        }
        copy
    }

    /// Puts that one in the place of this one.
    pub(crate) fn replace_by(&self, other: &Self) {
        if self.is_postgresql() {
            SERVER.sql(&format!("DROP DATABASE {} WITH (FORCE)", self.database()));
            SERVER.sql(&format!(
                "CREATE DATABASE {} TEMPLATE {}",
                self.database(),
                other.database()
            ));
        } else {
            std::fs::copy(other.path(), self.path()).unwrap();
        }
    }

    fn database(&self) -> String {
        let url = self.url.to_string();
        url.rsplit('/').next().unwrap().to_owned()
    }

    /// The same identity on another machine, which knows what is in another file.
    pub(crate) fn machine(&self, name: &str) -> Identities {
        let file = self.dir.path().join(name);
        Identities::with_known_stores(self.identities.source(), file).unwrap()
    }

    /// A store of the forger's with a secret `a`, which opens for the recipients of
    /// this one, as if it were this one. As many keys came before its present one.
    pub(crate) async fn forged(&self, changes: usize) -> Self {
        let forged = self.another();
        let mut store = forged.open().await;
        let make = || Made::new(SecretString::from(FORGED));
        store
            .ensure(&name("a"), generation(1), &password(), make)
            .await
            .unwrap();
        for number in 1..changes {
            let other = identity(&forged.dir.path().join(format!("{number}.key")));
            store.add_recipient(&other.recipients()[0]).await.unwrap();
        }
        let public = &self.identities.recipients()[0];
        store.add_recipient(public).await.unwrap();
        store.close().await.unwrap();
        // So it would be used.
        let machine = self.machine(&format!("forger-{changes}"));
        let mut store = Store::open(&forged.url, &machine).await.unwrap();
        let value = store.reveal(&name("a"), generation(1), None).await.unwrap();
        assert_eq!(value.expose_secret(), FORGED);
        store.close().await.unwrap();
        forged
    }
}
