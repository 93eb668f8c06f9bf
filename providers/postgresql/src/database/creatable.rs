//! What keeps a database from being created: which input is at fault, and what cures it.
//!
//! It is told by SQLSTATE and by what the catalog says of the template, never by the
//! words of the server.

use nixops4_provider_sdk::{Error, Result, Retry};

use super::change::{same_locale, same_tag};
use super::inputs::{Inputs, LocaleProvider};
use super::obstacle::{Purpose, in_the_way, obstacles};
use crate::failure;
use crate::name::Name;
use crate::server::{Server, column};
use crate::sql::Ident;

/// The database of which nothing is compared with what is wanted.
const BLANK: &str = "template0";

/// A template as the catalog has it.
struct Template {
    encoding: String,
    has_wanted_encoding: bool,
    collation: String,
    character_type: String,
    provider: Option<LocaleProvider>,
    provider_locale: Option<String>,
    /// The versions of its collations: that it was made with, and that of today.
    versions: Option<(String, String)>,
    may_be_copied: bool,
    is_half_dropped: bool,
}

const TEMPLATE: &str = "
    SELECT pg_encoding_to_char(d.encoding)::text,
           $2::text IS NULL OR pg_char_to_encoding($2) = d.encoding,
           d.datcollate::text, d.datctype::text, d.datlocprovider::text,
           coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
           d.datcollversion, pg_database_collation_actual_version(d.oid),
           d.datistemplate OR pg_has_role(d.datdba, 'USAGE'), d.datconnlimit = -2
    FROM pg_database d WHERE d.datname = $1";

impl Template {
    async fn look_up(server: &mut Server, inputs: &Inputs) -> Result<Option<Self>> {
        let Some(name) = &inputs.template else {
            return Ok(None);
        };
        let row = sqlx::query(TEMPLATE)
            .bind(name.as_str())
            .bind(inputs.encoding.as_deref())
            .fetch_optional(&mut server.connection)
            .await
            .map_err(|error| {
                let doing = format!("unable to look up the template {}", Ident(name));
                failure::stating(&doing, &error)
            })?;
        let Some(row) = row else {
            return Ok(None);
        };
        let then: Option<String> = column(&row, 6)?;
        let now: Option<String> = column(&row, 7)?;
        Ok(Some(Self {
            encoding: column(&row, 0)?,
            has_wanted_encoding: column(&row, 1)?,
            collation: column(&row, 2)?,
            character_type: column(&row, 3)?,
            provider: LocaleProvider::of_catalog(column(&row, 4)?),
            provider_locale: column(&row, 5)?,
            versions: then.map(|then| (then, now.unwrap_or_default())),
            may_be_copied: column(&row, 8)?,
            is_half_dropped: column(&row, 9)?,
        }))
    }

    /// What of it can't be copied, or not as it is wanted.
    fn faults(&self, name: &Name, inputs: &Inputs) -> Vec<Error> {
        let template = Ident(name);
        if self.is_half_dropped {
            let problem =
                format!("the template {template} is being dropped, or was when the server crashed");
            return vec![Error::input("/template", problem).hint(format!(
                "choose another one, and run DROP DATABASE {template}"
            ))];
        }
        let mut faults = Vec::new();
        if !self.may_be_copied {
            faults.push(
                Error::input(
                    "/template",
                    format!("database {template} is no template, and belongs to somebody else"),
                )
                .hint(format!(
                    "as its owner or a superuser, run ALTER DATABASE {template} IS_TEMPLATE true; \
                     or leave template unset"
                )),
            );
        }
        if let Some((then, now)) = &self.versions
            && then != now
        {
            faults.push(
                Error::input(
                    "/template",
                    format!(
                        "the template {template} was made with version {then} of its collation, \
                         and the server's machine has {}",
                        if now.is_empty() { "none" } else { now.as_str() }
                    ),
                )
                .hint(format!(
                    "in database {template}, run REINDEX DATABASE {template}, and then ALTER \
                     DATABASE {template} REFRESH COLLATION VERSION; or leave template unset"
                )),
            );
        }
        if name.as_str() != BLANK {
            faults.extend(self.unlike(name, inputs));
        }
        faults
    }

    /// How what is wanted is unlike it: only one that holds nothing fits all.
    fn unlike(&self, name: &Name, inputs: &Inputs) -> Option<Error> {
        let unlike = |pointer: &str, what: &str, have: &str, want: &str| {
            Error::input(
                pointer,
                format!(
                    "{what} {want:?} is another than that of the template database {} ({have})",
                    Ident(name)
                ),
            )
            .hint("leave this out to have the template's, or set template = \"template0\"")
        };
        if let Some(encoding) = &inputs.encoding
            && !self.has_wanted_encoding
        {
            return Some(unlike(
                "/encoding",
                "the encoding",
                &self.encoding,
                encoding,
            ));
        }
        if let Some(provider) = inputs.locale_provider
            && self.provider != Some(provider)
        {
            let have = self.provider.map_or("unknown", LocaleProvider::keyword);
            let want = provider.keyword();
            return Some(unlike("/localeProvider", "the locale provider", have, want));
        }
        for (wanted, have) in [
            (inputs.collation(), &self.collation),
            (inputs.character_type(), &self.character_type),
        ] {
            if let Some((pointer, locale)) = wanted
                && !same_locale(have, locale)
            {
                return Some(unlike(pointer, "the locale", have, locale));
            }
        }
        if let Some((pointer, locale)) = inputs.provider_locale() {
            let have = self.provider_locale.as_deref().unwrap_or_default();
            if !same_tag(have, locale) {
                return Some(unlike(pointer, "the locale", have, locale));
            }
        }
        None
    }
}

/// What creating would fail at as things are now.
pub(super) async fn foresee(server: &mut Server, inputs: &Inputs) -> Result<Vec<Error>> {
    let mut foreseen = faults(server, inputs).await?;
    if let Some(template) = &inputs.template {
        let doing = format!("unable to copy the template {}", Ident(template));
        foreseen.extend(connected(server, template, &doing).await?);
    }
    Ok(foreseen)
}

/// Refuses what no waiting makes better, before anything is made.
pub(super) async fn refuse_faults(server: &mut Server, inputs: &Inputs) -> Result<()> {
    match faults(server, inputs).await?.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

async fn faults(server: &mut Server, inputs: &Inputs) -> Result<Vec<Error>> {
    let mut faults = Vec::new();
    if inputs.locale_provider == Some(LocaleProvider::Builtin) && server.admin.version < 17 {
        let version = server.admin.version;
        faults.push(
            Error::input(
                "/localeProvider",
                format!("PostgreSQL {version} has no locale provider builtin"),
            )
            .hint("PostgreSQL 17 and newer have it; set localeProvider to \"libc\" or \"icu\""),
        );
    }
    if let (Some(name), Some(template)) =
        (&inputs.template, Template::look_up(server, inputs).await?)
    {
        faults.extend(template.faults(name, inputs));
    }
    if let Some(role) = &inputs.owner_role {
        let doing = format!("unable to make {} the owner of a database", Ident(role));
        faults.extend(unmanaged_owner(server, role, &doing).await?);
    }
    Ok(faults)
}

/// Who keeps a template from being copied.
async fn connected(server: &mut Server, template: &Name, doing: &str) -> Result<Option<Error>> {
    let there = obstacles(server, template, Purpose::Copy).await?;
    Ok((!there.is_empty()).then(|| in_the_way(doing, &there).at("/template")))
}

/// Whether the administrator can't act for a role that is there: 16 and newer ask for
/// the right to become it, older ones for a membership.
const UNMANAGED: &str = "
    WITH me AS (SELECT oid, rolcreaterole, rolsuper,
                       current_setting('server_version_num')::int4 >= 160000 AS per_grantor
                FROM pg_roles WHERE rolname = current_user)
    SELECT r.rolsuper FROM pg_roles r, me
    WHERE r.rolname = $1 AND NOT me.rolsuper
      AND NOT pg_has_role(r.oid, CASE WHEN me.per_grantor THEN 'SET' ELSE 'MEMBER' END)
      AND NOT CASE WHEN me.per_grantor THEN pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
                   ELSE me.rolcreaterole AND NOT r.rolsuper END";

async fn unmanaged_owner(server: &mut Server, role: &Name, doing: &str) -> Result<Option<Error>> {
    let row = sqlx::query(UNMANAGED)
        .bind(role.as_str())
        .fetch_optional(&mut server.connection)
        .await
        .map_err(|error| failure::stating(doing, &error))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let me = &server.admin.name;
    let cure = if column(&row, 0)? {
        "log in as a superuser, or choose an owner that is none".to_owned()
    } else {
        let option = if server.admin.has_membership_options() {
            " WITH ADMIN OPTION"
        } else {
            ""
        };
        format!(
            "as a superuser, run GRANT {} TO {}{option}; or choose an owner that {:?} manages",
            Ident(role),
            Ident(me),
            me.as_str()
        )
    };
    let why = format!("role {:?} may not act for it", me.as_str());
    Ok(Some(
        Error::new(doing).because(why).at("/ownerRole").hint(cure),
    ))
}

/// Refuses an owner that a database can't be given to.
pub(super) async fn refuse_unmanaged_owner(
    server: &mut Server,
    role: &Name,
    doing: &str,
) -> Result<()> {
    match unmanaged_owner(server, role, doing).await? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// What the inputs name, as the catalog has it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one column of one answer"
)]
struct Named {
    encoding_is_known: bool,
    tablespace_is_there: bool,
    tablespace_may_be_used: bool,
    has_icu: bool,
    template_is_there: bool,
}

const NAMED: &str = "
    SELECT $1::text IS NULL OR pg_char_to_encoding($1) >= 0,
           $2::text IS NULL OR t.oid IS NOT NULL,
           t.oid IS NULL OR t.spcname <> 'pg_global' AND has_tablespace_privilege(t.oid, 'CREATE'),
           EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i'),
           $3::text IS NULL OR EXISTS (SELECT FROM pg_database WHERE datname = $3)
    FROM (SELECT) one LEFT JOIN pg_tablespace t ON t.spcname = $2";

impl Named {
    async fn look_up(server: &mut Server, inputs: &Inputs, doing: &str) -> Result<Self> {
        let row = sqlx::query(NAMED)
            .bind(inputs.encoding.as_deref())
            .bind(inputs.tablespace.as_ref().map(Name::as_str))
            .bind(inputs.template.as_ref().map(Name::as_str))
            .fetch_one(&mut server.connection)
            .await
            .map_err(|error| failure::stating(doing, &error))?;
        Ok(Self {
            encoding_is_known: column(&row, 0)?,
            tablespace_is_there: column(&row, 1)?,
            tablespace_may_be_used: column(&row, 2)?,
            has_icu: column(&row, 3)?,
            template_is_there: column(&row, 4)?,
        })
    }
}

const ENCODING: &str = "set an encoding that the server knows and that goes with the template and \
                        the locale; template0 goes with each";
const LOCALE: &str = "set a locale that `locale -a` lists on the server's machine; with another one \
                      than the template's, leave template unset";
const ICU_LOCALE: &str = "set a language tag that ICU knows, such as de or en-u-kn";
const PROVIDER: &str = "PostgreSQL 17 and newer have the builtin one; ICU has to be built in";
const TABLESPACE: &str = "set tablespace to one that pg_tablespace lists and that you may create in, \
                          or leave it unset";
const TEMPLATE_HINT: &str = "set template to a database that is there, or leave it unset";

/// Finds the input that a refusal of CREATE DATABASE is about.
pub(super) async fn blame(
    server: &mut Server,
    inputs: &Inputs,
    error: Error,
    doing: &str,
) -> Error {
    if error.may_retry() == Retry::UntilDeadline {
        return error;
    }
    let Some(code) = error.code().map(ToOwned::to_owned) else {
        return error;
    };
    if code == failure::OBJECT_IN_USE
        && let Some(template) = &inputs.template
    {
        return match connected(server, template, doing).await {
            Ok(Some(named)) => named,
            // They are gone by now.
            _ => error.at("/template"),
        };
    }
    let Ok(named) = Named::look_up(server, inputs, doing).await else {
        return error;
    };
    match at_fault(&code, inputs, &named) {
        Some((pointer, hint)) => error.at(pointer).hint(hint),
        None => error,
    }
}

/// The input that a code is about.
fn at_fault(code: &str, inputs: &Inputs, named: &Named) -> Option<(&'static str, &'static str)> {
    let tablespace = inputs.tablespace.is_some();
    let encoding = inputs.encoding.is_some();
    let icu = inputs.locale_provider == Some(LocaleProvider::Icu);
    Some(match code {
        failure::UNDEFINED_DATABASE => ("/template", TEMPLATE_HINT),
        failure::UNDEFINED_OBJECT if !named.encoding_is_known => ("/encoding", ENCODING),
        failure::UNDEFINED_OBJECT if !named.tablespace_is_there => ("/tablespace", TABLESPACE),
        failure::INSUFFICIENT_PRIVILEGE | failure::INVALID_PARAMETER
            if !named.tablespace_may_be_used =>
        {
            ("/tablespace", TABLESPACE)
        }
        failure::NOT_IN_STATE if !named.template_is_there => ("/template", TEMPLATE_HINT),
        failure::INVALID_DEFINITION | failure::SYNTAX_ERROR => ("/localeProvider", PROVIDER),
        failure::NOT_SUPPORTED if icu && !named.has_icu => ("/localeProvider", PROVIDER),
        failure::NOT_SUPPORTED if icu && encoding => ("/encoding", ENCODING),
        failure::NOT_SUPPORTED if tablespace => ("/tablespace", TABLESPACE),
        failure::WRONG_OBJECT_TYPE => locale_at_fault(inputs),
        failure::INVALID_PARAMETER if icu && (inputs.icu_locale.is_none() || is_utf8(inputs)) => {
            ("/icuLocale", ICU_LOCALE)
        }
        failure::INVALID_PARAMETER if encoding => ("/encoding", ENCODING),
        failure::INVALID_PARAMETER if icu => ("/icuLocale", ICU_LOCALE),
        failure::INVALID_PARAMETER if inputs.collation().is_some() => locale_at_fault(inputs),
        _ => return None,
    })
}

/// The input that names a locale that the server doesn't know.
fn locale_at_fault(inputs: &Inputs) -> (&'static str, &'static str) {
    let names_builtin = inputs
        .builtin_locale
        .as_deref()
        .is_some_and(|locale| !matches!(locale, "C" | "C.UTF-8" | "C.UTF8" | "PG_UNICODE_FAST"));
    if names_builtin {
        return (
            "/builtinLocale",
            "set one that this version of PostgreSQL has, such as C.UTF-8",
        );
    }
    let said = inputs.collation().or_else(|| inputs.character_type());
    (said.map_or("/locale", |(pointer, _)| pointer), LOCALE)
}

/// Whether the wanted encoding is one that ICU has all languages in.
fn is_utf8(inputs: &Inputs) -> bool {
    let encoding = inputs.encoding.as_deref().unwrap_or_default();
    let normal = encoding.replace(['-', '_'], "").to_lowercase();
    matches!(normal.as_str(), "utf8" | "unicode")
}
