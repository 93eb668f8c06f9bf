//! Reconciles the privileges of a role with the declared ones, under the lock, and checks
//! that the server did it: a REVOKE of a privilege that somebody else granted does
//! nothing, and says nothing.

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Context, Error, Result};

use crate::acl::{self, Class, Demand, Difference, Mode, Privilege};
use crate::connection::Connection;
use crate::current_privileges::{
    Holding, Question, Reading, Selection, Whom, missing_role, readings, statements,
};
use crate::grant_statement::carry_out;
use crate::lock::{self, Part};
use crate::name::Name;
use crate::object::{Grantee, Place};
use crate::server::{Server, in_database, on_server, run};
use crate::sql::Ident;

/// What is declared of a role's privileges, or was.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) connection: Connection,
    /// Where the objects are; none for those that all databases share.
    pub(crate) database: Option<Name>,
    /// `public` is everybody.
    pub(crate) role: Name,
    pub(crate) selection: Selection,
    pub(crate) privileges: BTreeSet<Privilege>,
    pub(crate) grantable: bool,
    pub(crate) mode: Mode,
    pub(crate) cascade: bool,
}

/// A wish that was recorded, and what it was about.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) wish: Wish,
    pub(crate) role_oid: Option<i64>,
    pub(crate) database_oid: Option<i64>,
    pub(crate) server_id: Option<String>,
}

/// What has to be done.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) grantee: Grantee,
    pub(crate) items: Vec<(Holding, Difference)>,
    pub(crate) grantable: bool,
    pub(crate) cascade: bool,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.items
            .iter()
            .all(|(_, difference)| difference.is_empty())
    }
}

impl Wish {
    /// Does something in the database that holds the objects.
    pub(crate) async fn on<T>(
        &self,
        cx: &Context,
        known_id: Option<&str>,
        work: impl AsyncFnOnce(&mut Server) -> Result<T>,
    ) -> Result<T> {
        match &self.database {
            Some(name) => {
                in_database(cx, &self.connection, ("/database", name), known_id, work).await
            }
            None => on_server(cx, &self.connection, known_id, work).await,
        }
    }

    /// What is wanted on each object of this server.
    pub(crate) fn demand(&self, server: &Server) -> Result<Demand> {
        let version = version(server)?;
        let class = self.selection.privileged_class();
        if class == Class::LargeObject && version < 18 {
            return Err(Error::input("/objectType", format!("the server is of version {version} and has no default privileges for large objects"))
                .hint("PostgreSQL has them from version 18 on"));
        }
        let privileges = class.expand(&self.privileges, version).map_err(|one| {
            Error::input("/privileges", format!("the server is of version {version} and has no {} there", one.keyword()))
                .hint("leave it out, or upgrade the server; ALL stands for each privilege that the server has")
        })?;
        Ok(Demand {
            privileges,
            grantable: self.grantable,
            mode: self.mode,
        })
    }

    /// What was wanted, as far as this server has it.
    fn former_demand(&self, server: &Server) -> Result<Demand> {
        let version = version(server)?;
        let class = self.selection.privileged_class();
        let expand = |one: &Privilege| class.expand(&BTreeSet::from([*one]), version).ok();
        let privileges = self
            .privileges
            .iter()
            .filter_map(expand)
            .flatten()
            .collect();
        Ok(Demand {
            privileges,
            grantable: self.grantable,
            mode: self.mode,
        })
    }
}

fn version(server: &Server) -> Result<u32> {
    let number = server.connection.server_version_num();
    number
        .map(|number| number / 10_000)
        .ok_or_else(|| Error::new("the server doesn't say its version"))
}

/// What is to be brought about.
#[derive(Clone, Copy)]
pub(crate) enum Aim<'a> {
    /// That a role has what is wanted.
    Fulfil(&'a Wish),
    /// That nothing is left of what was recorded, or of what `now` isn't about.
    TakeBack {
        recorded: &'a Recorded,
        now: Option<&'a Wish>,
    },
}

impl<'a> Aim<'a> {
    /// What has to be known for it, of the record first. Not within a transaction.
    pub(crate) async fn questions(self, server: &mut Server) -> Result<Vec<Question<'a>>> {
        let (recorded, now) = match self {
            Self::Fulfil(wish) => (None, Some(wish)),
            Self::TakeBack { recorded, now } => (Some(recorded), now),
        };
        let mut questions = Vec::new();
        if let Some(Recorded { wish, role_oid, .. }) = recorded {
            let whom = Whom::of(&wish.role, *role_oid);
            questions.push(Question::new(server, &wish.selection, whom).await?);
        }
        if let Some(wish) = now {
            let whom = Whom::of(&wish.role, None);
            questions.push(Question::new(server, &wish.selection, whom).await?);
        }
        Ok(questions)
    }

    /// What has to be done, by the answers; `None` where that is nothing, and an error where
    /// it can't be.
    fn work(self, server: &Server, readings: &[Reading]) -> Result<Option<Work>> {
        let work = match (self, readings) {
            (Self::Fulfil(wish), [reading]) => match compare(server, wish, reading)? {
                Looked::Found(_, work) => Some(work),
                Looked::Missing(what) => return Err(what),
            },
            (Self::TakeBack { recorded, .. }, [former]) => {
                superseded(server, recorded, former, None)?
            }
            (
                Self::TakeBack {
                    recorded,
                    now: Some(now),
                },
                [former, reading],
            ) => superseded(server, recorded, former, Some((now, reading)))?,
            _ => None,
        };
        Ok(work.filter(|work| !work.is_empty()))
    }
}

/// What looking came to.
pub(crate) enum Looked {
    Found(Demand, Work),
    /// The role or an object isn't there.
    Missing(Error),
}

/// Compares what is there with the wish.
pub(crate) fn compare(server: &Server, wish: &Wish, reading: &Reading) -> Result<Looked> {
    let demand = wish.demand(server)?;
    let Some(grantee) = &reading.grantee else {
        return Ok(Looked::Missing(missing_role(&wish.role)));
    };
    if let Some(what) = &reading.lacking {
        return Ok(Looked::Missing(what.clone()));
    }
    let compare = |holding: &Holding| {
        let difference = acl::difference(&demand, &holding.entries);
        (holding.clone(), difference)
    };
    let work = Work {
        grantee: grantee.clone(),
        items: reading.holdings.iter().map(compare).collect(),
        grantable: wish.grantable,
        cascade: wish.cascade,
    };
    Ok(Looked::Found(demand, work))
}

impl Recorded {
    /// Whether there is nothing to take back because `now` decides about all of it.
    pub(crate) fn is_settled_by(&self, now: &Wish) -> bool {
        let former = &self.wish;
        now.mode == Mode::Authoritative
            && (&now.role, &now.selection) == (&former.role, &former.selection)
    }
}

/// What of a record has to be taken back: all of it, or what `now` isn't about.
/// What is gone needs no taking back.
pub(crate) fn superseded(
    server: &Server,
    recorded: &Recorded,
    reading: &Reading,
    now: Option<(&Wish, &Reading)>,
) -> Result<Option<Work>> {
    let former = &recorded.wish;
    if now.is_some_and(|(now, _)| recorded.is_settled_by(now)) {
        return Ok(None);
    }
    let Some(whom) = &reading.grantee else {
        return Ok(None);
    };
    let former_demand = former.former_demand(server)?;
    let is_covered = |place: &Place| {
        now.is_some_and(|(_, reading)| {
            let is_same = reading
                .grantee
                .as_ref()
                .is_some_and(|it| it.oid == whom.oid);
            is_same
                && reading
                    .holdings
                    .iter()
                    .any(|holding| holding.place == *place)
        })
    };
    let mut items = Vec::new();
    for holding in &reading.holdings {
        let difference = match now {
            Some((now, _)) if is_covered(&holding.place) => match now.mode {
                Mode::Authoritative => continue,
                Mode::Additive => {
                    acl::shrinkage(&former_demand, &now.demand(server)?, &holding.entries)
                }
            },
            _ => {
                let only = (former.mode == Mode::Additive).then_some(&former_demand.privileges);
                let is_owner = whom.name.as_ref() == Some(&holding.owner);
                acl::withdrawal(only, is_owner.then_some(&holding.owner), &holding.entries)
            }
        };
        if !difference.is_empty() {
            items.push((holding.clone(), difference));
        }
    }
    let work = Work {
        grantee: whom.clone(),
        items,
        grantable: false,
        cascade: now.map_or(former, |(now, _)| now).cascade,
    };
    Ok((!work.is_empty()).then_some(work))
}

/// Finds out what there is to do and does it, in one transaction that holds the
/// lock, until nothing is left to do. Each message to the server also asks what the next
/// one goes by.
pub(crate) async fn settle(cx: &Context, wish: &Wish, doing: &str, aim: Aim<'_>) -> Result<()> {
    wish.on(cx, None, async |server| {
        let questions = aim.questions(server).await?;
        let asking = Part::plain(statements(&questions));
        let answers = lock::begin_with(cx, &mut server.connection, doing, &asking).await?;
        if let Some(work) = aim.work(server, &readings(&questions, &answers)?)? {
            let version = version(server)?;
            let answers = carry_out(server, version, doing, &work, &asking.statements).await?;
            cx.failpoint("privileges:set");
            if let Some(left) = aim.work(server, &readings(&questions, &answers)?)? {
                return Err(not_done(doing, &left));
            }
        }
        run(&mut server.connection, doing, "COMMIT").await
    })
    .await
}

/// Says what the server did not do, though it did not complain.
fn not_done(doing: &str, left: &Work) -> Error {
    let Some((holding, difference)) = left.items.iter().find(|(_, left)| !left.is_empty()) else {
        return Error::new(doing);
    };
    let place = &holding.place;
    let words = |all: &BTreeSet<Privilege>| {
        all.iter()
            .map(|one| one.keyword())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let kept = difference
        .revoke
        .iter()
        .chain(&difference.revoke_option)
        .next();
    let error = Error::input("/privileges", doing);
    match kept {
        Some((grantor, privileges)) => error
            .because(format!(
                "{} on {place}, which {} granted, is still there after it was revoked",
                words(privileges),
                Ident(grantor)
            ))
            .hint(format!(
                "log in as a superuser or as somebody who can SET ROLE to {0}; if {0} has become a \
                 superuser or a member of the owner {1}, the server takes its REVOKE for the owner's: \
                 end that, or take the grant option from {0} with CASCADE",
                Ident(grantor),
                Ident(&holding.owner)
            )),
        None => error
            .because(format!("{} on {place} is not there after it was granted", words(&difference.grant)))
            .hint(format!(
                "log in as a superuser, as the owner {}, or as a role that may grant it",
                Ident(&holding.owner)
            )),
    }
}
