//! The kind `secrets_tls_ca`.

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{Error, Result, StateNeed};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use super::{Asked, Public, Wanted, rfc3339, tls_inputs};
use crate::kept::{Current, Keeps, Making, Misfit, New, References, Remedy};
use crate::making::x509::{Names, Profile, Purpose};
use nixops4_secrets_store::Span;

tls_inputs!(
validity "Default: ten years.", key EcdsaP256;
/// A certificate authority: a private key, kept in a secrets store, and a
/// certificate that may sign others. A root signs itself; with `authority` it is
/// an intermediate.
///
/// It is renewed ahead of its expiry, with the same key and name, so that what
/// it signed stays valid. A new key comes with a higher `generation`;
/// `trustedCertificates` then holds the old one as well.
struct Inputs {
    /// How many authorities may stand between it and a certificate in use. Unset:
    /// any number.
    #[serde(default)]
    #[schemars(range(max = 32))]
    path_length: Option<u8>,
});

/// What an expression can read of an authority.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The reference to the private key: the `authority` of what it signs.
    secret: StoredSecret,
    /// The certificate, in PEM.
    certificate: String,
    /// The certificate and those above it without the root; of a root, it alone.
    /// In PEM: the `authorityCertificate` of what it signs.
    chain: String,
    /// The certificate and those before it that have not expired, in PEM: what
    /// to trust while everything moves from an old key to a new one.
    trusted_certificates: String,
    /// SHA-256 of the certificate, in hex.
    fingerprint: String,
    /// Serial number, in hex.
    serial_number: String,
    /// From when it is valid (RFC 3339).
    not_before: String,
    /// Until when it is valid (RFC 3339).
    not_after: String,
    /// From when it is renewed (RFC 3339).
    renew_after: String,
}

/// See [`Inputs`].
pub(crate) struct TlsCa;

impl Keeps for TlsCa {
    const TYPE: &'static str = "secrets_tls_ca";
    // Upstream skips what is recorded and whose inputs didn't change; without a
    // record it looks at it each time, and it is renewed in time.
    const STATE: StateNeed = StateNeed::OnRequest;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Public = Public;
    type Sources = ();

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.common_name.is_none() {
            return Err(Error::input(
                "/commonName",
                "an authority needs a name, which its certificates then carry as their issuer",
            ));
        }
        if inputs.path_length.is_some_and(|length| length > 32) {
            return Err(Error::input("/pathLength", "this can be 0 to 32"));
        }
        inputs.check()?;
        let Some(above) = super::certificates(inputs)? else {
            return Ok(());
        };
        // RFC 5280, section 6.1.4: what stands below counts.
        match (above.path_length(), inputs.path_length) {
            (Some(0), _) => Err(Error::input(
                "/authorityCertificate",
                "this authority may sign no other authorities: its path length is 0",
            )),
            (Some(above), Some(length)) if u32::from(length) >= above => Err(Error::input(
                "/pathLength",
                format!("{length} is not below that of the authority above, {above}"),
            )),
            _ => Ok(()),
        }
    }

    fn misfits(
        inputs: &Inputs,
        current: &Current<Public>,
        (): &(),
        now: OffsetDateTime,
    ) -> Vec<Misfit> {
        super::misfits(
            asked(inputs),
            current,
            inputs.renew_before(),
            Remedy::Renew,
            now,
        )
    }

    async fn make(making: &mut Making<'_, Public>, inputs: &Inputs) -> Result<New<Public>> {
        let authority = super::authority(making.cx, inputs).await?;
        let above = super::certificates(inputs)?;
        let (not_before, not_after) = super::validity(inputs, above.as_ref())?;
        let key = super::key(making, inputs.key_type).await?;
        let profile = Profile {
            subject: inputs.subject(),
            names: Names::default(),
            purpose: Purpose::Authority {
                path_length: inputs.path_length,
            },
            not_before,
            not_after,
        };
        super::issued(&profile, asked(inputs), &key, authority.as_ref())
    }

    fn outputs(inputs: &Inputs, secret: References<Public>, public: &Public) -> Outputs {
        let now = OffsetDateTime::now_utc();
        let older = secret.older.iter().filter(|older| older.not_after > now);
        let older = older.map(|older| older.certificate.as_str());
        Outputs {
            secret: secret.secret,
            trusted_certificates: [public.certificate.as_str()]
                .into_iter()
                .chain(older)
                .collect(),
            certificate: public.certificate.clone(),
            chain: public.chain.clone(),
            fingerprint: public.fingerprint.clone(),
            serial_number: public.serial_number.clone(),
            not_before: rfc3339(public.not_before),
            not_after: rfc3339(public.not_after),
            renew_after: rfc3339(super::renewal(public.not_after, inputs.renew_before())),
        }
    }
}

fn asked(inputs: &Inputs) -> Vec<Asked> {
    // Another name or key would make everything that it signed invalid.
    let mut asked = inputs.asked(Remedy::Refuse, Remedy::Refuse);
    asked.push(Asked::new("/pathLength", inputs.path_length, Remedy::Renew));
    asked
}

fn default_validity() -> Span {
    Span::days(3650)
}
