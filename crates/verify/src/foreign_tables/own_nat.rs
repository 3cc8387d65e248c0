//! What tortie itself and the other tables translate of a packet: chains before see one address, chains behind the other.

use std::net::IpAddr;

use tortie_dataplane_nft::FLOATING_IPS;
use tortie_nft::dump::TableDump;
use tortie_nft::foreign::ForeignTable;
use tortie_policy::packet::Packet;

use super::table_context::{TableContext, either};
use super::{Asked, Effect, effect as of_others, source, translated};

/// What each table does with a packet among the others.
pub(super) fn effects(context: TableContext<'_>) -> Vec<Effect> {
    let TableContext { asked, own, translated_at, .. } = context;
    let translation = match (asked.packet.translated, own.destination) {
        (Some((to, port)), _) => Some((to, port, translated_at)),
        (None, Some(to)) => Some((to, None, FLOATING_IPS)),
        (None, None) => None,
    };
    let with = |table: &mut TableDump, packet: &Packet, is_before: bool| {
        if let Some((to, port, at)) = translation {
            translated::add(table, packet, to, port, at, is_before);
        }
    };
    let sources = source::Sources::find(context, &|table, packet| with(table, packet, true));
    context
        .tables
        .iter()
        .map(|table| effect(table, asked, &sources.before(table), translation.map(|(to, ..)| to), &with))
        .collect()
}

/// What a table does with a packet that has one of these sources where it gets there. `with` adds the translation to this destination.
fn effect(
    table: &ForeignTable,
    asked: Asked<'_>,
    sources: &[Option<source::GivenSource>],
    translated_to: Option<IpAddr>,
    with: &dyn Fn(&mut TableDump, &Packet, bool),
) -> Effect {
    let of_destination = |source: &dyn Fn(&mut TableDump)| {
        let of = |is_before| {
            let mut table = table.clone();
            with(&mut table.dump, asked.packet, is_before);
            source(&mut table.dump);
            of_others(&table, asked)
        };
        let first = of(true);
        match translated_to {
            None => first,
            Some(to) => merged(first, of(false), || {
                format!("it is translated to {to} at the same priority, before or behind these rules")
            }),
        }
    };
    let of_source = |given: &Option<source::GivenSource>| match given {
        None if translated_to.is_none() => of_others(table, asked),
        None => of_destination(&|_| {}),
        Some(given) => {
            let of = |is_before| of_destination(&|table| source::add(table, asked, given, is_before));
            merged(of(true), of(false), || {
                format!("{} gives it a source at the same priority, before or behind these rules", given.by)
            })
        }
    };
    let mut effects = sources.iter().map(of_source);
    let first = effects.next().unwrap_or(Effect::Nothing);
    effects.zip(&sources[1..]).fold(first, |found, (other, given)| {
        merged(found, other, || {
            let by = given.as_ref().map_or("another program", |given| given.by.as_str());
            format!("{by} may give it another source before these rules")
        })
    })
}

/// One of two effects, nobody knows which, where they differ.
fn merged(one: Effect, other: Effect, why: impl Fn() -> String) -> Effect {
    if one == other {
        return one;
    }
    let both = either(one.clone(), other, why());
    match (one, both) {
        (
            Effect::Unclear { why, may_drop, may_translate, may_change },
            Effect::Unclear { may_drop: drops, may_translate: targets, may_change: changes, .. },
        ) if (may_drop, may_translate.is_some(), may_change) == (drops, targets.is_some(), changes) => {
            Effect::Unclear { why, may_drop, may_translate: targets, may_change }
        }
        (_, both) => both,
    }
}
