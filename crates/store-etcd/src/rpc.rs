//! The calls of etcd's protocol on one channel to one member.

use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::wire;

/// How large an answer may be: a page of a list, or what a transaction's writes replaced.
const MAX_ANSWER: usize = 256 << 20;

/// One member, by the user that we are to it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Member {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, token: None }
    }

    /// Sends this token of a user with each call.
    pub(crate) fn with_token(self, token: &str) -> Result<Self, Status> {
        let token = token.parse().map_err(|_| Status::internal("etcd gave a token that cannot be sent back"))?;
        Ok(Self { token: Some(token), ..self })
    }

    pub(crate) async fn range(&self, request: wire::RangeRequest) -> Result<wire::RangeResponse, Status> {
        self.call("/etcdserverpb.KV/Range", request).await
    }

    pub(crate) async fn put(&self, request: wire::PutRequest) -> Result<wire::PutResponse, Status> {
        self.call("/etcdserverpb.KV/Put", request).await
    }

    pub(crate) async fn delete(&self, request: wire::DeleteRequest) -> Result<wire::DeleteResponse, Status> {
        self.call("/etcdserverpb.KV/DeleteRange", request).await
    }

    pub(crate) async fn txn(&self, request: wire::TxnRequest) -> Result<wire::TxnResponse, Status> {
        self.call("/etcdserverpb.KV/Txn", request).await
    }

    pub(crate) async fn lease(&self, request: wire::LeaseGrantRequest) -> Result<wire::LeaseGrantResponse, Status> {
        self.call("/etcdserverpb.Lease/LeaseGrant", request).await
    }

    /// Renews a lease: how long it is kept from now, in seconds; 0 if it has ended.
    pub(crate) async fn keep_alive(&self, id: i64) -> Result<i64, Status> {
        let mut grpc = self.ready().await?;
        // The requests do not end before the answer: etcd's gRPC proxy gives up when they do.
        let requests = tokio_stream::once(wire::LeaseKeepAliveRequest { id }).chain(tokio_stream::pending());
        let request = self.with_credentials(requests, true);
        let codec = ProstCodec::<wire::LeaseKeepAliveRequest, wire::LeaseKeepAliveResponse>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Lease/LeaseKeepAlive");
        let mut answers = grpc.streaming(request, path, codec).await?.into_inner();
        let answer = answers.message().await?;
        Ok(answer.ok_or_else(|| Status::unavailable("no answer about the lease"))?.ttl)
    }

    pub(crate) async fn revoke(&self, id: i64) -> Result<wire::LeaseRevokeResponse, Status> {
        self.call("/etcdserverpb.Lease/LeaseRevoke", wire::LeaseRevokeRequest { id }).await
    }

    pub(crate) async fn status(&self) -> Result<wire::StatusResponse, Status> {
        self.call("/etcdserverpb.Maintenance/Status", wire::StatusRequest {}).await
    }

    pub(crate) async fn authenticate(
        &self,
        request: wire::AuthenticateRequest,
    ) -> Result<wire::AuthenticateResponse, Status> {
        self.call("/etcdserverpb.Auth/Authenticate", request).await
    }

    /// Starts a watch. Further requests go through the sender; the stream ends when it is dropped.
    pub(crate) async fn watch(
        &self,
        create: wire::WatchCreate,
    ) -> Result<(mpsc::Sender<wire::WatchRequest>, Streaming<wire::WatchResponse>), Status> {
        let (sender, receiver) = mpsc::channel(4);
        let first = wire::WatchRequest { union: Some(wire::WatchUnion::Create(create)) };
        sender.try_send(first).expect("a new channel has room");
        let mut grpc = self.ready().await?;
        let request = self.with_credentials(ReceiverStream::new(receiver), true);
        let codec = ProstCodec::<wire::WatchRequest, wire::WatchResponse>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let stream = grpc.streaming(request, path, codec).await?.into_inner();
        Ok((sender, stream))
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Default + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.ready().await?;
        let request = self.with_credentials(request, false);
        let codec = ProstCodec::<Q, A>::default();
        Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        Ok(grpc)
    }

    fn with_credentials<T>(&self, message: T, leader: bool) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        if leader {
            // A member that lost its leader ends the watch instead of keeping us in the dark.
            request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        }
        request
    }
}
