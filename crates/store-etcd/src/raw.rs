//! Keys beside the resources: what an agent tells about itself and its endpoints (datastore sheet 1.2), some of it
//! for a limited time.

use std::time::Duration;

use bytes::Bytes;
use tortie_store::StoreError;

use crate::runtime::wait_for;
use crate::store::EtcdStore;
use crate::wire::{DeleteRequest, LeaseGrantRequest, PutRequest, RangeRequest};

/// Where the status of a workload endpoint stands. The workload is `<namespace>/<workload>`; the region is
/// `no-region` or `region-<name>`.
pub fn workload_status_path(region: &str, host: &str, orchestrator: &str, workload: &str, endpoint: &str) -> String {
    let [orchestrator, workload, endpoint] = [orchestrator, workload, endpoint].map(escape);
    format!("/calico/felix/v2/{region}/host/{host}/workload/{orchestrator}/{workload}/endpoint/{endpoint}")
}

/// Where the status of a host endpoint stands.
pub fn host_status_path(host: &str, endpoint: &str) -> String {
    format!("/calico/felix/v1/host/{host}/endpoint/{}", escape(endpoint))
}

/// Where an agent says that it lives; `last` is the copy that does not go away with it.
pub fn node_status_path(region: &str, host: &str, last: bool) -> String {
    let name = if last { "last_reported_status" } else { "status" };
    format!("/calico/felix/v2/{region}/host/{host}/{name}")
}

/// A segment must not end where it contains a `/`.
fn escape(segment: &str) -> String {
    segment.replace('%', "%25").replace('/', "%2f")
}

impl EtcdStore {
    /// Puts a value at a path that is no resource's. With a time to live it goes away by itself unless it is put
    /// again before.
    pub fn put_path(&self, path: &str, value: &[u8], time_to_live: Option<Duration>) -> Result<(), StoreError> {
        let (key, value) = (Bytes::copy_from_slice(path.as_bytes()), Bytes::copy_from_slice(value));
        let ttl = time_to_live.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX).max(1));
        let put = self.connection().call(|member, _| {
            let (key, value) = (key.clone(), value.clone());
            async move {
                let lease = match ttl {
                    Some(ttl) => member.lease(LeaseGrantRequest { ttl }).await?.id,
                    None => 0,
                };
                member.put(PutRequest { key, value, lease, prev_kv: false }).await
            }
        });
        wait_for(put).map(drop).map_err(|trouble| self.failed(&trouble))
    }

    /// Removes what stands at a path, if anything does.
    pub fn delete_path(&self, path: &str) -> Result<(), StoreError> {
        let request = DeleteRequest { key: Bytes::copy_from_slice(path.as_bytes()), prev_kv: false };
        let delete = self.connection().call(|member, _| {
            let request = request.clone();
            async move { member.delete(request).await }
        });
        wait_for(delete).map(drop).map_err(|trouble| self.failed(&trouble))
    }

    /// What stands at a path.
    pub fn get_path(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let request = RangeRequest { key: Bytes::copy_from_slice(path.as_bytes()), ..RangeRequest::default() };
        let get = self.connection().call(|member, _| {
            let request = request.clone();
            async move { member.range(request).await }
        });
        let found = wait_for(get).map_err(|trouble| self.failed(&trouble))?;
        Ok(found.kvs.into_iter().next().map(|kv| kv.value.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_paths_are_those_of_the_fact_sheet() {
        assert_eq!(
            workload_status_path("no-region", "node1", "k8s", "default/nginx", "eth0"),
            "/calico/felix/v2/no-region/host/node1/workload/k8s/default%2fnginx/endpoint/eth0"
        );
        assert_eq!(host_status_path("node1", "a%b/c"), "/calico/felix/v1/host/node1/endpoint/a%25b%2fc");
        assert_eq!(node_status_path("region-us", "n", false), "/calico/felix/v2/region-us/host/n/status");
        assert_eq!(node_status_path("no-region", "n", true), "/calico/felix/v2/no-region/host/n/last_reported_status");
    }
}
