//! What the address of a store in PostgreSQL says, and libpq's environment variables
//! and password file where it says nothing. `sqlx` reads all three; what it doesn't
//! show of them is read here.

use std::env::var;
use std::fs;
use std::str::FromStr as _;

use nixops4_postgresql_client::{ClientCertificate, Failure, Method, Place, Target, Tls, TlsMode};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::url::REQUIRE_AUTH;

/// What our sessions are called in `pg_stat_activity`, unless the address says.
const APPLICATION: &str = "nixops4-secrets-store";

/// Where to log in, and how.
pub(super) fn target(address: &Url) -> Result<Target, Failure> {
    let options = PgConnectOptions::from_str(without_ours(address).as_str())
        .map_err(|error| Failure::Unsupported(error.to_string()))?;
    let host = match options.get_socket() {
        Some(folder) => folder.to_string_lossy().into_owned(),
        None => options.get_host().to_owned(),
    };
    let place = Place::new(&host, options.get_port());
    let user = options.get_username().to_owned();
    Ok(Target {
        tls: Tls {
            mode: mode(address, &options, &place),
            authorities: authorities(address)?,
            certificate: certificate(address)?,
        },
        require_auth: require_auth(address)?,
        password: password(&options),
        // The server's own default.
        database: options.get_database().unwrap_or(&user).to_owned(),
        application: options
            .get_application_name()
            .unwrap_or(APPLICATION)
            .to_owned(),
        options: options.get_options().unwrap_or_default().to_owned(),
        place,
        user,
    })
}

/// `sqlx` warns of what it doesn't know.
fn without_ours(address: &Url) -> Url {
    let mut rest = address.clone();
    let others = address.query_pairs();
    let others: Vec<_> = others.filter(|(name, _)| name != REQUIRE_AUTH).collect();
    rest.set_query(None);
    if !others.is_empty() {
        rest.query_pairs_mut().extend_pairs(others);
    }
    rest
}

fn parameter(address: &Url, name: &str) -> Option<String> {
    let mut pairs = address.query_pairs();
    let found = pairs.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

fn mode(address: &Url, options: &PgConnectOptions, place: &Place) -> TlsMode {
    let is_said = var("PGSSLMODE").is_ok() || parameter(address, "sslmode").is_some();
    if !is_said {
        // `prefer`, the default of libpq, would talk to whoever answers.
        return TlsMode::default_at(place);
    }
    match options.get_ssl_mode() {
        PgSslMode::Disable | PgSslMode::Allow => TlsMode::Disable,
        PgSslMode::Prefer => TlsMode::Prefer,
        PgSslMode::Require => TlsMode::Require,
        PgSslMode::VerifyCa => TlsMode::VerifyCa,
        PgSslMode::VerifyFull => TlsMode::VerifyFull,
    }
}

fn require_auth(address: &Url) -> Result<Option<Vec<Method>>, Failure> {
    let said = parameter(address, REQUIRE_AUTH).or_else(|| var("PGREQUIREAUTH").ok());
    let Some(text) = said.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let methods = Method::parse_list(&text);
    methods.map(Some).ok_or_else(|| {
        Failure::Unsupported(format!(
            "PGREQUIREAUTH is no list of {}",
            Method::ALL.map(Method::name).join(", ")
        ))
    })
}

fn authorities(address: &Url) -> Result<Option<Vec<u8>>, Failure> {
    pem(address, "sslrootcert", "PGSSLROOTCERT").map_err(Failure::Authorities)
}

fn certificate(address: &Url) -> Result<Option<ClientCertificate>, Failure> {
    let of = |name, variable| pem(address, name, variable).map_err(Failure::Certificate);
    match (of("sslcert", "PGSSLCERT")?, of("sslkey", "PGSSLKEY")?) {
        (Some(chain), Some(key)) => {
            let key = String::from_utf8(key)
                .map_err(|_| Failure::Certificate("the key is no PEM".to_owned()))?;
            let key = SecretString::from(key);
            Ok(Some(ClientCertificate { chain, key }))
        }
        (None, None) => Ok(None),
        _ => Err(Failure::Certificate(
            "a certificate and its key are of no use without each other".to_owned(),
        )),
    }
}

/// What a file holds that the address or a variable names; a variable may hold it
/// itself.
fn pem(address: &Url, name: &str, variable: &str) -> Result<Option<Vec<u8>>, String> {
    let path = match parameter(address, name) {
        Some(path) => path,
        None => match var(variable) {
            Ok(text) if text.trim_start().starts_with("-----BEGIN") => {
                return Ok(Some(text.into_bytes()));
            }
            Ok(path) => path,
            Err(_) => return Ok(None),
        },
    };
    let read = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(Some(read))
}

/// `sqlx` has read it, and shows it in an address alone.
fn password(options: &PgConnectOptions) -> Option<SecretString> {
    // Names that stand in an address as they are.
    let shown = options.clone().username("user").host("host").database("db");
    let shown = zeroize::Zeroizing::new(shown.to_url_lossy().password()?.to_owned());
    let password = percent_decode_str(&shown).decode_utf8_lossy();
    Some(SecretString::from(password.into_owned()))
}
