//! Rules of a bucket in our words, and in those of Garage's API.

use nixops4_provider_sdk::http::{HeaderName, Method};
use nixops4_provider_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api;
use crate::bytes::Bytes;

/// Which pages of other origins may use a bucket from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CorsRule {
    /// A name for the rule. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The origins, such as `https://social.example.org`; `*` for all.
    allowed_origins: Vec<String>,
    /// The methods, such as `GET` and `PUT`; `*` for all.
    allowed_methods: Vec<String>,
    /// Headers that a request may have; `*` for all. Default: none.
    #[serde(default)]
    allowed_headers: Vec<String>,
    /// Headers of the answer that the page may see. Default: none beside those that
    /// every page may see.
    #[serde(default)]
    expose_headers: Vec<String>,
    /// How long a browser may believe this, in seconds. Unset: as the browser likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age_seconds: Option<u64>,
}

impl CorsRule {
    pub(super) fn validate(&self) -> Result<()> {
        for (list, pointer) in [
            (&self.allowed_origins, "/allowedOrigins"),
            (&self.allowed_methods, "/allowedMethods"),
        ] {
            if list.is_empty() {
                return Err(Error::input(pointer, "a rule without any allows nothing")
                    .hint("list at least one, or leave the rule out"));
            }
        }
        for (number, method) in self.allowed_methods.iter().enumerate() {
            let known = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "*"];
            if Method::from_bytes(method.as_bytes()).is_err() || !known.contains(&method.as_str()) {
                return Err(Error::input(
                    format!("/allowedMethods/{number}"),
                    format!("{method:?} is no method of S3"),
                )
                .hint("write GET, PUT, POST, DELETE, HEAD, OPTIONS or *"));
            }
        }
        for (list, pointer) in [
            (&self.allowed_headers, "/allowedHeaders"),
            (&self.expose_headers, "/exposeHeaders"),
        ] {
            for (number, name) in list.iter().enumerate() {
                if HeaderName::from_bytes(name.as_bytes()).is_err() {
                    return Err(Error::input(
                        format!("{pointer}/{number}"),
                        format!("{name:?} is no name of a header"),
                    )
                    .hint("write it like content-type, or *"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn to_garage(&self) -> api::CorsRule {
        api::CorsRule {
            id: self.id.clone(),
            max_age_seconds: self.max_age_seconds,
            allowed_origins: self.allowed_origins.clone(),
            allowed_methods: self.allowed_methods.clone(),
            allowed_headers: self.allowed_headers.clone(),
            expose_headers: self.expose_headers.clone(),
        }
    }
}

/// What becomes of objects with time. Garage looks once a day, soon after midnight
/// (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LifecycleRule {
    /// A name for the rule. Unset: none.
    #[serde(default)]
    id: Option<String>,
    /// Whether it is in force.
    #[serde(default = "yes")]
    enable: bool,
    /// The objects whose keys begin so. Unset: all.
    #[serde(default)]
    prefix: Option<String>,
    /// The objects that are larger: bytes, or with a unit. Unset: all.
    #[serde(default)]
    larger_than: Option<Bytes>,
    /// The objects that are smaller: bytes, or with a unit. Unset: all.
    #[serde(default)]
    smaller_than: Option<Bytes>,
    /// Deletes objects that many days after they were written. Unset: never.
    #[serde(default)]
    expire_after_days: Option<u64>,
    /// Deletes objects from that day on, such as `2027-01-31`. Unset: never.
    #[serde(default)]
    expire_on: Option<String>,
    /// Gives up uploads that nobody finished within that many days. Unset: never.
    #[serde(default)]
    abort_uploads_after_days: Option<u64>,
}

fn yes() -> bool {
    true
}

impl LifecycleRule {
    pub(super) fn validate(&self) -> Result<()> {
        if self.expire_after_days.is_some() && self.expire_on.is_some() {
            return Err(
                Error::input("/expireOn", "objects can't expire in two ways by one rule")
                    .hint("keep either expireAfterDays or expireOn"),
            );
        }
        let acts = [self.expire_after_days, self.abort_uploads_after_days];
        if acts.iter().all(Option::is_none) && self.expire_on.is_none() {
            return Err(Error::new("the rule says nothing to do").hint(
                "set expireAfterDays, expireOn or abortUploadsAfterDays, or leave the rule out",
            ));
        }
        for (days, pointer) in [
            (self.expire_after_days, "/expireAfterDays"),
            (self.abort_uploads_after_days, "/abortUploadsAfterDays"),
        ] {
            if days.is_some_and(|days| days == 0 || days > MOST_DAYS) {
                return Err(Error::input(
                    pointer,
                    format!("the days have to be 1 to {MOST_DAYS}"),
                ));
            }
        }
        match &self.expire_on {
            Some(date) if parse_date(date).is_none() => Err(Error::input(
                "/expireOn",
                format!("{:?} is no day", date.chars().take(40).collect::<String>()),
            )
            .hint("write it like 2027-01-31")),
            _ => Ok(()),
        }
    }

    pub(super) fn to_garage(&self) -> api::LifecycleRule {
        let conditions = api::Filter {
            and: None,
            prefix: self.prefix.clone(),
            larger_than: self.larger_than.map(|size| size.0),
            smaller_than: self.smaller_than.map(|size| size.0),
        };
        let count = usize::from(self.prefix.is_some())
            + usize::from(self.larger_than.is_some())
            + usize::from(self.smaller_than.is_some());
        let filter = match count {
            0 => None,
            1 => Some(conditions),
            _ => Some(api::Filter {
                and: Some(Box::new(conditions)),
                ..api::Filter::default()
            }),
        };
        let expires = self.expire_after_days.is_some() || self.expire_on.is_some();
        api::LifecycleRule {
            id: self.id.clone(),
            status: if self.enable {
                api::Rule::Enabled
            } else {
                api::Rule::Disabled
            },
            filter,
            expiration: expires.then(|| api::Expiration {
                days: self.expire_after_days,
                date: self.expire_on.clone(),
            }),
            abort: self
                .abort_uploads_after_days
                .map(|days| api::AbortUploads { days }),
        }
    }
}

/// A hundred years: Garage counts days in a number that must not run over.
const MOST_DAYS: u64 = 36_500;

fn parse_date(text: &str) -> Option<time::Date> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, format).ok()
}

#[cfg(test)]
mod tests;
