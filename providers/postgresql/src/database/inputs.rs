//! What is said of a database: inputs, outputs, and what is recorded of both.

use std::collections::BTreeSet;
use std::fmt;

use nixops4_provider_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::comment;
use crate::connection::Connection;
use crate::limit::ConnectionLimit;
use crate::name::Name;
use crate::settings::{self, Settings};

/// A database on a PostgreSQL server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    pub(crate) connection: Connection,
    /// Name of the database. Changing it renames the database.
    pub(crate) name: Name,
    /// The role that owns it. Unset: the role that creates it, and it is left
    /// alone afterwards.
    #[serde(default)]
    pub(crate) owner_role: Option<Name>,
    /// Character encoding, such as `UTF8`. It can't be changed afterwards. Unset:
    /// the template's.
    #[serde(default)]
    pub(crate) encoding: Option<String>,
    /// Where collations come from: the C library, ICU, or the server itself (from
    /// PostgreSQL 17 on). It can't be changed afterwards. Unset: the template's.
    #[serde(default)]
    pub(crate) locale_provider: Option<LocaleProvider>,
    /// Locale (`LC_COLLATE` and `LC_CTYPE`) of the operating system, such as
    /// `C.UTF-8`. It can't be changed afterwards. Unset: the template's.
    #[serde(default)]
    pub(crate) locale: Option<String>,
    /// `LC_COLLATE` alone, where it is another than `locale`.
    #[serde(default)]
    pub(crate) collation: Option<String>,
    /// `LC_CTYPE` alone, where it is another than `locale`.
    #[serde(default)]
    pub(crate) character_type: Option<String>,
    /// Locale of ICU, such as `de-DE`, with `localeProvider = "icu"`. It can't be
    /// changed afterwards. Unset: the template's.
    #[serde(default)]
    pub(crate) icu_locale: Option<String>,
    /// Locale of the server itself, such as `C.UTF-8`, with `localeProvider =
    /// "builtin"`. It can't be changed afterwards. Unset: the template's.
    #[serde(default)]
    pub(crate) builtin_locale: Option<String>,
    /// The database to copy when this one is created; of no meaning afterwards.
    /// Unset: `template0`, which nobody can be connected to, and which has nothing in
    /// it but what PostgreSQL brings along. Whoever is connected to another one keeps
    /// it from being copied. From one with `isTemplate`, such as `template1`, those are
    /// sent off who neither own it nor manage the server.
    #[serde(default)]
    pub(crate) template: Option<Name>,
    /// The tablespace that its files are in. Changing it moves them, which needs
    /// everybody to be disconnected, and takes as long as copying. Unset: the
    /// template's, and it is left alone afterwards.
    #[serde(default)]
    pub(crate) tablespace: Option<Name>,
    /// How many connections it takes at once; -1 for no limit.
    #[serde(default)]
    pub(crate) connection_limit: ConnectionLimit,
    /// Whether it takes connections at all.
    #[serde(default = "crate::yes")]
    pub(crate) allow_connections: bool,
    /// Whether everybody with CREATEDB may copy it.
    #[serde(default)]
    pub(crate) is_template: bool,
    /// Whether CONNECT and TEMPORARY on the database are taken from PUBLIC, so
    /// that only its owner and whoever is granted CONNECT get in; an
    /// administrator that is no superuser is granted it. It takes nothing from
    /// PUBLIC inside the database. `false` leaves PUBLIC's privileges alone.
    #[serde(default)]
    pub(crate) revoke_public: bool,
    /// Settings that sessions in it begin with, all of them, such as
    /// `{ timezone = "UTC"; }`. Everybody on the server can read them. Unset:
    /// they are left alone.
    #[serde(default)]
    pub(crate) settings: Option<Settings>,
    /// Extensions that must exist in it, in any schema and version; others are
    /// left alone. The kind `extension` says more of one.
    #[serde(default)]
    pub(crate) extensions: BTreeSet<Name>,
    /// A text for people, which the comment on the database has beside our mark.
    /// Unset: that text is left alone.
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// Where collations come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LocaleProvider {
    /// The operating system's C library.
    Libc,
    /// The library ICU.
    Icu,
    /// The server itself, from PostgreSQL 17 on.
    Builtin,
}

impl LocaleProvider {
    /// As `pg_database.datlocprovider` has it.
    pub(super) fn of_catalog(letter: &str) -> Option<Self> {
        match letter {
            "c" => Some(Self::Libc),
            "i" => Some(Self::Icu),
            "b" => Some(Self::Builtin),
            _ => None,
        }
    }

    pub(super) fn keyword(self) -> &'static str {
        match self {
            Self::Libc => "libc",
            Self::Icu => "icu",
            Self::Builtin => "builtin",
        }
    }
}

impl Inputs {
    /// `LC_COLLATE` and `LC_CTYPE`, each with the input that says it.
    pub(super) fn collation(&self) -> Option<(&'static str, &str)> {
        or_locale(
            ("/collation", self.collation.as_deref()),
            self.locale.as_deref(),
        )
    }

    pub(super) fn character_type(&self) -> Option<(&'static str, &str)> {
        or_locale(
            ("/characterType", self.character_type.as_deref()),
            self.locale.as_deref(),
        )
    }

    /// The locale of ICU or of the server itself, with the input that says it.
    pub(super) fn provider_locale(&self) -> Option<(&'static str, &str)> {
        let icu = self
            .icu_locale
            .as_deref()
            .map(|locale| ("/icuLocale", locale));
        icu.or_else(|| {
            self.builtin_locale
                .as_deref()
                .map(|locale| ("/builtinLocale", locale))
        })
    }

    /// Refuses what no server takes.
    pub(crate) fn validate(&self) -> Result<()> {
        for (pointer, text) in [
            ("/encoding", &self.encoding),
            ("/locale", &self.locale),
            ("/collation", &self.collation),
            ("/characterType", &self.character_type),
            ("/icuLocale", &self.icu_locale),
            ("/builtinLocale", &self.builtin_locale),
        ] {
            if text
                .as_ref()
                .is_some_and(|text| text.is_empty() || text.contains('\0'))
            {
                return Err(Error::input(
                    pointer,
                    "this can't be empty or have a NUL character in it",
                ));
            }
        }
        for (pointer, locale, provider, name) in [
            ("/icuLocale", &self.icu_locale, LocaleProvider::Icu, "icu"),
            (
                "/builtinLocale",
                &self.builtin_locale,
                LocaleProvider::Builtin,
                "builtin",
            ),
        ] {
            if locale.is_some() && self.locale_provider != Some(provider) {
                return Err(Error::input(
                    pointer,
                    format!("only the locale provider {name} has such a locale"),
                )
                .hint(format!(
                    "set localeProvider = \"{name}\", or leave this out"
                )));
            }
        }
        if !self.extensions.is_empty() && !self.allow_connections {
            return Err(Error::input(
                "/extensions",
                "extensions can't be looked for in a database that takes no connections",
            )
            .hint("leave either allowConnections or extensions out"));
        }
        if self.template.as_ref() == Some(&self.name) {
            return Err(Error::input(
                "/template",
                "a database can't be a copy of itself",
            ));
        }
        if let Some(settings) = &self.settings {
            settings::validate(settings, "/settings")?;
        }
        comment::validate(self.comment.as_deref())
    }
}

fn or_locale<'a>(
    (pointer, own): (&'static str, Option<&'a str>),
    locale: Option<&'a str>,
) -> Option<(&'static str, &'a str)> {
    own.map(|own| (pointer, own))
        .or_else(|| locale.map(|locale| ("/locale", locale)))
}

/// What an expression can read of a database.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the database.
    pub(crate) name: String,
    /// Host of the server, as the input `connection` has it.
    pub(crate) host: String,
    /// Port of the server.
    pub(crate) port: u16,
    /// The role that owns it.
    pub(crate) owner_role: String,
    /// The database's object identifier: what it is found by after a rename.
    pub(crate) oid: i64,
    /// The cluster's system identifier: what tells this server from another.
    pub(crate) system_identifier: String,
}

/// What is still of use of a record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    pub(crate) connection: Connection,
    pub(crate) name: Name,
    /// Whether it was declared as a template.
    #[serde(default)]
    pub(super) is_template: Option<bool>,
}

/// A database on a server.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) server: String,
    pub(crate) database: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "database {:?} on {}", self.database, self.server)
    }
}
