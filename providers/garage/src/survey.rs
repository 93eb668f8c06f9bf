//! Everything of one sort, from one request, for a process that is asked for one
//! thing after the other.
//!
//! Each request costs Garage the check of a token, which is slow on purpose. So who
//! looks for a few things within a moment is given what a list has. What is in it is
//! believed for a moment, once for each question, and not at all of what this process
//! has changed since: looking again shows what has become of it. This must not know
//! what the things are.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a list is believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// From how many questions within that time on a list is worth its price.
const MANY: usize = 3;
/// How many things there may be: more are asked for one by one.
pub(crate) const MOST: usize = 1000;

/// What is known of all things of a sort.
pub(crate) struct Survey<T> {
    /// When questions were asked that no list answered.
    asked: RefCell<Vec<Instant>>,
    listed: RefCell<Option<Listed<T>>>,
    /// There are too many, or the server doesn't list them for this token.
    given_up: Cell<bool>,
}

struct Listed<T> {
    at: Instant,
    things: Vec<T>,
    /// Hashes of what was asked, and of each text in the changes that were made.
    used_up: HashSet<u64>,
}

impl<T> Default for Survey<T> {
    fn default() -> Self {
        Self {
            asked: RefCell::default(),
            listed: RefCell::default(),
            given_up: Cell::default(),
        }
    }
}

/// What a survey says to a question.
pub(crate) enum Said<T> {
    /// Nothing: ask the server.
    Nothing,
    /// Make a list first, then ask again.
    List,
    /// This is there; `None`: nothing like it is.
    This(Option<T>),
}

impl<T: Clone> Survey<T> {
    /// Looks for a thing that `name` names, or is the id of.
    pub(crate) fn ask(
        &self,
        name: &str,
        find: impl FnOnce(&[T]) -> Option<&T>,
        id: impl FnOnce(&T) -> &str,
    ) -> Said<T> {
        if self.given_up.get() {
            return Said::Nothing;
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
                Said::List
            } else {
                Said::Nothing
            };
        };
        let found = find(&list.things).cloned();
        let names = [Some(name), found.as_ref().map(id)];
        let names: HashSet<_> = names.into_iter().flatten().map(hash).collect();
        let is_new = names.is_disjoint(&list.used_up);
        // From now on, whether it is believed this time or not.
        list.used_up.extend(names);
        if is_new {
            Said::This(found)
        } else {
            Said::Nothing
        }
    }

    /// Takes note of what the server has; `None`: it can't say.
    pub(crate) fn listed(&self, begun: Instant, things: Option<Vec<T>>) {
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
    pub(crate) fn changed<'a>(&self, query: impl Iterator<Item = &'a str>, body: Option<&Value>) {
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

    type Thing = (&'static str, &'static str);

    fn ask(survey: &Survey<Thing>, name: &str) -> Said<Thing> {
        survey.ask(name, |things| find_in(things, name), |(id, _)| id)
    }

    fn find_in<'a>(things: &'a [Thing], name: &str) -> Option<&'a Thing> {
        things.iter().find(|(_, own)| *own == name)
    }

    fn listed(things: &[Thing]) -> Survey<Thing> {
        let survey = Survey::default();
        survey.listed(Instant::now(), Some(things.to_vec()));
        survey
    }

    #[test]
    fn a_few_questions_are_no_reason_for_a_list() {
        let survey = Survey::default();
        for _ in 0..MANY {
            assert!(matches!(ask(&survey, "a"), Said::Nothing));
        }
        assert!(matches!(ask(&survey, "a"), Said::List));
        survey.listed(Instant::now(), Some(vec![("1", "a")]));
        assert!(matches!(ask(&survey, "a"), Said::This(Some(("1", "a")))));
    }

    #[test]
    fn each_question_is_answered_once() {
        let survey = listed(&[("1", "a"), ("2", "b")]);
        assert!(matches!(ask(&survey, "a"), Said::This(Some(("1", "a")))));
        assert!(matches!(ask(&survey, "a"), Said::Nothing));
        assert!(matches!(ask(&survey, "1"), Said::Nothing));
        assert!(matches!(ask(&survey, "c"), Said::This(None)));
        assert!(matches!(ask(&survey, "c"), Said::Nothing));
        assert!(matches!(ask(&survey, "b"), Said::This(Some(("2", "b")))));
    }

    #[test]
    fn what_was_changed_is_not_believed() {
        let survey = listed(&[("1", "a"), ("2", "b"), ("3", "c")]);
        let body = json!({"globalAlias": "new", "localAlias": {"alias": ["own"], "n": 1}});
        survey.changed(["1"].into_iter(), Some(&body));
        for name in ["a", "new", "own"] {
            assert!(matches!(ask(&survey, name), Said::Nothing), "{name}");
        }
        assert!(matches!(ask(&survey, "b"), Said::This(Some(_))));
    }

    #[test]
    fn an_old_list_and_a_long_one_say_nothing() {
        let survey = Survey::default();
        let old = Instant::now()
            .checked_sub(BELIEVED)
            .expect("it is up for longer");
        survey.listed(old, Some(vec![("1", "a")]));
        assert!(matches!(ask(&survey, "a"), Said::Nothing));
        for too_much in [None, Some(vec![("1", "a"); MOST])] {
            let survey = Survey::default();
            survey.listed(Instant::now(), too_much);
            for _ in 0..=MANY {
                assert!(matches!(ask(&survey, "a"), Said::Nothing));
            }
        }
    }
}
