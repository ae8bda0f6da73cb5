//! Threads that a server cannot be without. One that panics would leave its socket behind, to which the system goes
//! on sending its share of the queries, or data that nobody makes new: the process ends instead, and whoever watches
//! over it starts it anew. Elsewhere (a connection, a file that is read) a panic costs no more than what it came from.

use std::io;
use std::thread::{self, JoinHandle};

/// Starts such a thread.
///
/// # Errors
/// The system has no room for it.
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name).spawn(move || {
        let _ends_the_process = Vital;
        run()
    })
}

struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}
