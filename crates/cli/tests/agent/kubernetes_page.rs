//! The commands of docs/kubernetes.md work when they are typed in the order of the page, against a real API server. No kubelet runs here,
//! so what they create is accepted by the server and not started.

use tortie_testkit::kubernetes::{ADMIN, ApiServer, programs};

use super::readme::{script, shell};
use super::world::{World, on_a_machine, text};

/// What is not run here: it builds or publishes an image, or is the other of two choices.
const OTHERS: [&str; 3] =
    ["make ", "skopeo ", "kubectl apply --server-side -f packaging/kubernetes/crd.projectcalico.org.yaml"];
/// What ends when it is interrupted.
const ENDLESS: &str = "tortie controllers";

/// The commands of the page in their order, each with the lines that it reads, and its manifests as commands that apply them.
fn commands(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut lines = page.lines().map(|line| line.strip_prefix("    ")).peekable();
    while let Some(line) = lines.next() {
        let Some(line) = line else { continue };
        let mut command = line.to_owned();
        let is_manifest = line.starts_with("apiVersion: ");
        if is_manifest {
            command.insert_str(0, "kubectl apply -f - <<END\n");
        }
        while is_manifest || command.contains("<<END") {
            match lines.next_if(Option::is_some).flatten() {
                Some(more) => command += &format!("\n{more}"),
                None => break,
            }
            if command.ends_with("\nEND") {
                break;
            }
        }
        if is_manifest {
            command += "\nEND";
        }
        let begins = ["kubectl ", "tortie ", "make ", "skopeo ", "ETCD_ENDPOINTS="];
        if begins.iter().any(|one| command.starts_with(one)) {
            found.push(command);
        }
    }
    found
}

#[test]
fn every_command_of_the_page_about_kubernetes_works_in_its_order() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = std::fs::read_to_string(format!("{root}/docs/kubernetes.md")).unwrap();
    let commands = commands(&page);
    on_a_machine(|world| {
        let server = ApiServer::start();
        let kubeconfig = server.kubeconfig(ADMIN);
        world.kubeconfig = Some(kubeconfig.clone());
        let _etcd = World::etcd_at(world.place.path(), "http://127.0.0.1:2379");
        let home = world.place.path().join("home");
        std::fs::create_dir_all(home.join("bin")).unwrap();
        std::os::unix::fs::symlink(format!("{root}/packaging"), home.join("packaging")).unwrap();
        script(&home.join("bin/tortie"), &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_tortie")));
        script(&home.join("bin/kubectl"), &format!("exec {} \"$@\"", programs().join("kubectl").display()));
        let copy = world.place.path().join("copy.db");
        let mut run = Vec::new();
        for command in commands.iter().filter(|command| OTHERS.iter().all(|other| !command.starts_with(other))) {
            let typed = command
                .replace("https://etcd1:2379", "DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS=http://127.0.0.1:2379")
                .replace("ETCD_ENDPOINTS=DATASTORE", "DATASTORE")
                .replace("/etc/tortie/kubeconfig", kubeconfig.to_str().unwrap())
                .replace("/var/backups/tortie.db", copy.to_str().unwrap());
            let is_endless = command.contains(ENDLESS);
            let typed = if is_endless { typed.replace(ENDLESS, &format!("timeout 5 {ENDLESS}")) } else { typed };
            let output = shell(world, &home, &typed).env("HOME", &home).output().unwrap();
            let text = text(&output);
            let is_right = match output.status.code() {
                Some(0) => true,
                Some(1) => command.starts_with("tortie lint") && text.contains("selects-nothing"),
                Some(124) => is_endless,
                _ => false,
            };
            assert!(is_right, "{command}\n{:?}\n{text}", output.status);
            if command.starts_with("kubectl apply --server-side") {
                server.wait_for_definitions();
            }
            run.push(command);
        }
        assert!(run.len() >= 14, "{run:#?}");
        let shown = server.kubectl(
            &["get", "gnp,kubecontrollersconfigurations,tiers,daemonsets,deployments", "-A", "-o", "name"],
            "",
        );
        for name in [
            "globalnetworkpolicy.projectcalico.org/web",
            "kubecontrollersconfiguration.projectcalico.org/default",
            "tier.projectcalico.org/kube-admin",
            "daemonset.apps/tortie",
            "deployment.apps/",
        ] {
            assert!(shown.contains(name), "{name}: {shown}");
        }
        assert!(copy.exists());
    });
}
