//! The kind `secrets_tls_certificate`.

use std::net::IpAddr;

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{DeletionPolicy, Error, Result, StateNeed};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use super::{Asked, Public, Wanted, rfc3339, tls_inputs};
use crate::kept::{Current, Keeps, Making, Misfit, New, References, Remedy, defaults};
use crate::making::x509::{Names, Profile, Purpose, Usage};
use nixops4_secrets_store::Span;

tls_inputs!(
validity "Default: 90 days.", key EcdsaP256;
/// A certificate with its private key, which is kept in a secrets store. It is
/// renewed ahead of its expiry, whenever its inputs change, and whenever its
/// authority is renewed.
struct Inputs {
    /// DNS names that it is for, such as `host.example.org` or `*.example.org`.
    #[serde(default)]
    dns_names: Vec<String>,
    /// IP addresses that it is for.
    #[serde(default)]
    ip_addresses: Vec<String>,
    /// Mail addresses that it is for.
    #[serde(default)]
    email_addresses: Vec<String>,
    /// URIs that it is for.
    #[serde(default)]
    uris: Vec<String>,
    /// What it may be used for: `serverAuth`, `clientAuth`, `codeSigning`,
    /// `emailProtection`.
    #[serde(default = "server")]
    usages: Vec<Usage>,
    /// Whether a renewal makes a new private key. Set it to false where others
    /// know the key, as with DANE.
    #[serde(default = "defaults::yes")]
    renew_key: bool,
});

/// What an expression can read of a certificate.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The reference to the private key, which is in PEM (PKCS #8).
    secret: StoredSecret,
    /// The certificate, in PEM.
    certificate: String,
    /// The certificate and the authorities between it and the root, in PEM: what
    /// a server sends.
    chain: String,
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
pub(crate) struct TlsCertificate;

impl Keeps for TlsCertificate {
    const TYPE: &'static str = "secrets_tls_certificate";
    // As with an authority: it has to be looked at each time.
    const STATE: StateNeed = StateNeed::OnRequest;
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const FOLLOWS: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Public = Public;
    type Sources = ();

    fn validate(inputs: &Inputs) -> Result<()> {
        let names = names(inputs)?;
        if inputs.usages.is_empty() {
            return Err(Error::input(
                "/usages",
                "a certificate for nothing is of no use; name at least one usage",
            ));
        }
        if inputs.usages.contains(&Usage::ServerAuth)
            && names.dns.is_empty()
            && names.addresses.is_empty()
        {
            return Err(Error::input(
                "/dnsNames",
                "a server's certificate needs a DNS name or an IP address: clients look at no \
                 other name",
            ));
        }
        if names.is_empty() && inputs.common_name.is_none() {
            return Err(Error::input(
                "/commonName",
                "a certificate needs a name: this one, or one in dnsNames, ipAddresses, \
                 emailAddresses or uris",
            ));
        }
        inputs.check()
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
            renewal(inputs),
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
            names: names(inputs)?,
            purpose: Purpose::End {
                usages: usages(inputs),
            },
            not_before,
            not_after,
        };
        super::issued(&profile, asked(inputs), &key, authority.as_ref())
    }

    fn outputs(inputs: &Inputs, secret: References<Public>, public: &Public) -> Outputs {
        Outputs {
            secret: secret.secret,
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

fn renewal(inputs: &Inputs) -> Remedy {
    if inputs.renew_key {
        Remedy::RenewAfresh
    } else {
        Remedy::Renew
    }
}

fn asked(inputs: &Inputs) -> Vec<Asked> {
    let renewal = renewal(inputs);
    let names = names(inputs).unwrap_or_default();
    let mut asked = inputs.asked(renewal, Remedy::RenewAfresh);
    asked.push(Asked::new("/dnsNames", names.dns, renewal));
    asked.push(Asked::new("/ipAddresses", names.addresses, renewal));
    asked.push(Asked::new("/emailAddresses", names.emails, renewal));
    asked.push(Asked::new("/uris", names.uris, renewal));
    asked.push(Asked::new("/usages", usages(inputs), renewal));
    asked
}

fn usages(inputs: &Inputs) -> Vec<Usage> {
    let mut usages = inputs.usages.clone();
    usages.sort_unstable();
    usages.dedup();
    usages
}

fn names(inputs: &Inputs) -> Result<Names> {
    let address = |(index, text): (usize, &String)| {
        text.parse::<IpAddr>().map_err(|_| {
            Error::input(
                format!("/ipAddresses/{index}"),
                format!("{text:?} is not an IP address"),
            )
        })
    };
    let addresses = inputs.ip_addresses.iter().enumerate().map(address);
    Names {
        dns: inputs.dns_names.clone(),
        addresses: addresses.collect::<Result<_>>()?,
        emails: inputs.email_addresses.clone(),
        uris: inputs.uris.clone(),
    }
    .normalised()
}

fn server() -> Vec<Usage> {
    vec![Usage::ServerAuth]
}

fn default_validity() -> Span {
    Span::days(90)
}
