//! The HTTP listener for those who watch over the server: `/metrics` for Prometheus, `/healthz` and
//! `/readyz` for whoever starts it and sends it clients, `/status` for programs and people, `/usage` (for
//! Prometheus `/metrics/accounts`) for who bills customers.
//!
//! It only reads, and knows no users: it belongs on a loopback address. What it shows is made when it
//! is asked for, by [`status`](crate::status) and `exposition`. Whoever reaches it takes few of the process's files
//! and none for long: a connection is one request, there is a limit on them, and on how long one takes.

mod exposition;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::status::Observer;
use crate::status::usage::UsageReport;

/// The content type of Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections at the same time; further ones wait in the system's queue.
pub const CONNECTIONS: usize = 32;
/// How long a request may take to come, and with its answer to go.
const HEADER_WITHIN: Duration = Duration::from_secs(5);
const ALL_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait after an error of `accept` (such as too many open files).
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Opens the socket, so that it can be bound before privileges are given up; [`serve`] answers.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers for ever. Needs to run inside a tokio runtime.
///
/// # Errors
/// The runtime cannot take the socket over.
pub async fn serve(listener: TcpListener, observer: Observer) -> io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/usage", get(usage))
        .route("/metrics/accounts", get(accounts))
        .with_state(observer);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AFTER_ERROR).await;
            continue;
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WITHIN)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()));
        tokio::spawn(async move {
            // Whatever ends a connection concerns its client only.
            let _ = timeout(ALL_WITHIN, connection).await;
            drop(place);
        });
    }
}

async fn metrics(State(observer): State<Observer>) -> impl IntoResponse {
    let totals = observer.metrics.totals();
    let status = observer.status_of(&totals, SystemTime::now());
    let text = exposition::render(&status, &totals, observer.query_log.as_ref());
    ([(CONTENT_TYPE, EXPOSITION)], text)
}

/// 200, or 503 and a line for each thing that is missing.
async fn ready(State(observer): State<Observer>) -> impl IntoResponse {
    let not_ready = observer.status().not_ready;
    if not_ready.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, not_ready.join("\n") + "\n")
}

async fn status(State(observer): State<Observer>) -> Result<impl IntoResponse, StatusCode> {
    json(&observer.status())
}

/// What accounts have asked, as JSON.
async fn usage(
    State(observer): State<Observer>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, StatusCode> {
    json(&usage_report(observer, query).await?)
}

/// The same for Prometheus: not among the other metrics, since each account is a series.
async fn accounts(
    State(observer): State<Observer>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, StatusCode> {
    let report = usage_report(observer, query).await?;
    Ok(([(CONTENT_TYPE, EXPOSITION)], exposition::render_accounts(&report)))
}

/// Of as many accounts as `?limit=` says, the busiest of the month first.
async fn usage_report(observer: Observer, query: Option<String>) -> Result<UsageReport, StatusCode> {
    const DEFAULT: usize = 1000;
    let limit = match query.as_deref() {
        None => DEFAULT,
        Some(query) => {
            let number = query.strip_prefix("limit=").and_then(|number| number.parse().ok());
            number.ok_or(StatusCode::BAD_REQUEST)?
        }
    };
    // A million accounts take a while.
    let report = tokio::task::spawn_blocking(move || observer.usage(limit)).await;
    report.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// A line of JSON.
fn json<T: Serialize>(document: &T) -> Result<impl IntoResponse + use<T>, StatusCode> {
    let text = serde_json::to_string(document).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, "application/json")], text + "\n"))
}
