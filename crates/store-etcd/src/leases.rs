//! Leases: a key for each, which goes with a lease of etcd. The holder renews that lease, which changes nothing that is watched;
//! when it does not, etcd deletes the key.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tortie_store::{Holding, Leases, StoreError};

use crate::call_error::CallError;
use crate::runtime::wait_for;
use crate::store::EtcdStore;
use crate::wire::{
    Compare, KeyValue, LeaseGrantRequest, PutRequest, RangeRequest, Request, RequestOp, Response, Target, TxnRequest,
};

/// What the keys begin with.
const ROOT: &str = "/calico/tortie/leases/";

/// The leases of etcd that this handle renews, by the names of ours.
#[derive(Default)]
pub(crate) struct HeldLeases(Mutex<BTreeMap<String, i64>>);

impl HeldLeases {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leases for EtcdStore {
    fn hold(&self, name: &str, holder: &str, time: Duration) -> Result<Holding, StoreError> {
        wait_for(self.take(name, holder, time)).map_err(|error| self.failed(&error))
    }

    fn release(&self, name: &str, _holder: &str) -> Result<(), StoreError> {
        let Some(lease) = self.leases.lock().remove(name) else { return Ok(()) };
        wait_for(self.revoke(lease)).map_err(|error| self.failed(&error))
    }
}

impl EtcdStore {
    async fn take(&self, name: &str, holder: &str, time: Duration) -> Result<Holding, CallError> {
        let key = Bytes::from(format!("{ROOT}{name}"));
        let range = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let known = self.leases.lock().get(name).copied();
        if let Some(lease) = known {
            let left = self.connection().call(|member, _| async move { member.keep_alive(lease).await }).await?;
            if left == 0 {
                self.leases.lock().remove(name);
            }
        }
        let found = self.connection().range(range.clone()).await?;
        if let Some(found) = found.kvs.into_iter().next() {
            return Ok(self.whose(name, holder, &found));
        }
        let ttl = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).max(1);
        let grant = self.connection().call(|member, _| async move { member.lease(LeaseGrantRequest { ttl }).await });
        let lease = grant.await?.id;
        let put = PutRequest { key: key.clone(), value: Bytes::from(holder.to_owned()), lease, prev_kv: false };
        let request = TxnRequest {
            // Version 0: there is no such key.
            compare: vec![Compare { result: 0, target: 0, key, union: Some(Target::Version(0)) }],
            success: vec![RequestOp { request: Some(Request::Put(put)) }],
            failure: vec![RequestOp { request: Some(Request::Range(range)) }],
        };
        let answer = self.connection().call(|member, _| {
            let request = request.clone();
            async move { member.txn(request).await }
        });
        let answer = answer.await?;
        if answer.succeeded {
            self.leases.lock().insert(name.to_owned(), lease);
            return Ok(Holding::Ours);
        }
        let found = answer.responses.into_iter().find_map(|answer| match answer.response {
            Some(Response::Range(range)) => range.kvs.into_iter().next(),
            _ => None,
        });
        let holding = found.map(|found| self.whose(name, holder, &found));
        if holding != Some(Holding::Ours) {
            self.revoke(lease).await?;
        }
        Ok(holding.unwrap_or_else(|| Holding::Of("another process".to_owned())))
    }

    /// Whose a key is. One of ours whose answer was lost is known from now on.
    fn whose(&self, name: &str, holder: &str, found: &KeyValue) -> Holding {
        if found.value != holder.as_bytes() {
            self.leases.lock().remove(name);
            return Holding::Of(String::from_utf8_lossy(&found.value).into_owned());
        }
        self.leases.lock().insert(name.to_owned(), found.lease);
        Holding::Ours
    }

    async fn revoke(&self, lease: i64) -> Result<(), CallError> {
        self.connection().call(|member, _| async move { member.revoke(lease).await }).await.map(drop)
    }
}
