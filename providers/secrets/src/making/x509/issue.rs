//! Issues certificates.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nixops4_provider_sdk::{Error, Result};
use rand::Rng as _;
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::authority::{Authority, fingerprint};
use super::key::Key;

/// What PEM calls a certificate.
pub(super) const CERTIFICATE: &str = "CERTIFICATE";

/// What a certificate may be used for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Usage {
    /// A TLS server.
    ServerAuth,
    /// A TLS client.
    ClientAuth,
    /// Signing programs.
    CodeSigning,
    /// S/MIME.
    EmailProtection,
}

/// Whose a certificate is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) common_name: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) organizational_unit: Option<String>,
    pub(crate) country: Option<String>,
}

/// The names that a certificate is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) dns: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) emails: Vec<String>,
    pub(crate) uris: Vec<String>,
}

impl Names {
    /// In one spelling and order, each once. Fails at the input that can't be
    /// one.
    pub(crate) fn normalised(mut self) -> Result<Self> {
        for (index, name) in self.dns.iter_mut().enumerate() {
            name.make_ascii_lowercase();
            if !is_dns_name(name) {
                return Err(Error::input(
                    format!("/dnsNames/{index}"),
                    format!("{name:?} is not a DNS name that a certificate can have"),
                )
                .hint("write host.example.org or *.example.org; a name with other letters in its xn-- form; an address in ipAddresses"));
            }
        }
        for (input, texts) in [("emailAddresses", &self.emails), ("uris", &self.uris)] {
            let odd = |text: &String| {
                let mark = if input == "uris" { ':' } else { '@' };
                !text.is_ascii() || text.contains(char::is_whitespace) || !text.contains(mark)
            };
            if let Some(index) = texts.iter().position(odd) {
                return Err(Error::input(
                    format!("/{input}/{index}"),
                    format!("{:?} can't be used here", texts[index]),
                ));
            }
        }
        for texts in [&mut self.dns, &mut self.emails, &mut self.uris] {
            texts.sort();
            texts.dedup();
        }
        self.addresses.sort();
        self.addresses.dedup();
        Ok(self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dns.is_empty()
            && self.addresses.is_empty()
            && self.emails.is_empty()
            && self.uris.is_empty()
    }

    fn sans(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let text = |text: &String| Ia5String::try_from(text.as_str());
        let mut sans = Vec::new();
        for name in &self.dns {
            sans.push(SanType::DnsName(text(name)?));
        }
        sans.extend(self.addresses.iter().copied().map(SanType::IpAddress));
        for email in &self.emails {
            sans.push(SanType::Rfc822Name(text(email)?));
        }
        for uri in &self.uris {
            sans.push(SanType::URI(text(uri)?));
        }
        Ok(sans)
    }
}

fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253 && rest.split('.').all(is_label) && rest.parse::<IpAddr>().is_err()
}

/// An authority's certificate or another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It signs others; with so many authorities between it and those at most.
    Authority { path_length: Option<u8> },
    /// It is used itself.
    End { usages: Vec<Usage> },
}

/// What a certificate says.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) subject: Subject,
    pub(crate) names: Names,
    pub(crate) purpose: Purpose,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

/// A certificate that was made.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    /// The certificate, in PEM.
    pub(crate) certificate: String,
    /// It and the authorities between it and the root, in PEM. Of a root, it
    /// alone.
    pub(crate) chain: String,
    /// In hex.
    pub(crate) serial: String,
    /// SHA-256 of it in DER, in hex.
    pub(crate) fingerprint: String,
}

impl Profile {
    /// Signs a certificate of this key; by itself if there is no authority.
    pub(crate) fn issue(&self, key: &Key, authority: Option<&Authority>) -> Result<Issued> {
        let serial = serial();
        let issued = self
            .sign(key, authority, &serial)
            .map_err(|error| Error::new("unable to issue a certificate").because(error))?;
        let certificate = pem(CERTIFICATE, issued.der());
        let above = authority.map_or("", |authority| authority.certificates().intermediates());
        Ok(Issued {
            chain: format!("{certificate}{above}"),
            fingerprint: fingerprint(issued.der()),
            serial: hex::encode(serial),
            certificate,
        })
    }

    fn sign(
        &self,
        key: &Key,
        authority: Option<&Authority>,
        serial: &[u8],
    ) -> Result<Certificate, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = self.subject.name()?;
        params.subject_alt_names = self.names.sans()?;
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.use_authority_key_identifier_extension = true;
        match &self.purpose {
            Purpose::Authority { path_length } => {
                let length = path_length.map_or(
                    BasicConstraints::Unconstrained,
                    BasicConstraints::Constrained,
                );
                params.is_ca = IsCa::Ca(length);
                params.key_usages = vec![
                    KeyUsagePurpose::DigitalSignature,
                    KeyUsagePurpose::KeyCertSign,
                    KeyUsagePurpose::CrlSign,
                ];
            }
            Purpose::End { usages } => {
                params.is_ca = IsCa::ExplicitNoCa;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                if key.is_rsa() {
                    params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
                }
                params.extended_key_usages = usages.iter().map(|usage| extended(*usage)).collect();
            }
        }
        match authority {
            None => params.self_signed(key.pair()),
            Some(authority) => params.signed_by(key.pair(), &authority.issuer()?),
        }
    }
}

impl Subject {
    /// Fails at the input that can't be part of a name.
    pub(crate) fn check(&self) -> Result<()> {
        // RFC 5280, appendix A.
        let lengths = [
            ("/commonName", &self.common_name),
            ("/organization", &self.organization),
            ("/organizationalUnit", &self.organizational_unit),
        ];
        for (pointer, text) in lengths {
            let length = text.as_ref().map_or(1, |text| text.chars().count());
            if !(1..=64).contains(&length) {
                return Err(Error::input(pointer, "this has to have 1 to 64 characters"));
            }
        }
        let is_code =
            |code: &String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        match &self.country {
            Some(country) if !is_code(country) => Err(Error::input(
                "/country",
                "this has to be the code of a country in two capitals, such as DE",
            )),
            _ => Ok(()),
        }
    }

    fn name(&self) -> Result<DistinguishedName, rcgen::Error> {
        let mut name = DistinguishedName::new();
        if let Some(country) = &self.country {
            let country = PrintableString::try_from(country.as_str())?;
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        for (part, text) in [
            (DnType::OrganizationName, &self.organization),
            (DnType::OrganizationalUnitName, &self.organizational_unit),
            (DnType::CommonName, &self.common_name),
        ] {
            if let Some(text) = text {
                name.push(part, text.as_str());
            }
        }
        Ok(name)
    }
}

fn extended(usage: Usage) -> ExtendedKeyUsagePurpose {
    match usage {
        Usage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
        Usage::CodeSigning => ExtendedKeyUsagePurpose::CodeSigning,
        Usage::EmailProtection => ExtendedKeyUsagePurpose::EmailProtection,
    }
}

/// A positive number of 16 bytes: 126 bits are random, and none is a sign.
fn serial() -> [u8; 16] {
    let mut serial = [0; 16];
    rand::rng().fill_bytes(&mut serial);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}

/// RFC 7468.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}
