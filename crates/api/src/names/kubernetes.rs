//! Names of Calico's objects that follow from objects of Kubernetes.

/// The prefix of the profile of a namespace, before its name.
pub const NAMESPACE_PROFILE: &str = "kns.";
/// The prefix of the profile of a service account, before `NAMESPACE.NAME`.
pub const ACCOUNT_PROFILE: &str = "ksa.";
/// The prefix of a Kubernetes NetworkPolicy, before its name.
pub const NETWORK_POLICY: &str = "knp.default.";

/// The profile of a namespace.
pub fn namespace_profile(namespace: &str) -> String {
    format!("{NAMESPACE_PROFILE}{namespace}")
}

/// The profile of a service account.
pub fn account_profile(namespace: &str, account: &str) -> String {
    format!("{ACCOUNT_PROFILE}{namespace}.{account}")
}
