//! The host's network, kept as its workloads need it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use tortie_api::error_with_causes;
use tortie_dataplane::{Delta, Place};
use tortie_netlink::RequestError;

use crate::config::Config;
use crate::kernel::Kernel;
use crate::links::watcher::BUFFER_BYTES;
use crate::links::{Change, Interfaces};
use crate::model::{HostFacts, Model};
use crate::saved_settings::Changed;
use crate::step::Step;
use crate::sysctl;
use crate::workload::Workload;

/// How often one piece of work looks again at what its own steps have stirred up.
const MAX_ROUNDS: usize = 16;
/// And how long it then lets be.
const PAUSE_AFTER_ROUNDS: Duration = Duration::from_millis(100);

/// The network of the namespace of the thread that opened it. Tell it what is wanted, then let it
/// [`work`](Self::work), and again whenever its descriptor is readable or its time has come.
#[derive(Debug)]
pub struct Network {
    model: Model,
    kernel: Kernel,
    began: Instant,
    read: bool,
}

/// What a piece of work came to.
#[derive(Debug, Default)]
pub struct WorkReport {
    /// What became of interfaces.
    pub changes: Vec<Change>,
    /// How many steps were done.
    pub done: usize,
    /// When to work again, should nothing be told before.
    pub again: Option<Instant>,
}

impl Network {
    /// Opens the network. Nothing is changed until [`work`](Self::work): say first what is wanted.
    pub fn open(config: Config) -> Result<Self, RequestError> {
        Self::open_with(config, BUFFER_BYTES)
    }

    /// As [`open`](Self::open), with about so many bytes of room for what the kernel has told and nobody has read.
    pub fn open_with(config: Config, room: usize) -> Result<Self, RequestError> {
        let rp_filter = sysctl::number("ipv4/conf/default/rp_filter").unwrap_or(0);
        let host = HostFacts { ipv6: sysctl::has_ipv6(), rp_filter };
        let (mut model, mut kernel) = (Model::new(config, host), Kernel::open(room)?);
        kernel.read(&mut model)?;
        model.look(true, Duration::ZERO);
        Ok(Self { model, kernel, began: Instant::now(), read: true })
    }

    /// Remembers in this file what the host's settings were before they were changed, for [`restore`](crate::restore).
    pub fn remember_settings(&mut self, path: &Path) {
        self.kernel.remember(path);
    }

    /// The host's settings that were changed, now or by an earlier run that remembered them.
    pub fn changed_settings(&self) -> impl Iterator<Item = &Changed> {
        self.kernel.changed()
    }

    /// Takes what has changed of the endpoints. Floating IPs follow the settings of the node.
    pub fn apply(&mut self, delta: &Delta) {
        if let Some(host) = &delta.host {
            let mut config = self.model.config().clone();
            config.floating_ips = host.settings.floating_ips;
            config.ipv6 = host.settings.ipv6;
            config.prefixes = host.settings.interface_prefixes.clone();
            self.configure(config);
        }
        for (place, endpoint) in &delta.endpoints_put {
            if let Place::Workload(interface) = place {
                self.model.put(interface, Workload::from(endpoint));
            }
        }
        for place in &delta.endpoints_removed {
            if let Place::Workload(interface) = place {
                self.model.remove(interface);
            }
        }
    }

    /// Puts a workload on an interface.
    pub fn put(&mut self, interface: &str, workload: Workload) {
        self.model.put(interface, workload);
    }

    /// Takes the workload of an interface away.
    pub fn remove(&mut self, interface: &str) {
        self.model.remove(interface);
    }

    /// Takes every workload away whose interface is not on the list.
    pub fn keep_only(&mut self, interfaces: &BTreeSet<&str>) {
        self.model.keep_only(interfaces);
    }

    /// Changes the settings.
    pub fn configure(&mut self, config: Config) {
        self.read &= !self.model.configure(config);
    }

    /// Everything is read again with the next work, in case somebody changed what is not told: static neighbours.
    pub fn refresh(&mut self) {
        self.read = false;
    }

    /// Takes in what the kernel has told and does what there is to do, without waiting.
    pub fn work(&mut self) -> Result<WorkReport, RequestError> {
        let mut worked = WorkReport::default();
        for _ in 0..MAX_ROUNDS {
            let mut anew = false;
            if !self.read {
                self.kernel.read(&mut self.model)?;
                (self.read, anew) = (true, true);
            }
            anew |= self.kernel.news(&mut self.model)?;
            let now = self.began.elapsed();
            worked.changes.append(&mut self.model.look(anew, now));
            let plan = self.model.plan(now);
            worked.again = plan.again.map(|again| self.began + again);
            if plan.steps.is_empty() {
                return Ok(worked);
            }
            worked.done += self.run(plan.steps);
        }
        // Somebody undoes what is done: not a reason to do nothing else.
        worked.again = Some(Instant::now() + PAUSE_AFTER_ROUNDS);
        Ok(worked)
    }

    /// Does steps in their order; how many were done.
    fn run(&mut self, steps: Vec<Step>) -> usize {
        let mut done = 0;
        self.kernel.remember_previous(&steps);
        let forget: BTreeSet<_> = steps.iter().filter_map(Step::forgets).collect();
        let mut forgotten = false;
        for step in steps {
            let result = match step {
                Step::ForgetConnections(_) if forgotten => Ok(()),
                Step::ForgetConnections(_) => self.kernel.forget(&forget).map_err(Into::into),
                _ => self.kernel.run(&step, &self.model.config().prefixes),
            };
            match result {
                Ok(()) => {
                    forgotten |= matches!(step, Step::ForgetConnections(_));
                    self.model.did(&step);
                    done += 1;
                }
                Err(error) => self.model.failed(step, error_with_causes(&error), self.began.elapsed()),
            }
        }
        done
    }

    /// Waits until the kernel tells something or the time has come; whether something was told.
    pub fn wait(&self, until: Option<Instant>) -> Result<bool, RequestError> {
        self.kernel.wait(until)
    }

    /// The interfaces as of the last work.
    pub fn interfaces(&self) -> &Interfaces {
        self.model.interfaces()
    }

    /// The model, with what is wanted and what could not be done.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How often notifications were lost and everything was read again.
    pub fn overflows(&self) -> u64 {
        self.kernel.overflows()
    }
}

impl AsFd for Network {
    /// Readable when there may be work.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kernel.as_fd()
    }
}
