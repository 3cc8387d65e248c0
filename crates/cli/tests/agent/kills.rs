//! Who is killed at a random moment of a change that waits for a confirmation: the machine ends confirmed, or as it was; never
//! between, and never locked out.
//!
//! The windows are measured on this machine first: how long the command takes, how long until its change is in the kernel, and how
//! long putting back takes after the deadline. Moments are drawn from them, and around the write itself, which is seen in the
//! store's file. `TORTIE_KILLS` says how many (6; `make soak` 100).

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tortie_random::Random;
use tortie_testkit::limit::limit;

use super::confirm::{BEFORE, CLOSES, content, is_as_before, over_ssh};
use super::world::{Agent, World, on_a_machine, until};

/// Changes the machine too, and leaves a way in: what may be confirmed.
const NARROWS: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: narrows}
spec: {selector: role == 'all', types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [81]}}]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: all, labels: {role: all}}
spec: {node: web1, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: set}
spec: {nets: [192.0.2.0/24]}
";

/// After what time a change is put back: later on a busy machine, where the command itself takes longer.
fn deadline() -> Duration {
    Duration::from_secs_f64(limit(Duration::from_secs(1)).as_secs_f64().ceil())
}

fn kills() -> u64 {
    std::env::var("TORTIE_KILLS").map_or(6, |text| text.parse().unwrap())
}

/// What a round meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The command, anywhere from its start to its end.
    Command,
    /// The command, right at its write.
    Write,
    /// The agent, while it applies the change.
    Apply,
    /// The agent, anywhere between the write and the deadline.
    Waiting,
    /// The agent, anywhere while it puts the change back.
    PuttingBack,
    /// `tortie confirm`, and the agent with it.
    Confirming,
}

const MOMENTS: [Moment; 6] =
    [Moment::Command, Moment::Write, Moment::Apply, Moment::Waiting, Moment::PuttingBack, Moment::Confirming];

/// How long things take here.
#[derive(Debug)]
struct Windows {
    /// After what time a change is put back.
    deadline: Duration,
    command: Duration,
    apply: Duration,
    putting_back: Duration,
    confirming: Duration,
}

/// What a look at the store's file shows of its writes; nothing of etcd.
fn writes(world: &World) -> Option<(u64, std::time::SystemTime)> {
    let wal = std::fs::metadata(world.place.path().join("tortie.db-wal")).ok()?;
    Some((wal.len(), wal.modified().ok()?))
}

/// Waits until the file was written to, for at most this long.
fn await_write(world: &World, most: Duration) {
    let (before, begun) = (writes(world), Instant::now());
    while writes(world) == before && begun.elapsed() < most {
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn fraction(random: &mut Random, window: Duration) -> Duration {
    window.mul_f64(random.below(10_000) as f64 / 10_000.0)
}

fn begin(world: &World, arguments: &[&str]) -> Child {
    over_ssh(world, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the command has written. It is refused while the agent does not say, or not in time, that it can put the change
/// back, as on a busy machine.
fn written(world: &World, arguments: &[&str], command: &mut Child) {
    until("the change is written", || {
        let is_written = command.wait().unwrap().success();
        if !is_written {
            let said = std::io::read_to_string(command.stderr.take().unwrap()).unwrap();
            assert!(said.contains("--confirm needs the agent of this machine"), "{said}");
            *command = begin(world, arguments);
        }
        is_written
    });
}

fn end(mut child: Child) -> bool {
    drop(child.kill());
    child.wait().unwrap().success()
}

/// Whether a new connection is let in. One that was is taken, so that the listener's queue is never full.
fn is_open(world: &World) -> bool {
    let is_open = world.reaches(81);
    if is_open {
        drop(world.accept(0));
    }
    is_open
}

/// Whether the change was made: both of its objects, or none. Half of it is the fault that this looks for.
fn is_made(world: &World) -> bool {
    let [endpoints, sets] = ["hep", "gnetsets"].map(|kind| world.said(&["get", kind, "-o", "name"]).lines().count());
    assert_eq!(endpoints, sets, "half of the change: {}", content(world));
    endpoints > 0
}

fn measured(world: &World, file: &str, before: &str) -> Windows {
    let agent = world.agent();
    let timed = |what: &dyn Fn()| {
        let begun = Instant::now();
        what();
        begun.elapsed()
    };
    let deadline = deadline();
    let within = format!("--confirm={}s", deadline.as_secs() + 1);
    let command = timed(&|| assert!(begin(world, &["apply", "-f", file, &within]).wait().unwrap().success()));
    let apply = timed(&|| until("the change is in force", || !is_open(world)));
    // Until the deadline, roughly.
    std::thread::sleep((deadline + Duration::from_secs(1)).saturating_sub(apply));
    let putting_back = timed(&|| until("it is put back", || is_open(world) && is_as_before(world, before)));
    let confirming = timed(&|| drop(world.said(&["confirm"])));
    agent.kill();
    Windows { deadline, command, apply: apply.min(deadline), putting_back, confirming }
}

/// One round. Whether the change must stay: none where either is right.
fn round(moment: Moment, world: &World, random: &mut Random, windows: &Windows, agent: Agent) -> Option<bool> {
    let manifests = if moment == Moment::Confirming { NARROWS } else { CLOSES };
    let file = world.file("round.yaml", manifests);
    let within = match moment {
        Moment::Confirming => "--confirm=30s".to_owned(),
        _ => format!("--confirm={}s", windows.deadline.as_secs()),
    };
    let arguments = ["apply", "-f", file.to_str().unwrap(), &within];
    let begun = Instant::now();
    let mut command = begin(world, &arguments);
    match moment {
        Moment::Command => {
            std::thread::sleep(fraction(random, windows.command.mul_f64(1.1)));
            end(command);
            agent.kill();
        }
        Moment::Write => {
            match writes(world) {
                Some(_) => {
                    await_write(world, windows.command);
                    std::thread::sleep(fraction(random, Duration::from_millis(8)));
                }
                None => std::thread::sleep(windows.command / 2 + fraction(random, windows.command.mul_f64(0.6))),
            }
            end(command);
            agent.kill();
        }
        Moment::Apply => {
            written(world, &arguments, &mut command);
            std::thread::sleep(fraction(random, windows.apply.mul_f64(1.1)));
            agent.kill();
        }
        Moment::Waiting => {
            written(world, &arguments, &mut command);
            std::thread::sleep(fraction(random, windows.deadline));
            agent.kill();
        }
        Moment::PuttingBack => {
            written(world, &arguments, &mut command);
            let due = windows.deadline.saturating_sub(windows.command.mul_f64(0.2));
            std::thread::sleep(due);
            if random.below(2) == 0 && writes(world).is_some() {
                await_write(world, windows.putting_back * 2);
                std::thread::sleep(fraction(random, Duration::from_millis(12)));
            } else {
                std::thread::sleep(fraction(random, windows.putting_back.mul_f64(1.5)));
            }
            agent.kill();
        }
        Moment::Confirming => {
            written(world, &arguments, &mut command);
            let mut confirm = world.tortie().args(["confirm", "--force"]).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(fraction(random, windows.confirming.mul_f64(1.3)));
            let done = confirm.try_wait().unwrap().is_some_and(|status| status.success());
            end(confirm);
            agent.kill();
            return done.then_some(true);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "a round is short");
    Some(false)
}

#[allow(clippy::print_stdout, reason = "the moments that were met are the test's result too")]
fn whoever_is_killed(etcd: bool) {
    let mut counts = [[0; 2]; MOMENTS.len()];
    on_a_machine(|world| {
        if etcd {
            world.start_etcd();
        }
        world.listen(81);
        world.agent().kill();
        let before = world.file("before.yaml", BEFORE);
        world.call(&["apply", "-f", before.to_str().unwrap()]);
        let before = content(world);
        let file = world.file("closes.yaml", CLOSES);
        let windows = measured(world, file.to_str().unwrap(), &before);
        println!("{windows:?}");
        for seed in 0..kills() {
            let moment = MOMENTS[usize::try_from(seed).unwrap() % MOMENTS.len()];
            let mut random = Random::new(seed);
            let agent = world.agent();
            let stays = round(moment, world, &mut random, &windows, agent);
            let made = is_made(world);
            counts[moment as usize][usize::from(made)] += 1;
            // The machine is away for a while, or not; the next agent has only what is on disk.
            std::thread::sleep(fraction(&mut random, Duration::from_millis(1_500)));
            let agent = world.agent();
            let say = |what: &str| format!("round {seed}, {moment:?}: {what}");
            if stays == Some(true) {
                world.call(&["status", "--wait"]);
                assert!(is_made(world) && is_open(world), "{}", say("what was confirmed stays"));
            } else if stays == Some(false) {
                until(&say("the machine is as it was"), || is_open(world) && is_as_before(world, &before));
            } else {
                // The confirmation came or it did not: whether it waits says which.
                let waits = world.call(&["history", "--limit", "1"]).contains("unless confirmed");
                assert!(
                    made && is_made(world) && is_open(world),
                    "{}",
                    say(if waits { "it waits" } else { "it stays" })
                );
            }
            if is_made(world) {
                world.call(&["undo"]);
            }
            until(&say("it is as before the round"), || is_open(world) && is_as_before(world, &before));
            let status = world.said(&["status", "--wait"]);
            assert!(!status.contains("put back at"), "{}", say(&status));
            agent.kill();
        }
    });
    for (moment, [not_made, made]) in MOMENTS.iter().zip(counts) {
        println!(
            "{moment:?}: the change stood in the store in {made} of {} rounds right after the kill",
            not_made + made
        );
    }
}

#[test]
fn whoever_is_killed_at_any_moment_the_machine_ends_confirmed_or_as_it_was() {
    whoever_is_killed(false);
}

#[test]
fn the_same_with_etcd() {
    whoever_is_killed(true);
}
