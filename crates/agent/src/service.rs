//! What other programs that run for long share with the agent: its log, the server of its probes, and the flag that ends threads.

pub use crate::config::Served;
pub use crate::http::{Answer, Server};
pub use crate::logger::start as start_log;
pub use crate::stop_flag::StopFlag;
