//! The client of the API server, the group of the custom resources and the conversion warnings, which a store handle and its
//! watches share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tortie_store::{Purpose, StoreError};

use crate::client::{CallError, Client};
use crate::conversion_warnings::ConversionWarnings;
use crate::custom::Group;
use crate::discovery::{Age, Discovery};
use crate::item::Decoder;

/// The state that a store handle and its watches share.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    client: Client,
    group: Mutex<Option<Group>>,
    discovery: Discovery,
    conversion_warnings: ConversionWarnings,
}

impl Shared {
    pub(crate) fn new(client: Client) -> Self {
        let group = Mutex::new(client.settings().group);
        let discovery = Discovery::default();
        Self(Arc::new(Inner { client, group, discovery, conversion_warnings: ConversionWarnings::default() }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// The group of custom resources: as set, else as the server's groups say, asked for once.
    async fn group(&self) -> Result<Group, CallError> {
        if let Some(group) = self.known_group() {
            return Ok(group);
        }
        let groups = self.0.discovery.groups(self.client()).await?;
        let found = Group::discovered(groups.iter().map(String::as_str));
        // All use the one that was found first.
        Ok(*self.lock_group().get_or_insert(found))
    }

    /// The group of custom resources, if it is set or was asked for.
    pub(crate) fn known_group(&self) -> Option<Group> {
        *self.lock_group()
    }

    fn lock_group(&self) -> MutexGuard<'_, Option<Group>> {
        self.0.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server names the resource with this path (`/apis/GROUP/VERSION/RESOURCE`) among those that it has.
    pub(crate) async fn serves(&self, path: &str, age: Age) -> Result<bool, CallError> {
        self.0.discovery.serves(self.client(), path, age).await
    }

    /// Whether the server has the definitions of a group.
    pub(crate) async fn serves_group(&self, group: Group, age: Age) -> Result<bool, CallError> {
        let path = format!("/apis/{}", group.api_version());
        self.0.discovery.serves_version(self.client(), &path, age).await
    }

    /// Whether the server has only the other group now, and none is set: then that one is to be used from now on.
    pub(crate) async fn has_only_the_other(&self, group: Group, age: Age) -> Result<bool, CallError> {
        let is_set = self.client().settings().group.is_some();
        Ok(!is_set && !self.serves_group(group, age).await? && self.serves_group(group.other(), age).await?)
    }

    /// Waits until the server is to be asked again whether it has what it lacked.
    pub(crate) async fn wait_until_due(&self) {
        self.0.discovery.wait_until_due().await;
    }

    /// The group of custom resources. One that was chosen because of what the server had is chosen again if the server has only the
    /// other now.
    pub(crate) async fn group_of_now(&self) -> Result<Group, CallError> {
        let group = self.group().await?;
        if !self.has_only_the_other(group, Age::Now).await? {
            return Ok(group);
        }
        *self.lock_group() = Some(group.other());
        Ok(group.other())
    }

    /// What is left out of objects.
    pub(crate) fn conversion_warnings(&self) -> &ConversionWarnings {
        &self.0.conversion_warnings
    }

    /// How objects are read for this purpose.
    pub(crate) async fn decoder(&self, purpose: Purpose) -> Result<Decoder, CallError> {
        Ok(self.decoder_of(self.group().await?, purpose))
    }

    /// How objects of this group are read.
    pub(crate) fn decoder_of(&self, group: Group, purpose: Purpose) -> Decoder {
        let settings = self.client().settings();
        Decoder {
            group,
            use_pod_cidr: settings.use_pod_cidr,
            interface_prefix: settings.interface_prefix.clone(),
            purpose,
            conversion_warnings: self.0.conversion_warnings.clone(),
        }
    }

    /// The error that says where and why.
    pub(crate) fn failed(&self, call_error: &CallError) -> StoreError {
        let server = &self.client().settings().server;
        StoreError::Failed(match call_error {
            CallError::Refused(_) => format!("the API server at {server} refuses: {}", call_error.text()),
            _ => format!("the API server at {server} cannot be used: {}", call_error.text()),
        })
    }
}
