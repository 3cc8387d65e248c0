//! The memory allocator of the program. The agent's threads free memory that other threads allocated, which the C library's own
//! allocator is slow at.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Returns free memory to the system, which the allocator does not do while the program is idle. It takes milliseconds, so it is
/// for idle moments.
pub(crate) fn give_back() {
    #[allow(unsafe_code)]
    // SAFETY: it may be called at any time from any thread, and touches only free memory.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
