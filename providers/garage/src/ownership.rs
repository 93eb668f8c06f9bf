//! Whose a bucket is.
//!
//! Garage has no place for a comment. But a bucket can have an alias that belongs to
//! one key alone, from the request on that creates it. So an owner has a key of its
//! own, the stand-in, which may do nothing and whose name is the mark; and a bucket
//! is its owner's as long as it has an alias of that key: its declared name. While
//! it is retained it has a second one, which says since when.

use nixops4_provider_sdk::{Mark, Ownership};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::api::{AccessKeyId, Bucket};
use crate::name::BucketName;

/// How the second alias begins; no bucket can be declared under such a name.
const RETAINED: &str = "retained.";

const TIME: &[time::format_description::BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]t[hour][minute][second]z");

/// One owner's marks on a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The stand-in of the owner.
    pub(crate) key: AccessKeyId,
    pub(crate) mark: Mark,
    /// The names under which it was declared: one, or two in the middle of a rename.
    pub(crate) names: Vec<String>,
    /// The alias that says since when it is retained.
    pub(crate) retained: Option<String>,
}

/// Everybody's marks on a bucket.
pub(crate) fn claims(bucket: &Bucket) -> Vec<Claim> {
    let claim = |key: &crate::api::KeyOnBucket| {
        let mark = Mark::find_in(&key.name)?;
        let (mut retained, names): (Vec<_>, Vec<_>) = key
            .bucket_local_aliases
            .iter()
            .cloned()
            .partition(|alias| alias.starts_with(RETAINED));
        retained.sort();
        let retained = retained.into_iter().next();
        if names.is_empty() && retained.is_none() {
            // It may do something here, which makes it nobody's.
            return None;
        }
        let mark = Mark {
            since: Some(
                bucket
                    .created
                    .replace_nanosecond(0)
                    .unwrap_or(bucket.created),
            ),
            retained_since: retained.as_deref().map(retained_since),
            ..mark
        };
        Some(Claim {
            key: key.access_key_id.clone(),
            mark,
            names,
            retained,
        })
    };
    bucket.keys.iter().filter_map(claim).collect()
}

/// Whose the bucket is for somebody with this mark: with several claims on it, that
/// of somebody else counts, because taking it over was not finished.
pub(crate) fn ownership(claims: &[Claim], ours: &Mark) -> Ownership {
    let foreign = claims.iter().find(|claim| !claim.mark.is_of_same(ours));
    match foreign.or(claims.first()) {
        Some(claim) => Ownership::Marked(claim.mark.clone()),
        None => Ownership::Unmarked,
    }
}

/// The alias that says that a bucket is retained since then.
pub(crate) fn retained_alias(bucket: &Bucket, since: OffsetDateTime) -> Option<BucketName> {
    let time = since.format(TIME).ok()?;
    // Once given it can't be given to another bucket, so it has its own id in it.
    let id = bucket.id.as_str().get(..16)?;
    BucketName::try_from(format!("{RETAINED}{time}.{id}")).ok()
}

/// Since when, as the alias says; one that says nothing is of the beginning of time.
fn retained_since(alias: &str) -> OffsetDateTime {
    let text = alias.strip_prefix(RETAINED).unwrap_or_default();
    let time = text.split('.').next().unwrap_or_default();
    PrimitiveDateTime::parse(time, TIME)
        .map_or(OffsetDateTime::UNIX_EPOCH, PrimitiveDateTime::assume_utc)
}

/// Why a bucket can't be declared under this name, if it can't.
pub(crate) fn refuse_reserved(name: &BucketName) -> Option<&'static str> {
    name.as_str().starts_with(RETAINED).then_some(
        "names that begin with \"retained.\" are kept for the marks of buckets that are out of \
         service",
    )
}

#[cfg(test)]
mod tests;
