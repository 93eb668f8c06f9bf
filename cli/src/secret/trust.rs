//! `secret trust`: by which key a store is known here, and by which it is there.

use nixops4_secrets_store::environment::{identities, store_url};
use nixops4_secrets_store::{Fingerprint, Identities, OpenOptions, Store, StoreUrl};

use crate::failure::Failure;
use crate::ui::{Reader, Ui};

use super::args::Trust;
use super::report;

/// Does it, for the store of that logical name.
pub(super) async fn run(wanted: &Trust, name: &str, ui: &Ui) -> Result<(), Failure> {
    let (url, identities) = (store_url(name)?, identities()?);
    if let Some(notice) = identities.notice() {
        ui.said("warning", &notice.to_string());
    }
    match wanted.accept {
        Some(key) => accept(&url, &identities, key, ui).await,
        None if wanted.forget => forget(&url, &identities, ui).await,
        None => show(name, &url, &identities, ui).await,
    }
}

async fn show(name: &str, url: &StoreUrl, identities: &Identities, ui: &Ui) -> Result<(), Failure> {
    let seen = OpenOptions::default().inspect(url, identities).await?;
    let trust = report::Trust::new(name, url, identities, &seen);
    match ui.reader() {
        Reader::Machine => ui.json(&trust, true),
        Reader::Person => ui.print(&report::trust(&trust, ui.paint())),
    }
    Ok(())
}

async fn accept(
    url: &StoreUrl,
    identities: &Identities,
    key: Fingerprint,
    ui: &Ui,
) -> Result<(), Failure> {
    let options = OpenOptions::default().accepting(key);
    let store = options.open(url, identities).await?;
    super::warn(&store, ui);
    match ui.reader() {
        Reader::Machine => ui.json(&report::Accepted::new(url, key), true),
        Reader::Person => ui.print(&format!(
            "accepted: the store at {url} is known by the key {key} from now on. See who can open \
             it with `nixops4-resources secret recipients list`\n"
        )),
    }
    Ok(())
}

async fn forget(url: &StoreUrl, identities: &Identities, ui: &Ui) -> Result<(), Failure> {
    let was_known = Store::forget(url, identities).await?;
    match ui.reader() {
        Reader::Machine => ui.json(&report::Forgotten::new(url, was_known), true),
        Reader::Person if was_known => ui.print(&format!(
            "forgotten: the next store at {url} is met as if for the first time\n"
        )),
        Reader::Person => ui.print(&format!("nothing was known of {url}\n")),
    }
    Ok(())
}
