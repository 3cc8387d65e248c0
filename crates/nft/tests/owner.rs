//! Tables that only one socket may change, and what the kernel is found to be able to do.

#![allow(clippy::unwrap_used)]

mod common;

use common::{in_namespace, nft_script, run};
use tortie_nft::probe::{Feature, missing};
use tortie_nft::{Batch, Chain, CommitError, Socket, Table, TableId, dump};

fn table() -> TableId {
    TableId::inet("tortie-owned")
}

fn make(socket: &mut Socket, table: &Table) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    batch.add_table(table);
    batch.commit(socket).map(drop)
}

#[test]
fn an_owned_table_belongs_to_one_socket_and_is_adopted_when_orphaned() {
    in_namespace(|| {
        let mut owner = Socket::open().unwrap();
        let mut other = Socket::open().unwrap();
        if !Feature::Persist.is_supported(&mut owner).unwrap() {
            return eprintln!("this kernel has no persistent owned tables");
        }
        make(&mut owner, &Table::owned(table())).unwrap();
        let mut chain = Batch::new();
        chain.add_chain(&table(), &Chain::regular("theirs"));
        let error = chain.commit(&mut other).unwrap_err();
        assert_eq!(error.cause().unwrap().errno, libc::EPERM);
        run("nft", &["flush", "ruleset"]);
        let seen = dump::table(&mut other, &table()).unwrap().unwrap();
        assert!(seen.table.owner && seen.table.persist && seen.chains.is_empty());

        drop(owner);
        let orphan = common::wait_for("the orphan", || {
            dump::table(&mut other, &table()).unwrap().filter(|dump| !dump.table.owner)
        });
        assert!(orphan.table.persist);
        make(&mut other, &Table::owned(table())).unwrap();
        chain.commit(&mut other).unwrap();
        let adopted = dump::table(&mut other, &table()).unwrap().unwrap();
        assert!(adopted.table.owner && adopted.chains.len() == 1);
    });
}

#[test]
fn probing_changes_nothing() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let generation = socket.generation().unwrap();
        let missing = missing(&mut socket).unwrap();
        assert_eq!(socket.generation().unwrap(), generation);
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        // Every kernel that these tests run on is newer than these.
        assert!(!missing.contains(&Feature::CatchAll) && !missing.contains(&Feature::Conntrack), "{missing:?}");
    });
}

#[test]
fn other_tables_are_not_looked_at() {
    in_namespace(|| {
        nft_script(
            "table inet theirs {
                set s { type ipv4_addr
                    flags timeout
                    timeout 5m
                }
                ct helper h { type \"ftp\" protocol tcp; }
                chain c { type filter hook input priority 0; meta random & 1 == 1 counter; }
            }",
        );
        let mut socket = Socket::open().unwrap();
        make(&mut socket, &Table::new(table())).unwrap();
        let dump = dump::table(&mut socket, &table()).unwrap().unwrap();
        assert!(dump.chains.is_empty() && dump.sets.is_empty() && dump.rules.is_empty());
        let ours = dump::tables(&mut socket, |name| name.starts_with("tortie")).unwrap();
        assert_eq!(ours, [Table::new(table())]);
    });
}
