//! Brings what a role holds to what is wanted, under the lock, and looks whether
//! the server did it: a REVOKE of what somebody else granted does nothing, and
//! says nothing.

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Context, Error, Result};

use crate::acl::{self, Class, Demand, Difference, Mode, Privilege};
use crate::connection::Connection;
use crate::deed::carry_out;
use crate::holding::{self, Holding, Reading, Selection, grantee, missing_role};
use crate::lock;
use crate::name::Name;
use crate::place::{Grantee, Place};
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
    pub(crate) system_identifier: Option<String>,
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

    /// Looks at something there, all of it as it is at one moment.
    pub(crate) async fn reading<T>(
        &self,
        cx: &Context,
        known_id: Option<&str>,
        work: impl AsyncFnOnce(&mut Server) -> Result<T>,
    ) -> Result<T> {
        self.on(cx, known_id, async |server| {
            let doing = "unable to read the privileges";
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            run(&mut server.connection, doing, begin).await?;
            let read = work(server).await?;
            run(&mut server.connection, doing, "COMMIT").await?;
            Ok(read)
        })
        .await
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

/// What looking came to.
pub(crate) enum Looked {
    Found(Demand, Work),
    /// The role or an object isn't there.
    Missing(Error),
}

/// Compares what is there with the wish. Changes nothing.
pub(crate) async fn look(server: &mut Server, wish: &Wish) -> Result<Looked> {
    let demand = wish.demand(server)?;
    let Some(grantee) = grantee(&mut server.connection, &wish.role, None).await? else {
        return Ok(Looked::Missing(missing_role(&wish.role)));
    };
    let holdings = match holding::read(server, &wish.selection, &grantee, false).await? {
        Reading::Found(holdings) => holdings,
        Reading::Missing(what) => return Ok(Looked::Missing(what)),
    };
    let compare = |holding: Holding| {
        let difference = acl::difference(&demand, &holding.entries);
        (holding, difference)
    };
    let items = holdings.into_iter().map(compare).collect();
    let work = Work {
        grantee,
        items,
        grantable: wish.grantable,
        cascade: wish.cascade,
    };
    Ok(Looked::Found(demand, work))
}

/// What of a record has to be taken back: all of it, or what `now` isn't about.
/// What is gone needs no taking back. Changes nothing.
pub(crate) async fn superseded(
    server: &mut Server,
    recorded: &Recorded,
    now: Option<&Wish>,
) -> Result<Option<Work>> {
    let former = &recorded.wish;
    let settled = |now: &Wish| {
        now.mode == Mode::Authoritative
            && (&now.role, &now.selection) == (&former.role, &former.selection)
    };
    if now.is_some_and(settled) {
        return Ok(None);
    }
    let whom = grantee(&mut server.connection, &former.role, recorded.role_oid).await?;
    let Some(whom) = whom else { return Ok(None) };
    let Reading::Found(holdings) = holding::read(server, &former.selection, &whom, true).await?
    else {
        return Ok(None);
    };
    let former_demand = former.former_demand(server)?;
    let covered = match now {
        Some(now) => covered(server, now, &whom).await?,
        None => BTreeSet::new(),
    };
    let mut items = Vec::new();
    for holding in holdings {
        let difference = match now {
            Some(now) if covered.contains(&holding.place) => match now.mode {
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
            items.push((holding, difference));
        }
    }
    let cascade = now.unwrap_or(former).cascade;
    let work = Work {
        grantee: whom,
        items,
        grantable: false,
        cascade,
    };
    Ok((!work.is_empty()).then_some(work))
}

/// The places that a wish is about, if it is about this role.
async fn covered(server: &mut Server, now: &Wish, whom: &Grantee) -> Result<BTreeSet<Place>> {
    let role = grantee(&mut server.connection, &now.role, None).await?;
    if role.as_ref().map(|role| role.oid) != Some(whom.oid) {
        return Ok(BTreeSet::new());
    }
    match holding::read(server, &now.selection, whom, true).await? {
        Reading::Found(holdings) => Ok(holdings.into_iter().map(|holding| holding.place).collect()),
        Reading::Missing(_) => Ok(BTreeSet::new()),
    }
}

/// Finds out what there is to do and does it, in one transaction that holds the
/// lock, until nothing is left to do.
pub(crate) async fn settle(
    cx: &Context,
    wish: &Wish,
    doing: &str,
    mut find: impl AsyncFnMut(&mut Server) -> Result<Option<Work>>,
) -> Result<()> {
    wish.on(cx, None, async |server| {
        lock::begin(cx, &mut server.connection, doing).await?;
        if let Some(work) = find(server).await?
            && !work.is_empty()
        {
            carry_out(server, version(server)?, doing, &work).await?;
            cx.failpoint("privileges:set");
            if let Some(left) = find(server).await?
                && !left.is_empty()
            {
                return Err(not_done(doing, &left));
            }
        }
        run(&mut server.connection, doing, "COMMIT").await
    })
    .await
}

/// Brings a role to its wish.
pub(crate) async fn fulfil(cx: &Context, wish: &Wish, doing: &str) -> Result<()> {
    settle(cx, wish, doing, async |server| {
        match look(server, wish).await? {
            Looked::Found(_, work) => Ok(Some(work)),
            Looked::Missing(what) => Err(what),
        }
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
