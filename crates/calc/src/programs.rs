//! Programs in use: computed for a class and the profiles that can be reached. Equal ones are shared.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use tortie_dataplane::{Profile, Program, ProgramEnd, ProgramId, Tier};
use tortie_policy::{Action, Direction};

use crate::endpoint_classes::PlannedTier;
use crate::policies::{ListKey, Lists, Policies};
use crate::profiles::{ProfileIndex, Profiles};

/// All programs in use.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    by_id: HashMap<ProgramId, Used>,
    idle: Vec<ProgramId>,
    made: Vec<(ProgramId, Program)>,
}

#[derive(Debug)]
struct Used {
    uses: u32,
    emitted: bool,
    lists: Box<[ListKey]>,
}

/// A program, and the lists it refers to.
pub(crate) struct Draft {
    pub(crate) program: Program,
    lists: Vec<ListKey>,
}

/// Whether a packet can come past these tiers.
pub(crate) fn ends_open(tiers: &[PlannedTier]) -> bool {
    tiers.last().is_none_or(|last| !last.denies || last.passes)
}

/// Computes the program of some tiers, and of profiles if they follow.
pub(crate) fn draft(
    tiers: Vec<PlannedTier>,
    direction: Direction,
    profiles: Option<&[ProfileIndex]>,
    policies: &Policies,
    known: &Profiles,
) -> Draft {
    let mut lists = Vec::new();
    let then = match profiles {
        None => ProgramEnd::Pass,
        Some(_) if !ends_open(&tiers) => ProgramEnd::Deny,
        Some(profiles) => then(profiles, direction, known, &mut lists),
    };
    let tiers = tiers
        .into_iter()
        .map(|tier| Tier {
            name: tier.name,
            denies: tier.denies,
            policies: tier
                .policies
                .iter()
                .map(|&owner| {
                    lists.push(ListKey { profile: false, owner, direction });
                    policies.slab.get(owner).id.clone()
                })
                .collect(),
        })
        .collect();
    Draft { program: Program { direction, tiers, then }, lists }
}

/// The profiles up to one that decides every packet; a missing profile denies.
fn then(profiles: &[ProfileIndex], direction: Direction, known: &Profiles, lists: &mut Vec<ListKey>) -> ProgramEnd {
    let mut reached = Vec::new();
    for &owner in profiles {
        let profile = known.get(owner);
        let missing = profile.labels.is_none();
        if missing && crate::faults::is_on("missing-profile-skipped") {
            continue;
        }
        reached.push(Profile { name: profile.name.clone(), missing });
        if missing {
            break;
        }
        lists.push(ListKey { profile: true, owner, direction });
    }
    if reached.is_empty() { ProgramEnd::Deny } else { ProgramEnd::Profiles(reached) }
}

impl Programs {
    /// Adds a user of the program of a draft, and returns its id.
    pub(crate) fn acquire(&mut self, draft: Draft, lists: &mut Lists) -> ProgramId {
        let id = id(&draft.program);
        match self.by_id.get_mut(&id) {
            Some(used) => used.uses += 1,
            None => {
                draft.lists.iter().for_each(|&key| lists.acquire(key));
                self.by_id.insert(id, Used { uses: 1, emitted: false, lists: draft.lists.into() });
                self.made.push((id, draft.program));
            }
        }
        id
    }

    /// Adds a user of a program in use.
    pub(crate) fn add_use(&mut self, id: ProgramId) {
        if let Some(used) = self.by_id.get_mut(&id) {
            used.uses += 1;
        }
    }

    /// Removes a user.
    pub(crate) fn release(&mut self, id: ProgramId) {
        if let Some(used) = self.by_id.get_mut(&id) {
            used.uses -= 1;
            if used.uses == 0 {
                self.idle.push(id);
            }
        }
    }

    /// The programs that were added and those that were removed since the last call.
    pub(crate) fn take_changes(&mut self, lists: &mut Lists) -> (Vec<(ProgramId, Program)>, Vec<ProgramId>) {
        let mut gone = Vec::new();
        for id in std::mem::take(&mut self.idle) {
            if self.by_id.get(&id).is_none_or(|used| used.uses > 0) {
                continue;
            }
            if let Some(used) = self.by_id.remove(&id) {
                used.lists.iter().for_each(|&key| lists.release(key));
                if used.emitted {
                    gone.push(id);
                }
            }
        }
        let mut made = std::mem::take(&mut self.made);
        made.retain(|(id, _)| {
            let used = self.by_id.get_mut(id).filter(|used| !used.emitted);
            used.map(|used| used.emitted = true).is_some()
        });
        made.sort_by_key(|(id, _)| *id);
        gone.sort();
        if self.by_id.is_empty() {
            self.by_id = HashMap::new();
        }
        (made, gone)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// A hash of the whole content of a program. Each text is followed by a byte that no text contains.
fn id(program: &Program) -> ProgramId {
    let mut hash = Sha256::new();
    let mut text = |part: &str| {
        hash.update(part.as_bytes());
        hash.update([0xff]);
    };
    text(&program.direction.to_string());
    for tier in &program.tiers {
        text(if tier.denies { "tier" } else { "open tier" });
        text(&tier.name);
        for policy in &tier.policies {
            text(policy.kind.name());
            text(&policy.namespace);
            text(&policy.name);
        }
    }
    match &program.then {
        ProgramEnd::Pass => text("pass"),
        ProgramEnd::Deny => text("deny"),
        ProgramEnd::Profiles(profiles) => profiles.iter().for_each(|profile| {
            text(if profile.missing { "missing" } else { "profile" });
            text(&profile.name);
        }),
    }
    let digest = hash.finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    ProgramId(id)
}

/// Whether some rule of a list passes.
pub(crate) fn passes(rules: &[crate::rules::Rule]) -> bool {
    rules.iter().any(|rule| rule.action == Action::Pass)
}
