//! Each step: a value is put into the store, the thing is made on the server, the
//! thing is finished, old ones go. Each can be killed at any point and done again.

use nixops4_provider_sdk::kept::KeptValue;
use nixops4_provider_sdk::secret::{existing_store, remember, store, store_error};
use nixops4_provider_sdk::{Alone, Context, Error, Mark, Result, Retry, SecretString};
use nixops4_secrets_store::{Generation, Made, NewSecret};

use super::facts::{self, SECRET, Source};
use super::inputs::{Place, Wanted};
use super::remote::Expiry;
use super::{Change, Credential, Facts, Public, What, refuse_foreign};
use crate::cluster::Cluster;
use crate::moment::Moment;
use crate::title::{ADOPTION, Title};

/// What making a value can look at.
pub(crate) struct Making<'a, C: Credential> {
    pub(crate) cx: &'a Context,
    pub(crate) cluster: &'a Cluster,
    pub(crate) inputs: &'a C::Inputs,
    /// What is there so far.
    pub(crate) facts: &'a Facts<C>,
}

/// How far a thing is that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has still to be given what it lacks, or it was there and may lack something.
    Unfinished,
    /// It is as it is wanted, from the request on that made it.
    Finished,
}

impl<C: Credential> Making<'_, C> {
    /// Puts a value into the store, unless it has one of this generation; says
    /// which it has.
    pub(crate) async fn keep(
        &self,
        generation: Generation,
        value: SecretString,
        id: C::Id,
    ) -> Result<KeptValue<Public<C::Id>>> {
        let public = serde_json::to_string(&Public { id })
            .map_err(|error| Error::new("unable to write the id into the store").because(error))?;
        // The old ones are still in use on the server: they go when they aren't.
        let new = NewSecret::new(self.cx.owner().as_str(), self.cx.resource_type()).keep(u32::MAX);
        let place = &self.facts.place;
        let mut store = store(&place.store).await?;
        let made = || Made::new(value).public_part(public);
        let ensured = store
            .ensure(&place.name, generation, &new, made)
            .await
            .map_err(|error| {
                use nixops4_secrets_store::Error::{Foreign, GenerationTooOld};
                let quicker = matches!(error, Foreign { .. } | GenerationTooOld { .. });
                let error = store_error(&error, SECRET);
                if quicker {
                    // What there is now shows when it is looked at again.
                    error.retry(Retry::UntilDeadline)
                } else {
                    error
                }
            })?;
        self.cx.failpoint("credential:kept");
        KeptValue::read(
            &place.name,
            self.cx.resource_type(),
            &ensured.version,
            SECRET,
        )
    }

    /// The value itself, from the store.
    pub(crate) async fn reveal(&self, value: &KeptValue<Public<C::Id>>) -> Result<SecretString> {
        let place = &self.facts.place;
        let gone = || Error::input("/store", "the store is gone while it is read");
        let mut store = existing_store(&place.store).await?.ok_or_else(gone)?;
        let revealed = store
            .reveal(&place.name, value.generation, Some(&value.id))
            .await
            .map_err(|error| store_error(&error, SECRET))?;
        remember(&revealed);
        Ok(revealed)
    }

    /// The name of a thing of this generation, which has to be finished yet.
    pub(crate) fn unfinished(&self, generation: Generation, making: String) -> Title {
        Title {
            making: Some(making),
            ..self.finished(generation)
        }
    }

    /// The name of a thing of this generation that is as it is wanted.
    pub(crate) fn finished(&self, generation: Generation) -> Title {
        title::<C>(self.inputs, &self.cx.mark(), generation)
    }
}

fn title<C: Credential>(inputs: &C::Inputs, mark: &Mark, generation: Generation) -> Title {
    Title {
        name: inputs.name().as_str().to_owned(),
        mark: Some(mark.clone()),
        generation: Some(generation.get()),
        making: None,
    }
}

/// Nobody else on this machine changes it meanwhile: Garage reads, and then writes
/// what it has read with a change, without a lock.
async fn alone<C: Credential>(cx: &Context, cluster: &Cluster, place: &Place) -> Result<Alone> {
    let Place { store, name } = place;
    let what = format!("{} {} {store} {name}", cluster.named(), C::TYPE);
    cx.alone(&what).await
}

async fn look<C: Credential>(cx: &Context, cluster: &Cluster, place: &Place) -> Result<Facts<C>> {
    let entry = facts::entry(cx, place, None).await?;
    facts::look(cx, cluster, place.clone(), entry, None, Source::Server).await
}

/// Does one step.
pub(super) async fn apply<C: Credential>(
    cx: &Context,
    inputs: &C::Inputs,
    change: Change,
) -> Result<()> {
    let Change { place, what } = change;
    let cluster = Cluster::of(cx, inputs.connection(), None).await?;
    let _alone = alone::<C>(cx, &cluster, &place).await?;
    let facts = look::<C>(cx, &cluster, &place).await?;
    refuse_quicker(cx, &facts)?;
    let making = Making {
        cx,
        cluster: &cluster,
        inputs,
        facts: &facts,
    };
    match what {
        What::Make(generation) => {
            let is_made = facts.newest().is_some_and(|newest| {
                let remote = newest.remote.as_ref();
                newest.generation() >= generation
                    && remote.is_some_and(|remote| remote.title.making.is_none())
            });
            if is_made {
                // Somebody was quicker, and may have been killed since.
                return prune(cx, &cluster, &facts, inputs.keep_generations()).await;
            }
            let stage = C::make(&making, generation).await?;
            cx.failpoint("credential:made");
            if stage == Stage::Finished && facts.held.is_empty() {
                return Ok(());
            }
            let facts = look::<C>(cx, &cluster, &place).await?;
            finish(cx, &cluster, inputs, &facts).await?;
            cx.failpoint("credential:finished");
            prune(cx, &cluster, &facts, inputs.keep_generations()).await
        }
        What::Keep => {
            if facts.kept.is_none()
                && let Some(id) = given::<C>(cx, &cluster, inputs).await?
            {
                let value = C::value(cx, &cluster, inputs, &id).await?;
                making.keep(inputs.generation(), value, id).await?;
            }
            let facts = look::<C>(cx, &cluster, &place).await?;
            finish(cx, &cluster, inputs, &facts).await
        }
        What::Set => set(cx, &cluster, inputs, &facts).await,
        What::Prune => prune(cx, &cluster, &facts, inputs.keep_generations()).await,
        What::Refused => Err(Error::new("this can't be changed in place")),
    }
}

/// Since it was looked at, somebody else may have put a secret of theirs there.
fn refuse_quicker<C: Credential>(cx: &Context, facts: &Facts<C>) -> Result<()> {
    let kept = facts.kept.as_ref();
    if kept.is_none_or(|kept| kept.mark.is_of_same(&cx.mark())) {
        return Ok(());
    }
    Err(Error::input(SECRET, "somebody else has just made this secret").retry(Retry::UntilDeadline))
}

/// The thing whose value goes into the store: it is marked as ours by now.
async fn given<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    inputs: &C::Inputs,
) -> Result<Option<C::Id>> {
    if let Some(id) = C::given(inputs) {
        return Ok(Some(id.clone()));
    }
    let ours = cx.mark();
    let all = C::all(cx, cluster).await?;
    let is_it = |title: &Title| title.is_named(inputs.name()) && title.is_of(&ours);
    let mut ids = all.into_iter().filter(|(_, title)| is_it(title));
    Ok(ids.next().map(|(id, _)| id))
}

/// Ends the making of the newest, if it isn't ended: from then on it is in use.
async fn finish<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    inputs: &C::Inputs,
    facts: &Facts<C>,
) -> Result<()> {
    let newest = facts.newest();
    let Some((generation, remote)) =
        newest.and_then(|newest| Some((newest.generation(), newest.remote.as_ref()?)))
    else {
        return Err(Error::new(format!(
            "the {} is gone again right after it was made",
            C::CALLED
        ))
        .retry(Retry::UntilDeadline));
    };
    let mark = cx.mark();
    refuse_foreign(remote, &mark)?;
    let Some(from) = &remote.title.making else {
        return Ok(());
    };
    C::complete(cx, cluster, from, &remote.id).await?;
    cx.failpoint("credential:completed");
    let title = title::<C>(inputs, &mark, generation);
    let expiry = Expiry::wanted(inputs.expiration());
    C::update(cx, cluster, &remote.id, &title, expiry, Some(inputs)).await
}

/// Sets whatever differs, on the old ones first.
async fn set<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    inputs: &C::Inputs,
    facts: &Facts<C>,
) -> Result<()> {
    refuse_taken::<C>(cx, cluster, inputs, facts).await?;
    let mark = cx.mark();
    for held in facts.held.iter().rev() {
        let Some(remote) = &held.remote else {
            continue;
        };
        refuse_foreign(remote, &mark)?;
        let title = Title {
            name: inputs.name().as_str().to_owned(),
            ..remote.title.clone()
        };
        let expiry = Expiry::wanted(inputs.expiration());
        C::update(cx, cluster, &remote.id, &title, expiry, Some(inputs)).await?;
        cx.failpoint("credential:set");
    }
    Ok(())
}

/// Fails if the name that is wanted now is another one's.
async fn refuse_taken<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    inputs: &C::Inputs,
    facts: &Facts<C>,
) -> Result<()> {
    let name = inputs.name();
    if facts
        .alive()
        .all(|remote| remote.title.name == name.as_str())
    {
        return Ok(());
    }
    let others = facts::named::<C>(cx, cluster, name).await?;
    match others
        .iter()
        .find(|id| !facts.held.iter().any(|held| held.id() == *id))
    {
        None => Ok(()),
        Some(id) => Err(Error::input(
            "/name",
            format!("{} {id} is called {:?} already", C::CALLED, name.as_str()),
        )
        .hint("choose another name, or rename that one first")),
    }
}

/// Deletes those that are too old: on the server first, because the store alone
/// knows which they are.
async fn prune<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    facts: &Facts<C>,
    keep: u32,
) -> Result<()> {
    let too_old: Vec<_> = facts.held.iter().skip(1).skip(keep as usize).collect();
    if too_old.is_empty() {
        return Ok(());
    }
    for held in too_old.iter().rev() {
        if let Some(remote) = &held.remote {
            cx.checkpoint()?;
            refuse_foreign(remote, &cx.mark())?;
            C::delete(cx, cluster, &remote.id).await?;
            cx.failpoint("credential:withdrawn");
        }
    }
    let mut store = acting_store(cx, &facts.place).await?;
    let pruned = store.prune(&facts.place.name, keep).await;
    pruned
        .map(drop)
        .map_err(|error| store_error(&error, SECRET))
}

async fn acting_store(cx: &Context, place: &Place) -> Result<nixops4_secrets_store::Store> {
    Ok(store(&place.store).await?.acting_for(cx.owner().as_str()))
}

/// Makes all of it ours, in service: the newest last, because its mark says so.
pub(super) async fn take<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    facts: &Facts<C>,
    mark: &Mark,
) -> Result<()> {
    let _alone = alone::<C>(cx, cluster, &facts.place).await?;
    if facts.kept.is_some() {
        let name = &facts.place.name;
        let explain = |error| store_error(&error, SECRET);
        let mut store = acting_store(cx, &facts.place).await?;
        let owner = cx.owner().as_str();
        store.adopt(name, owner).await.map_err(explain)?;
        cx.failpoint("credential:adopted");
        store.restore(name).await.map_err(explain)?;
        cx.failpoint("credential:restored");
    }
    if let Some(remote) = &facts.loose {
        let title = Title {
            mark: Some(mark.clone()),
            making: Some(ADOPTION.to_owned()),
            ..remote.title.clone()
        };
        return C::update(cx, cluster, &remote.id, &title, Expiry::Unchanged, None).await;
    }
    mark_all(cx, cluster, facts, mark, Expiry::Unchanged).await
}

/// Takes all of it out of service: it ends now, and keeps what it may do.
pub(super) async fn retire<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    facts: &Facts<C>,
    mark: &Mark,
) -> Result<()> {
    let _alone = alone::<C>(cx, cluster, &facts.place).await?;
    if facts.kept.is_some() {
        let mut store = acting_store(cx, &facts.place).await?;
        let retained = store.retain(&facts.place.name, cx.owner().as_str()).await;
        retained.map_err(|error| store_error(&error, SECRET))?;
        cx.failpoint("credential:shelved");
    }
    let since = mark
        .retained_since
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let expiry = Expiry::At(Moment::from(since));
    mark_all(cx, cluster, facts, mark, expiry).await
}

async fn mark_all<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    facts: &Facts<C>,
    mark: &Mark,
    expiry: Expiry,
) -> Result<()> {
    for remote in facts.alive().rev() {
        let title = Title {
            mark: Some(mark.clone()),
            ..remote.title.clone()
        };
        C::update(cx, cluster, &remote.id, &title, expiry, None).await?;
        cx.failpoint("credential:marked");
    }
    Ok(())
}

/// Deletes all of it; from the store last, because that alone knows which they are.
pub(super) async fn delete<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    facts: &Facts<C>,
) -> Result<()> {
    let _alone = alone::<C>(cx, cluster, &facts.place).await?;
    for remote in facts.alive().rev() {
        C::delete(cx, cluster, &remote.id).await?;
        cx.failpoint("credential:deleted");
    }
    if facts.kept.is_none() {
        return Ok(());
    }
    let mut store = acting_store(cx, &facts.place).await?;
    let deleted = store.delete(&facts.place.name).await;
    deleted
        .map(drop)
        .map_err(|error| store_error(&error, SECRET))
}
