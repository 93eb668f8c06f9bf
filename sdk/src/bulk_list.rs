//! Many things of one sort, looked for one after the other and answered from one list.
//!
//! A plan looks for hundreds of things, and some servers take long for each request. So a
//! process that has looked for a few within a moment asks for all of them at once. A list
//! is believed for a few seconds, once for each question, and not at all of what this
//! process has changed since: looking again shows what has become of it. This module must
//! not know what the things are.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::Result;

/// How long a list is believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// From how many questions within that time on a list is worth its price.
const MANY: usize = 3;
/// How many things there may be: more are asked for one by one.
const MOST: usize = 1000;

/// What a process knows of all things of a sort.
pub struct BulkList<T> {
    /// When questions were asked that no list answered.
    asked: RefCell<Vec<Instant>>,
    listed: RefCell<Option<Listed<T>>>,
    /// There are too many, or the server doesn't list them for this user.
    given_up: Cell<bool>,
}

struct Listed<T> {
    at: Instant,
    things: Vec<T>,
    /// Hashes of what was asked, and of each text in the changes that were made.
    used_up: HashSet<u64>,
}

impl<T> Default for BulkList<T> {
    fn default() -> Self {
        Self {
            asked: RefCell::default(),
            listed: RefCell::default(),
            given_up: Cell::default(),
        }
    }
}

/// What is known of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known<T> {
    /// Nothing: ask the server for it.
    Nothing,
    /// Nothing yet: make a list, then ask again.
    NotListed,
    /// It is as it is here; `None`: there is nothing like it.
    Listed(Option<T>),
}

impl<T: Clone> BulkList<T> {
    /// Looks for the thing that `name` names, or is the id of. `None`: ask the server for
    /// this one alone; `Some(None)`: there is nothing like it.
    ///
    /// `find` picks it out of a list, `id` says what else names it, and `list` asks the
    /// server for all of them, up to a number. A server that refuses `list` is not asked
    /// for it again.
    pub async fn find(
        &self,
        name: &str,
        find: impl Fn(&[T]) -> Option<&T>,
        id: impl Fn(&T) -> &str,
        list: impl AsyncFnOnce(usize) -> Result<Vec<T>>,
    ) -> Option<Option<T>> {
        let mut known = self.known(name, &find, &id);
        if let Known::NotListed = known {
            let begun = Instant::now();
            let listed = list(MOST).await.inspect_err(|error| {
                // An older server, or a user that may not: one by one, then.
                tracing::debug!("{}", error.summary());
            });
            self.listed(begun, listed.ok());
            known = self.known(name, &find, &id);
        }
        match known {
            Known::Listed(found) => Some(found),
            Known::Nothing | Known::NotListed => None,
        }
    }

    fn known(
        &self,
        name: &str,
        find: impl FnOnce(&[T]) -> Option<&T>,
        id: impl FnOnce(&T) -> &str,
    ) -> Known<T> {
        if self.given_up.get() {
            return Known::Nothing;
        }
        let now = Instant::now();
        let mut listed = self.listed.borrow_mut();
        let Some(list) = listed
            .as_mut()
            .filter(|list| now.duration_since(list.at) < BELIEVED)
        else {
            let mut asked = self.asked.borrow_mut();
            asked.retain(|then| now.duration_since(*then) < BELIEVED);
            asked.push(now);
            return if asked.len() > MANY {
                Known::NotListed
            } else {
                Known::Nothing
            };
        };
        let found = find(&list.things).cloned();
        let names = [Some(name), found.as_ref().map(id)];
        let names: HashSet<_> = names.into_iter().flatten().map(hash).collect();
        let is_new = names.is_disjoint(&list.used_up);
        // From now on, whether it is believed this time or not.
        list.used_up.extend(names);
        if is_new {
            Known::Listed(found)
        } else {
            Known::Nothing
        }
    }

    /// Takes note of what the server has; `None`: it can't say.
    fn listed(&self, begun: Instant, things: Option<Vec<T>>) {
        match things.filter(|things| things.len() < MOST) {
            None => self.given_up.set(true),
            Some(things) => {
                *self.listed.borrow_mut() = Some(Listed {
                    at: begun,
                    things,
                    used_up: HashSet::new(),
                });
            }
        }
    }

    /// Takes note of a change: what is named in it isn't believed any more.
    pub fn changed<'a>(&self, query: impl Iterator<Item = &'a str>, body: Option<&Value>) {
        if let Some(list) = self.listed.borrow_mut().as_mut() {
            list.used_up.extend(query.map(hash));
            if let Some(body) = body {
                texts(body, &mut |text| {
                    list.used_up.insert(hash(text));
                });
            }
        }
    }
}

/// Not the texts themselves, which may be secrets.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn texts(value: &Value, with: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => with(text),
        Value::Array(all) => all.iter().for_each(|one| texts(one, with)),
        Value::Object(all) => all.values().for_each(|one| texts(one, with)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Error;

    type Thing = (&'static str, &'static str);

    fn known(bulk: &BulkList<Thing>, name: &str) -> Known<Thing> {
        bulk.known(name, |things| find_in(things, name), |(id, _)| id)
    }

    fn find_in<'a>(things: &'a [Thing], name: &str) -> Option<&'a Thing> {
        things.iter().find(|(_, own)| *own == name)
    }

    fn listed(things: &[Thing]) -> BulkList<Thing> {
        let bulk = BulkList::default();
        bulk.listed(Instant::now(), Some(things.to_vec()));
        bulk
    }

    #[tokio::test]
    async fn a_few_questions_are_no_reason_for_a_list() {
        let bulk = BulkList::default();
        let asked = Cell::new(0);
        let find = async |name: &str| {
            let list = async |_| {
                asked.set(asked.get() + 1);
                Ok(vec![("1", "a"), ("2", "b")])
            };
            bulk.find(name, |things| find_in(things, name), |(id, _)| id, list)
                .await
        };
        for _ in 0..MANY {
            assert_eq!((find("a").await, asked.get()), (None, 0));
        }
        assert_eq!(find("a").await, Some(Some(("1", "a"))));
        assert_eq!(find("b").await, Some(Some(("2", "b"))));
        assert_eq!(find("c").await, Some(None));
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test]
    async fn a_list_that_is_refused_is_not_asked_for_again() {
        let bulk = BulkList::<Thing>::default();
        let asked = Cell::new(0);
        for _ in 0..2 * MANY {
            let list = async |_| {
                asked.set(asked.get() + 1);
                Err(Error::new("not for you"))
            };
            let found = bulk.find("a", |things| find_in(things, "a"), |(id, _)| id, list);
            assert_eq!(found.await, None);
        }
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn each_question_is_answered_once() {
        let bulk = listed(&[("1", "a"), ("2", "b")]);
        assert_eq!(known(&bulk, "a"), Known::Listed(Some(("1", "a"))));
        assert_eq!(known(&bulk, "a"), Known::Nothing);
        assert_eq!(known(&bulk, "1"), Known::Nothing);
        assert_eq!(known(&bulk, "c"), Known::Listed(None));
        assert_eq!(known(&bulk, "c"), Known::Nothing);
        assert_eq!(known(&bulk, "b"), Known::Listed(Some(("2", "b"))));
    }

    #[test]
    fn what_was_changed_is_not_believed() {
        let bulk = listed(&[("1", "a"), ("2", "b"), ("3", "c")]);
        let body = json!({"globalAlias": "new", "localAlias": {"alias": ["own"], "n": 1}});
        bulk.changed(["1"].into_iter(), Some(&body));
        for name in ["a", "new", "own"] {
            assert_eq!(known(&bulk, name), Known::Nothing, "{name}");
        }
        assert_eq!(known(&bulk, "b"), Known::Listed(Some(("2", "b"))));
    }

    #[test]
    fn an_old_list_and_a_long_one_say_nothing() {
        let bulk = BulkList::default();
        let old = Instant::now()
            .checked_sub(BELIEVED)
            .expect("it is up for longer");
        bulk.listed(old, Some(vec![("1", "a")]));
        assert_eq!(known(&bulk, "a"), Known::Nothing);
        for too_much in [None, Some(vec![("1", "a"); MOST])] {
            let bulk = BulkList::default();
            bulk.listed(Instant::now(), too_much);
            for _ in 0..=MANY {
                assert_eq!(known(&bulk, "a"), Known::Nothing);
            }
        }
    }
}
