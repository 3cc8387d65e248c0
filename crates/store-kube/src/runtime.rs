//! The async runtime that requests need: one for each process, and no caller sees it.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// The runtime, made when first needed.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = Builder::new_multi_thread().worker_threads(1).thread_name("kubernetes").enable_all().build();
        built.expect("a process that can start a thread and open a file descriptor can have a runtime")
    })
}

/// Waits for it on this thread.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}
