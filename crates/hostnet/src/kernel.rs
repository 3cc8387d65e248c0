//! Access to the kernel: reads its state for the model, and executes steps.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use tortie_netlink::wire::{CREATE, Message, REPLACE, Writer};
use tortie_netlink::{Follower, RequestError, Socket};

use crate::conntrack::Conntrack;
use crate::links::message;
use crate::links::watcher::{GROUPS, read_all};
use crate::model::Model;
use crate::neighbour::{self, NDMSG};
use crate::observed::KernelEvent;
use crate::route::{self, RTMSG, Route, TABLES, of_family};
use crate::saved_settings::{Changed, SavedSettings};
use crate::step::{Setting, Step};
use crate::sysctl;

const ROUTES: libc::c_int = libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE;

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The kernel refused, or could not be spoken with.
    #[error(transparent)]
    Netlink(#[from] RequestError),
    /// A setting could not be written.
    #[error(transparent)]
    Sysctl(io::Error),
}

/// The kernel's side.
#[derive(Debug)]
pub(crate) struct Kernel {
    follower: Follower,
    conntrack: Conntrack,
    saved_settings: SavedSettings,
}

impl Kernel {
    /// Begins to follow links, addresses and routes; nothing is read yet.
    pub(crate) fn open(room: usize) -> Result<Self, RequestError> {
        Ok(Self {
            follower: Follower::open(GROUPS | ROUTES, room)?,
            conntrack: Conntrack::open()?,
            saved_settings: SavedSettings::default(),
        })
    }

    /// Reads everything into the model.
    pub(crate) fn read(&mut self, model: &mut Model) -> Result<(), RequestError> {
        read_anew(self.follower.requests(), model)
    }

    /// Takes into the model what was told since, and whether that was everything anew.
    pub(crate) fn news(&mut self, model: &mut Model) -> Result<bool, RequestError> {
        let take =
            |model: &mut Model, message: &Message<'_>| facts(message).into_iter().for_each(|one| model.take(one));
        let anew = self.follower.update(model, take, read_anew)?;
        for index in model.observed.unread() {
            for route in read_routes(self.follower.requests(), Some(index))? {
                model.take(KernelEvent::Route { route, replaces: false });
            }
        }
        Ok(anew)
    }

    /// Waits until something is told or the time has come; whether something was.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Result<bool, RequestError> {
        self.follower.wait(until)
    }

    /// Makes the connections of these addresses forgotten.
    pub(crate) fn forget(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), RequestError> {
        self.conntrack.forget(addresses)
    }

    /// Does a step. `prefixes` begin the names of workloads' interfaces.
    pub(crate) fn run(&mut self, step: &Step, prefixes: &[String]) -> Result<(), StepError> {
        let socket = self.follower.requests();
        match step {
            Step::WriteSetting(setting) => return self.set(setting, prefixes).map_err(StepError::Sysctl),
            Step::ForgetConnections(address) => self.conntrack.forget(&BTreeSet::from([*address]))?,
            Step::MakeRoute(route) => {
                socket.request("make a route", libc::RTM_NEWROUTE, CREATE | REPLACE, &route.fixed(false), |writer| {
                    route.write(writer, false)
                })?
            }
            Step::RemoveRoute(route) => {
                let (what, kind) = ("remove a route", libc::RTM_DELROUTE);
                let done = socket.request(what, kind, 0, &route.fixed(true), |writer| route.write(writer, true));
                unless_gone(done, libc::ESRCH)?;
            }
            Step::MakeNeighbour(neighbour) => socket.request(
                "make a neighbour",
                libc::RTM_NEWNEIGH,
                CREATE | REPLACE,
                &neighbour.fixed(),
                |writer| neighbour.write(writer),
            )?,
            Step::RemoveNeighbour(neighbour) => {
                let (what, kind) = ("remove a neighbour", libc::RTM_DELNEIGH);
                let done = socket.request(what, kind, 0, &neighbour.fixed(), |writer| neighbour.write(writer));
                unless_gone(done, libc::ENOENT)?;
            }
        }
        Ok(())
    }

    /// Remembers what the settings of interfaces say that these steps write.
    pub(crate) fn remember_previous(&mut self, steps: &[Step]) {
        self.saved_settings.remember(steps.iter().filter_map(|step| match step {
            Step::WriteSetting(setting) => Some(setting),
            _ => None,
        }));
    }

    /// Writes a setting. What it said is remembered: the host's own here, that of an interface
    /// [before](Self::remember_previous).
    fn set(&mut self, setting: &Setting, prefixes: &[String]) -> io::Result<()> {
        let value = setting.value.to_string();
        match setting.index {
            None => self.saved_settings.write(&setting.file, &value, setting.optional, prefixes),
            Some(_) => {
                sysctl::write(&setting.file, &value, setting.optional)?;
                self.saved_settings.save()
            }
        }
    }

    /// Where the host's settings are remembered from now on.
    pub(crate) fn remember(&mut self, path: &Path) {
        self.saved_settings = SavedSettings::open(path);
    }

    /// The host's settings that were changed.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &Changed> {
        self.saved_settings.changed()
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
fn unless_gone(done: Result<(), RequestError>, gone: i32) -> Result<(), RequestError> {
    match done {
        Err(error) if [gone, libc::ENODEV].iter().any(|errno| error.is_refusal(*errno)) => Ok(()),
        other => other,
    }
}

fn facts(message: &Message<'_>) -> Vec<KernelEvent> {
    match message.kind {
        libc::RTM_NEWROUTE => {
            let replaces = message.flags & REPLACE != 0;
            let event = |(at, route)| KernelEvent::Route { route, replaces: replaces && at == 0 };
            route::read(message).into_iter().enumerate().map(event).collect()
        }
        libc::RTM_DELROUTE => route::read(message).into_iter().map(KernelEvent::NoRoute).collect(),
        _ => message::read(message).map(KernelEvent::Link).into_iter().collect(),
    }
}

fn read_anew(socket: &mut Socket, model: &mut Model) -> Result<(), RequestError> {
    let links = read_all(socket)?.into_iter().map(KernelEvent::Link);
    let routes = read_routes(socket, None)?.into_iter().map(|route| KernelEvent::Route { route, replaces: false });
    let fixed = of_family::<NDMSG>(libc::AF_INET);
    let each = |all: &mut Vec<_>, message: &Message<'_>| {
        all.extend(neighbour::read(message));
        Ok(())
    };
    let neighbours = socket.dump("list the neighbours", libc::RTM_GETNEIGH, &fixed, |_| (), each)?;
    model.observed.take_anew(links.chain(routes), neighbours);
    Ok(())
}

/// The routes of the tables that every packet is looked up in, all or out of one interface.
fn read_routes(socket: &mut Socket, index: Option<u32>) -> Result<Vec<Route>, RequestError> {
    let mut all = Vec::new();
    for (family, table) in
        [libc::AF_INET, libc::AF_INET6].into_iter().flat_map(|family| TABLES.map(|table| (family, table)))
    {
        let mut fixed = of_family::<RTMSG>(family);
        fixed[4] = table;
        let filter = |writer: &mut Writer| index.iter().for_each(|index| writer.host_u32(libc::RTA_OIF, *index));
        let each = |all: &mut Vec<Route>, message: &Message<'_>| {
            all.extend(route::read(message));
            Ok(())
        };
        match socket.dump("list the routes", libc::RTM_GETROUTE, &fixed, filter, each) {
            Ok(mut some) => all.append(&mut some),
            // A kernel without a family has no routes of it, and a table is made with its first route.
            Err(error)
                if [libc::EAFNOSUPPORT, libc::EOPNOTSUPP, libc::ENOENT]
                    .iter()
                    .any(|errno| error.is_refusal(*errno)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
