//! What every resource kind has to hold, against its real server.
//!
//! Generic over the kinds: one is added by implementing [`Fixture`] for it and
//! calling [`conformance!`](crate::conformance) in a module of its own. The
//! checks know the protocol and the inputs that every kind has; whatever is
//! particular to a kind or to its server, the fixture says.
//!
//! Each request goes to a process of its own at trace level, as upstream sends
//! it, and whatever comes out of one is searched for the fixture's secrets.

mod fixture;
mod place;

pub mod killing;
pub mod lifecycle;
pub mod ownership;
pub mod records;
pub mod refusals;
pub mod silence;
pub mod together;

pub use fixture::{Bad, Drift, Field, Fixture, Loss, Verdict};
pub use place::{Place, Planned, Thing};

/// The checks of a kind, as tests: `conformance!(Fixture);`, or those alone that no
/// server may fail, `conformance!(core Fixture);`, for one more server or
/// administrator.
#[macro_export]
macro_rules! conformance {
    (core $fixture:ty) => {
        $crate::conformance!(@ $fixture:
            lifecycle::created_and_left_alone,
            lifecycle::each_field_is_changed,
            lifecycle::drift_is_seen_and_repaired,
            lifecycle::destroyed_and_destroyed_again,
            lifecycle::retained_and_taken_back,
            killing::killed_while_it_is_created,
            killing::killed_while_it_is_updated,
            killing::killed_while_it_is_destroyed,
            together::created_by_many_at_once,
            together::destroyed_by_many_at_once,
        );
    };
    ($fixture:ty) => {
        $crate::conformance!(core $fixture);
        $crate::conformance!(@ $fixture:
            lifecycle::what_vanished,
            lifecycle::renamed,
            lifecycle::state_is_asked_for,
            ownership::foreign_is_refused_and_adopted,
            ownership::another_owners_is_refused_and_adopted,
            ownership::a_retained_thing_of_another_owner_is_refused,
            killing::killed_while_it_is_renamed,
            killing::killed_while_it_is_taken_over,
            killing::killed_while_it_is_retained,
            together::updated_by_many_at_once,
            together::created_by_two_owners_at_once,
            refusals::bad_inputs_are_named,
            refusals::unknown_fields_are_refused,
            refusals::nulls_mean_absent,
            refusals::unknown_inputs_are_not_guessed,
            records::records_of_other_versions_are_read,
            silence::secrets_turn_up_nowhere,
        );
    };
    (@ $fixture:ty: $($module:ident::$check:ident),* $(,)?) => {
        $(
            #[test]
            fn $check() {
                use $crate::conformance::Fixture as _;
                if <$fixture>::is_there() {
                    $crate::conformance::$module::$check::<$fixture>();
                }
            }
        )*
    };
}
