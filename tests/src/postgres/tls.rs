//! A certificate authority of one server, the server's certificate, and those of
//! its clients.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::installation::{Account, give};
use super::{HOST, write_private};

/// The authority's certificate, in the server's folder.
pub(super) const AUTHORITY: &str = "ca.pem";
/// The server's certificate.
pub(super) const CERTIFICATE: &str = "server.pem";
/// The server's key.
pub(super) const KEY: &str = "server.key";

/// The authority of a server, which makes certificates for its clients too.
pub(super) type Authority = Issuer<'static, KeyPair>;

/// A certificate to log in with, and its key, both in PEM.
#[derive(Debug)]
pub struct Client {
    /// The certificate.
    pub certificate: String,
    /// The key (PKCS #8).
    pub key: String,
}

/// Writes all three into `folder`. The authority's key is in no file.
pub(super) fn write_certificates(folder: &Path, account: Option<Account>) -> Authority {
    let (issuer, authority, certificate, key) = make().expect("cannot make a certificate");
    for (name, pem) in [(AUTHORITY, authority), (CERTIFICATE, certificate)] {
        let path = folder.join(name);
        fs::write(&path, pem)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        crate::lifeline::set_mode(&path, 0o644);
    }
    write_private(&folder.join(KEY), &key);
    give(&folder.join(KEY), account);
    issuer
}

/// For a role to log in with.
pub(super) fn client(authority: &Authority, role: &str) -> Result<Client, rcgen::Error> {
    let mut client = CertificateParams::default();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    client.distinguished_name.push(DnType::CommonName, role);
    let key = KeyPair::generate()?;
    Ok(Client {
        certificate: client.signed_by(&key, authority)?.pem(),
        key: key.serialize_pem(),
    })
}

/// The authority and its certificate, the server's and the server's key, in PEM.
fn make() -> Result<(Authority, String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "nixops4-resources tests");
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new([HOST.to_string(), "localhost".to_owned()])?;
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server
        .distinguished_name
        .push(DnType::CommonName, "PostgreSQL");
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    Ok((
        issuer,
        authority_certificate.pem(),
        certificate.pem(),
        server_key.serialize_pem(),
    ))
}
