//! Where the program has its memory from. The agent's threads free what others of them made, which the C library's own
//! allocator is slow at.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives memory that is free back to the machine: nothing else does while nothing happens. It takes milliseconds, so it is for
/// moments of rest.
pub(crate) fn give_back() {
    #[allow(unsafe_code)]
    // SAFETY: it may be called at any time from any thread, and touches only what nobody holds.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
