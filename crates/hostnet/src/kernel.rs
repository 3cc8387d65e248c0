//! The thin doer: reads the kernel for the model, and does steps.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use tortie_nft::wire::{CREATE, Message, REPLACE};

use crate::conntrack::Conntrack;
use crate::links::message;
use crate::links::watcher::{GROUPS, read_all};
use crate::model::Model;
use crate::neighbour::{self, NDMSG};
use crate::netlink::{Error, Follower, Socket};
use crate::route::{self, RTMSG, Route};
use crate::seen::Fact;
use crate::step::Step;
use crate::sysctl;

const ROUTES: libc::c_int = libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE;

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The kernel refused, or could not be spoken with.
    #[error(transparent)]
    Netlink(#[from] Error),
    /// A setting could not be written.
    #[error(transparent)]
    Sysctl(io::Error),
}

/// The kernel's side.
#[derive(Debug)]
pub(crate) struct Kernel {
    follower: Follower,
    conntrack: Conntrack,
}

impl Kernel {
    /// Begins to follow links, addresses and routes; nothing is read yet.
    pub(crate) fn open(room: usize) -> Result<Self, Error> {
        Ok(Self { follower: Follower::open(GROUPS | ROUTES, room)?, conntrack: Conntrack::open()? })
    }

    /// Reads everything into the model.
    pub(crate) fn read(&mut self, model: &mut Model) -> Result<(), Error> {
        read_anew(&mut self.follower.asked, model)
    }

    /// Takes into the model what was told since, and whether that was everything anew.
    pub(crate) fn news(&mut self, model: &mut Model) -> Result<bool, Error> {
        let take =
            |model: &mut Model, message: &Message<'_>| facts(message).into_iter().for_each(|one| model.take(one));
        let anew = self.follower.news(model, take, read_anew)?;
        for index in model.seen.unread() {
            for route in read_routes(&mut self.follower.asked, Some(index))? {
                model.take(Fact::Route { route, replaces: false });
            }
        }
        Ok(anew)
    }

    /// Waits until something is told or the time has come; whether something was.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Result<bool, Error> {
        self.follower.wait(until)
    }

    /// Makes the connections of these addresses forgotten.
    pub(crate) fn forget(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), Error> {
        self.conntrack.forget(addresses)
    }

    /// Does a step.
    pub(crate) fn run(&mut self, step: &Step) -> Result<(), StepError> {
        let socket = &mut self.follower.asked;
        match step {
            Step::Set(setting) => return sysctl::write(setting).map_err(StepError::Sysctl),
            Step::Forget(address) => self.conntrack.forget(&BTreeSet::from([*address]))?,
            Step::Route(route) => {
                socket.request("make a route", libc::RTM_NEWROUTE, CREATE | REPLACE, &route.fixed(false), |writer| {
                    route.write(writer, false)
                })?
            }
            Step::Unroute(route) => {
                let (what, kind) = ("remove a route", libc::RTM_DELROUTE);
                let done = socket.request(what, kind, 0, &route.fixed(true), |writer| route.write(writer, true));
                unless_gone(done, libc::ESRCH)?;
            }
            Step::Resolve(neighbour) => socket.request(
                "make a neighbour",
                libc::RTM_NEWNEIGH,
                CREATE | REPLACE,
                &neighbour.fixed(),
                |writer| neighbour.write(writer),
            )?,
            Step::Unresolve(neighbour) => {
                let (what, kind) = ("remove a neighbour", libc::RTM_DELNEIGH);
                let done = socket.request(what, kind, 0, &neighbour.fixed(), |writer| neighbour.write(writer));
                unless_gone(done, libc::ENOENT)?;
            }
        }
        Ok(())
    }

    /// How often notifications were lost.
    pub(crate) fn overflows(&self) -> u64 {
        self.follower.overflows()
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.follower.as_fd()
    }
}

/// What is to be removed and is not there, or whose interface is not there, is removed.
fn unless_gone(done: Result<(), Error>, gone: i32) -> Result<(), Error> {
    match done {
        Err(Error::Refused { source, .. }) if [gone, libc::ENODEV].map(Some).contains(&source.raw_os_error()) => Ok(()),
        other => other,
    }
}

fn facts(message: &Message<'_>) -> Option<Fact> {
    match message.kind {
        libc::RTM_NEWROUTE => {
            let replaces = message.flags & REPLACE != 0;
            route::read(message).map(|route| Fact::Route { route, replaces })
        }
        libc::RTM_DELROUTE => route::read(message).map(Fact::NoRoute),
        _ => message::read(message).map(Fact::Link),
    }
}

fn read_anew(socket: &mut Socket, model: &mut Model) -> Result<(), Error> {
    let links = read_all(socket)?.into_iter().map(Fact::Link);
    let routes = read_routes(socket, None)?.into_iter().map(|route| Fact::Route { route, replaces: false });
    let mut fixed = [0; NDMSG];
    fixed[0] = libc::AF_INET as u8;
    let what = "list the neighbours";
    let neighbours = socket.dump(
        what,
        libc::RTM_GETNEIGH,
        &fixed,
        |_| (),
        Vec::new,
        |all, message| {
            all.extend(neighbour::read(message));
        },
    )?;
    model.seen.take_anew(links.chain(routes), neighbours);
    Ok(())
}

/// The routes of the main table, all or out of one interface.
fn read_routes(socket: &mut Socket, index: Option<u32>) -> Result<Vec<Route>, Error> {
    let mut all = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut fixed = [0; RTMSG];
        fixed[0] = family as u8;
        fixed[4] = libc::RT_TABLE_MAIN;
        let filter = |writer: &mut tortie_nft::wire::Writer| {
            index.iter().for_each(|index| writer.bytes(libc::RTA_OIF, &index.to_ne_bytes()));
        };
        let kind = libc::RTM_GETROUTE;
        let read = |all: &mut Vec<Route>, message: &Message<'_>| all.extend(route::read(message));
        match socket.dump("list the routes", kind, &fixed, filter, Vec::new, read) {
            Ok(mut some) => all.append(&mut some),
            // A kernel without a family has no routes of it, and a table is made with its first route.
            Err(Error::Refused { source, .. })
                if [libc::EAFNOSUPPORT, libc::EOPNOTSUPP, libc::ENOENT].map(Some).contains(&source.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
