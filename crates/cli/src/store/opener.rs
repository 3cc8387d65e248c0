//! The store as the agent takes it: opened when it is needed, and again whenever that is asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tortie_agent::Opener;
use tortie_agent::status::store_identity;
use tortie_store::{Position, Store, StoreError};
use tortie_store_etcd::{EtcdStore, Settings};
use tortie_store_kube::KubeStore;

use super::choice::{Choice, StoreKind};
use super::{StoreAccess, choose, open};
use crate::session::Session;

/// How long one call of an agent goes on trying: the agent itself tries again, and has the copy on disk meanwhile.
const AGENT_PATIENCE: Duration = Duration::from_secs(2);

impl StoreAccess {
    /// What opens the store that is meant, and the store's name. What chose it is read once, what stands in its files
    /// whenever it is opened. `felix` is the file of Calico's agent.
    pub(crate) fn opener(session: &mut Session, config: &Path, felix: &Path) -> anyhow::Result<(Opener, String)> {
        opener(choose(session, config, felix)?)
    }

    /// The store's name, as the agent of this machine has it. The API group is part of it once the store was read.
    pub(crate) fn name(&self) -> anyhow::Result<String> {
        let (_, name) = opener(self.choice.clone())?;
        let group = self.kubernetes().and_then(|store| store.api_group());
        Ok(store_identity(&name, group))
    }

    /// Where the store's history stands now.
    pub(crate) fn position(&self) -> anyhow::Result<Position> {
        Ok(self.existing()?.position()?)
    }
}

fn opener(mut choice: Choice) -> anyhow::Result<(Opener, String)> {
    let name = match &mut choice.kind {
        StoreKind::Embedded(path) => {
            *path = std::path::absolute(&path)?;
            format!("embedded store {}", path.display())
        }
        StoreKind::Etcd(given) => {
            // It connects when it is first asked, and one handle stays: it knows when to leave etcd alone.
            let settings = Settings { call_timeout: AGENT_PATIENCE, ..Settings::try_from((**given).clone())? };
            let name = EtcdStore::new(settings.clone()).describe();
            return Ok((Box::new(move || Ok(Arc::new(EtcdStore::new(settings.clone())))), name));
        }
        StoreKind::Kubernetes(given) => {
            // As with etcd.
            let settings = super::kubernetes(given)?;
            let settings = tortie_store_kube::Settings { patience: AGENT_PATIENCE, ..settings };
            let store = Arc::new(KubeStore::new(settings)?);
            let name = store.describe();
            return Ok((Box::new(move || Ok(store.clone())), name));
        }
        // Waiting for it would be of no use.
        StoreKind::Unknown(_) => {
            return Err(open(choice).err().map_or_else(|| anyhow::anyhow!("no store"), Into::into));
        }
    };
    let opener: Opener = Box::new(move || {
        let opened = open(choice.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(opened.store())
    });
    Ok((opener, name))
}
