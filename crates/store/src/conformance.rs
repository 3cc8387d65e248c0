//! The suite that every backend runs against the real thing: a real file, a real server.
//!
//! A backend says how to make an empty store ([`Subject`]) and expands [`conformance!`](crate::conformance)
//! in a test file of its own, which makes one `#[test]` of each claim:
//!
//! ```ignore
//! tortie_store::conformance!(|| MySubject::start());
//! ```
//!
//! A store is not tested for what it does not promise ([`Store::abilities`], [`Store::supports`]): a claim that needs more
//! passes, and one that holds within a kind is tested there. A store may hold objects before the suite begins.
//!
//! A claim panics when it does not hold. Waiting is on an event with a deadline ([`PATIENCE`]); that
//! nothing more comes is shown by a change made afterwards, which has to be the next event.

mod support;

pub mod batches;
pub mod compaction;
pub mod concurrency;
pub mod history;
pub mod leases;
pub mod listing;
pub mod values;
pub mod watching;
pub mod writes;

use std::sync::Arc;

use tortie_api::Kind;

use crate::Store;

pub use support::PATIENCE;

/// One empty store under test.
pub trait Subject {
    /// A handle to it. Each is as independent of the others as that of another process would be.
    fn store(&self) -> Arc<dyn Store>;

    /// Makes the store forget every change up to now; its objects remain. It may make changes for that.
    fn compact(&self);

    /// Makes it forget the changes of one kind, where each has its own history. False where that cannot be arranged.
    fn expire(&self, kind: Kind) -> bool {
        let _ = kind;
        false
    }
}

/// Runs every claim, each on a new store.
pub fn run_all<S: Subject>(make: impl Fn() -> S) {
    for (_, claim) in CLAIMS {
        claim(&make());
    }
}

macro_rules! claims {
    ($d:tt $($module:ident: $($claim:ident)*;)*) => {
        /// Every claim with its name.
        pub const CLAIMS: &[(&str, fn(&dyn Subject))] = &[
            $($((stringify!($claim), $module::$claim),)*)*
        ];

        /// Expands to one test for each claim of the [suite](crate::conformance). Takes what makes a
        /// [`Subject`](crate::conformance::Subject).
        #[macro_export]
        macro_rules! conformance {
            ($d make:expr) => {
                $(mod $module {
                    #[allow(unused_imports, reason = "the maker may be a path of the outer module")]
                    use super::*;
                    $(#[test]
                    fn $claim() {
                        $crate::conformance::$module::$claim(&($d make)());
                    })*
                })*
            };
        }
    };
}

claims! { $
    writes:
        an_empty_store_is_at_the_start_and_has_nothing
        what_is_created_comes_back
        create_is_refused_where_an_object_exists
        update_replaces_what_is_still_at_the_revision
        update_of_what_moved_on_is_a_conflict
        update_and_delete_of_nothing_are_missing
        delete_gives_back_what_it_deleted
        delete_of_what_moved_on_is_a_conflict
        what_was_deleted_can_be_created_again
        a_write_is_seen_through_every_handle
        what_is_not_supported_is_refused_with_its_operation;
    batches:
        an_empty_batch_changes_nothing
        a_refused_write_does_not_stop_the_rest
        every_change_has_its_own_growing_revision
        a_later_write_of_a_batch_sees_the_earlier
        a_large_batch_is_made_without_what_is_refused
        a_large_batch_is_kept_whole
        changes_that_belong_together_are_all_made
        one_refused_change_keeps_all_that_belong_to_it_back
        of_many_that_belong_together_only_the_beginning_is_made;
    listing:
        a_list_is_in_the_order_of_keys
        a_list_is_of_its_selection_only
        the_position_of_a_list_is_that_of_the_last_change
        a_selection_that_names_nothing_still_has_a_position
        pages_have_what_a_list_has;
    watching:
        a_watch_from_the_beginning_gives_everything
        a_watch_from_a_position_gives_what_came_after
        a_list_and_a_watch_from_it_miss_nothing_and_repeat_nothing
        a_watch_gives_what_its_selection_names
        a_watch_without_changes_says_so
        a_watch_waits_for_a_later_change
        refused_writes_are_not_given
        the_position_of_a_write_is_reached_when_it_is_given;
    compaction:
        a_forgotten_position_is_answered_as_compacted
        a_watch_that_fell_behind_gets_an_error
        after_compaction_a_new_list_can_be_watched
        a_position_never_reached_is_answered_as_compacted
        an_expired_kind_is_resumed_and_the_others_go_on;
    values:
        a_large_value_comes_back
        bytes_come_back_as_written
        names_that_no_validator_passes_are_kept
        names_that_look_alike_are_apart;
    concurrency:
        no_update_is_lost_among_writers
        one_of_many_creators_wins
        every_watcher_sees_every_change_once_and_in_order
        a_list_is_of_one_moment;
    leases:
        a_lease_is_held_until_it_is_given_up
        a_lease_whose_holder_has_ended_is_taken_over
        one_of_many_gets_a_lease;
}
