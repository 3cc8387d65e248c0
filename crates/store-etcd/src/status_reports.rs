//! The status reports of agents ([`StatusReports`]): keys of etcd that hold no objects, some of them with a lease. The paths of objects
//! are in `path`.

use std::time::Duration;

use bytes::Bytes;
use tortie_store::{StatusReports, StoreError};

use crate::path;
use crate::runtime::wait_for;
use crate::store::EtcdStore;
use crate::wire::{DeleteRequest, LeaseGrantRequest, PutRequest, RangeRequest};

impl StatusReports for EtcdStore {
    fn put(&self, path: &str, value: &[u8], time_to_live: Option<Duration>) -> Result<(), StoreError> {
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
        wait_for(put).map(drop).map_err(|error| self.failed(&error))
    }

    fn remove(&self, path: &str) -> Result<(), StoreError> {
        let request = DeleteRequest { key: Bytes::copy_from_slice(path.as_bytes()), ..DeleteRequest::default() };
        let delete = self.connection().call(|member, _| {
            let request = request.clone();
            async move { member.delete(request).await }
        });
        wait_for(delete).map(drop).map_err(|error| self.failed(&error))
    }

    fn list_values(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let (key, range_end) = (Bytes::copy_from_slice(prefix.as_bytes()), path::end_of(prefix).into());
        let request = RangeRequest { key, range_end, ..RangeRequest::default() };
        let found = wait_for(self.connection().range(request)).map_err(|error| self.failed(&error))?;
        Ok(found.kvs.iter().map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), kv.value.to_vec())).collect())
    }
}
