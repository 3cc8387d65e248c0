//! What other daemons share with the agent: its log, its HTTP server, and the flag that ends threads.

pub use crate::config::Served;
pub use crate::http::{Answer, Server};
pub use crate::logger::start as start_log;
pub use crate::stop_flag::StopFlag;
