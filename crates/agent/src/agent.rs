//! The agent as a whole: starts its threads in the right order, and runs until a signal or a client ends it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tortie_api::error_with_causes;
use tortie_hostnet::links::Watcher;
use tortie_hostnet::{Config, Network};
use tortie_nft::RequestError;
use tortie_store::Selection;

use crate::cache::{CACHE_FILE, CacheWriter, CachedLastValid, CachedStore, Opener};
use crate::config::{self, AgentSettings, Local, LocalError, Sources};
use crate::dataplane::{self, OpenError};
use crate::dataplane_thread::{self, SharedDataplane};
use crate::denials::Denials;
use crate::engine::{Input, NodeEngine};
use crate::live_settings::LiveSettings;
use crate::local_facts::LocalFactsError;
use crate::lock::{Lock, LockError};
use crate::log_event;
use crate::logger::LogFormat;
use crate::network::{self, NetworkQueue};
use crate::node_name::NodeName;
use crate::off::{Places, Switch};
use crate::placement_writer::PlacementWriter;
use crate::reports_to_store::Reporter;
use crate::request_handler::RequestHandler;
use crate::socket::{self, Reply};
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;
use crate::store_check::StoreCheck;
use crate::supervisor::{self, Lifetime};
use crate::{
    confirmations, foreign_agents, kernel_table, links, logger, notify, placement_writer, private_directory,
    store_follower, table_guard,
};

/// How an agent is started.
pub struct Options {
    /// Opens the store.
    pub opener: Opener,
    /// The store's description, as messages show it; the copy on disk is of the store with this description.
    pub store_name: String,
    /// Where the local socket is.
    pub run: PathBuf,
    /// The files that switch enforcement off.
    pub off: Places,
    /// Where the copy of the store is.
    pub state: PathBuf,
    /// Calico's file of settings.
    pub felix: PathBuf,
    /// Start even if another policy agent has tables in this kernel.
    pub beside: bool,
    /// Follow the store even if it is not the one that an earlier agent followed.
    pub accept_store: bool,
    /// Enforce the node of this machine's current name even if an earlier agent enforced another node.
    pub accept_node: bool,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Gives free memory back to the machine. The start and large changes need several times what is kept afterwards.
    pub give_back: fn(),
}

/// How an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A signal or a client asked for it.
    Asked,
    /// It must be started again at once, with the same arguments.
    ToRestart,
}

/// Why an agent does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The settings of this machine are invalid.
    #[error("the settings of this machine cannot be used")]
    Local(#[from] LocalError),
    /// Another agent of tortie runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Another policy agent enforces this machine.
    #[error(
        "another policy agent enforces this machine ({0}); --beside starts all the same, and never changes what is not tortie's"
    )]
    ForeignAgent(String),
    /// The kernel lacks something, or the mark mask has too few bits.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is not known whether the kernel has tortie's table.
    #[error(transparent)]
    Table(#[from] LocalFactsError),
    /// The kernel's tables cannot be listed.
    #[error("cannot ask the kernel for the tables of other programs (the agent needs CAP_NET_ADMIN)")]
    Request(#[source] RequestError),
    /// The table of an earlier agent cannot be taken over.
    #[error("cannot take over the table of an earlier agent: {0}")]
    Adopt(String),
    /// Changes that other programs make to tortie's table cannot be watched.
    #[error("cannot watch the table of tortie for changes by other programs: {0}")]
    Watch(String),
    /// The interfaces cannot be watched.
    #[error("cannot watch the interfaces")]
    Links(#[from] tortie_hostnet::RequestError),
    /// An operation of the system failed.
    #[error("cannot {what}")]
    Io {
        /// The operation, after "cannot".
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Inputs that may wait for the engine.
const QUEUE_LENGTH: usize = 4096;

/// Runs until a signal or a client ends it. Policy stays in the kernel then, unless a client asked for its removal.
pub fn run(options: Options) -> Result<Ended, AgentError> {
    logger::start(options.log_format, log_event::ALL);
    let sources = Sources { env: std::env::vars().collect(), file: options.felix };
    let status = Arc::new(StatusCell::default());
    status.supervisor.enter();
    let local = Local::read(&sources)?;
    let machine_name = local.node();
    let lock = Lock::take(&options.run)?;
    check_foreign_agents(options.beside)?;
    let mask = config::resolve(&local, Default::default(), &[]).agent.mark_mask;
    let kernel = dataplane::open(mask, local.hook_priority)?;
    let server = socket::Server::bind(&options.run).map_err(io("serve the local socket"))?;
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(io("receive signals"))?;
    let watcher = Watcher::open()?;
    let mut network = Network::open(Config::default())?;
    let network_queue = Arc::new(NetworkQueue::new().map_err(io("make an eventfd"))?);
    let dataplane: SharedDataplane = Arc::new(Mutex::new(Box::new(kernel)));
    let stop = Arc::new(StopFlag::default());
    let cache = open_cache(&options.state, &status);
    network.remember_settings(&options.state.join(crate::uninstall::SETTINGS));
    let node = choose_node(machine_name, cache.as_ref(), &status, options.accept_node)?;
    let problem = node.problem();
    let node = node.enforced;
    log::info!(target: log_event::AGENT_STARTED, "node {node}, {}", options.store_name);
    let (name, opener) = (&options.store_name, options.opener);
    let store = Arc::new(CachedStore::new(opener, name, cache.clone(), status.clone(), stop.clone()));
    store.accept(options.accept_store);
    if let Some(problem) = problem {
        store.do_not_ask(problem);
    }
    let adopted = dataplane_thread::lock(&dataplane).adopt().map_err(AgentError::Adopt)?;
    log::info!(target: log_event::TABLE_ADOPTED, "{adopted}");
    status.update(|record| record.adopted = adopted);

    let switch = Arc::new(Switch::new(options.off, dataplane.clone(), status.clone()));
    // Before anything is enforced. A failure is shown in the status, and tried again.
    drop(switch.look());
    let watch = dataplane_thread::lock(&dataplane).watch().map_err(AgentError::Watch)?;

    let (inputs, received) = sync_channel(QUEUE_LENGTH);
    let (apply, requests) = sync_channel(1);
    let ended = thread("dataplane", {
        let (dataplane, status, network_queue, inputs) =
            (dataplane.clone(), status.clone(), network_queue.clone(), inputs.clone());
        move || {
            dataplane_thread::run(
                &dataplane,
                &requests,
                &status,
                &network_queue,
                || drop(inputs.send(Input::DataplaneIdle)),
                options.give_back,
            )
        }
    })?;
    if let Some(watch) = watch {
        let (dataplane, status, stop) = (dataplane.clone(), status.clone(), stop.clone());
        thread("guard", move || table_guard::run(watch, &dataplane, &status, &stop))?;
    }
    thread("supervisor", {
        let supervisor = status.supervisor.clone();
        move || supervisor.watch(supervisor::end_process)
    })?;
    thread("network", {
        let (network_queue, status) = (network_queue.clone(), status.clone());
        move || network::run(network, &network_queue, &status)
    })?;
    thread("links", {
        let (inputs, status) = (inputs.clone(), status.clone());
        let send_links = move |links| inputs.send(Input::Links(links)).is_ok();
        move || links::run(watcher, &status, send_links)
    })?;
    let store_check = StoreCheck::new(store.clone(), status.clone(), &Selection::for_enforcement(&*node));
    thread("store", {
        let (inputs, stop, store, kept) =
            (inputs.clone(), stop.clone(), store.clone(), CachedLastValid::new(cache.clone()));
        let needed = Selection::for_enforcement(&*node);
        move || store_follower::run(&store, needed, kept, &stop, &inputs)
    })?;
    let reporter = Arc::new(Reporter::new(&node, status.clone(), dataplane.clone(), store.clone()));
    thread("report", {
        let (reporter, stop) = (reporter.clone(), stop.clone());
        move || reporter.run(&stop)
    })?;
    let (placement_writer, steps) = PlacementWriter::new();
    thread("placements", {
        let store = store.clone();
        move || placement_writer::run(&steps, &store)
    })?;
    thread("engine", {
        let engine = NodeEngine::new(&node, local, status.clone(), placement_writer);
        let live_settings =
            LiveSettings::new(&node, mask, status.clone(), dataplane.clone(), network_queue, store.clone());
        let apply_settings = move |settings: &AgentSettings| {
            live_settings.apply(settings);
            reporter.set_settings(&settings.reporting);
        };
        move || engine.run(&received, &apply, apply_settings)
    })?;
    thread("confirmations", {
        let (store, status, stop) = (store.clone(), status.clone(), stop.clone());
        move || confirmations::run(&store, &status, &stop)
    })?;
    thread("off", {
        let (switch, stop) = (switch.clone(), stop.clone());
        move || switch.run(&stop)
    })?;
    if notify::is_asked_for() {
        thread("notify", {
            let (status, stop) = (status.clone(), stop.clone());
            move || notify::run(&status, &stop)
        })?;
    }
    let path = server.path().to_owned();
    let restart = Arc::new(AtomicBool::default());
    let denials = Arc::new(Denials::new(dataplane.clone()));
    thread("socket", {
        let handler = RequestHandler {
            node,
            status,
            dataplane,
            store: store.clone(),
            store_check,
            cache: cache.clone(),
            inputs: inputs.clone(),
            switch,
            denials: denials.clone(),
        };
        let (end, restart) = (signals.handle(), restart.clone());
        // Only now: if the process ended earlier, the client would get no answer.
        let sent = move |reply: &Reply| {
            let restarts = matches!(reply, Reply::NodeAccepted { restarts: true, .. });
            if restarts || matches!(reply, Reply::Done) {
                restart.store(restarts, Ordering::SeqCst);
                end.close();
            }
        };
        move || server.serve(move |request| handler.answer(request), sent)
    })?;
    handle_signals(signals, &sources, &store, &inputs);
    supervisor::stopping();
    denials.end();
    let restart = restart.load(Ordering::SeqCst);
    if restart {
        drop(inputs.send(Input::Stop));
    } else {
        notify::stopping();
    }
    stop.set();
    // A panic there has been reported by itself.
    drop(ended.join());
    if let Some(cache) = &cache {
        cache.settle();
    }
    drop(std::fs::remove_file(path));
    drop(lock);
    Ok(if restart { Ended::ToRestart } else { Ended::Asked })
}

/// Does what signals ask for, until a signal or a client ends the agent.
fn handle_signals(mut signals: Signals, sources: &Sources, store: &CachedStore, inputs: &SyncSender<Input>) {
    for signal in signals.forever() {
        if signal != SIGHUP {
            log::info!(target: log_event::AGENT_STOPPING, "a signal asked the agent to end; policy stays in force");
            drop(inputs.send(Input::Stop));
            return;
        }
        log::info!(target: log_event::SETTINGS_READ, "a signal asked the agent to read its files again");
        store.reopen();
        match Local::read(sources) {
            Ok(local) => drop(inputs.send(Input::Local(Box::new(local)))),
            Err(error) => {
                log::error!(target: log_event::SETTINGS_KEPT, "the settings that were read before stay in force: {}", error_with_causes(&error))
            }
        }
    }
}

fn io(what: &'static str) -> impl Fn(io::Error) -> AgentError {
    move |source| AgentError::Io { what, source }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, AgentError> {
    supervisor::start(name, Lifetime::AsLongAsTheAgent, work).map_err(io("start a thread"))
}

fn check_foreign_agents(allowed: bool) -> Result<(), AgentError> {
    match foreign_agents::find().map_err(AgentError::Request)? {
        Some(other) if !allowed => Err(AgentError::ForeignAgent(other)),
        Some(other) => {
            log::warn!(target: log_event::FOREIGN_AGENT, "beside another policy agent: {other}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Decides which node is enforced, and records it in the cache.
fn choose_node(
    machine_name: String,
    cache: Option<&CacheWriter>,
    status: &StatusCell,
    accepted: bool,
) -> Result<NodeName, AgentError> {
    let copy = cache.and_then(CacheWriter::copy);
    let node = NodeName::choose(machine_name, copy.as_ref(), kernel_table::table_exists()?, accepted);
    match node.problem() {
        Some(problem) => {
            log::error!(target: log_event::NODE_CHANGED, "the node name CHANGED: {problem}");
            status.update(|record| {
                record.unaccepted_name.clone_from(&node.unaccepted);
                record.problems.insert("node name", problem);
            });
        }
        None => drop(cache.map(|cache| cache.set_node(&node.enforced))),
    }
    Ok(node)
}

/// Opens the snapshot cache. If that fails, the agent runs without one and reports it.
fn open_cache(state: &Path, status: &Arc<StatusCell>) -> Option<CacheWriter> {
    let status_cell = status.clone();
    let failed = move |reason: String| {
        log::error!(target: log_event::CACHE_FAILED, "the snapshot cache cannot be used, so an agent that starts without the store has no policy to enforce: {reason}"
        );
        status_cell.update(|record| drop(record.problems.insert("snapshot cache", reason)));
    };
    let made = private_directory::make(state, Path::new(crate::DEFAULT_STATE));
    let made = made.map_err(|error| format!("{}: {error}", state.display()));
    made.and_then(|()| CacheWriter::open(&state.join(CACHE_FILE), failed.clone()))
        .inspect_err(|reason| failed(reason.clone()))
        .ok()
}
