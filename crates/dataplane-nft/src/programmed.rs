//! What was programmed, as content hashes: the agent's commits write them, the watch for damage compares with them.
//!
//! An object has a hash of its head (hook, policy, type, comment) and one of its content: of a chain the rules in order, of a set
//! the sum of its elements' hashes, which has no order and follows a change without the rest.
//! Hashes are keyed by a secret of the process, so nobody can make content that has the same.
//!
//! A commit and its hashes cannot change in one moment. So the objects that a commit is about are *changing* from before it
//! until its hashes are written, and an entry knows the step that wrote it: a reader that finds the same entry before and
//! after it has read the kernel, and the object not changing, may compare.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tortie_nft::expr::{Counter, Expr};
use tortie_nft::{BaseChain, Chain, Element, Rule, Set, kept_comment};

use crate::change::Change;
use crate::table_content::{ChainContent, SetContent, TableContent};

/// A chain or a set as it was programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The hash of all but its rules or elements.
    head: u64,
    /// Its rules or elements.
    pub(crate) content: Content,
    /// The step that wrote this.
    step: u64,
}

/// Makes hashes. All that are compared come from one of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashes(RandomState);

/// The rules of a chain, hashed one after the other; the elements of a set, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) hash: u64,
    pub(crate) len: usize,
}

/// What was programmed.
#[derive(Debug, Default)]
pub(crate) struct Programmed {
    /// Whether there are entries: nothing is compared with a table that nobody else can change.
    has_entries: bool,
    chains: HashMap<String, Entry>,
    sets: HashMap<String, Entry>,
    /// What the commit under way is about; empty if there is none.
    changing: Changing,
    /// Whether anything was programmed yet.
    pub(crate) is_some: bool,
    /// Whether notifications may have been missed since the last look.
    pub(crate) missed: bool,
    step: u64,
    hashes: Hashes,
}

#[derive(Debug, Default)]
enum Changing {
    #[default]
    Nothing,
    These(HashSet<String>),
    Everything,
}

/// Whether an object is a chain or a set: they have names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Chain,
    Set,
}

/// Shared by the agent's commits and the watch.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Programmed>>);

impl Shared {
    /// Nothing was programmed yet. Without entries it is only known whether something was, and whether a commit is under way.
    pub(crate) fn new(has_entries: bool) -> Self {
        Self(Arc::new(Mutex::new(Programmed { has_entries, ..Programmed::default() })))
    }

    /// What was programmed, for as long as the guard lives: never while the kernel is asked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Programmed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hashes {
    fn of(&self, value: impl Hash) -> u64 {
        self.0.hash_one(value)
    }

    /// The head of a chain: all but its rules.
    pub(crate) fn chain(&self, base: Option<BaseChain>, comment: Option<&str>) -> u64 {
        self.of((base, comment.map(kept_comment)))
    }

    /// The hash of a chain that was read from the kernel.
    pub(crate) fn chain_read(&self, chain: &Chain) -> u64 {
        self.chain(chain.base, chain.comment.as_deref())
    }

    /// The head of a set: all but its elements.
    pub(crate) fn set(&self, set: &Set) -> u64 {
        self.of(comparable(set))
    }

    /// One more rule of a chain.
    pub(crate) fn rule(&self, content: Content, exprs: &[Expr], comment: Option<&str>) -> Content {
        let mut hasher = self.0.build_hasher();
        content.hash.hash(&mut hasher);
        exprs.len().hash(&mut hasher);
        for expr in exprs {
            match expr {
                Expr::Counter(_) => Expr::Counter(Counter::default()).hash(&mut hasher),
                other => other.hash(&mut hasher),
            }
        }
        comment.map(kept_comment).hash(&mut hasher);
        Content { hash: hasher.finish(), len: content.len + 1 }
    }

    /// The hash of `content` with a rule that was read from the kernel.
    pub(crate) fn rule_read(&self, content: Content, rule: &Rule) -> Content {
        self.rule(content, &rule.exprs, rule.comment.as_deref())
    }

    /// One more element of a set.
    pub(crate) fn element(&self, content: Content, element: &Element) -> Content {
        let one = self.of((&element.key, &element.data, element.comment.as_deref().map(kept_comment)));
        Content { hash: content.hash.wrapping_add(one), len: content.len + 1 }
    }

    fn less(&self, content: Content, element: &Element) -> Content {
        let one = self.element(Content::default(), element).hash;
        Content { hash: content.hash.wrapping_sub(one), len: content.len.saturating_sub(1) }
    }

    fn chain_form(&self, form: &ChainContent, step: u64) -> Entry {
        let each =
            |content, line: &crate::table_content::Line| self.rule(content, &line.exprs, line.comment.as_deref());
        let content = form.lines.iter().fold(Content::default(), each);
        let head = self.chain(form.base, form.comment.as_deref());
        Entry { head, content, step }
    }

    fn set_form(&self, form: &SetContent, step: u64) -> Entry {
        let content = form.elements.iter().fold(Content::default(), |content, one| self.element(content, one));
        Entry { head: self.set(&form.set), content, step }
    }
}

impl Entry {
    /// Whether this is what was read.
    pub(crate) fn is(&self, head: u64, content: Content) -> bool {
        (self.head, self.content) == (head, content)
    }
}

impl Programmed {
    pub(crate) fn hashes(&self) -> Hashes {
        self.hashes.clone()
    }

    /// The entry of an object, if it was programmed; `Err` while a commit changes it.
    pub(crate) fn entry(&self, sort: ObjectKind, name: &str) -> Result<Option<Entry>, CommitInProgress> {
        let changing = match &self.changing {
            Changing::Nothing => false,
            Changing::These(names) => names.contains(name),
            Changing::Everything => true,
        };
        if changing { Err(CommitInProgress) } else { Ok(self.all(sort).get(name).copied()) }
    }

    /// The names of all objects of a sort.
    pub(crate) fn names(&self, sort: ObjectKind) -> Vec<String> {
        self.all(sort).keys().cloned().collect()
    }

    fn all(&self, sort: ObjectKind) -> &HashMap<String, Entry> {
        match sort {
            ObjectKind::Chain => &self.chains,
            ObjectKind::Set => &self.sets,
        }
    }

    /// The step that was written last, and whether a commit is under way.
    pub(crate) fn at(&self) -> (u64, bool) {
        (self.step, !matches!(self.changing, Changing::Nothing))
    }

    /// A commit of some objects begins.
    pub(crate) fn begin(&mut self, names: HashSet<String>) {
        self.changing = Changing::These(names);
    }

    /// A commit of everything begins.
    pub(crate) fn begin_all(&mut self) {
        self.changing = Changing::Everything;
    }

    /// The commit was refused: everything is as it was.
    pub(crate) fn refused(&mut self) {
        self.changing = Changing::Nothing;
    }

    /// A whole table was programmed.
    pub(crate) fn replaced(&mut self, ruleset: &TableContent) {
        self.step += 1;
        self.is_some = true;
        self.changing = Changing::Nothing;
        if !self.has_entries {
            return;
        }
        let (step, hashes) = (self.step, &self.hashes);
        self.chains = ruleset.chains.iter().map(|(name, form)| (name.clone(), hashes.chain_form(form, step))).collect();
        self.sets = ruleset.sets.iter().map(|(name, form)| (name.clone(), hashes.set_form(form, step))).collect();
    }

    /// A change was programmed.
    pub(crate) fn changed(&mut self, change: &Change) {
        self.step += 1;
        self.changing = Changing::Nothing;
        if !self.has_entries {
            return;
        }
        let (step, hashes) = (self.step, &self.hashes);
        for name in change.chains_gone() {
            self.chains.remove(name);
        }
        for (name, form) in change.chains_put() {
            self.chains.insert(name.clone(), hashes.chain_form(form, step));
        }
        for name in change.sets_gone() {
            self.sets.remove(name);
        }
        for form in change.sets_made() {
            self.sets.insert(form.set.name.clone(), hashes.set_form(form, step));
        }
        for (name, gone, come) in change.elements() {
            let Some(entry) = self.sets.get_mut(name) else { continue };
            let content = gone.iter().fold(entry.content, |content, one| hashes.less(content, one));
            let content = come.iter().fold(content, |content, one| hashes.element(content, one));
            *entry = Entry { content, step, ..*entry };
        }
    }

    /// Nothing is programmed any more.
    pub(crate) fn removed(&mut self) {
        self.step += 1;
        self.chains = HashMap::new();
        self.sets = HashMap::new();
        self.is_some = false;
        self.changing = Changing::Nothing;
    }
}

/// A set without what differs between one that was written and one that was read.
pub(crate) fn comparable(set: &Set) -> Set {
    let comment = set.comment.as_deref().map(|comment| kept_comment(comment).to_owned());
    Set { handle: None, comment, ..set.clone() }
}

/// A commit is changing the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitInProgress;
