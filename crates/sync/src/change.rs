//! What is in force for one stored object. This is decided only here.
//!
//! An object that cannot be read is replaced by its last valid version, else by its deny-by-default replacement
//! ([`Item::read_stored`]), else by nothing. All code that judges packets gets objects through [`changes`], so all agree.

use tortie_api::{Key, Kind, Object, Path, decode};
use tortie_policy::{Invalid, Item, PolicyId, staged_deletion};
use tortie_store::{Revision, Stored};

use crate::{LastValid, Replacement, Unreadable};

/// What replaces an object with a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The object, checked. Boxed, since most messages carry one.
    Item(Box<Item>),
    /// A staged policy that asks for the deletion of this enforced one.
    StagedDeletion(PolicyId),
    /// Settings of the agent, which are worked out from all of them together.
    Settings(Box<Object>),
    /// The object was deleted, or nothing can replace it.
    Gone,
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The object.
    pub key: Key,
    /// What is in force for it now.
    pub content: Content,
    /// What could not be read of it, and what is in force instead.
    pub unreadable: Option<Unreadable>,
}

impl Change {
    /// The object was deleted.
    pub fn deleted(key: Key) -> Self {
        Self { key, content: Content::Gone, unreadable: None }
    }
}

/// What is in force for each of these objects. Reading is shared among threads.
pub fn changes<S: AsRef<Stored> + Sync>(stored: &[S], last_valid: &(impl LastValid + ?Sized)) -> Vec<Change> {
    let read = tortie_parallel::map(stored, |stored| read(stored.as_ref()));
    stored.iter().zip(read).map(|(stored, read)| in_force(stored.as_ref(), read, last_valid)).collect()
}

/// An object that cannot be read: why, and its deny-by-default replacement.
struct UnreadableObject {
    invalid: Vec<Invalid>,
    replacement: Option<Content>,
}

impl UnreadableObject {
    /// The reason for users. The consequences of fields describe the replacement, and are left out if a last valid version is in
    /// force.
    fn reasons(self, replacement: &Replacement) -> Vec<String> {
        let mut invalid = self.invalid;
        if matches!(replacement, Replacement::LastValid(_)) {
            invalid.iter_mut().for_each(|one| one.consequence = "");
        }
        invalid.iter().map(ToString::to_string).collect()
    }
}

/// Depends on the object alone.
fn read(stored: &Stored) -> Result<Content, UnreadableObject> {
    let unreadable = stored.value.unreadable();
    if unreadable.is_none()
        && let Some(item) = Item::plain(&stored.key, &stored.value)
    {
        return Ok(Content::Item(Box::new(item)));
    }
    if stored.key.kind == Kind::FelixConfiguration {
        // Which settings can be read depends on all of them, and is reported where they are resolved.
        let decode =
            || decode::without_repeats(&stored.key, &stored.value, decode::room(&stored.value), &mut |_, _| {});
        let object = match unreadable {
            None => decode().map_err(|error| whole(&error)),
            Some(reason) => Err(whole(&reason)),
        };
        let object = object.map_err(|invalid| UnreadableObject { invalid: vec![invalid], replacement: None })?;
        return Ok(Content::Settings(Box::new(object)));
    }
    let tortie_policy::Stored { object, item, invalid } = match unreadable {
        None => tortie_policy::Stored::read(&stored.key, &stored.value),
        Some(reason) => tortie_policy::Stored::unreadable(&stored.key, reason),
    };
    let content = match staged_deletion(&object) {
        Some(policy) if item == Item::Nothing => Content::StagedDeletion(policy),
        _ => Content::Item(Box::new(item)),
    };
    if invalid.is_empty() {
        return Ok(content);
    }
    let replacement = Some(content).filter(|content| *content != Content::Item(Box::new(Item::Nothing)));
    Err(UnreadableObject { invalid, replacement })
}

/// Why an object cannot be read at all.
fn whole(error: &impl ToString) -> Invalid {
    Invalid::new(&Path::default(), error.to_string())
}

/// What is in force for an object that was read, or not.
fn in_force(
    stored: &Stored,
    read: Result<Content, UnreadableObject>,
    last_valid: &(impl LastValid + ?Sized),
) -> Change {
    let key = stored.key.clone();
    let mut failed = match read {
        Ok(content) => {
            last_valid.keep(stored);
            return Change { key, content, unreadable: None };
        }
        Err(failed) => failed,
    };
    let (content, replacement) = match (valid_version(stored, last_valid), failed.replacement.take()) {
        (Some((content, revision)), _) => (content, Replacement::LastValid(revision)),
        (None, Some(content)) => (content, Replacement::DenyByDefault),
        (None, None) => (Content::Gone, Replacement::Nothing),
    };
    let reasons = failed.reasons(&replacement);
    Change { key, content, unreadable: Some(Unreadable { revision: stored.revision.clone(), reasons, replacement }) }
}

fn valid_version(present: &Stored, last_valid: &(impl LastValid + ?Sized)) -> Option<(Content, Revision)> {
    let (revision, value) = last_valid.find(present)?;
    // Another release may have kept what this one cannot read.
    let content = read(&Stored { key: present.key.clone(), revision: revision.clone(), value: value.into() }).ok()?;
    Some((content, revision))
}
