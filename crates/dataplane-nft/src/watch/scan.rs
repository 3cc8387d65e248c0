//! Reading objects of the kernel's table, and comparing them by hash with what was programmed.

use std::collections::{BTreeMap, BTreeSet};

use tortie_nft::{Chain, RequestError, Set, Socket, TableId, piecewise};

use super::WatchStatistics;
use crate::damage::Damage;
use crate::faults::is_on;
use crate::programmed::{Content, Hashes, ObjectKind, Shared};

/// Sets with more elements are not read for a few of them.
const MAX_SCANNED_ELEMENTS: usize = 4096;

/// What comparing an object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Intact,
    Damaged,
    /// A change was under way: to be compared again.
    Again,
}

/// Reads a table for a watch.
pub(super) struct Reader<'a> {
    socket: &'a mut Socket,
    id: &'a TableId,
    programmed: &'a Shared,
    hashes: Hashes,
    looked: &'a mut WatchStatistics,
}

/// Damage, and what is to be looked at again.
type CompareResult = (Damage, Damage);

impl<'a> Reader<'a> {
    pub(super) fn new(
        socket: &'a mut Socket,
        id: &'a TableId,
        programmed: &'a Shared,
        looked: &'a mut WatchStatistics,
    ) -> Self {
        let hashes = programmed.lock().hashes();
        Self { socket, id, programmed, hashes, looked }
    }

    /// Compares what is suspected.
    pub(super) fn compare(&mut self, suspects: &Damage) -> Result<CompareResult, RequestError> {
        let (mut damage, mut again) = (Damage::default(), Damage::default());
        let before = self.programmed.lock().at();
        // It does not exist, or cannot be decoded.
        let Some(table) = piecewise::table_of(self.socket, self.id)?.flatten() else {
            if before.1 || self.programmed.lock().at() != before {
                again.extend(suspects.clone());
                return Ok((damage, again));
            }
            return Ok((Damage::everything(), again));
        };
        if suspects.whole {
            self.looked.scans += 1;
        }
        if suspects.whole || suspects.table {
            if piecewise::has_other_kinds(self.socket, self.id)? && !is_on("other-kinds-unseen") {
                return Ok((Damage::everything(), again));
            }
            damage.table = table.dormant && !is_on("switched-off-table-unseen");
        }
        self.chains(suspects, &mut damage, &mut again)?;
        self.sets(suspects, &mut damage, &mut again)?;
        for (name, keys) in &suspects.elements {
            if suspects.whole || suspects.sets.contains(name) {
                continue;
            }
            let large = self.is_large(name)?;
            match if large { Answer::Damaged } else { self.set(name)? } {
                Answer::Intact => {}
                Answer::Damaged if large => drop(damage.elements.insert(name.clone(), keys.clone())),
                Answer::Damaged => drop(damage.sets.insert(name.clone())),
                Answer::Again => drop(again.sets.insert(name.clone())),
            }
        }
        Ok((damage, again))
    }

    fn chains(&mut self, suspects: &Damage, damage: &mut Damage, again: &mut Damage) -> Result<(), RequestError> {
        let mut names: BTreeSet<String> = suspects.chains.clone();
        let mut found: BTreeMap<String, Option<Chain>> = BTreeMap::new();
        if suspects.whole {
            names.extend(self.programmed.lock().names(ObjectKind::Chain));
            found.extend(piecewise::chains(self.socket, self.id)?);
            names.extend(found.keys().cloned());
        }
        for name in names {
            let known = found.remove(&name);
            let stale = known.is_some();
            let mut answer = self.chain(&name, known)?;
            if stale && answer == Answer::Damaged {
                // The list of chains is older than what was programmed.
                answer = self.chain(&name, None)?;
            }
            match answer {
                Answer::Intact => {}
                Answer::Damaged => drop(damage.chains.insert(name)),
                Answer::Again => drop(again.chains.insert(name)),
            }
        }
        Ok(())
    }

    fn sets(&mut self, suspects: &Damage, damage: &mut Damage, again: &mut Damage) -> Result<(), RequestError> {
        let mut names: BTreeSet<String> = suspects.sets.clone();
        if suspects.whole {
            names.extend(self.programmed.lock().names(ObjectKind::Set));
            names.extend(piecewise::sets(self.socket, self.id)?.into_iter().map(|(name, _)| name));
        }
        for name in names {
            match self.set(&name)? {
                Answer::Intact => {}
                Answer::Damaged => drop(damage.sets.insert(name)),
                Answer::Again => drop(again.sets.insert(name)),
            }
        }
        Ok(())
    }

    /// Compares a chain and its rules. `known` is the chain if it was read before.
    fn chain(&mut self, name: &str, known: Option<Option<Chain>>) -> Result<Answer, RequestError> {
        let Ok(before) = self.programmed.lock().entry(ObjectKind::Chain, name) else { return Ok(Answer::Again) };
        let found = match known {
            Some(known) => Some(known),
            None => piecewise::chain_of(self.socket, self.id, name)?,
        };
        let same = match (before, found) {
            (None, None) => true,
            (Some(entry), Some(Some(chain))) => {
                self.looked.chains += 1;
                let (mut content, mut decoded) = (Content::default(), true);
                self.looked.bytes += piecewise::rules_of(self.socket, self.id, name, |rule| match rule {
                    Some(rule) => content = self.hashes.rule_read(content, &rule),
                    None => decoded = false,
                })?;
                decoded && entry.is(self.hashes.chain_read(&chain), content)
            }
            _ => false,
        };
        Ok(self.answer(ObjectKind::Chain, name, before, same))
    }

    /// Compares a set and its elements.
    fn set(&mut self, name: &str) -> Result<Answer, RequestError> {
        let Ok(before) = self.programmed.lock().entry(ObjectKind::Set, name) else { return Ok(Answer::Again) };
        let found = piecewise::set_of(self.socket, self.id, name)?;
        let same = match (before, found) {
            (None, None) => true,
            (None, Some(None)) if is_on("undecodable-set-unseen") => true,
            (Some(entry), Some(Some(set))) => {
                let head = self.hashes.set(&set);
                let content = self.elements(&set)?;
                // The kernel may have moved elements about while they were read.
                let is = |content: Option<Content>| content.is_some_and(|content| entry.is(head, content));
                is(content)
                    || (content.is_some_and(|content| content.len > MAX_SCANNED_ELEMENTS) && is(self.elements(&set)?))
            }
            _ => false,
        };
        Ok(self.answer(ObjectKind::Set, name, before, same))
    }

    fn elements(&mut self, set: &Set) -> Result<Option<Content>, RequestError> {
        self.looked.sets += 1;
        let mut content = Some(Content::default());
        self.looked.bytes += piecewise::elements_of(self.socket, self.id, set, |elements| {
            content = content.zip(elements).map(|(content, elements)| {
                elements.iter().fold(content, |content, element| self.hashes.element(content, element))
            });
        })?;
        Ok(content)
    }

    /// Whether a set of ours is too large to be read for a few elements.
    fn is_large(&mut self, name: &str) -> Result<bool, RequestError> {
        let entry = self.programmed.lock().entry(ObjectKind::Set, name);
        if !entry.is_ok_and(|entry| entry.is_some_and(|entry| entry.content.len > MAX_SCANNED_ELEMENTS)) {
            return Ok(false);
        }
        let found = piecewise::set_of(self.socket, self.id, name)?.flatten();
        Ok(found.is_some_and(|set| !set.interval))
    }

    /// What a comparison is worth: nothing, if the object was programmed anew meanwhile.
    fn answer(&self, sort: ObjectKind, name: &str, before: Option<crate::programmed::Entry>, same: bool) -> Answer {
        match self.programmed.lock().entry(sort, name) {
            Ok(after) if after == before => {
                if same {
                    Answer::Intact
                } else {
                    Answer::Damaged
                }
            }
            _ => Answer::Again,
        }
    }
}
