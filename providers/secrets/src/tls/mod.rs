//! What authorities and other certificates have in common as resources.

pub(crate) mod ca;
pub(crate) mod certificate;
mod wanted;

use std::collections::BTreeMap;

use nixops4_provider_sdk::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::aside::aside;
use crate::kept::{Current, Making, Misfit, New, Remedy};
use crate::making::x509::{Authority, Certificates, Issued, Key, KeyType, Profile};
use nixops4_secrets_store::Span;

pub(crate) use wanted::{Wanted, tls_inputs};

/// Clocks differ: a certificate is valid from a little before it is made.
const SLACK: time::Duration = time::Duration::minutes(5);

/// What is public of a certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Public {
    certificate: String,
    chain: String,
    serial_number: String,
    fingerprint: String,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    /// What was asked for, by JSON pointer. What an older version did not write
    /// down isn't compared, so that a new input renews nothing.
    #[serde(default)]
    asked: BTreeMap<String, Value>,
}

/// One thing that is asked of a certificate.
pub(crate) struct Asked {
    pointer: &'static str,
    value: Value,
    remedy: Remedy,
}

impl Asked {
    pub(crate) fn new(pointer: &'static str, value: impl Serialize, remedy: Remedy) -> Self {
        Self {
            pointer,
            // Texts, numbers and lists of them: JSON carries them.
            value: serde_json::to_value(value).unwrap_or_default(),
            remedy,
        }
    }
}

/// In what a certificate doesn't fit what is asked, and whether it is due.
fn misfits(
    asked: Vec<Asked>,
    current: &Current<Public>,
    renew_before: Span,
    on_expiry: Remedy,
    now: OffsetDateTime,
) -> Vec<Misfit> {
    let there = &current.public;
    let mut misfits: Vec<_> = asked
        .into_iter()
        .filter_map(|asked| {
            let before = there.asked.get(asked.pointer)?;
            (*before != asked.value)
                .then(|| Misfit::new(asked.pointer, before.clone(), asked.value, asked.remedy))
        })
        .collect();
    if renewal(there.not_after, renew_before) <= now {
        let note = format!(
            "it expires at {}, and is renewed {renew_before} ahead",
            rfc3339(there.not_after)
        );
        let (before, after) = (there.not_after, "renewed");
        let misfit = Misfit::new("/renewBefore", rfc3339(before), after, on_expiry);
        misfits.push(misfit.note(note));
    }
    misfits
}

/// When a certificate is due.
fn renewal(not_after: OffsetDateTime, renew_before: Span) -> OffsetDateTime {
    not_after - renew_before.duration()
}

fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// The key of a certificate that is made now.
async fn key(making: &mut Making<'_, Public>, key_type: KeyType) -> Result<Key> {
    if !making.afresh
        && let Some(value) = making.current_value().await?
    {
        return Key::read(&value).map_err(|error| error.at("/name"));
    }
    aside(making.cx, move |given_up| {
        Key::make(key_type, &|| given_up.is_so())
    })
    .await?
}

/// Reads the authority's certificates, if there is one.
fn certificates(wanted: &(impl Wanted + ?Sized)) -> Result<Option<Certificates>> {
    match (wanted.authority(), wanted.authority_certificate()) {
        (None, None) => Ok(None),
        (Some(_), Some(pem)) => Certificates::read(pem)
            .map(Some)
            .map_err(|error| error.at("/authorityCertificate")),
        (Some(_), None) => Err(Error::input(
            "/authorityCertificate",
            "with `authority`, its certificate is needed as well",
        )
        .hint("use the `chain` output of the tls_ca whose `secret` is the authority")),
        (None, Some(_)) => Err(Error::input(
            "/authority",
            "with `authorityCertificate`, the authority's private key is needed as well",
        )
        .hint("use the `secret` output of the tls_ca whose `chain` this is")),
    }
}

async fn authority(cx: &Context, wanted: &impl Wanted) -> Result<Option<Authority>> {
    let (Some(certificates), Some(reference)) = (certificates(wanted)?, wanted.authority()) else {
        return Ok(None);
    };
    let pem = cx.secret(reference, "/authority").await?;
    let key = Key::read(&pem).map_err(|error| error.at("/authority"))?;
    let authority = Authority::new(certificates, key);
    authority.map(Some).map_err(|error| error.at("/authority"))
}

/// From when until when a certificate is valid that is made now. Fails if it
/// would outlive its authority.
fn validity(
    wanted: &impl Wanted,
    authority: Option<&Certificates>,
) -> Result<(OffsetDateTime, OffsetDateTime)> {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    let not_after = now + wanted.validity().duration();
    match authority {
        Some(authority) if authority.not_after() < not_after => Err(Error::input(
            "/validity",
            format!(
                "the certificate would be valid until {}, longer than its authority, which is \
                 until {}",
                rfc3339(not_after),
                rfc3339(authority.not_after())
            ),
        )
        .hint(
            "renew the authority first (its `renewBefore` should be longer than this validity), \
             or shorten the validity",
        )),
        _ => Ok((now - SLACK, not_after)),
    }
}

/// Issues a certificate and notes what was asked for.
fn issued(
    profile: &Profile,
    asked: Vec<Asked>,
    key: &Key,
    authority: Option<&Authority>,
) -> Result<New<Public>> {
    let Issued {
        certificate,
        chain,
        serial,
        fingerprint,
    } = profile.issue(key, authority)?;
    Ok(New {
        value: key.pem(),
        public: Public {
            certificate,
            chain,
            serial_number: serial,
            fingerprint,
            not_before: profile.not_before,
            not_after: profile.not_after,
            asked: asked
                .into_iter()
                .map(|asked| (asked.pointer.to_owned(), asked.value))
                .collect(),
        },
    })
}
