use super::*;

fn settings(given: RawSettings, env: &[(&str, &str)]) -> Result<Settings, String> {
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings::new(&given, &env).map_err(|error| error.0)
}

const CONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c
  cluster: {server: "https://10.0.0.1:6443/", certificate-authority-data: "Q0E=", tls-server-name: kube}
- name: d
  cluster: {server: "https://10.0.0.2", insecure-skip-tls-verify: true, certificate-authority: ca.pem}
users:
- name: token
  user: {token: secret}
- name: cert
  user: {client-certificate-data: "Q0VSVA==", client-key-data: "S0VZ"}
- name: file
  user: {tokenFile: token.txt}
- name: exec
  user:
    exec: {command: print, args: [a], env: [{name: NAME, value: V}], apiVersion: client.authentication.k8s.io/v1beta1}
- name: old
  user: {username: u, password: p}
contexts:
- {name: one, context: {cluster: c, user: token}}
- {name: two, context: {cluster: d, user: cert}}
- {name: three, context: {cluster: d, user: file}}
- {name: four, context: {cluster: c, user: exec}}
- {name: five, context: {cluster: c, user: old}}
- {name: six, context: {cluster: c}}
- {name: seven, context: {cluster: x}}
"#;

fn inline(context: &str) -> Result<Settings, String> {
    let given =
        RawSettings { kubeconfig_inline: CONFIG.to_owned(), context: context.to_owned(), ..RawSettings::default() };
    settings(given, &[])
}

#[test]
fn contexts_of_a_kubeconfig_lead_to_their_clusters() {
    let base = Settings {
        server_name: Some("kube".to_owned()),
        ca: Some(Pem::Inline(b"CA".to_vec())),
        ..Settings::plain("https://10.0.0.1:6443")
    };
    assert_eq!(inline(""), Ok(Settings { credentials: Credentials::Token("secret".to_owned()), ..base.clone() }));
    assert_eq!(inline("six"), Ok(base.clone()));
    let other =
        Settings { insecure: true, ca: Some(Pem::File("ca.pem".into())), ..Settings::plain("https://10.0.0.2") };
    let identity = Some((Pem::Inline(b"CERT".to_vec()), Pem::Inline(b"KEY".to_vec())));
    assert_eq!(inline("two"), Ok(Settings { identity, ..other.clone() }));
    assert_eq!(inline("three"), Ok(Settings { credentials: Credentials::TokenFile("token.txt".into()), ..other }));
    let program = Program {
        command: "print".to_owned(),
        arguments: vec!["a".to_owned()],
        environment: vec![("NAME".to_owned(), "V".to_owned())],
        api_version: "client.authentication.k8s.io/v1beta1".to_owned(),
    };
    assert_eq!(inline("four"), Ok(Settings { credentials: Credentials::Program(program), ..base }));
    assert!(inline("five").unwrap_err().contains("auth-provider or a password"));
    let contexts = r#""five", "four", "one", "seven", "six", "three", "two""#;
    assert_eq!(inline("x").unwrap_err(), format!("context \"x\" does not exist: the kubeconfig names {contexts}"));
    assert_eq!(inline("seven").unwrap_err(), "cluster \"x\" does not exist");
}

#[test]
fn of_several_files_the_first_that_sets_something_counts_and_paths_are_relative_to_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a"), "current-context: three\n").unwrap();
    std::fs::create_dir(path("sub")).unwrap();
    std::fs::write(path("sub/b"), CONFIG).unwrap();
    let list = |names: &[&str]| names.iter().map(|name| path(name).display().to_string()).collect::<Vec<_>>().join(":");
    let read = |names: &[&str]| settings(RawSettings { kubeconfig: list(names), ..RawSettings::default() }, &[]);
    let found = read(&["missing", "a", "sub/b"]).unwrap();
    assert_eq!(found.credentials, Credentials::TokenFile(path("sub/token.txt")));
    assert_eq!(found.ca, Some(Pem::File(path("sub/ca.pem"))));
    assert!(read(&["missing"]).unwrap_err().ends_with("missing does not exist"));
    std::fs::write(path("a"), "{").unwrap();
    assert!(read(&["a"]).unwrap_err().contains("is not a kubeconfig"));
}

#[test]
fn single_settings_are_stronger_than_the_kubeconfig() {
    let given = RawSettings {
        kubeconfig_inline: CONFIG.to_owned(),
        endpoint: "10.9.9.9:6443".to_owned(),
        ca_file: "/ca".to_owned(),
        cert_file: "/cert".to_owned(),
        key_file: "/key".to_owned(),
        token: "other".to_owned(),
        insecure: true,
        api_group: "projectcalico.org/v3".to_owned(),
        ..RawSettings::default()
    };
    let found = settings(given.clone(), &[("FELIX_INTERFACEPREFIX", "eni,cali")]).unwrap();
    assert_eq!(found.server, "https://10.9.9.9:6443");
    assert_eq!(found.ca, Some(Pem::File("/ca".into())));
    assert_eq!(found.identity, Some((Pem::File("/cert".into()), Pem::File("/key".into()))));
    assert_eq!(found.credentials, Credentials::Token("other".to_owned()));
    assert_eq!((found.insecure, found.group), (true, Some(Group::Native)));
    assert_eq!(found.interface_prefix, "eni");
    assert!(settings(RawSettings { key_file: String::new(), ..given }, &[]).unwrap_err().contains("needs its key"));
}

#[test]
fn without_any_setting_the_home_directory_or_the_cluster_of_this_pod_is_used() {
    let home = tempfile::tempdir().unwrap();
    let given = RawSettings { home: Some(home.path().to_owned()), ..RawSettings::default() };
    assert!(settings(given.clone(), &[]).unwrap_err().starts_with("no API server is named"));
    let pod = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "443")];
    let found = settings(given.clone(), &pod).unwrap();
    assert_eq!(found.server, "https://[fd00::1]:443");
    assert_eq!(found.credentials, Credentials::TokenFile(Path::new(IN_CLUSTER).join("token")));
    std::fs::create_dir(home.path().join(".kube")).unwrap();
    std::fs::write(home.path().join(".kube/config"), CONFIG).unwrap();
    assert_eq!(settings(given, &pod).unwrap().server, "https://10.0.0.1:6443");
}

#[test]
fn a_context_is_refused_where_no_kubeconfig_is_read() {
    let given = RawSettings { context: "other".to_owned(), ..RawSettings::default() };
    let pod = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "443")];
    assert!(settings(RawSettings::default(), &pod).is_ok());
    let refused = settings(given.clone(), &pod).unwrap_err();
    assert!(refused.starts_with("context \"other\" does not exist: "), "{refused}");
    let refused = settings(RawSettings { endpoint: "https://a".to_owned(), ..given }, &[]).unwrap_err();
    assert!(refused.starts_with("context \"other\" does not exist: K8S_API_ENDPOINT "), "{refused}");
}

#[test]
fn a_kubeconfig_without_a_current_context_names_those_that_can_be_chosen() {
    let text = CONFIG.replace("current-context: one", "");
    let given = RawSettings { kubeconfig_inline: text, ..RawSettings::default() };
    let refused = settings(given, &[]).unwrap_err();
    assert!(refused.starts_with("the kubeconfig has no current context; it names \"five\", "), "{refused}");
}

#[test]
fn a_relative_path_of_an_exec_program_begins_at_the_kubeconfig_and_a_bare_name_does_not() {
    let place = tempfile::tempdir().unwrap();
    let command = |command: &str| {
        let path = place.path().join("config");
        std::fs::write(&path, CONFIG.replace("command: print", &format!("command: {command}"))).unwrap();
        let kubeconfig = path.display().to_string();
        let given = RawSettings { kubeconfig, context: "four".to_owned(), ..RawSettings::default() };
        match settings(given, &[]).unwrap().credentials {
            Credentials::Program(program) => program.command,
            other => panic!("{other}"),
        }
    };
    let beside = |name: &str| place.path().join(name).display().to_string();
    assert_eq!(command("bin/print"), beside("bin/print"));
    assert_eq!(command("./print"), beside("./print"));
    assert_eq!([command("print"), command("/bin/print")], ["print", "/bin/print"]);
}
