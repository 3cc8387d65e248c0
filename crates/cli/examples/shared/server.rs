//! What the measurements on a real etcd or API server share: processes with what they have used, an agent until it is ready, a
//! network namespace and a neighbour in another.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::thread::{UnshareFlags, gettid};
use tortie_agent::socket::{Reply, Request, ask};
use tortie_agent::status::Status;

/// A process that ends with this one.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Seconds of processor time that a process has used.
pub fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// A line of the memory of a process, in MiB: `VmHWM` is the most that it has had.
pub fn memory(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Has a command use this folder alone.
pub fn in_folder(command: &mut Command, folder: &Path) {
    command
        .env("TORTIE_RUN", folder.join("run"))
        .env("TORTIE_STATE", folder.join("state"))
        .env("FELIX_ENDPOINTSTATUSPATHPREFIX", folder.join("calico"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
}

/// Starts an agent [`in_folder`]. How long it takes until its status is as it should be.
pub fn start_agent(mut command: Command, folder: &Path, is_ready: impl Fn(&Status) -> bool) -> (Running, Duration) {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let start = Instant::now();
    let mut agent = Running(command.arg("agent").stderr(log).spawn().unwrap());
    loop {
        let answer = ask(&folder.join("run"), &Request::Status, Instant::now() + Duration::from_secs(60));
        if let Ok(Reply::Status(status)) = answer
            && is_ready(&status)
        {
            return (agent, start.elapsed());
        }
        assert!(agent.0.try_wait().unwrap().is_none(), "the agent ended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Work for a thread.
pub type Work = Box<dyn FnOnce() + Send>;

/// A neighbour: a thread in a network namespace of its own, which does what it is sent, and its id.
pub fn neighbour() -> (mpsc::Sender<Work>, String) {
    let (work, todo) = mpsc::channel::<Work>();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        namespace();
        sender.send(gettid()).unwrap();
        todo.iter().for_each(|work| work());
    });
    (work, receiver.recv().unwrap().to_string())
}

#[allow(unsafe_code)]
pub fn namespace() {
    // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("run it as root, or with unshare -r");
    run("ip", &["link", "set", "lo", "up"]);
}

pub fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).stdout(Stdio::null()).status().unwrap().success(), "{arguments:?}");
}

/// The median, what 99 of 100 are below, and the most.
pub fn median(mut times: Vec<f64>) -> (f64, f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    (at(0.5), at(0.99), at(1.0))
}
