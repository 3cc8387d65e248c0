//! Restores what other programs changed in tortie's table, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tortie_nft::{Element, Rule, Set, piecewise};

use super::{ApplyError, Kernel};
use crate::change::{Change, ElementChange, Rebased};
use crate::damage::Damage;
use crate::faults::is_on;
use crate::programmed::comparable;
use crate::readback::line;
use crate::render::{ObjectNames, part};
use crate::script::Script;
use crate::table_content::{ChainContent, SetContent};

/// What the kernel has of some objects.
#[derive(Default)]
struct ObjectsInKernel {
    chains: BTreeMap<String, ChainContent>,
    /// The handles of their rules.
    handles: HashMap<String, Vec<u64>>,
    sets: BTreeMap<String, SetContent>,
}

impl Kernel {
    /// Repairs what a watch found. What cannot be repaired in pieces is replaced as a whole.
    pub fn repair_damage(&mut self, damage: &Damage) -> Result<(), ApplyError> {
        if self.plan.is_none() || damage.is_empty() {
            return Ok(());
        }
        match self.mend_parts(damage) {
            Some(()) => Ok(()),
            None => self.repair(),
        }
    }

    /// None if that is not enough.
    fn mend_parts(&mut self, damage: &Damage) -> Option<()> {
        if damage.whole || self.table.owner || self.off || self.partly {
            return None;
        }
        let sets: BTreeSet<&str> = damage.sets.iter().chain(damage.elements.keys()).map(String::as_str).collect();
        let names = ObjectNames { chains: &damage.chains, sets: &sets };
        let wanted = part(&self.state, &self.index, &self.options, &self.quarantine.out(), &names);
        let mut found = self.find(damage)?;
        let mut elements = BTreeMap::new();
        for (name, keys) in &damage.elements {
            let Some(wanted) = wanted.sets.get(name).filter(|_| !damage.sets.contains(name)) else { continue };
            elements.insert(name.clone(), self.element_changes(wanted, keys)?);
        }
        let mut wanted = wanted;
        wanted.sets.retain(|name, _| damage.sets.contains(name));
        let rebased = Rebased::of(&found.chains, &wanted.chains)?;
        for (name, form) in &wanted.sets {
            let Some(before) = found.sets.remove(name) else { continue };
            if comparable(&before.set) != comparable(&form.set) {
                return None;
            }
            elements.insert(name.clone(), difference(&form.set, &before.elements, &form.elements));
        }
        let known: BTreeSet<String> = elements.keys().cloned().collect();
        let made = wanted.sets.into_iter().filter(|(name, _)| !known.contains(name)).map(|(_, form)| form).collect();
        let gone = found.sets.into_keys().collect();
        let change = Change::repairs(made, gone, elements, found.chains, wanted.chains);
        let mut script = Script::new(&self.table.id);
        if damage.table {
            script.batch.add_table(&self.table);
        }
        if !is_on("mended-without-policy") {
            rebased.write(&mut script);
        }
        let names: HashSet<String> = damage.chains.iter().chain(&damage.sets).cloned().collect();
        self.programmed.lock().begin(names);
        let result = self.commit_change(&change, &found.handles, script);
        self.programmed.lock().refused();
        result.ok()
    }

    /// Reads damaged chains and sets. None if one cannot be decoded, or the kernel cannot be asked.
    fn find(&mut self, damage: &Damage) -> Option<ObjectsInKernel> {
        let mut found = ObjectsInKernel::default();
        for name in &damage.chains {
            let Some(chain) = piecewise::chain_of(&mut self.socket, &self.table.id, name).ok()? else { continue };
            let chain = chain?;
            let mut form = ChainContent { base: chain.base, comment: chain.comment, lines: Vec::new() };
            let mut handles = Vec::new();
            piecewise::rules_of(&mut self.socket, &self.table.id, name, |rule: Option<Rule>| {
                // Without the handle of each rule the chain is written anew.
                handles.extend(rule.as_ref().and_then(|rule| rule.handle));
                form.lines.push(rule.as_ref().map(line).unwrap_or_default());
            })
            .ok()?;
            found.chains.insert(name.clone(), form);
            found.handles.insert(name.clone(), handles);
        }
        for name in &damage.sets {
            let Some(set) = piecewise::set_of(&mut self.socket, &self.table.id, name).ok()? else { continue };
            let set = set?;
            // It goes with the rule that looks in it.
            if set.anonymous {
                continue;
            }
            let mut elements = Some(Vec::new());
            piecewise::elements_of(&mut self.socket, &self.table.id, &set, |more| match (&mut elements, more) {
                (Some(all), Some(more)) => all.extend(more),
                (elements, _) => *elements = None,
            })
            .ok()?;
            found.sets.insert(name.clone(), SetContent { set, elements: elements? });
        }
        Some(found)
    }

    /// What to take out of a large set and what to put in, for some keys. None if an element cannot be
    /// decoded, or the kernel cannot be asked.
    fn element_changes(&mut self, wanted: &SetContent, keys: &BTreeSet<Vec<u8>>) -> Option<ElementChange> {
        let is_asked = |element: &&Element| matches!(&element.key, tortie_nft::Key::One(key) if keys.contains(key));
        let after: Vec<Element> = wanted.elements.iter().filter(is_asked).cloned().collect();
        let mut before = Vec::new();
        for key in keys {
            if let Some(element) = piecewise::element_of(&mut self.socket, &self.table.id, &wanted.set, key).ok()? {
                before.push(element?);
            }
        }
        Some(difference(&wanted.set, &before, &after))
    }
}

/// What to take out and what to put in.
fn difference(set: &Set, before: &[Element], after: &[Element]) -> ElementChange {
    let shape = |element: &Element| {
        let comment = element.comment.as_deref().map(|comment| tortie_nft::kept_comment(comment).to_owned());
        Element { comment, ..element.shape() }
    };
    let [before, after]: [HashSet<Element>; 2] = [before, after].map(|all| all.iter().map(shape).collect());
    let gone = before.difference(&after).cloned().collect();
    (set.clone(), gone, after.difference(&before).cloned().collect())
}
