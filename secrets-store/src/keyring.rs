//! What this process can decrypt and whom it trusts: our identities, the store's
//! key that they open, and the recipients and entries that this key vouches for.
//! It reads through `rows`, and writes a store's key and nothing else. Whether the
//! key is that of the store which is known here is decided in `recognition`.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::SecretString;
use crate::database::{self, Transaction};
use crate::entry::{Entry, Version};
use crate::error::Error;
use crate::identity::Identities;
use crate::known::{self, Held, Known};
use crate::name::SecretName;
use crate::notice::Notice;
use crate::recipient::Recipient;
use crate::recognition::{self, Recognised, Recognition};
use crate::rows::{self, SealedRow, StoreRow, TaggedEntry};
use crate::seal::{self, Label, StoreKey, Unopened};
use crate::succession::{self, Fingerprint, Link, PublicKey};
use crate::url::StoreUrl;

/// The keys of an open store.
pub(crate) struct Keyring {
    pub(crate) url: StoreUrl,
    pub(crate) identities: Identities,
    /// The store's own id, which its key vouches for.
    id: String,
    /// The ciphertext that `key` came from. Another one in the store means that
    /// somebody changed the recipients, and the key with them.
    sealed: Vec<u8>,
    key: StoreKey,
    /// The public keys by which the store is known, the oldest first. The last is that
    /// of `key`, once a change of it is settled.
    line: Vec<Fingerprint>,
    /// Whether the store can say which key came after which.
    has_succession: bool,
    /// Whether it may have the schema of a time before it vouched for its entries.
    may_be_of_old: bool,
    /// What has to be noted of the store.
    news: Option<News>,
}

/// Something about the store that is not noted yet.
struct News {
    known: Known,
    notice: Option<Notice>,
    /// Keeps others from noting anything meanwhile.
    held: Option<Held>,
}

/// What is believed of a store before it is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Belief {
    /// The key that it has to have begun with, as a reference says.
    pub(crate) root: Option<Fingerprint>,
    /// The key that somebody has accepted.
    pub(crate) accepted: Option<Fingerprint>,
    /// That it was made here, just now.
    pub(crate) is_ours: bool,
}

impl Keyring {
    /// Opens the store's key, and holds it against what is known.
    pub(crate) async fn unlock(
        tx: &mut Transaction<'_>,
        url: &StoreUrl,
        identities: &Identities,
        has_succession: bool,
        belief: Belief,
    ) -> Result<Self, Error> {
        let mut keyring = Self::open_key(tx, url, identities, has_succession).await?;
        keyring.recognise(tx, belief).await?;
        Ok(keyring)
    }

    /// Opens the store's key, whatever is known.
    pub(crate) async fn open_key(
        tx: &mut Transaction<'_>,
        url: &StoreUrl,
        identities: &Identities,
        has_succession: bool,
    ) -> Result<Self, Error> {
        let read = |error| database::explain(url, "read the key", error);
        let row = rows::store(tx.on()).await.map_err(read)?;
        let listed = listed(tx, url).await?;
        let ours = identities.recipients();
        let key = match seal::open_key(identities, &row.store_key) {
            Ok(key) => key,
            Err(Unopened::NotForUs)
                if !ours.iter().any(|r| listed.iter().any(|l| l == r.as_str())) =>
            {
                return Err(Error::WrongIdentity {
                    store: url.to_string(),
                    identity: identities.source().to_owned(),
                    ours: join(ours.iter().map(Recipient::as_str)),
                    recipients: join(listed.iter().map(String::as_str)),
                });
            }
            Err(problem) => return Err(tampered(url, format!("its key: {problem}"))),
        };
        let keyring = Self {
            url: url.clone(),
            identities: identities.clone(),
            id: row.id.clone(),
            sealed: row.store_key.clone(),
            line: Vec::new(),
            has_succession,
            may_be_of_old: false,
            news: None,
            key,
        };
        keyring.vouch(&row, &listed)?;
        Ok(keyring)
    }

    /// Fails if the store is not the one that is known.
    async fn recognise(&mut self, tx: &mut Transaction<'_>, belief: Belief) -> Result<(), Error> {
        let known = known::all(self.identities.known_stores())?;
        let address = self.url.address();
        let present = self.present();
        let found = present.fingerprint();
        match belief.accepted {
            Some(given) if given != found => {
                return Err(Error::NotAccepted {
                    store: self.url.to_string(),
                    found,
                    given,
                });
            }
            Some(_) => {
                self.line = self.line_to(tx, &present).await?;
                self.may_be_of_old = true;
                self.note(None);
            }
            None => match recognition::at(&known, &address) {
                // The usual case, in which the store is asked for nothing more.
                Some(here) if here.last() == Some(&found) => self.line = here.keys().to_vec(),
                _ => {
                    let line = self.line_to(tx, &present).await?;
                    let recognised = recognition::recognise(&known, &address, &line);
                    self.take(recognised, belief)?;
                }
            },
        }
        match belief.root {
            Some(root) if !self.line.contains(&root) => {
                let line = self.line_to(tx, &present).await?;
                if line.contains(&root) {
                    return Ok(());
                }
                Err(self.other_root(root, &line))
            }
            _ => Ok(()),
        }
    }

    /// Goes by what was recognised, or fails.
    fn take(&mut self, recognised: Recognised, belief: Belief) -> Result<(), Error> {
        if let Some(refusal) = recognition::refusal(&self.url, &recognised) {
            return Err(refusal);
        }
        let is_new = recognised.as_what == Recognition::New;
        if let Some(root) = belief.root
            && is_new
            && !recognised.keys.contains(&root)
        {
            return Err(self.other_root(root, &recognised.keys));
        }
        self.may_be_of_old = is_new && belief.root.is_none();
        // A reference vouches for it, or nobody else can have made it.
        let is_vouched_for = belief.is_ours || belief.root.is_some();
        let notice = recognised.keys.last().filter(|_| is_new && !is_vouched_for);
        let notice = notice.map(|key| Notice::FirstUse {
            store: self.url.to_string(),
            key: *key,
        });
        self.line = recognised.keys;
        self.note(notice);
        if let (Some(news), Some(known), Recognition::Known) =
            (&mut self.news, recognised.known, recognised.as_what)
        {
            news.known.since = known.since;
        }
        Ok(())
    }

    fn other_root(&self, expected: Fingerprint, line: &[Fingerprint]) -> Error {
        Error::OtherRoot {
            store: self.url.to_string(),
            expected,
            found: line.first().copied().unwrap_or(expected),
        }
    }

    fn note(&mut self, notice: Option<Notice>) {
        self.news = Some(News {
            known: Known::new(&self.url, crate::store::now(), &self.line),
            notice,
            held: None,
        });
    }

    /// Keeps others from noting anything until this has been noted.
    pub(crate) fn hold(&mut self, held: Option<Held>) {
        if let Some(news) = &mut self.news {
            news.held = held;
        }
    }

    /// Notes what is new of the store, and says what somebody should hear. Call it once
    /// what is to be noted lasts.
    pub(crate) async fn settle(&mut self) -> Vec<Notice> {
        let Some(news) = self.news.take() else {
            return Vec::new();
        };
        let News {
            known,
            notice,
            held,
        } = news;
        let file = self.identities.known_stores();
        match known::note(file, &known, held).await {
            Ok(true) => notice.into_iter().collect(),
            // Somebody else has met it, or made it, a moment ago.
            Ok(false) => Vec::new(),
            Err(error) => {
                let unwritten = Notice::NotNoted {
                    store: self.url.to_string(),
                    file: file.to_owned(),
                    reason: error.to_string(),
                };
                notice.into_iter().chain([unwritten]).collect()
            }
        }
    }

    /// The public key of the store's key.
    fn present(&self) -> PublicKey {
        self.key.signer().public()
    }

    /// The keys that lead to that one, by what the store says.
    async fn line_to(
        &self,
        tx: &mut Transaction<'_>,
        present: &PublicKey,
    ) -> Result<Vec<Fingerprint>, Error> {
        let links = if self.has_succession {
            let read = |error| database::explain(&self.url, "read its succession of keys", error);
            rows::succession(tx.on()).await.map_err(read)?
        } else {
            Vec::new()
        };
        Ok(succession::line(&self.id, &links, present))
    }

    /// The store's id, the keys that lead to its present one, and what is known of
    /// it.
    pub(crate) async fn inspect(
        &self,
        tx: &mut Transaction<'_>,
    ) -> Result<(String, Vec<Fingerprint>, Recognised), Error> {
        let line = self.line_to(tx, &self.present()).await?;
        let known = known::all(self.identities.known_stores())?;
        let recognised = recognition::recognise(&known, &self.url.address(), &line);
        Ok((self.id.clone(), line, recognised))
    }

    /// Whether nothing tells that it was in use already: it is noted nowhere here, and no
    /// reference leads to it; or somebody has accepted it as it is.
    pub(crate) fn may_be_of_old(&self) -> bool {
        self.may_be_of_old
    }

    /// The key that the store began with.
    pub(crate) fn root(&self) -> Option<Fingerprint> {
        self.line.first().copied()
    }

    /// Follows the store's key, if somebody changed it. Call it at the start of
    /// each transaction.
    pub(crate) async fn follow(&mut self, tx: &mut Transaction<'_>) -> Result<StoreRow, Error> {
        let read = |error| database::explain(&self.url, "read the key", error);
        let row = rows::store(tx.on()).await.map_err(read)?;
        if self.id != row.id {
            return Err(tampered(
                &self.url,
                "another store stands in its place".into(),
            ));
        }
        if self.sealed != row.store_key {
            let key = seal::open_key(&self.identities, &row.store_key)
                .map_err(|problem| tampered(&self.url, format!("its key: {problem}")))?;
            self.succeed(tx, &key.signer().public()).await?;
            self.key = key;
            self.sealed.clone_from(&row.store_key);
        }
        Ok(row)
    }

    /// Fails unless that key follows the one that is known.
    async fn succeed(
        &mut self,
        tx: &mut Transaction<'_>,
        present: &PublicKey,
    ) -> Result<(), Error> {
        if self.line.last() == Some(&present.fingerprint()) {
            return Ok(());
        }
        let line = self.line_to(tx, present).await?;
        let known = Known::new(&self.url, crate::store::now(), &self.line);
        let address = self.url.address();
        let recognised = recognition::recognise(&[known], &address, &line);
        if let Some(refusal) = recognition::refusal(&self.url, &recognised) {
            return Err(refusal);
        }
        self.line = recognised.keys;
        self.note_change().await;
        Ok(())
    }

    /// Notes the key that the store has now, which follows the one that was noted.
    async fn note_change(&self) {
        let file = self.identities.known_stores();
        let since = known::all(file)
            .ok()
            .and_then(|known| Some(recognition::at(&known, &self.url.address())?.since));
        let since = since.unwrap_or_else(crate::store::now);
        // If it can't be: whoever knows the old key finds the way to the new one.
        let _ = known::note(file, &Known::new(&self.url, since, &self.line), None).await;
    }

    /// Knows the store by the key that [`change_key`](Self::change_key) made, which
    /// lasts by now.
    pub(crate) async fn settle_change(&mut self) {
        let present = self.present().fingerprint();
        if self.line.last() != Some(&present) {
            self.line.push(present);
            self.note_change().await;
        }
    }

    /// The recipients that a value is to be encrypted to. The transaction keeps
    /// them from changing before the value is in.
    pub(crate) async fn recipients(
        &mut self,
        tx: &mut Transaction<'_>,
    ) -> Result<Vec<Recipient>, Error> {
        let row = self.follow(tx).await?;
        let listed = listed(tx, &self.url).await?;
        self.vouch(&row, &listed)
    }

    /// Makes another key, and encrypts it to those. Returns the row to write, and that
    /// the new key follows the old one.
    pub(crate) fn change_key(
        &mut self,
        recipients: &[Recipient],
    ) -> Result<(StoreRow, Link), Error> {
        let (key, row) = new_key(&self.url, self.id.clone(), recipients)?;
        let link = self.key.signer().succeed(&self.id, &key.signer());
        self.sealed.clone_from(&row.store_key);
        self.key = key;
        Ok((row, link))
    }

    /// Encrypts a value.
    pub(crate) fn seal(
        &self,
        recipients: &[Recipient],
        name: &SecretName,
        version: &Version,
        value: &SecretString,
    ) -> Result<Vec<u8>, Error> {
        let label = label(name, version);
        seal::seal(recipients, &self.key, label, value).map_err(|reason| Error::Encrypt {
            store: self.url.to_string(),
            reason,
        })
    }

    /// Decrypts the value that was found under a name and version.
    pub(crate) fn open(
        &self,
        name: &SecretName,
        version: &Version,
        row: &SealedRow,
    ) -> Result<SecretString, Error> {
        let label = label(name, version);
        seal::open(&self.identities, &self.key, label, &row.ciphertext).map_err(|problem| {
            Error::Tampered {
                store: self.url.to_string(),
                name: name.clone(),
                generation: version.generation,
                reason: problem.to_string(),
            }
        })
    }

    /// The entry, if the store's key vouches for it.
    pub(crate) fn checked(&self, found: TaggedEntry) -> Result<Entry, Error> {
        if self.key.made_entry_tag(&found.tag, &self.id, &found.entry) {
            Ok(Entry {
                store_key: self.root(),
                ..found.entry
            })
        } else {
            Err(Error::Altered {
                store: self.url.to_string(),
                name: found.entry.name,
            })
        }
    }

    /// The tag that vouches for an entry.
    pub(crate) fn tag(&self, entry: &Entry) -> Vec<u8> {
        self.key.tag_entry(&self.id, entry)
    }

    /// The listed recipients, if the store's key vouches for the list.
    fn vouch(&self, row: &StoreRow, listed: &[String]) -> Result<Vec<Recipient>, Error> {
        let odd = || {
            tampered(
                &self.url,
                "its list of recipients was changed by somebody who cannot open it".into(),
            )
        };
        let recipients = listed
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<Recipient>, _>>()
            .map_err(|_| odd())?;
        if self
            .key
            .made_recipients_tag(&row.recipients_tag, &row.id, &recipients)
        {
            Ok(recipients)
        } else {
            Err(odd())
        }
    }
}

/// Makes a key for a new store and writes it, with our own public keys as the
/// recipients.
pub(crate) async fn initialise(
    tx: &mut Transaction<'_>,
    url: &StoreUrl,
    identities: &Identities,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let fail = |error| database::explain(url, "write the key", error);
    let mut recipients = identities.recipients().to_vec();
    recipients.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    let (_, row) = new_key(url, Uuid::new_v4().to_string(), &recipients)?;
    rows::insert_store(tx.on(), &row, now).await.map_err(fail)?;
    for recipient in &recipients {
        rows::insert_recipient(tx.on(), recipient.as_str(), now)
            .await
            .map_err(fail)?;
    }
    Ok(())
}

/// A new key for a store, given its recipients in the order of their text.
fn new_key(
    url: &StoreUrl,
    id: String,
    recipients: &[Recipient],
) -> Result<(StoreKey, StoreRow), Error> {
    let key = StoreKey::random();
    let row = StoreRow {
        store_key: seal::seal_key(recipients, &key).map_err(|reason| Error::Encrypt {
            store: url.to_string(),
            reason,
        })?,
        recipients_tag: key.tag_recipients(&id, recipients),
        id,
    };
    Ok((key, row))
}

async fn listed(tx: &mut Transaction<'_>, url: &StoreUrl) -> Result<Vec<String>, Error> {
    let listed = rows::recipients(tx.on())
        .await
        .map_err(|error| database::explain(url, "read the recipients", error))?;
    Ok(listed.into_iter().map(|(key, _)| key).collect())
}

fn label<'a>(name: &'a SecretName, version: &Version) -> Label<'a> {
    Label {
        name,
        generation: version.generation,
        id: version.id,
    }
}

fn tampered(url: &StoreUrl, reason: String) -> Error {
    Error::StoreTampered {
        store: url.to_string(),
        reason,
    }
}

fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}
