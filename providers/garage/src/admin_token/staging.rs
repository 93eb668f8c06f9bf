//! Makes a token. Garage chooses it and says it once, before it can be in the store.
//! So at first it may do nothing and ends soon: what is left of somebody who was
//! killed there is of no use to anybody, and goes with the next one that is made.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nixops4_provider_sdk::secret::remember;
use nixops4_provider_sdk::{Result, SecretString};
use nixops4_secrets_store::Generation;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::{AdminToken, listed};
use crate::api::{self, TokenChange, TokenId};
use crate::credential::{Credential as _, Held, Making, Stage, Wanted as _};
use crate::title::Title;

/// How long it may take until a new token is in the store.
const STAGING: Duration = Duration::from_mins(10);

/// Makes the token of a generation. The caller is alone on this machine.
pub(super) async fn make(making: &Making<'_, AdminToken>, generation: Generation) -> Result<Stage> {
    let Making { cx, cluster, .. } = making;
    let place = place();
    clear(making, &place).await?;
    let kept = making.facts.held.iter();
    if kept.map(Held::generation).any(|kept| kept == generation) {
        return Ok(Stage::Unfinished);
    }
    cx.checkpoint()?;
    let staged = TokenChange {
        name: Some(making.unfinished(generation, place).to_string()),
        expiration: Some(OffsetDateTime::now_utc() + STAGING),
        never_expires: false,
        scope: Some(Vec::new()),
    };
    let answer = cluster.call(cx, api::create_token(&staged)).await;
    let made = cluster.done(answer, "unable to make the admin token")?;
    remember(&made.secret_token);
    cx.failpoint("token:made");
    let kept = keep(making, generation, made.secret_token, &made.id).await;
    if kept.as_ref().ok() != Some(&made.id) {
        // Another one was quicker, or it can't be kept.
        AdminToken::delete(cx, cluster, &made.id).await?;
    }
    kept.map(|_| Stage::Unfinished)
}

/// The id of the token that the store has now.
async fn keep(
    making: &Making<'_, AdminToken>,
    generation: Generation,
    token: SecretString,
    id: &TokenId,
) -> Result<TokenId> {
    let kept = making.keep(generation, token, id.clone()).await?;
    Ok(kept.public.id)
}

/// Deletes what is left of those who were killed: on this machine nobody else is
/// at it, and of another one's what has ended.
async fn clear(making: &Making<'_, AdminToken>, place: &str) -> Result<()> {
    let Making { cx, cluster, .. } = making;
    let ours = cx.mark();
    let name = making.inputs.name().as_str();
    for token in listed(cx, cluster).await? {
        let title = Title::read(&token.name);
        let (Some(id), Some(begun)) = (token.id, &title.making) else {
            continue;
        };
        let is_left = begun == place || token.expired;
        let is_kept = making.facts.held.iter().any(|held| *held.id() == id);
        if title.is_of(&ours) && title.name == name && is_left && !is_kept {
            AdminToken::delete(cx, cluster, &id).await?;
            cx.failpoint("token:cleared");
        }
    }
    Ok(())
}

/// What tells this machine, since it was started, and user from others: among them
/// nobody is alone. Nothing can be read from it.
fn place() -> String {
    let mut digest = Sha256::new();
    for file in [
        "/proc/sys/kernel/random/boot_id",
        "/proc/sys/kernel/hostname",
    ] {
        match std::fs::read(file) {
            Ok(content) => digest.update(content),
            // Then it is like no other, and what it leaves ends by itself.
            Err(_) => digest.update(rand::random::<[u8; 16]>()),
        }
    }
    if let Ok(me) = std::fs::metadata("/proc/self") {
        digest.update(me.uid().to_le_bytes());
    }
    hex::encode(&digest.finalize()[..8])
}
