//! Makes a pair of an id and a secret, first in the store, then on the server.

use nixops4_provider_sdk::kept::following;
use nixops4_provider_sdk::secret::remember;
use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, SecretString};
use nixops4_secrets_store::Generation;

use super::{Inputs, Key, find};
use crate::api::{self, AccessKeyId};
use crate::cluster::Failure;
use crate::credential::{Making, Stage, Wanted as _};

/// Where the secret of a given pair stands.
pub(super) const SECRET: &str = "/import/secretAccessKey";

/// How many ids in a row may turn out to have been deleted.
const MOST: usize = 10;

/// What a key is copied from that follows none.
pub(super) const NOTHING: &str = "nothing";

/// The secret of a given pair, if it is given.
pub(super) async fn given(cx: &Context, inputs: &Inputs) -> Result<Option<SecretString>> {
    let import = inputs.import.as_ref();
    let Some(reference) = import.and_then(|import| import.secret_access_key.as_ref()) else {
        return Ok(None);
    };
    let value = cx.secret(reference, SECRET).await?;
    let text = value.expose_secret();
    if text.len() < 16 || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Error::input(
            SECRET,
            "this is no secret of a key, which has 16 or more letters, digits and other signs",
        )
        .hint("see that its reference leads to the secret key alone, on one line"));
    }
    Ok(Some(value))
}

/// The pair for a value of which the store has none yet.
async fn new(cx: &Context, inputs: &Inputs, first: bool) -> Result<(AccessKeyId, SecretString)> {
    if let Some(import) = inputs.import.as_ref().filter(|_| first) {
        let id = import.access_key_id.clone();
        let value = given(cx, inputs).await?.ok_or_else(|| {
            Error::input(
                "/import/accessKeyId",
                format!("there is no key {id} on this cluster"),
            )
            .hint("to make it, give its secret in import.secretAccessKey")
        })?;
        return Ok((id, value));
    }
    let id = format!("GK{}", hex::encode(rand::random::<[u8; 12]>()));
    let value = SecretString::from(hex::encode(rand::random::<[u8; 32]>()));
    remember(&value);
    Ok((AccessKeyId::try_from(id).map_err(Error::new)?, value))
}

/// Makes the key of a generation. Garage never gives an id again that was deleted:
/// where that turns out, it is the next generation's.
pub(super) async fn make(making: &Making<'_, Key>, generation: Generation) -> Result<Stage> {
    let Making { cx, cluster, .. } = making;
    let kept = making.facts.kept.as_ref();
    let mut generation = generation;
    let mut first = kept.is_none();
    for _ in 0..MOST {
        let newest = kept.map(|kept| &kept.current);
        let this = newest.filter(|newest| newest.generation == generation);
        let mut made_up = None;
        let value = if let Some(value) = this {
            value.clone()
        } else {
            let (id, value) = new(cx, making.inputs, first).await?;
            made_up = Some(id.clone()).filter(|_| making.inputs.import.is_none());
            making.keep(generation, value, id).await?
        };
        let id = &value.public.id;
        // Unless somebody was quicker, nobody can have what was just made up.
        if made_up.as_ref() != Some(id) && find(cx, cluster, id).await?.is_some() {
            return Ok(Stage::Unfinished);
        }
        let secret = making.reveal(&value).await?;
        let (title, stage) = titled(making, value.generation);
        cx.checkpoint()?;
        match cluster.call(cx, api::import_key(id, &secret, &title)).await {
            Err(Failure::Refused(refusal)) if refusal.is("KeyAlreadyExists") => {
                // Somebody was quicker, or it is of one that was deleted.
                if find(cx, cluster, id).await?.is_some() {
                    return Ok(Stage::Unfinished);
                }
                refuse_given(making.inputs, id)?;
                tracing::info!("key {id} was deleted on the server, so another one is made");
                generation = following(value.generation);
                first = false;
            }
            answer => {
                let doing = format!("unable to make key {id}");
                return cluster.done(answer, &doing).map(|_| stage);
            }
        }
    }
    Err(Error::new(format!(
        "{MOST} keys in a row were deleted as soon as they were made"
    ))
    .hint("see who deletes them, then apply again"))
}

/// What a new key is called. One that follows another, or has more than a name, is
/// finished later: Garage takes nothing but a name at first.
fn titled(making: &Making<'_, Key>, generation: Generation) -> (String, Stage) {
    let inputs = making.inputs;
    let from = making.facts.alive().next();
    let is_plain = inputs.expiration().is_none() && !inputs.create_buckets;
    if from.is_none() && is_plain {
        return (making.finished(generation).to_string(), Stage::Finished);
    }
    let from = from.map_or_else(|| NOTHING.to_owned(), |from| from.id.to_string());
    let title = making.unfinished(generation, from);
    (title.to_string(), Stage::Unfinished)
}

/// A pair that is given is never replaced by another one.
fn refuse_given(inputs: &Inputs, id: &AccessKeyId) -> Result<()> {
    let is_it = |import: &super::Import| import.access_key_id == *id;
    if !inputs.import.as_ref().is_some_and(is_it) {
        return Ok(());
    }
    Err(Error::input(
        "/import/accessKeyId",
        format!("key {id} was deleted on this cluster, which never gives an id again"),
    )
    .hint("for another pair in its place, raise `generation`"))
}
