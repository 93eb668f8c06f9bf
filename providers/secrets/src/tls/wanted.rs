//! The inputs that every certificate has.

use nixops4_provider_sdk::{Error, Result, SecretRef};

use super::{Asked, certificates};
use crate::kept::Remedy;
use crate::making::x509::{KeyType, Subject};
use nixops4_secrets_store::Span;

/// What is wanted of any certificate.
pub(crate) trait Wanted {
    fn subject(&self) -> Subject;
    fn key_type(&self) -> KeyType;
    fn validity(&self) -> Span;
    fn renew_before(&self) -> Span;
    fn authority(&self) -> Option<&SecretRef>;
    fn authority_certificate(&self) -> Option<&str>;

    /// Checks them.
    fn check(&self) -> Result<()> {
        self.subject().check()?;
        if self.renew_before() >= self.validity() {
            return Err(Error::input(
                "/renewBefore",
                format!(
                    "{} is not less than the validity of {}: it would be renewed each time",
                    self.renew_before(),
                    self.validity()
                ),
            ));
        }
        certificates(self).map(drop)
    }

    /// What is asked of it; `name` is what to do where its name or key differs.
    fn asked(&self, name: Remedy, key: Remedy) -> Vec<Asked> {
        let subject = self.subject();
        // That it can be read was checked.
        let authority = certificates(self).ok().flatten();
        let authority = authority.map(|one| one.fingerprint().to_owned());
        vec![
            Asked::new("/commonName", subject.common_name, name),
            Asked::new("/organization", subject.organization, name),
            Asked::new("/organizationalUnit", subject.organizational_unit, name),
            Asked::new("/country", subject.country, name),
            Asked::new("/keyType", self.key_type(), key),
            Asked::new("/validity", self.validity().seconds(), Remedy::Renew),
            Asked::new("/authorityCertificate", authority, Remedy::Renew),
        ]
    }
}

/// Declares the inputs of a kind of certificate: those that are given, after
/// those that every certificate has.
macro_rules! tls_inputs {
    (
        validity $validity:literal, key $key:ident;
        $(#[$meta:meta])* struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::kept::kept_inputs!(renewing $(#[$meta])* struct $name {
            /// Common name of the subject, at most 64 characters.
            #[serde(default)]
            common_name: Option<String>,
            /// Organisation of the subject.
            #[serde(default)]
            organization: Option<String>,
            /// Part of the organisation.
            #[serde(default)]
            organizational_unit: Option<String>,
            /// Country of the subject, as two capitals: `DE`.
            #[serde(default)]
            country: Option<String>,
            /// What kind of key. Browsers don't take `ed25519`; an RSA key takes
            /// seconds to make.
            #[serde(default = "default_key_type")]
            key_type: $crate::making::x509::KeyType,
            #[doc = concat!("For how long it is valid from when it is made (units s, m, h, d, w, y). ", $validity)]
            #[serde(default = "default_validity")]
            validity: nixops4_secrets_store::Span,
            /// How long before it expires it is renewed by the next apply that
            /// looks at it. Unset: a third of the validity.
            #[serde(default)]
            renew_before: Option<nixops4_secrets_store::Span>,
            /// Private key of the authority that signs it: the `secret` output
            /// of a `tls_ca`, or a file with one in PKCS #8. Unset, together with
            /// `authorityCertificate`: it signs itself.
            #[serde(default)]
            authority: Option<nixops4_provider_sdk::SecretRef>,
            /// Certificate of that authority in PEM, followed by those above it:
            /// the `chain` output of a `tls_ca`.
            #[serde(default)]
            authority_certificate: Option<String>,
            $($fields)*
        });

        impl $crate::tls::Wanted for $name {
            fn subject(&self) -> $crate::making::x509::Subject {
                $crate::making::x509::Subject {
                    common_name: self.common_name.clone(),
                    organization: self.organization.clone(),
                    organizational_unit: self.organizational_unit.clone(),
                    country: self.country.clone(),
                }
            }
            fn key_type(&self) -> $crate::making::x509::KeyType {
                self.key_type
            }
            fn validity(&self) -> nixops4_secrets_store::Span {
                self.validity
            }
            fn renew_before(&self) -> nixops4_secrets_store::Span {
                self.renew_before.unwrap_or_else(|| self.validity.third())
            }
            fn authority(&self) -> Option<&nixops4_provider_sdk::SecretRef> {
                self.authority.as_ref()
            }
            fn authority_certificate(&self) -> Option<&str> {
                self.authority_certificate.as_deref()
            }
        }

        fn default_key_type() -> $crate::making::x509::KeyType {
            $crate::making::x509::KeyType::$key
        }
    };
}

pub(crate) use tls_inputs;
