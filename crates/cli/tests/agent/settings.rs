//! The settings of a running agent: what `tortie config` says of them, and the log that they choose.

use super::world::{World, on_a_machine, until};
use super::{ENDPOINT, allow};

fn felix(spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: default}}\nspec: {{{spec}}}\n---\n"
    )
}

/// Writes objects while no agent runs.
fn write(world: &World, manifests: &str) {
    let file = world.file("before.yaml", manifests);
    world.call(&["apply", "-f", file.to_str().unwrap()]);
}

/// The value and source of a setting, and whether an agent says so.
fn setting(world: &World, name: &str) -> (serde_json::Value, String, bool) {
    let config: serde_json::Value = serde_json::from_str(&world.call(&["config", "-o", "json"])).unwrap();
    let one = config["settings"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    (one["value"].clone(), one["source"].as_str().unwrap().to_owned(), config["agent"] == true)
}

#[test]
fn config_shows_the_settings_of_the_agent_that_runs_and_not_of_its_caller() {
    on_a_machine(|world| {
        world.file("felix.cfg", "[global]\nLogPrefix = ours # words\n");
        write(world, &felix("healthPort: 9199, logPrefix: theirs"));
        let agent = world.agent();
        let file = world.place.path().join("felix.cfg").display().to_string();
        assert_eq!(setting(world, "logPrefix"), ("ours".into(), file, true));
        assert_eq!(setting(world, "healthPort"), (9199.into(), "FelixConfiguration default".to_owned(), true));
        agent.kill();
        // Who calls has no such file.
        let stored = "FelixConfiguration default".to_owned();
        assert_eq!(setting(world, "logPrefix"), ("theirs".into(), stored, false));
    });
}

#[test]
fn a_log_in_json_has_one_object_a_line_and_its_level_follows_the_setting() {
    on_a_machine(|world| {
        write(world, ENDPOINT);
        let agent = world.agent_with(&["--log-format", "json"]);
        let lines = || -> Vec<(String, String)> {
            let log = agent.log();
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let read = |line: &str| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
                assert!(!line["message"].as_str().unwrap().is_empty() && line["time"].as_str().unwrap().ends_with('Z'));
                (line["event"].as_str().unwrap().to_owned(), line["level"].as_str().unwrap().to_owned())
            };
            whole.lines().map(read).collect()
        };
        let count = |event: &str| lines().iter().filter(|(one, _)| one == event).count();
        assert_eq!((count("agent-started"), count("store-read"), count("change-applied")), (1, 1, 0));
        world.apply(&felix("logSeverityScreen: Debug"));
        world.apply(&allow(80));
        until("changes are in the log", || count("change-applied") > 0);
        world.apply(&felix("logSeverityScreen: Error"));
        let before = lines().len();
        world.apply(&allow(81));
        world.apply(&felix("logSeverityScreen: Error, bpfEnabled: true"));
        assert_eq!(lines().len(), before, "{:?}", lines());
        assert!(lines().iter().all(|(event, _)| event != "other"), "{:?}", lines());
    });
}

#[test]
fn a_log_in_json_says_who_changed_a_placement_and_why_an_agent_does_not_start() {
    on_a_machine(|world| {
        write(world, ENDPOINT);
        let agent = world.agent_with(&["--log-format", "json"]);
        let placements = |log: String| -> Vec<serde_json::Value> {
            let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines.filter(|line| line["event"] == "placement-changed").collect()
        };
        world.apply(&allow(80));
        until("the change is in the log", || placements(agent.log()).len() == 2);
        let [start, change] = placements(agent.log()).try_into().unwrap();
        assert!(start["generation"].is_u64() && start["author"].is_null(), "{start}");
        assert!(change["message"].as_str().unwrap().contains("ingress policies: default/gnp web added"), "{change}");
        assert!(change["generation"].as_u64() > start["generation"].as_u64(), "{change}");
        let text = |field: &str| change[field].as_str().unwrap().to_owned();
        let revision = world.status()["inKernel"]["revision"].to_string();
        assert_eq!(text("revision"), revision.trim_matches('"'));
        assert!(text("author").starts_with("root") && text("command").contains("apply -f"), "{change}");
        let second = world.tortie().args(["agent", "--log-format", "json"]).output().unwrap();
        assert_eq!(second.status.code(), Some(1));
        let line: serde_json::Value = serde_json::from_slice(&second.stderr).unwrap();
        assert_eq!((&line["event"], &line["level"]), (&"agent-failed".into(), &"error".into()), "{line}");
    });
}
