//! The kind `postgresql_membership`.

mod catalog;
mod inputs;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Mark, Object, Observed, Ownership, Prior, ResourceKind, Result,
    Retry, Step, Value,
};

use crate::server::{Server, on_server};
use crate::sql::Ident;
use crate::{admin, failure, lock, role};

use catalog::{Granted, Pair, grants, pair};
use inputs::{Identity, Inputs, Outputs, PriorInputs, RecordedOutputs};

/// A membership as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pair: Pair,
    system_identifier: String,
    /// One for each grantor; before version 16 there is one at most. Empty: it is
    /// the recorded one that is there, and has to give way.
    grants: Vec<Granted>,
    /// The recorded membership, if it is another one and still there.
    recorded: Option<(Pair, Vec<Granted>)>,
}

/// One of the three things that a membership can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allows {
    Admin,
    Inherit,
    Set,
}

impl Allows {
    const ALL: [Self; 3] = [Self::Admin, Self::Inherit, Self::Set];

    fn pointer(self) -> &'static str {
        match self {
            Self::Admin => "/admin",
            Self::Inherit => "/inheritPrivileges",
            Self::Set => "/setRole",
        }
    }

    fn keyword(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Inherit => "INHERIT",
            Self::Set => "SET",
        }
    }

    fn wanted(self, inputs: &Inputs) -> Option<bool> {
        match self {
            Self::Admin => Some(inputs.admin),
            Self::Inherit => inputs.inherit_privileges,
            Self::Set => inputs.set_role,
        }
    }

    fn is_in(self, granted: &Granted) -> bool {
        match self {
            Self::Admin => granted.admin,
            Self::Inherit => granted.inherit.unwrap_or_default(),
            Self::Set => granted.set.unwrap_or_default(),
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    /// The recorded membership goes, and the wanted one comes.
    Move {
        from: Pair,
        grants: Vec<Granted>,
    },
    Allow(Allows),
    /// Taken back from each grantor's grant that allows it.
    Forbid(Allows, Vec<Granted>),
}

/// See [`Inputs`].
pub(crate) struct Membership;

impl ResourceKind for Membership {
    const TYPE: &'static str = "postgresql_membership";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = &["connection", "role", "group"];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, RecordedOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.role == inputs.group {
            return Err(Error::input(
                "/group",
                format!(
                    "the role {:?} can't be a member of itself",
                    inputs.role.as_str()
                ),
            )
            .hint("name another role in role or group"));
        }
        role::refuse_stand_in(&inputs.role, "/role", "cannot be a member of any role")?;
        role::refuse_stand_in(&inputs.group, "/group", "cannot have explicit members")?;
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            role: inputs.role.clone(),
            group: inputs.group.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            role: inputs.role.clone(),
            group: inputs.group.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(_: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            role: facts.pair.role.as_str().to_owned(),
            group: facts.pair.group.as_str().to_owned(),
            role_oid: facts.pair.role_oid,
            group_oid: facts.pair.group_oid,
            system_identifier: facts.system_identifier.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = Object::new();
        outputs.insert("role".to_owned(), inputs.role.as_str().into());
        outputs.insert("group".to_owned(), inputs.group.as_str().into());
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
        on_server(cx, &inputs.connection, known_server, async |server| {
            refuse_options_of_16(server, inputs)?;
            let Some(pair) = pair(server, (None, &inputs.role), (None, &inputs.group)).await?
            else {
                return Ok(None);
            };
            let grants = grants(server, &pair).await?;
            let recorded = match prior {
                Some(prior) => recorded(server, prior)
                    .await?
                    .filter(|(other, _)| *other != pair),
                None => None,
            };
            if grants.is_empty() && recorded.is_none() {
                return Ok(None);
            }
            let system_identifier = server.id.clone();
            let facts = Facts {
                pair,
                system_identifier,
                grants,
                recorded,
            };
            Ok(Some(Observed {
                facts,
                ownership: Ownership::Relation,
            }))
        })
        .await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let (role, group) = (Ident(&inputs.role), Ident(&inputs.group));
        let (doing, statements) = match change {
            Change::Create => (
                format!("unable to make role {role} a member of {group}"),
                grant(inputs),
            ),
            Change::Move { from, grants } => {
                let (old_role, old_group) = (Ident(&from.role), Ident(&from.group));
                let doing = format!(
                    "unable to make role {role} a member of {group} in the place of {old_role} in {old_group}"
                );
                (
                    doing,
                    format!("{}; {}", revoke(&from, &grants), grant(inputs)),
                )
            }
            Change::Allow(what) => {
                let what = what.keyword();
                let doing = format!("unable to allow {what} to role {role} as a member of {group}");
                (doing, grant(inputs))
            }
            Change::Forbid(what, grants) => {
                let keyword = what.keyword();
                let doing =
                    format!("unable to take {keyword} from role {role} as a member of {group}");
                let statements: Vec<_> = grants
                    .iter()
                    .map(|granted| {
                        format!(
                            "REVOKE {keyword} OPTION FOR {group} FROM {role}{}",
                            granted_by(granted)
                        )
                    })
                    .collect();
                (doing, statements.join("; "))
            }
        };
        match lock::transact(cx, &inputs.connection, &doing, &statements).await {
            Ok(()) => Ok(()),
            Err(error) => Err(explain(cx, error, inputs).await),
        }
    }

    async fn write_mark(_: &Context, _: &Inputs, _: &Facts, _: &Mark) -> Result<()> {
        // The engine asks for none: there is no place for it.
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.outputs.system_identifier.as_deref();
        on_server(cx, &prior.inputs.connection, known_server, async |server| {
            let Some((pair, grants)) = recorded(server, prior).await? else {
                return Ok(None);
            };
            let system_identifier = server.id.clone();
            let facts = Facts {
                pair,
                system_identifier,
                grants,
                recorded: None,
            };
            Ok(Some(Observed {
                facts,
                ownership: Ownership::Relation,
            }))
        })
        .await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let (role, group) = (Ident(&facts.pair.role), Ident(&facts.pair.group));
        let doing = format!("unable to end the membership of role {role} in {group}");
        let statements = revoke(&facts.pair, &facts.grants);
        lock::transact(cx, &prior.inputs.connection, &doing, &statements).await.map_err(|error| {
            if error.code() == Some(failure::DEPENDENT_OBJECTS) {
                error.hint(
                    "the member has made others members of the group: end those memberships first, or \
                     grant them as somebody else",
                )
            } else {
                error
            }
        })
    }

    async fn retain(_: &Context, prior: &Self::Prior, _: &Facts, _: &Mark) -> Result<()> {
        Err(Error::input(
            "/deletionPolicy",
            format!(
                "{} can't be retained: it holds no data, and has no state but being there",
                Self::recorded_identity(prior)?
            ),
        )
        .hint("set deletionPolicy = \"delete\", or only forget it in the state"))
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    if let Some((from, grants)) = &have.recorded {
        let (path, before, after) = if from.group_oid == have.pair.group_oid {
            ("/role", &from.role, &want.role)
        } else {
            ("/group", &from.group, &want.group)
        };
        let change = Change::Move {
            from: from.clone(),
            grants: grants.clone(),
        };
        return vec![Step::set(
            path,
            Value::known(before),
            Value::known(after),
            change,
        )];
    }
    let mut steps = Vec::new();
    for what in Allows::ALL {
        let Some(wanted) = what.wanted(want) else {
            continue;
        };
        let allowing: Vec<_> = have
            .grants
            .iter()
            .filter(|granted| what.is_in(granted))
            .cloned()
            .collect();
        let is = !allowing.is_empty();
        if is != wanted {
            let change = if wanted {
                Change::Allow(what)
            } else {
                Change::Forbid(what, allowing)
            };
            steps.push(Step::set(
                what.pointer(),
                Value::known(is),
                Value::known(wanted),
                change,
            ));
        }
    }
    steps
}

/// The membership that was recorded, if it is still there.
async fn recorded(
    server: &mut Server,
    prior: &Prior<PriorInputs, RecordedOutputs>,
) -> Result<Option<(Pair, Vec<Granted>)>> {
    let (inputs, outputs) = (&prior.inputs, &prior.outputs);
    let role = (outputs.role_oid, &inputs.role);
    let Some(pair) = pair(server, role, (outputs.group_oid, &inputs.group)).await? else {
        return Ok(None);
    };
    let grants = grants(server, &pair).await?;
    Ok(if grants.is_empty() {
        None
    } else {
        Some((pair, grants))
    })
}

fn refuse_options_of_16(server: &Server, inputs: &Inputs) -> Result<()> {
    let pointer = match (inputs.inherit_privileges, inputs.set_role) {
        (Some(_), _) => "/inheritPrivileges",
        (None, Some(_)) => "/setRole",
        (None, None) => return Ok(()),
    };
    if server.admin.has_membership_options() {
        return Ok(());
    }
    let version = server.admin.version;
    Err(Error::input(
        pointer,
        format!("memberships have this option from PostgreSQL 16 on, and the server is {version}"),
    )
    .hint(
        "leave inherit and set out; before version 16 a member inherits unless its role has \
         inheritPrivileges = false, and may always SET ROLE",
    ))
}

fn grant(inputs: &Inputs) -> String {
    let options: Vec<_> = Allows::ALL
        .into_iter()
        .filter_map(|what| {
            let wanted = what.wanted(inputs)?;
            // PostgreSQL 15 knows no other form, and later ones have it as their default.
            if what == Allows::Admin && !wanted {
                return None;
            }
            Some(format!(
                "{} {}",
                what.keyword(),
                if wanted { "OPTION" } else { "FALSE" }
            ))
        })
        .collect();
    let with = if options.is_empty() {
        String::new()
    } else {
        format!(" WITH {}", options.join(", "))
    };
    format!(
        "GRANT {} TO {}{with}",
        Ident(&inputs.group),
        Ident(&inputs.role)
    )
}

/// Takes back what each grantor has granted: nobody else's REVOKE does that.
fn revoke(pair: &Pair, grants: &[Granted]) -> String {
    let (role, group) = (Ident(&pair.role), Ident(&pair.group));
    let statements: Vec<_> = grants
        .iter()
        .map(|granted| format!("REVOKE {group} FROM {role}{}", granted_by(granted)))
        .collect();
    statements.join("; ")
}

fn granted_by(granted: &Granted) -> String {
    match &granted.grantor {
        Some(grantor) => format!(" GRANTED BY {}", Ident(grantor)),
        None => String::new(),
    }
}

/// Finds the input that the server's complaint is about, and what to do about it.
async fn explain(cx: &Context, error: Error, inputs: &Inputs) -> Error {
    match error.code() {
        Some(failure::INVALID_GRANT) if makes_a_circle(cx, inputs).await => error
            .at("/group")
            .hint("a role can't be a member of itself, over other roles either: take one membership out of the circle")
            .retry(Retry::Never),
        Some(failure::INSUFFICIENT_PRIVILEGE) => error
            .at("/connection/user")
            .hint("log in as a superuser, or as a role that has the admin option on the group"),
        _ => {
            let named = [("/role", &inputs.role), ("/group", &inputs.group)];
            admin::blame_absent_role(cx, &inputs.connection, error, &named).await
        }
    }
}

/// Whether the group is a member of the role, over others too.
async fn makes_a_circle(cx: &Context, inputs: &Inputs) -> bool {
    let asked = on_server(cx, &inputs.connection, None, async |server| {
        sqlx::query_scalar(
            "WITH RECURSIVE above(oid) AS (
                 SELECT oid FROM pg_roles WHERE rolname = $1
                 UNION SELECT m.roleid FROM pg_auth_members m JOIN above ON m.member = above.oid)
             SELECT EXISTS (SELECT FROM above JOIN pg_roles USING (oid) WHERE rolname = $2)",
        )
        .bind(inputs.group.as_str())
        .bind(inputs.role.as_str())
        .fetch_one(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to see who is a member of whom", &error))
    });
    // Whoever can't be asked leaves it at what failed.
    asked.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn name(name: &str) -> Name {
        Name::try_from(name.to_owned()).unwrap()
    }

    fn granted(by: &str, admin: bool, inherit: bool, set: bool) -> Granted {
        Granted {
            grantor: Some(name(by)),
            admin,
            inherit: Some(inherit),
            set: Some(set),
        }
    }

    #[test]
    fn every_grantor_counts() {
        let pair = Pair {
            role: name("app"),
            role_oid: 1,
            group: name("readers"),
            group_oid: 2,
        };
        let revoked = revoke(
            &pair,
            &[
                granted("a", true, true, true),
                granted("b", false, true, true),
            ],
        );
        assert_eq!(
            revoked,
            "REVOKE \"readers\" FROM \"app\" GRANTED BY \"a\"; \
             REVOKE \"readers\" FROM \"app\" GRANTED BY \"b\""
        );
        let before_16 = Granted {
            grantor: None,
            admin: false,
            inherit: None,
            set: None,
        };
        assert_eq!(
            revoke(&pair, &[before_16]),
            "REVOKE \"readers\" FROM \"app\""
        );
    }
}
