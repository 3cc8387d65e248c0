//! The client of the API server, the group of the custom resources and the conversion warnings, which a store handle and its
//! watches share.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OnceCell;
use tortie_store::{Purpose, StoreError};

use crate::client::{Call, CallError, Client};
use crate::conversion_warnings::ConversionWarnings;
use crate::custom::Group;
use crate::item::Decoder;

/// The state that a store handle and its watches share.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    client: Client,
    group: OnceCell<Group>,
    conversion_warnings: ConversionWarnings,
}

impl Shared {
    pub(crate) fn new(client: Client) -> Self {
        let group = OnceCell::new_with(client.settings().group);
        Self(Arc::new(Inner { client, group, conversion_warnings: ConversionWarnings::default() }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// The group of custom resources: as set, else as the server's groups say, asked for once.
    async fn group(&self) -> Result<Group, CallError> {
        let group = self.0.group.get_or_try_init(|| async {
            let body = self.client().call(&Call::get("/apis")).await?;
            let list: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let names = list["groups"].as_array().into_iter().flatten().filter_map(|group| group["name"].as_str());
            Ok(Group::discovered(names))
        });
        group.await.copied()
    }

    /// Whether the server names the resource with this path (`/apis/GROUP/VERSION/RESOURCE`) among those that it has. An answer that
    /// is no such list is an error.
    pub(crate) async fn serves(&self, path: &str) -> Result<bool, CallError> {
        let (folder, resource) = path.rsplit_once('/').unwrap_or_default();
        let version = folder.trim_start_matches("/apis/");
        let groups = self.discovered("/apis", "groups").await?;
        // No iterator of it is kept while the next answer is waited for.
        let has_version = |group: &Value| {
            let versions = group["versions"].as_array();
            versions.is_some_and(|versions| versions.iter().any(|one| one["groupVersion"] == version))
        };
        if !groups.iter().any(has_version) {
            return Ok(false);
        }
        let resources = self.discovered(folder, "resources").await?;
        Ok(resources.iter().any(|one| one["name"] == resource))
    }

    /// A list of what the server has. A server has such lists, so 404 comes from something else.
    async fn discovered(&self, path: &str, field: &str) -> Result<Vec<Value>, CallError> {
        let body = match self.client().call(&Call::get(path)).await {
            Err(error) if error.code() == Some(404) => Err(CallError::Away(format!("{path}: {}", error.text()))),
            answer => answer,
        }?;
        let mut list: Value = serde_json::from_slice(&body).unwrap_or_default();
        match list[field].take() {
            Value::Array(items) => Ok(items),
            _ => Err(CallError::Away(format!("{path}: the answer is not a list of {field}"))),
        }
    }

    /// What is left out of objects.
    pub(crate) fn conversion_warnings(&self) -> &ConversionWarnings {
        &self.0.conversion_warnings
    }

    /// How objects are read for this purpose.
    pub(crate) async fn decoder(&self, purpose: Purpose) -> Result<Decoder, CallError> {
        let settings = self.client().settings();
        Ok(Decoder {
            group: self.group().await?,
            use_pod_cidr: settings.use_pod_cidr,
            interface_prefix: settings.interface_prefix.clone(),
            purpose,
            conversion_warnings: self.0.conversion_warnings.clone(),
        })
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
