//! Where the validator stands in the object. Places live on the stack; only a problem costs a [`Path`].

use tortie_api::{Path, Step};

use crate::problem::Problem;

/// A place and the places around it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    around: Option<&'a Place<'a>>,
    step: Here<'a>,
}

#[derive(Clone, Copy)]
enum Here<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    /// The whole object.
    pub(super) const ROOT: Place<'static> = Place { around: None, step: Here::Root };

    /// A field of what stands here.
    pub(super) fn key<'b>(&'b self, key: &'b str) -> Place<'b> {
        Place { around: Some(self), step: Here::Key(key) }
    }

    /// An item of the list that stands here.
    pub(super) fn index(&self, index: usize) -> Place<'_> {
        Place { around: Some(self), step: Here::Index(index) }
    }

    /// Adds what a check of the value or record that stands here finds.
    pub(super) fn look(&self, out: &mut Vec<Problem>, check: impl FnOnce(&Self, &mut Vec<Problem>)) {
        let before = out.len();
        check(self, out);
        out[before..].iter_mut().for_each(|problem| problem.scope = self.depth());
    }

    fn depth(&self) -> usize {
        self.around.map_or(0, |around| around.depth() + 1)
    }

    /// The place as a path.
    pub(super) fn path(&self) -> Path {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(place) = at {
            match place.step {
                Here::Root => {}
                Here::Key(key) => steps.push(Step::Key(key.to_owned())),
                Here::Index(index) => steps.push(Step::Index(index)),
            }
            at = place.around;
        }
        steps.reverse();
        Path(steps)
    }
}
