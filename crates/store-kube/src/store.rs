//! The store itself: a handle that any number of threads can use.

use tortie_api::{Key, Kind};
use tortie_store::{
    Abilities, Definitions, Leases, LeftOut, Listing, Operation, Position, Purpose, Selection, Store, StoreError,
    Stored, Support, Watch, Write, WriteError, Written, list_by_pages,
};

use crate::client::{Call, CallError, Client};
use crate::convert::pod;
use crate::custom::Group;
use crate::installed;
use crate::leases::Watched;
use crate::list;
use crate::runtime::wait_for;
use crate::settings::{Settings, SettingsError};
use crate::shared::Shared;
use crate::source::Source;
use crate::unchanged;
use crate::watch::KubeWatch;
use crate::write;

/// How often a list is begun again because its pages were no longer kept.
const MAX_LIST_ATTEMPTS: u32 = 5;

/// A handle on one cluster.
pub struct KubeStore {
    shared: Shared,
    watched: Watched,
}

impl KubeStore {
    /// A handle that connects when it is first needed.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(Self { shared: Shared::new(Client::new(settings).map_err(SettingsError)?), watched: Watched::default() })
    }

    /// Why a pod that exists has no endpoint; none if it has one, does not exist or cannot be read.
    pub fn why_no_endpoint(&self, namespace: &str, name: &str) -> Option<String> {
        let get = async {
            let decoder = self.shared.decoder(Purpose::Anything).await.ok()?;
            let call = Call::get(Source::Pods.path_of(decoder.group, namespace, name));
            self.shared.client().find(&call).await.ok()?
        };
        pod::why_no_endpoint(&serde_json::from_slice(&wait_for(get)?).ok()?)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    fn versions(&self, selection: &Selection) -> Result<Position, StoreError> {
        let all = async {
            let decoder = self.shared.decoder(Purpose::Anything).await?;
            list::versions(&self.shared, &decoder, selection).await
        };
        wait_for(all).map_err(|error: CallError| self.failed(&error))
    }

    fn failed(&self, error: &CallError) -> StoreError {
        self.shared.failed(error)
    }
}

impl Store for KubeStore {
    fn describe(&self) -> String {
        format!("Kubernetes at {}", self.shared.client().settings().server)
    }

    fn api_group(&self) -> Option<&'static str> {
        self.shared.known_group().map(Group::api_version)
    }

    fn abilities(&self) -> Abilities {
        Abilities { one_history: false, transactions: false, any_content: false }
    }

    fn definitions(&self) -> Result<Definitions, StoreError> {
        wait_for(installed::definitions(&self.shared)).map_err(|error| self.failed(&error))
    }

    fn cluster_type(&self) -> &'static str {
        "kdd"
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.shared.conversion_warnings().all()
    }

    fn supports(&self, kind: Kind, operation: Operation) -> Support {
        write::supports(kind, operation)
    }

    fn would_take(&self, write: &Write) -> Result<Result<(), WriteError>, StoreError> {
        let ask = async {
            let decoder = self.shared.decoder(Purpose::Anything).await?;
            write::would_take(&self.shared, &decoder, write).await
        };
        wait_for(ask).map_err(|error: CallError| self.failed(&error))
    }

    fn rehearse(&self, writes: &[Write]) -> Result<Vec<Result<(), WriteError>>, StoreError> {
        let ask = async {
            let decoder = self.shared.decoder(Purpose::Anything).await?;
            write::rehearse(&self.shared, &decoder, writes).await
        };
        wait_for(ask).map_err(|error: CallError| self.failed(&error))
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let get = async {
            let decoder = self.shared.decoder(Purpose::Anything).await?;
            list::get(&self.shared, &decoder, key).await
        };
        wait_for(get).map_err(|error| self.failed(&error))
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        list_by_pages(self, selection, MAX_LIST_ATTEMPTS)
    }

    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        list::pages(&self.shared, selection, page).map_err(|error| match error {
            CallError::Expired => StoreError::Compacted { from: Position::START, kept: Position::START },
            error => self.failed(&error),
        })
    }

    fn position(&self) -> Result<Position, StoreError> {
        self.versions(&Selection::default())
    }

    fn position_of(&self, selection: &Selection) -> Result<Position, StoreError> {
        self.versions(selection)
    }

    fn is_unchanged_between(&self, after: &Position, until: &Position) -> Result<bool, StoreError> {
        if after.has_reached(until) {
            return Ok(true);
        }
        let unchanged = async {
            let decoder = self.shared.decoder(Purpose::Anything).await?;
            unchanged::between(&self.shared, &decoder, after, until, false).await
        };
        wait_for(unchanged).map(|changed| changed.is_empty()).map_err(|error: CallError| self.failed(&error))
    }

    fn changed_between(&self, after: &Position, until: &Position) -> Result<Vec<String>, StoreError> {
        let changed = async {
            let decoder = self.shared.decoder(Purpose::Anything).await?;
            unchanged::between(&self.shared, &decoder, after, until, true).await
        };
        wait_for(changed).map_err(|error: CallError| self.failed(&error))
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        let all = async {
            let decoder = self.shared.decoder(Purpose::Anything).await?;
            let mut answers = Vec::with_capacity(writes.len());
            for write in writes {
                answers.push(write::one(&self.shared, &decoder, write, write::Effect::Kept).await?);
            }
            Ok(answers)
        };
        wait_for(all).map_err(|error: CallError| self.failed(&error))
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        Ok(Box::new(KubeWatch::start(self.shared.clone(), selection, from)?))
    }
}
