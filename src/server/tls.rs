//! DNS over TLS (RFC 7858) through hickory-server: TLS, framing and connections are its, the
//! answers are ours.
//!
//! hickory-server hands over each query as it came, but takes a reply only as records, not as
//! bytes. So our reply is read back with hickory-proto, section by section, and written again by
//! hickory-server. The meaning survives: types that hickory-proto does not know (APL, RP) and
//! unknown EDNS options (EDE) stay opaque bytes, the question keeps its letter case; only name
//! compression may differ. A query that hickory-proto cannot read is answered with FORMERR by
//! hickory-server itself.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Edns, Header, HeaderCounts, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponseBuilder, Queries};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use super::signers::Answer;
use super::{Certificate, Limits, Responder, Service, stopped};
use crate::answer::{Client, Transport};

/// How long to wait before listening again.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A PEM file cannot be read, or holds nothing of what it should.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate and the key do not go together, or are of a kind that cannot be used.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// Reads a certificate and its key.
pub(super) fn config(certificate: &Certificate) -> Result<Arc<ServerConfig>, CertificateError> {
    let Certificate { chain: chain_path, key: key_path } = certificate;
    let file = |path: &PathBuf, source| CertificateError::File { path: path.clone(), source };
    let chain = CertificateDer::pem_file_iter(chain_path)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|source| file(chain_path, source))?;
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|source| file(key_path, source))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|source| CertificateError::Unusable { path: chain_path.clone(), source })?;
    config.alpn_protocols = vec![b"dot".to_vec()];
    Ok(Arc::new(config))
}

/// Serves connections until told to stop.
pub(super) async fn listen<R: Responder>(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    limits: Limits,
    service: Service<R>,
    mut stop: watch::Receiver<bool>,
) {
    let handler = Arc::new(service);
    loop {
        // hickory-server gives its listener up on ECONNABORTED, which any peer can cause: it
        // works on a copy, and gets another.
        let listening = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        let mut server = hickory_server::Server::new(Handler(handler.clone()));
        let registered = listening.and_then(|copy| {
            server.register_tls_listener_with_tls_config(copy, limits.tcp_idle, config.clone())
        });
        if registered.is_ok() {
            tokio::select! {
                _ = server.block_until_done() => {}
                () = stopped(&mut stop) => {
                    // Its errors are of connections that end now anyway.
                    let _ = server.shutdown_gracefully().await;
                    return;
                }
            }
        }
        handler.counters.receive_error();
        tokio::select! {
            () = tokio::time::sleep(AFTER_ERROR) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

struct Handler<R>(Arc<Service<R>>);

#[async_trait]
impl<R: Responder> RequestHandler for Handler<R> {
    async fn handle_request<H: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: H,
    ) -> ResponseInfo {
        let client = Client { address: request.src().ip().to_canonical(), transport: Transport::Tls };
        let mut reply = Vec::new();
        // The moment ends before anything is awaited.
        let answer = self.0.answer_connected(&self.0.moment(), request.as_slice(), client, &mut reply);
        match answer {
            Some(Answer::Now) => {}
            Some(Answer::Later(coming)) => match coming.await {
                Ok(signed) => reply = signed,
                Err(_) => return failure(request),
            },
            None => return failure(request),
        }
        let sent = match ReadBack::new(&reply) {
            Ok(ReadBack { metadata, question, answers, authorities, additionals, edns }) => {
                let builder = MessageResponseBuilder::new(&question, edns.as_ref());
                let response = builder.build(metadata, &answers, &authorities, &[], &additionals);
                response_handle.send_response(response).await
            }
            Err(_) => {
                let builder = MessageResponseBuilder::from_message_request(request);
                let response = builder.error_msg(&request.metadata, ResponseCode::ServFail);
                response_handle.send_response(response).await
            }
        };
        sent.unwrap_or_else(|_| {
            self.0.counters.unsent(1);
            failure(request)
        })
    }
}

/// What hickory-server is told of a request to which nothing was sent; it only logs that.
fn failure(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

/// Our reply as hickory-server takes it.
struct ReadBack {
    metadata: Metadata,
    /// As it is, octet by octet.
    question: Queries,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    edns: Option<Edns>,
}

impl ReadBack {
    fn new(reply: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = BinDecoder::new(reply);
        let Header { mut metadata, counts } = Header::read(&mut decoder)?;
        let question = Queries::read(&mut decoder, counts.queries.into())?;
        // Only of an UPDATE does hickory-proto take records with empty rdata, such as the APL of an
        // empty list.
        let mut section = |count: u16, is_additional| {
            Message::read_records(&mut decoder, count.into(), is_additional, OpCode::Update)
        };
        let (answers, ..) = section(counts.answers, false)?;
        let (authorities, ..) = section(counts.authorities, false)?;
        let (additionals, edns, _) = section(counts.additionals, true)?;
        if let Some(edns) = &edns {
            metadata.response_code = ResponseCode::from(edns.rcode_high(), metadata.response_code.low());
        }
        Ok(Self { metadata, question, answers, authorities, additionals, edns })
    }
}

/// The records of all sections but OPT, for tests.
#[cfg(test)]
pub(super) fn records(reply: &[u8]) -> Vec<Record> {
    let ReadBack { answers, authorities, additionals, .. } = ReadBack::new(reply).unwrap();
    [answers, authorities, additionals].concat()
}
