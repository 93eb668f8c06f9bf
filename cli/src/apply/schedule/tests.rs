use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::Object;
use serde_json::json;

use super::{Next, Schedule};
use crate::eval::{Evaluation, Member, Part, Structure};
use crate::member::{MemberPath, OutputRef};
use crate::schema::member;

fn path(name: &str) -> MemberPath {
    MemberPath(vec![name.to_owned()])
}

fn wants(names: &[&str]) -> BTreeSet<OutputRef> {
    names
        .iter()
        .map(|name| OutputRef {
            path: path(name),
            output: "o".to_owned(),
        })
        .collect()
}

/// Members by name, each with what it waits for; `*` is a place of its own.
fn evaluation(members: &[(&str, &[&str])]) -> Evaluation {
    let mut evaluation = Evaluation::default();
    for (name, waits_for) in members {
        if name.ends_with('*') {
            evaluation.structures.push(Structure {
                path: path(name),
                part: Part::Members,
                waits_for: wants(waits_for),
            });
            continue;
        }
        let unknown = waits_for
            .iter()
            .map(|origin| (format!("/{origin}"), wants(&[origin])))
            .collect();
        evaluation.members.insert(
            path(name),
            Member {
                path: path(name),
                unknown,
                ..member(json!({}), &[])
            },
        );
    }
    evaluation
}

fn schedule(members: &[(&str, &[&str])], done: &[&str], parallel: usize) -> Schedule {
    let done: BTreeMap<MemberPath, Object> = done
        .iter()
        .map(|name| (path(name), Object::new()))
        .collect();
    Schedule::new(evaluation(members), done, parallel, Vec::new())
}

fn start(names: &[&str]) -> Next {
    Next::Start(names.iter().map(|name| path(name)).collect())
}

#[test]
fn nothing_to_do_is_the_end() {
    assert_eq!(schedule(&[], &[], 4).next(), Next::End);
    assert_eq!(schedule(&[("a", &[])], &["a"], 4).next(), Next::End);
}

#[test]
fn what_is_ready_starts_as_far_as_there_is_room() {
    let mut schedule = schedule(&[("a", &[]), ("b", &[]), ("c", &[])], &[], 2);
    assert_eq!(schedule.next(), start(&["a", "b"]));
    assert_eq!(schedule.next(), Next::Wait);
    schedule.finished(&path("a"), Object::new());
    assert_eq!(schedule.next(), start(&["c"]));
    schedule.finished(&path("b"), Object::new());
    schedule.finished(&path("c"), Object::new());
    assert_eq!(schedule.next(), Next::End);
}

#[test]
fn outputs_are_evaluated_as_soon_as_somebody_needs_them() {
    let members: &[(&str, &[&str])] = &[("a", &[]), ("b", &["a"]), ("z", &[])];
    let mut schedule = schedule(members, &[], 4);
    assert_eq!(schedule.next(), start(&["a", "z"]));
    schedule.finished(&path("z"), Object::new());
    // Nobody waits for z.
    assert_eq!(schedule.next(), Next::Wait);
    schedule.finished(&path("a"), Object::new());
    assert_eq!(schedule.next(), Next::Evaluate);
    assert_eq!(schedule.next(), Next::Wait);
    schedule.evaluated(evaluation(&[("a", &[]), ("b", &[]), ("z", &[])]));
    assert_eq!(schedule.next(), start(&["b"]));
    schedule.finished(&path("b"), Object::new());
    assert_eq!(schedule.next(), Next::End);
}

#[test]
fn who_waits_for_two_is_not_evaluated_for_one() {
    let members: &[(&str, &[&str])] = &[("a", &[]), ("b", &[]), ("c", &["a", "b"])];
    let mut schedule = schedule(members, &[], 4);
    assert_eq!(schedule.next(), start(&["a", "b"]));
    schedule.finished(&path("a"), Object::new());
    assert_eq!(schedule.next(), Next::Wait);
    schedule.finished(&path("b"), Object::new());
    assert_eq!(schedule.next(), Next::Evaluate);
}

#[test]
fn an_unknown_place_is_evaluated_when_its_origin_is_done() {
    let mut schedule = schedule(&[("a", &[]), ("b", &[]), ("x*", &["a"])], &[], 4);
    assert_eq!(schedule.next(), start(&["a", "b"]));
    schedule.finished(&path("a"), Object::new());
    assert_eq!(schedule.next(), Next::Evaluate);
}

#[test]
fn after_a_failure_the_independent_go_on() {
    let members: &[(&str, &[&str])] = &[("a", &[]), ("b", &["a"]), ("c", &[]), ("d", &["c"])];
    let mut schedule = schedule(members, &[], 4);
    assert_eq!(schedule.next(), start(&["a", "c"]));
    schedule.failed(&path("a"));
    assert_eq!(schedule.next(), Next::Wait);
    schedule.finished(&path("c"), Object::new());
    assert_eq!(schedule.next(), Next::Evaluate);
    schedule.evaluated(evaluation(&[
        ("a", &[]),
        ("b", &["a"]),
        ("c", &[]),
        ("d", &[]),
    ]));
    assert_eq!(schedule.next(), start(&["d"]));
    schedule.finished(&path("d"), Object::new());
    // Nobody is known to wait for d; it is tried all the same before giving up.
    assert_eq!(schedule.next(), Next::Evaluate);
    schedule.evaluated(evaluation(&[
        ("a", &[]),
        ("b", &["a"]),
        ("c", &[]),
        ("d", &[]),
    ]));
    assert_eq!(schedule.next(), Next::End);
    let left = schedule.what_is_left();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].path, path("b"));
    assert_eq!(left[0].waits_for, wants(&["a"]));
}

#[test]
fn waiting_for_each_other_is_a_stall() {
    let mut schedule = schedule(&[("a", &["b"]), ("b", &["a"]), ("c", &[])], &[], 4);
    assert_eq!(schedule.next(), start(&["c"]));
    schedule.finished(&path("c"), Object::new());
    // Nobody is known to wait for c; it is tried all the same before giving up.
    assert_eq!(schedule.next(), Next::Evaluate);
    schedule.evaluated(evaluation(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]));
    assert_eq!(schedule.next(), Next::Stalled);
}

#[test]
fn nothing_is_done_before_its_state_is_open() {
    let mut evaluation = evaluation(&[("a", &[]), ("s", &["x"]), ("x", &[])]);
    let a = evaluation.members.get_mut(&path("a")).unwrap();
    a.state = Some(path("s"));
    let mut schedule = Schedule::new(evaluation.clone(), BTreeMap::new(), 4, Vec::new());
    assert_eq!(schedule.next(), start(&["x"]));
    schedule.finished(&path("x"), Object::new());
    assert_eq!(schedule.next(), Next::Evaluate);
    assert_eq!(schedule.what_is_left()[0].waits_for_state, Some(path("s")));
    evaluation
        .members
        .get_mut(&path("s"))
        .unwrap()
        .unknown
        .clear();
    schedule.evaluated(evaluation);
    schedule.opened(path("s"));
    schedule.finished(&path("s"), Object::new());
    assert_eq!(schedule.next(), start(&["a"]));
}

#[test]
fn a_stop_lets_end_what_runs() {
    let mut schedule = schedule(&[("a", &[]), ("b", &[])], &[], 1);
    assert_eq!(schedule.next(), start(&["a"]));
    schedule.stop();
    assert_eq!(schedule.next(), Next::Wait);
    schedule.finished(&path("a"), Object::new());
    assert_eq!(schedule.next(), Next::End);
    assert_eq!(schedule.what_is_left().len(), 1);
}
