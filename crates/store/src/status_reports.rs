//! Status reports in the store: what agents write about themselves and their endpoints for other programs, under etcd paths beside
//! the objects. Some of it expires. The paths of objects themselves are `Key::path`.

use std::time::Duration;

use crate::StoreError;

/// A store that keeps values under paths beside its objects. They have no versions and cannot be watched.
pub trait StatusReports: Send + Sync {
    /// Writes a value. With a time to live it is deleted after that time unless it is written again before.
    fn put(&self, path: &str, value: &[u8], time_to_live: Option<Duration>) -> Result<(), StoreError>;

    /// Deletes the value, if there is one.
    fn remove(&self, path: &str) -> Result<(), StoreError>;

    /// Every path with this beginning, which ends with `/`, and its value.
    fn list_values(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
}

/// The part of paths that names the region of a node, which need not have one.
pub fn region(name: &str) -> String {
    if name.is_empty() { "no-region".to_owned() } else { format!("region-{name}") }
}

/// The directory with the status of every workload endpoint of a host.
pub fn workload_statuses(region: &str, host: &str) -> String {
    format!("/calico/felix/v2/{region}/host/{host}/workload/")
}

/// The path of the status of a workload endpoint. The workload is `<namespace>/<workload>`.
pub fn workload_status(region: &str, host: &str, orchestrator: &str, workload: &str, endpoint: &str) -> String {
    let [orchestrator, workload, endpoint] = [orchestrator, workload, endpoint].map(escape);
    format!("{}{orchestrator}/{workload}/endpoint/{endpoint}", workload_statuses(region, host))
}

/// The directory with the status of every host endpoint of a host.
pub fn host_statuses(host: &str) -> String {
    format!("/calico/felix/v1/host/{host}/endpoint/")
}

/// The path of the status of a host endpoint.
pub fn host_status(host: &str, endpoint: &str) -> String {
    format!("{}{}", host_statuses(host), escape(endpoint))
}

/// The path under which an agent says that it runs; `last` is the copy without a time to live.
pub fn node_status(region: &str, host: &str, last: bool) -> String {
    let name = if last { "last_reported_status" } else { "status" };
    format!("/calico/felix/v2/{region}/host/{host}/{name}")
}

/// A part must not end where it contains a `/`.
fn escape(part: &str) -> String {
    part.replace('%', "%25").replace('/', "%2f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_that_felix_writes() {
        assert_eq!(
            workload_status("no-region", "node1", "k8s", "default/nginx", "eth0"),
            "/calico/felix/v2/no-region/host/node1/workload/k8s/default%2fnginx/endpoint/eth0"
        );
        assert_eq!(host_status("node1", "a%b/c"), "/calico/felix/v1/host/node1/endpoint/a%25b%2fc");
        assert_eq!(node_status(&region("us"), "n", false), "/calico/felix/v2/region-us/host/n/status");
        assert_eq!(node_status(&region(""), "n", true), "/calico/felix/v2/no-region/host/n/last_reported_status");
    }
}
