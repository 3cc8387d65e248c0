//! What the rules of other programs on this machine do with a packet that `explain` answers for.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tortie_agent::{ForeignTables, LocalFacts};
use tortie_explain::reach::Reach;
use tortie_explain::{
    Answer, AskError, Dnat, Hop, OtherPrograms, PossiblePath, Question, Topology, TranslatedBy, trace,
};
use tortie_nft::foreign::ForeignTable;
use tortie_policy::machine::Machine;
use tortie_policy::packet::{Conntrack, Host, OwnNat, Packet, PacketPath};
use tortie_verify::foreign_tables::{
    AllowedMark, Asked, Effect, Exempts, FLOATING_IPS, MarkBit, TableContext, destination, effects_in_context, exempts,
    may_give_source, may_reroute, may_write_mark, translates_at,
};

use crate::snapshot::Beside;

/// Answers a question about one packet, with what other programs do with it on this machine, or why that was not looked at. If one of
/// them translates it for certain, the translated packet is judged.
pub(crate) fn answer(
    topology: &Topology<'_>,
    question: &Question,
    beside: &Beside<'_>,
    offline: bool,
) -> Result<Answer, AskError> {
    let source =
        Source { allowed_mark: beside.allowed_mark, ..Source::new(beside.sources.local_facts.as_ref(), offline) };
    let mut answer = trace(topology, question)?;
    let Looked { translation: found, exempt } = look(&mut answer, &source, None);
    if let Some(Exempt { node, tables, is_certain }) = exempt {
        let are = if tables.len() == 1 { "exempts" } else { "(each on some of its paths) exempt" };
        let exempted = Question { exempt_on: Some(node.clone()), ..question.clone() };
        if is_certain {
            let masquerades = answer.all_hops().any(|hop| hop.host.node == node && hop.own_nat.masquerades);
            answer = trace(topology, &exempted)?;
            look(&mut answer, &source, None);
            let with_source = if masquerades { ", its source included" } else { "" };
            answer.others.notes.insert(
                0,
                format!("{} {are} it from connection tracking: it is judged as untracked on {node}, where nothing translates it{with_source}", tables.join(" and ")),
            );
            return Ok(answer);
        }
        if trace(topology, &exempted).map_or(true, |other| differs(&answer, &other)) {
            answer.others.notes.push(format!(
                "{} may exempt it from connection tracking, so that nothing translates it on {node}: then ask again with --state untracked",
                tables.join(" or ")
            ));
            answer.others.may_exempt.extend(tables);
        }
    }
    match question.dnat {
        // What it is translated to was said; a node before the one that does may have other tables.
        Dnat::To(..) => answer.others.translates = None,
        Dnat::Never => answer.others.may_translate.clear(),
        Dnat::Known => {}
    }
    let Some(translation) = found.filter(|_| question.dnat == Dnat::Known) else { return Ok(answer) };
    let followed = translation.and_then(|Translation { node, to: (address, port), by, translates, priority }| {
        let named = Question { dnat: Dnat::To(address, port), translated_on: Some(node.clone()), ..question.clone() };
        let mut followed =
            trace(topology, &named).map_err(|why| format!("{translates}, of which there is no answer: {why}"))?;
        followed.translated_by_table(&by);
        look(&mut followed, &source, Some(priority));
        if !followed.others.notes.contains(&translates) {
            followed.others.notes.insert(0, translates.clone());
        }
        followed.others.translates = Some(translates);
        Ok(followed)
    });
    match followed {
        Ok(followed) => Ok(followed),
        Err(why) => {
            answer.others.unanswered = Some(why);
            Ok(answer)
        }
    }
}

/// Whether two answers differ in what becomes of the packet.
fn differs(one: &Answer, other: &Answer) -> bool {
    fn comes_to(answer: &Answer) -> impl PartialEq {
        let translations = |hop: &Hop| (hop.packet.destination, hop.packet.translated, hop.own_nat);
        (answer.allowed(), answer.all_hops().map(translations).collect::<Vec<_>>())
    }
    comes_to(one) != comes_to(other)
}

/// What the tables of other programs do with a packet beside dropping it.
#[derive(Default)]
struct Looked {
    /// The translation that is certain on all paths; where there is one only on some, or nothing tells which of several comes first, the
    /// error says so.
    translation: Option<Result<Translation, String>>,
    exempt: Option<Exempt>,
}

/// Tables of other programs that exempt a packet from connection tracking, or may: one on each of its paths.
struct Exempt {
    /// The node whose tables they are.
    node: String,
    tables: Vec<String>,
    is_certain: bool,
}

/// A translation by a table of another program.
struct Translation {
    /// The node whose table it is.
    node: String,
    to: (IpAddr, Option<u16>),
    by: String,
    /// What it does: `table ip nat of another program translates it to 172.17.0.2:5001 (chain DOCKER, rule 1)`.
    translates: String,
    /// The place of its chain among those that translate.
    priority: i32,
}

/// Adds to an answer what other programs do with the packet on this machine, or why that was not looked at. Gives what of it
/// leads to another answer.
/// `translated_at` is the place of the chain that translates the packet of the answer.
fn look(answer: &mut Answer, source: &Source<'_>, translated_at: Option<i32>) -> Looked {
    let nodes: BTreeSet<&str> = answer.all_hops().map(|hop| hop.host.node.as_str()).collect();
    let mut others = OtherPrograms::default();
    let mut looked = Looked::default();
    match source.tables(&nodes, translated_at, &mut others.notes) {
        Ok(tables) => {
            others.looked_at = true;
            let paths = std::iter::once(&answer.hops).chain(answer.paths.iter().map(|path| &path.hops));
            let pairs = paths.flat_map(|hops| hops.windows(2)).filter_map(|pair| <&[Hop; 2]>::try_from(pair).ok());
            let all = tables.found(&tables.met(answer.all_hops()), &answer.endpoints, &pairs.collect::<Vec<_>>());
            others.notes.extend(all.notes);
            others.translates = all.translates;
            others.may_translate = all.may_translate.into_iter().collect();
            others.may_change = all.may_change.into_iter().collect();
            others.may_mark = all.may_mark.into_iter().collect();
            others.may_drop = all.may_drop.into_iter().filter(|_| may_arrive(answer)).collect();
            let mut drops: Vec<String> = all.drops.into_iter().filter(|_| answer.paths.is_empty()).collect();
            for path in answer.paths.iter().filter(|path| path.allowed()) {
                drops.extend(tables.dropped_by(&path.hops).map(|by| format!("{by} if {}", path.when)));
            }
            others.drops = (!drops.is_empty() && may_arrive(answer)).then(|| drops.join("; by "));
            if others.drops.is_some() {
                others.may_drop.clear();
            }
            let single = answer.paths.is_empty().then_some(&answer.hops);
            let paths = single.into_iter().chain(answer.paths.iter().map(|path| &path.hops));
            let firsts: Vec<Option<&Hop>> = paths.map(|hops| tables.met(hops.iter()).first().copied()).collect();
            looked.translation = others.translates.as_ref().map(|said| tables.translated(&firsts, said));
            looked.exempt = tables.exempt(&firsts);
        }
        Err(why) => others.notes.push(not_looked(&why)),
    }
    answer.others = others;
    looked
}

/// Says of an answer for many packets which tables of other programs it leaves out.
pub(crate) fn left_out(found: &mut Reach, local_facts: Option<&LocalFacts>, offline: bool) {
    let nodes: BTreeSet<&str> = found.nodes.iter().map(String::as_str).collect();
    let mut notes = Vec::new();
    let source = Source::new(local_facts, offline);
    match source.tables(&nodes, None, &mut notes) {
        Ok(Tables { tables, .. }) => {
            let known = tables.tables.iter().map(|table| table.dump.table.id.to_string());
            let unread = tables.unread.iter().map(|(table, _)| table.clone());
            let names: Vec<String> = known.chain(unread).chain(tables.legacy.iter().cloned()).collect();
            if !names.is_empty() {
                notes.push(format!(
                    "tables of other programs may drop or translate some of these packets, and were not looked into: {}; with two addresses and a port they are",
                    names.join(", ")
                ));
            }
        }
        Err(why) => notes.push(not_looked(&why)),
    }
    found.notes.extend(notes);
}

fn not_looked(why: &str) -> String {
    format!("the rules of other programs were not looked at: {why}")
}

/// Whether tortie lets the packet through on any possible path.
fn may_arrive(answer: &Answer) -> bool {
    answer.allowed() || answer.paths.iter().any(PossiblePath::allowed)
}

/// What was found.
#[derive(Default)]
struct Found {
    notes: Vec<String>,
    /// What drops the packet for certain.
    drops: Option<String>,
    /// What translates it for certain.
    translates: Option<String>,
    /// The tables that may drop it.
    may_drop: BTreeSet<String>,
    /// The tables that may translate it, otherwise than is known of the packet.
    may_translate: BTreeSet<String>,
    /// The tables that may change it otherwise.
    may_change: BTreeSet<String>,
    /// The tables that may write the mark bit that the verdict depends on.
    may_mark: BTreeSet<String>,
}

/// So many destinations of a table are named.
const SHOWN_TARGETS: usize = 4;

/// Where the tables of other programs come from. They are read at most once, so all that is said of a question is of one state.
struct Source<'a> {
    local_facts: Option<&'a LocalFacts>,
    offline: bool,
    allowed_mark: Option<AllowedMark>,
    read: OnceCell<Result<ForeignTables, String>>,
}

impl<'a> Source<'a> {
    fn new(local_facts: Option<&'a LocalFacts>, offline: bool) -> Self {
        Self { local_facts, offline, allowed_mark: None, read: OnceCell::new() }
    }

    /// The tables of other programs on this machine, if packets of the answer pass it; otherwise why they were not looked at.
    /// Other machines on the way are noted.
    fn tables(
        &self,
        nodes: &BTreeSet<&str>,
        translated_at: Option<i32>,
        notes: &mut Vec<String>,
    ) -> Result<Tables<'_>, String> {
        let local_facts = match self.local_facts {
            _ if self.offline => return Err("--offline".to_owned()),
            None => return Err("no agent of this machine was asked".to_owned()),
            Some(local_facts) => local_facts,
        };
        if !nodes.contains(local_facts.node.as_str()) {
            return Err(format!("this machine is {}", local_facts.node));
        }
        let elsewhere: Vec<&str> = nodes.iter().copied().filter(|node| *node != local_facts.node).collect();
        if !elsewhere.is_empty() {
            notes.push(not_looked(&format!("on {}, which is another machine", elsewhere.join(", "))));
        }
        let read = self.read.get_or_init(|| LocalFacts::foreign_tables().map_err(|error| error.to_string()));
        let tables = read.as_ref().map_err(String::clone)?;
        let (host, machine) = (local_facts.host(), local_facts.machine.as_ref());
        let effects = RefCell::default();
        Ok(Tables { tables, host, machine, translated_at, allowed_mark: self.allowed_mark, effects })
    }
}

/// The tables of other programs on this machine.
struct Tables<'a> {
    tables: &'a ForeignTables,
    host: Host,
    machine: Option<&'a Machine>,
    /// The place of the chain of these tables that translates the packet, where one does.
    translated_at: Option<i32>,
    /// The mark bit that says that an early policy has allowed a packet.
    allowed_mark: Option<AllowedMark>,
    /// What each of the tables does with the packets that were asked about.
    effects: RefCell<Vec<(AskedOnce, Rc<[Effect]>)>>,
}

/// A packet, what tortie translates of it, and the place of the translation that it has.
type AskedOnce = (Packet, OwnNat, i32);

impl Tables<'_> {
    /// The hops at which a packet meets the tables.
    fn met<'h>(&self, hops: impl Iterator<Item = &'h Hop>) -> Vec<&'h Hop> {
        let meets = |hop: &&Hop| {
            // Without a route a packet of the machine itself gets to no hook.
            let is_before = hop.dropped.is_some() && hop.verdict.path.is_empty();
            let is_lost = is_before && matches!(hop.packet.path, PacketPath::Output { .. });
            hop.host.node == self.host.node && !hop.is_bridged && (!is_lost || hop.translated_by.is_some())
        };
        hops.filter(meets).collect()
    }

    /// What drops a packet on a path for certain.
    fn dropped_by(&self, path: &[Hop]) -> Option<String> {
        let all: Vec<Rc<[Effect]>> = self.met(path.iter()).into_iter().map(|hop| self.effects_on(hop)).collect();
        self.tables.tables.iter().enumerate().find_map(|(at, table)| {
            all.iter().find_map(|effects| match &effects[at] {
                Effect::Drops(by) => Some(by_table(table, by)),
                _ => None,
            })
        })
    }

    /// What the tables do with a packet at these hops, if the answer is for these endpoints of a service.
    /// The pairs are hops that follow each other.
    fn found(&self, hops: &[&Hop], endpoints: &[SocketAddr], pairs: &[&[Hop; 2]]) -> Found {
        let tables = self.tables;
        let mut found = Found::default();
        let all: Vec<Rc<[Effect]>> = hops.iter().map(|hop| self.effects_on(hop)).collect();
        let firsts: Vec<_> =
            hops.iter().zip(&all).map(|(hop, effects)| self.first_translation(&hop.packet, effects)).collect();
        for (at, table) in tables.tables.iter().enumerate() {
            let name = named(&table.dump.table.id);
            let mut said = BTreeSet::new();
            for ((hop, effects), first) in hops.iter().zip(&all).zip(&firsts) {
                let packet = &hop.packet;
                let first = first.as_ref().and_then(|first| first.as_ref().ok());
                let own = hop.own_nat.destination.map(|_| FLOATING_IPS);
                let translated_at =
                    [self.translated_at, first.map(|first| first.priority), own].into_iter().flatten().min();
                match effects[at].clone() {
                    Effect::Nothing => {}
                    Effect::Drops(by) => {
                        said.insert(format!("{name} drops it: {by}"));
                        found.drops.get_or_insert_with(|| by_table(table, &by));
                    }
                    Effect::Translates { to, port, by, priority } => {
                        match first.filter(|first| first.priority < priority) {
                            Some(first) => {
                                said.insert(format!(
                                "{name} would translate it to {} ({by}, priority {priority}), but {} does so first, at priority {}",
                                destination(to, port), first.by, first.priority
                            ));
                            }
                            None => {
                                let translates = translates_it(table, to, port, &by);
                                said.insert(translates.clone());
                                found.translates.get_or_insert(translates);
                            }
                        }
                    }
                    Effect::Unclear { why, may_drop, may_translate, may_change } => {
                        if may_drop {
                            found.may_drop.insert(name.clone());
                        }
                        let may_drop = may_drop.then(|| "drop it".to_owned());
                        // What was translated is not translated by a later chain.
                        let is_later =
                            translated_at.is_some_and(|at| translates_at(table, packet).is_some_and(|own| own > at));
                        let targets = may_translate
                            .filter(|_| !is_later)
                            .and_then(|targets| otherwise(hop, &name, targets, endpoints));
                        if targets.is_some() {
                            found.may_translate.insert(name.clone());
                        }
                        let may_translate = targets.map(|targets| match targets.as_slice() {
                            [] => "translate it: then ask again with --dnat".to_owned(),
                            all => {
                                let (shown, more) =
                                    (&all[..all.len().min(SHOWN_TARGETS)], all.len().saturating_sub(SHOWN_TARGETS));
                                let more = if more > 0 { format!(" or {more} more") } else { String::new() };
                                format!("translate it to {}{more}: then ask again with --dnat", shown.join(" or "))
                            }
                        });
                        if may_change {
                            found.may_change.insert(name.clone());
                        }
                        let may_change = may_change.then(|| "change it otherwise".to_owned());
                        let may: Vec<String> = may_drop.into_iter().chain(may_change).chain(may_translate).collect();
                        if !may.is_empty() {
                            said.insert(format!("{name} may {} ({why})", may.join(", or ")));
                        }
                    }
                }
                if let Some(note) = self.marked(table, &name, hop) {
                    found.may_mark.insert(name.clone());
                    said.insert(note);
                }
                said.extend(self.rerouted(table, &name, hop));
                said.extend(self.as_assumed(at, hop));
            }
            said.extend(pairs.iter().filter_map(|pair| self.gives_source(table, &name, pair)));
            found.notes.extend(said);
        }
        found.notes.extend(hops.iter().find_map(|hop| self.untranslated_here(hop)));
        if let Some(hop) = hops.first() {
            let program = if hop.packet.source.is_ipv4() { "iptables " } else { "ip6tables " };
            let unread = || tables.unread.iter().map(|(table, _)| table);
            let older = || tables.legacy.iter().filter(|name| name.starts_with(program));
            found.may_drop.extend(unread().chain(older()).map(named));
            if hop.translated_by != Some(TranslatedBy::Question) {
                let unknown = unread().chain(older().filter(|name| name.ends_with(" nat")));
                found.may_translate.extend(unknown.map(named));
            }
        }
        for (table, why) in &tables.unread {
            found.notes.push(format!("{} was not looked into: {why}", named(table)));
        }
        if !tables.legacy.is_empty() {
            let all = tables.legacy.join(", ");
            found.notes.push(format!(
                "tables of the older iptables may drop or translate it, and were not looked into: {all}"
            ));
        }
        let count = tables.tables.len();
        let is_translated = hops.iter().any(|hop| matches!(hop.translated_by, Some(TranslatedBy::Table(_))));
        if found.notes.is_empty() && count > 0 && !is_translated {
            found.notes.push(format!("no table of another program drops or translates it ({count} looked at)"));
        }
        found
    }

    /// The translation on all paths over this machine, by the first hop of each that meets its tables.
    fn translated(&self, firsts: &[Option<&Hop>], said: &str) -> Result<Translation, String> {
        let mut found: Option<Translation> = None;
        for hop in firsts {
            let first = hop.and_then(|hop| {
                let packet = untranslated(hop);
                self.first_translation(&packet, &self.effects_of(&packet, hop.own_nat, i32::MIN))
            });
            let Some(first) = first.transpose()? else { return Err(format!("{said} on some of its ways")) };
            match &found {
                Some(known) if known.to != first.to => return Err(format!("{said}, and elsewhere on another way")),
                Some(_) => {}
                None => found = Some(first),
            }
        }
        found.ok_or_else(|| said.to_owned())
    }

    /// The translation by the first of the chains that translate a packet for certain: a connection is translated once. `effects` are
    /// those of each table. None without one; an error where chains of several tables have the same place and translate it to different destinations.
    fn first_translation(&self, packet: &Packet, effects: &[Effect]) -> Option<Result<Translation, String>> {
        let node = &self.host.node;
        let all = self.tables.tables.iter().zip(effects).filter_map(|(table, effect)| match effect {
            Effect::Translates { to, port, by, priority } => {
                let (by, translates) = (by_table(table, by), translates_it(table, *to, *port, by));
                Some(Translation { node: node.clone(), to: (*to, *port), by, translates, priority: *priority })
            }
            _ => None,
        });
        let all: Vec<Translation> = all.collect();
        let first = all.iter().map(|one| one.priority).min()?;
        let mut firsts = all.into_iter().filter(|one| one.priority == first);
        let one = firsts.next()?;
        Some(match firsts.find(|other| other.to != one.to) {
            Some(other) => Err(format!(
                "{} translates {} to {}, and {} to {}: both are at priority {first}, and nothing tells which of them is first",
                one.by,
                packet.destination,
                destination(one.to.0, one.to.1),
                other.by,
                destination(other.to.0, other.to.1)
            )),
            None => Ok(one),
        })
    }

    /// The tables that exempt packets on all paths over this machine from connection tracking, or may on some, by the first hop of each
    /// that meets its tables.
    fn exempt(&self, firsts: &[Option<&Hop>]) -> Option<Exempt> {
        let exempts = |hop: &Option<&Hop>, table: &ForeignTable| {
            let tracked = hop.filter(|hop| seen(hop).conntrack != Conntrack::Untracked);
            tracked.map_or(Exempts::Never, |hop| exempts(table, self.asked(&hop.packet)))
        };
        // Of each path the table that exempts for certain, else those that may.
        let of = |hop| {
            let all = self.tables.tables.iter().map(|table| (table, exempts(hop, table)));
            let all: Vec<_> = all.filter(|(_, exempts)| *exempts != Exempts::Never).collect();
            match all.iter().find(|(_, exempts)| *exempts == Exempts::Always) {
                Some(certain) => vec![*certain],
                None => all,
            }
        };
        let all: Vec<Vec<_>> = firsts.iter().map(of).collect();
        let is_certain = all.iter().all(|found| matches!(found[..], [(_, Exempts::Always)]));
        let mut tables: Vec<String> = Vec::new();
        for (table, _) in all.into_iter().flatten() {
            let name = named(&table.dump.table.id);
            if !tables.contains(&name) {
                tables.push(name);
            }
        }
        (!tables.is_empty()).then(|| Exempt { node: self.host.node.clone(), tables, is_certain })
    }

    /// A packet at this machine.
    fn asked<'p>(&'p self, packet: &'p Packet) -> Asked<'p> {
        Asked::new(&self.host, self.machine, packet)
    }

    /// What each table does with a packet. Each is asked once.
    fn effects_of(&self, packet: &Packet, own: OwnNat, translated_at: i32) -> Rc<[Effect]> {
        let mut known = self.effects.borrow_mut();
        let key = (packet.clone(), own, translated_at);
        if let Some((_, effects)) = known.iter().find(|(asked, _)| *asked == key) {
            return effects.clone();
        }
        let context = TableContext { tables: &self.tables.tables, asked: self.asked(packet), own, translated_at };
        let effects: Rc<[Effect]> = effects_in_context(context).into();
        known.push((key, effects.clone()));
        effects
    }

    /// What each table does with the packet. Of a translation that is only assumed it says what it translates to, for a service only
    /// where that is something else.
    fn effects_on(&self, hop: &Hop) -> Rc<[Effect]> {
        let at = match &hop.translated_by {
            Some(TranslatedBy::Table(_)) => self.translated_at.unwrap_or(i32::MIN),
            // It is what is left where no table is known to translate it.
            Some(TranslatedBy::HostPort(_) | TranslatedBy::Service(_)) => i32::MAX,
            Some(TranslatedBy::Question) | None => i32::MIN,
        };
        let of = |packet: &Packet| self.effects_of(packet, hop.own_nat, at);
        let effects = of(&seen(hop));
        let Some(TranslatedBy::HostPort(_) | TranslatedBy::Service(_)) = hop.translated_by else { return effects };
        let is_host_port = matches!(hop.translated_by, Some(TranslatedBy::HostPort(_)));
        let instead = of(&untranslated(hop));
        let each = effects.iter().zip(&*instead).map(|(effect, instead)| match instead {
            Effect::Translates { to, port, .. } if is_host_port || Some((*to, *port)) != hop.packet.translated => {
                instead
            }
            _ => effect,
        });
        each.cloned().collect()
    }

    /// What to say of a table that translates the packet as a service proxy is assumed to.
    fn as_assumed(&self, at: usize, hop: &Hop) -> Option<String> {
        let Some(TranslatedBy::Service(_)) = hop.translated_by else { return None };
        match &self.effects_of(&untranslated(hop), hop.own_nat, i32::MIN)[at] {
            Effect::Translates { to, port, by, .. } if Some((*to, *port)) == hop.packet.translated => {
                Some(format!("{}, as is assumed", translates_it(&self.tables.tables[at], *to, *port, by)))
            }
            _ => None,
        }
    }

    /// What to say of a packet that a portmap plugin or a service proxy is assumed to translate, where no table of this machine does. None
    /// where one does, or may.
    fn untranslated_here(&self, hop: &Hop) -> Option<String> {
        let why = match hop.translated_by.as_ref()? {
            TranslatedBy::HostPort(_) => "so the portmap plugin that is assumed has not done it (--dnat none)",
            TranslatedBy::Service(_) => {
                "so the service proxy that is assumed uses none (IPVS, eBPF), or there is none here (--dnat none)"
            }
            TranslatedBy::Question | TranslatedBy::Table(_) => return None,
        };
        let tables = self.tables;
        let translates = |effect: &Effect| match effect {
            Effect::Nothing | Effect::Drops(_) => false,
            Effect::Translates { .. } => true,
            Effect::Unclear { may_translate, .. } => may_translate.is_some(),
        };
        let is_known = tables.unread.is_empty() && tables.legacy.is_empty();
        (is_known && !self.effects_of(&untranslated(hop), hop.own_nat, i32::MIN).iter().any(translates))
            .then(|| format!("no table on this machine translates it, {why}"))
    }

    /// What to say of a packet that goes on to another node, where a table may give it its source: this is not followed.
    fn gives_source(&self, table: &ForeignTable, name: &str, [hop, next]: &[Hop; 2]) -> Option<String> {
        let (here, there) = (&self.host.node, &next.host.node);
        let goes_on = hop.host.node == *here && there != here;
        (goes_on && may_give_source(table, self.asked(&seen(hop)), hop.own_nat)).then(|| {
            format!(
                "{name} may give it another source, which is not followed: {there} is asked about {}",
                next.packet.source
            )
        })
    }

    /// What to say of a table that may write the mark bit that the verdict on a packet depends on.
    fn marked(&self, table: &ForeignTable, name: &str, hop: &Hop) -> Option<String> {
        let mark = MarkBit::of(&hop.verdict, self.allowed_mark?)?;
        let chain = may_write_mark(table, self.asked(&seen(hop)), hop.own_nat, mark)?;
        let becomes = match mark.is_set {
            true => {
                "clear the mark bit by which tortie knows that a policy has allowed it: then later policies judge it too"
            }
            false => "set the mark bit by which tortie knows that a policy has allowed it: then it is not denied here",
        };
        Some(format!("{name} may {becomes} (chain {chain})"))
    }

    /// What to say of a packet that this machine sends, where a table may have its route chosen again.
    fn rerouted(&self, table: &ForeignTable, name: &str, hop: &Hop) -> Option<String> {
        let PacketPath::Output { interface } = &hop.packet.path else { return None };
        let chain = may_reroute(table, self.asked(&seen(hop)), hop.own_nat)?;
        Some(format!(
            "{name} may send it out by another interface: its chain {chain} of type route may change its mark, DSCP or addresses; it is judged as leaving by {interface} all the same"
        ))
    }
}

/// The packet as tables see it: one that a policy exempts from connection tracking is not tracked.
fn seen(hop: &Hop) -> Packet {
    let conntrack = if hop.verdict.untracked { Conntrack::Untracked } else { hop.packet.conntrack };
    Packet { conntrack, ..hop.packet.clone() }
}

fn untranslated(hop: &Hop) -> Packet {
    Packet { translated: None, ..seen(hop) }
}

/// `table inet filter of another program`.
pub(crate) fn named(table: &impl Display) -> String {
    format!("table {table} of another program")
}

/// `table inet filter of another program (chain input, rule 1)`.
fn by_table(table: &ForeignTable, by: &str) -> String {
    format!("{} ({by})", named(&table.dump.table.id))
}

/// `table ip nat of another program translates it to 172.17.0.2:5001 (chain DOCKER, rule 1)`.
fn translates_it(table: &ForeignTable, to: IpAddr, port: Option<u16>, by: &str) -> String {
    format!("{} translates it to {} ({by})", named(&table.dump.table.id), destination(to, port))
}

/// The destinations that a table may translate a packet to otherwise than is known; none where it is not asked, or there are none.
fn otherwise(hop: &Hop, name: &str, mut targets: Vec<String>, endpoints: &[SocketAddr]) -> Option<Vec<String>> {
    match (&hop.translated_by, hop.packet.translated) {
        // Who has said what it is translated to does not need to be asked.
        (Some(TranslatedBy::Question), _) => None,
        (Some(TranslatedBy::Table(by)), _) if by.starts_with(name) => None,
        (Some(_), Some((to, port))) if !targets.is_empty() => {
            let known = destination(to, port);
            let endpoints: Vec<String> = endpoints.iter().map(SocketAddr::to_string).collect();
            targets.retain(|target| *target != known && !endpoints.contains(target));
            (!targets.is_empty()).then_some(targets)
        }
        _ => Some(targets),
    }
}
