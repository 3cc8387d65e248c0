//! Memory that is free, given back to the machine.
//!
//! The start and large changes need several times what is kept afterwards, in pieces of every size, and the allocator
//! would keep what it once had. Other allocators than the C library's own need nothing of this.

/// Sees to it that what is freed lies together. To be called before there is a second thread: few of ours allocate at
/// the same time.
pub(crate) fn prepare() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: it takes two numbers and sets a limit.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back what is free. It takes milliseconds, so it is for moments of rest.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: it may be called at any time from any thread, and touches only what nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}
