//! The kind `secrets_value`.

use nixops4_provider_sdk::secret::{existing_store, remember, store_error};
use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, Retry, SecretString};
use nixops4_secrets_store::source::{Source, SourceError};
use time::OffsetDateTime;

use crate::kept::{
    Current, Facts, Keeps, Making, Misfit, New, References, Remedy, SecretOutputs, kept_inputs,
};

kept_inputs!(renewing
/// A secret that exists already, and is never invented: it is obtained from a
/// folder of files, the environment, or Vault or OpenBao, and a copy of it is
/// kept in the store, so that it is referred to like any other. When the source
/// has another value, that becomes another generation. Without a source it was
/// put into the store by hand.
struct Inputs {
    /// Logical name of the source; `NIXOPS4_SECRETS_STORES` says where it is,
    /// such as `vault=vault:https://vault.example:8200/secret`. Unset: somebody
    /// puts the value into the store with `nixops4-resources secret set`.
    #[serde(default)]
    source: Option<String>,
    /// Name of the secret in the source. Unset: as `name`.
    #[serde(default)]
    source_name: Option<String>,
    /// Which of the fields that Vault keeps under that name. Unset: the only one.
    #[serde(default)]
    field: Option<String>,
    /// Which of the versions that Vault counts. Unset: the newest.
    #[serde(default)]
    #[schemars(range(min = 1))]
    version: Option<u32>,
});

impl Inputs {
    /// Obtains the value; `None` where there is no source.
    async fn obtain(&self) -> Result<Option<SecretString>> {
        let Some(source) = &self.source else {
            return Ok(None);
        };
        let source = Source::named(source).map_err(|error| explain(&error))?;
        let name = self.source_name.as_deref().unwrap_or(self.name.as_str());
        let obtained = source
            .obtain(name, self.field.as_deref(), self.version)
            .await;
        let value = obtained.map_err(|error| explain(&error))?.value;
        remember(&value);
        Ok(Some(value))
    }
}

fn explain(error: &SourceError) -> Error {
    let pointer = match error {
        error if error.is_missing() => "/sourceName",
        SourceError::NotThere { what: "fields", .. } => "/field",
        SourceError::NotThere { .. } => "/version",
        _ => "/source",
    };
    let retry = if error.is_retryable() {
        Retry::UntilDeadline
    } else {
        Retry::Never
    };
    Error::input(pointer, error.to_string()).retry(retry)
}

/// See [`Inputs`].
pub(crate) struct Value;

impl Keeps for Value {
    const TYPE: &'static str = "secrets_value";
    const LOCATED_BY: &'static [&'static str] = &[
        "store",
        "name",
        "generation",
        "source",
        "sourceName",
        "field",
        "version",
    ];

    type Inputs = Inputs;
    type Outputs = SecretOutputs;
    type Public = ();
    /// Whether the source has another value.
    type Sources = bool;

    fn validate(inputs: &Inputs) -> Result<()> {
        if let Some(source) = &inputs.source {
            if inputs.version == Some(0) {
                return Err(Error::input("/version", "versions are counted from 1"));
            }
            return Source::named(source)
                .map(drop)
                .map_err(|error| explain(&error));
        }
        let idle = [
            ("/sourceName", inputs.source_name.is_some()),
            ("/field", inputs.field.is_some()),
            ("/version", inputs.version.is_some()),
        ];
        match idle.into_iter().find(|(_, is_set)| *is_set) {
            Some((pointer, _)) => Err(Error::input(
                pointer,
                "this says what to obtain, and there is no `source` to obtain it from",
            )),
            None => Ok(()),
        }
    }

    async fn sources(_: &Context, inputs: &Inputs, facts: &Facts<(), bool>) -> Result<bool> {
        let Some(there) = inputs.obtain().await? else {
            return Ok(false);
        };
        let gone = || Error::input("/store", "the store is gone while it is read");
        let mut store = existing_store(&facts.store).await?.ok_or_else(gone)?;
        let current = &facts.current;
        let kept = store
            .reveal(&facts.name, current.generation, Some(&current.id))
            .await
            .map_err(|error| store_error(&error, "/name"))?;
        remember(&kept);
        Ok(kept.expose_secret() != there.expose_secret())
    }

    fn misfits(
        inputs: &Inputs,
        _: &Current<()>,
        is_another: &bool,
        _: OffsetDateTime,
    ) -> Vec<Misfit> {
        if !is_another {
            return Vec::new();
        }
        // The input at which somebody would look first.
        let path = [
            ("/version", inputs.version.is_some()),
            ("/field", inputs.field.is_some()),
            ("/sourceName", inputs.source_name.is_some()),
        ];
        let path = path.into_iter().find(|(_, is_set)| *is_set);
        let path = path.map_or("/source", |(path, _)| path);
        let misfit = Misfit::new(path, "another value", "the source's value", Remedy::Renew);
        vec![misfit.note("the source has another value than the store")]
    }

    async fn make(_: &mut Making<'_, ()>, inputs: &Inputs) -> Result<New<()>> {
        let obtained = inputs.obtain().await?;
        let value =
            obtained.ok_or_else(|| {
                let (name, generation) = (&inputs.name, inputs.generation);
                Error::input(
                "/name",
                format!("the store has no value of {:?} generation {generation}", name.as_str()),
            )
            .hint(format!(
                "put it there with `nixops4-resources secret set {name}`, or name a `source` to \
                 obtain it from"
            ))
            })?;
        Ok(New { value, public: () })
    }

    fn outputs(_: &Inputs, secret: References<()>, (): &()) -> SecretOutputs {
        secret.into()
    }
}
