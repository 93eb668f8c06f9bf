//! What is to be done so that a role is as it is wanted, and how.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_provider_sdk::{Context, Mark, Result, Step, Value};

use super::attribute::Attribute;
use super::facts::Facts;
use super::inputs::Inputs;
use super::password::{self, Password};
use crate::lock::{self, Part};
use crate::name::Name;
use crate::server::on_server;
use crate::settings::{self, Deviation, escape};
use crate::sql::{Ident, Literal};
use crate::{comment, failure};

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Rename {
        from: Name,
    },
    Set(Attribute),
    ConnectionLimit,
    ValidUntil,
    Password,
    Join(Name),
    /// Each grantor's membership is one of its own; before PostgreSQL 16 there is
    /// only one, and no grantor counts.
    Leave {
        group: Name,
        grantors: BTreeSet<String>,
    },
    /// In one database, or in all.
    Setting {
        database: Option<Name>,
        deviation: Deviation,
    },
    Comment,
}

/// The steps from a role that is there to the one that is wanted.
pub(crate) fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let from = have.name.clone();
    let rename = Step::unless_same("/name", &have.name, &want.name, Change::Rename { from });
    let mut steps = Vec::from_iter(rename);
    steps.extend(have.attributes.iter().filter_map(|(attribute, is)| {
        let wanted = attribute.wanted(want);
        Step::unless_same(attribute.pointer(), *is, wanted, Change::Set(*attribute))
    }));
    steps.extend(Step::unless_same(
        "/connectionLimit",
        have.connection_limit,
        i32::from(want.connection_limit),
        Change::ConnectionLimit,
    ));
    steps.extend(Step::unless_same(
        "/validUntil",
        have.valid_until,
        want.valid_until,
        Change::ValidUntil,
    ));
    steps.extend(password_step(have.password));
    if let Some(wanted) = &want.member_of {
        steps.extend(membership_steps(wanted, &have.member_of));
    }
    if let Some(wanted) = &want.settings {
        let deviations = settings::deviations(wanted, &have.settings);
        steps.extend(setting_steps("/settings", None, deviations));
    }
    if let Some(wanted) = &want.settings_in_database {
        steps.extend(steps_in_databases(wanted, &have.settings_in_database));
    }
    if let Some(wanted) = &want.comment {
        let wanted = comment::text(wanted);
        steps.extend(Step::unless_same(
            "/comment",
            have.text(),
            wanted,
            Change::Comment,
        ));
    }
    steps
}

fn password_step(have: Password) -> Option<Step<Change>> {
    let step = Step::set(
        "/password",
        Value::sensitive(),
        Value::sensitive(),
        Change::Password,
    );
    match have {
        Password::Other => Some(step),
        Password::UnknownChanged => Some(step.unverifiable(
            "whether the server has this password can't be seen without reading pg_authid; \
             verifyPassword tries it by logging in",
        )),
        Password::Unmanaged | Password::Same | Password::UnknownUnchanged => None,
    }
}

fn membership_steps(
    wanted: &BTreeSet<Name>,
    have: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<Step<Change>> {
    let groups: Vec<_> = have.keys().collect();
    let step = |change| {
        Step::set(
            "/memberOf",
            Value::known(&groups),
            Value::known(wanted),
            change,
        )
    };
    let joined = wanted
        .iter()
        .filter(|group| !have.contains_key(group.as_str()));
    let left = have.iter().filter_map(|(group, grantors)| {
        let group = Name::try_from(group.clone())
            .ok()
            .filter(|group| !wanted.contains(group))?;
        Some(Change::Leave {
            group,
            grantors: grantors.clone(),
        })
    });
    joined
        .map(|group| step(Change::Join(group.clone())))
        .chain(left.map(step))
        .collect()
}

fn setting_steps<'a>(
    pointer: &'a str,
    database: Option<&'a Name>,
    deviations: Vec<Deviation>,
) -> impl Iterator<Item = Step<Change>> + 'a {
    deviations.into_iter().map(move |deviation| {
        let path = format!("{pointer}/{}", escape(deviation.name.as_str()));
        let (before, after) = (
            Value::known(&deviation.before),
            Value::known(&deviation.after),
        );
        Step::set(
            &path,
            before,
            after,
            Change::Setting {
                database: database.cloned(),
                deviation,
            },
        )
    })
}

fn steps_in_databases(
    wanted: &BTreeMap<String, settings::Settings>,
    have: &BTreeMap<String, BTreeMap<String, String>>,
) -> Vec<Step<Change>> {
    let (nothing, none) = (settings::Settings::new(), BTreeMap::new());
    let databases: BTreeSet<_> = wanted.keys().chain(have.keys()).collect();
    let mut steps = Vec::new();
    for database in databases {
        let (want, have) = (
            wanted.get(database).unwrap_or(&nothing),
            have.get(database).unwrap_or(&none),
        );
        let Ok(name) = Name::try_from(database.clone()) else {
            continue;
        };
        let pointer = format!("/settingsInDatabase/{}", escape(database));
        steps.extend(setting_steps(
            &pointer,
            Some(&name),
            settings::deviations(want, have),
        ));
    }
    steps
}

/// Makes a role, with all that is wanted of it, in one transaction.
pub(crate) async fn create(cx: &Context, inputs: &Inputs) -> Result<()> {
    let role = Ident(&inputs.name);
    let target = format!("ALTER ROLE {role}");
    let attributes: Vec<_> = Attribute::ALL
        .into_iter()
        .map(|attribute| attribute.keyword(attribute.wanted(inputs)))
        .collect();
    let mut parts = vec![Part::plain(format!(
        "CREATE ROLE {role} {} CONNECTION LIMIT {}{}; {}",
        attributes.join(" "),
        inputs.connection_limit,
        password::clause(cx, inputs).await?,
        comment_on(&inputs.name, inputs.comment.as_deref(), &cx.mark())
    ))];
    if inputs.valid_until.is_some() {
        parts.push(Part::of(
            "/validUntil",
            format!("{target}{}", validity(inputs)),
        ));
    }
    for group in inputs.member_of.iter().flatten() {
        parts.push(Part::of(
            "/memberOf",
            format!("GRANT {} TO {role}", Ident(group)),
        ));
    }
    if let Some(settings) = inputs
        .settings
        .as_ref()
        .filter(|settings| !settings.is_empty())
    {
        parts.push(Part::of("/settings", settings::all(&target, settings)));
    }
    for (database, settings) in inputs.settings_in_database.iter().flatten() {
        if settings.is_empty() {
            continue;
        }
        let name = Name::of_server(database.clone())?;
        let target = format!("{target} IN DATABASE {}", Ident(&name));
        let pointer = format!("/settingsInDatabase/{}", escape(database));
        parts.push(Part::of(pointer, settings::all(&target, settings)));
    }
    transact(cx, inputs, &format!("unable to create role {role}"), &parts).await
}

/// Does one step.
pub(crate) async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
    let role = Ident(&inputs.name);
    let (doing, part) = match change {
        Change::Create => return create(cx, inputs).await,
        Change::Rename { from } => return rename(cx, inputs, &from).await,
        Change::Set(attribute) => {
            let keyword = attribute.keyword(attribute.wanted(inputs));
            let statement = format!("ALTER ROLE {role} {keyword}");
            (
                format!("unable to set {keyword} on role {role}"),
                Part::of(attribute.pointer(), statement),
            )
        }
        Change::ConnectionLimit => (
            format!("unable to limit the connections of role {role}"),
            Part::of(
                "/connectionLimit",
                format!(
                    "ALTER ROLE {role} CONNECTION LIMIT {}",
                    inputs.connection_limit
                ),
            ),
        ),
        Change::ValidUntil => (
            format!("unable to set until when the password of role {role} is good"),
            Part::of(
                "/validUntil",
                format!("ALTER ROLE {role}{}", validity(inputs)),
            ),
        ),
        Change::Password => {
            let clause = password::clause(cx, inputs).await?;
            let statement = format!("ALTER ROLE {role}{clause}");
            (
                format!("unable to set the password of role {role}"),
                Part::of("/password", statement),
            )
        }
        Change::Join(group) => (
            format!("unable to make role {role} a member of {}", Ident(&group)),
            Part::of("/memberOf", format!("GRANT {} TO {role}", Ident(&group))),
        ),
        Change::Leave { group, grantors } => {
            return leave(cx, inputs, &group, &grantors).await;
        }
        Change::Setting {
            database,
            deviation,
        } => {
            let (place, pointer) = match &database {
                Some(database) => (
                    format!(" IN DATABASE {}", Ident(database)),
                    format!("/settingsInDatabase/{}", escape(database.as_str())),
                ),
                None => (String::new(), "/settings".to_owned()),
            };
            let pointer = format!("{pointer}/{}", escape(deviation.name.as_str()));
            let statement = deviation.statement(&format!("ALTER ROLE {role}{place}"));
            let doing = format!("unable to set {} for role {role}", Ident(&deviation.name));
            (doing, Part::of(pointer, statement))
        }
        Change::Comment => (
            format!("unable to comment on role {role}"),
            Part::of(
                "/comment",
                comment_on(&inputs.name, inputs.comment.as_deref(), &cx.mark()),
            ),
        ),
    };
    transact(cx, inputs, &doing, &[part]).await
}

async fn transact(cx: &Context, inputs: &Inputs, doing: &str, parts: &[Part]) -> Result<()> {
    on_server(cx, &inputs.connection, None, async |server| {
        lock::transact_parts(cx, &mut server.connection, doing, parts).await
    })
    .await
}

async fn leave(
    cx: &Context,
    inputs: &Inputs,
    group: &Name,
    grantors: &BTreeSet<String>,
) -> Result<()> {
    let (role, group) = (Ident(&inputs.name), Ident(group));
    let doing = format!("unable to end the membership of role {role} in {group}");
    on_server(cx, &inputs.connection, None, async |server| {
        let mut statements = Vec::new();
        if server.admin.has_membership_options() {
            for grantor in grantors {
                let grantor = Name::of_server(grantor.clone())?;
                statements.push(format!(
                    "REVOKE {group} FROM {role} GRANTED BY {}",
                    Ident(&grantor)
                ));
            }
        } else {
            statements.push(format!("REVOKE {group} FROM {role}"));
        }
        let parts = [Part::of("/memberOf", statements.join("; "))];
        lock::transact_parts(cx, &mut server.connection, &doing, &parts).await
    })
    .await
}

async fn rename(cx: &Context, inputs: &Inputs, from: &Name) -> Result<()> {
    let (old, new) = (Ident(from), Ident(&inputs.name));
    let doing = format!("unable to rename role {old} to {new}");
    lock::transact(
        cx,
        &inputs.connection,
        &doing,
        &format!("ALTER ROLE {old} RENAME TO {new}"),
    )
    .await
    .map_err(failure::taken_name)
}

fn validity(inputs: &Inputs) -> String {
    let until = inputs
        .valid_until
        .map_or_else(|| "infinity".to_owned(), |until| until.to_string());
    format!(" VALID UNTIL {}", Literal(&until))
}

/// The statement that writes the comment: a text for people and our mark.
pub(super) fn comment_on(name: &Name, text: Option<&str>, mark: &Mark) -> String {
    let comment = comment::with_mark(text, mark);
    format!("COMMENT ON ROLE {} IS {}", Ident(name), Literal(&comment))
}
