//! The address that scrapers read the figures at.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::Ask;
use crate::scheduling;

/// Within it a scraper must have sent its request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Within it the tracing thread answers: it looks ten times a second at least.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// After an error that may last.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers `GET /metrics` at `address` on a thread of its own, until the process ends. Returns where it listens.
///
/// # Errors
/// Where the address cannot be listened at.
pub fn serve_metrics(address: SocketAddr, asker: Sender<Ask>) -> anyhow::Result<SocketAddr> {
    let failed = || format!("cannot listen at {address} for metrics");
    let listener = StdListener::bind(address).with_context(failed)?;
    listener.set_nonblocking(true).with_context(failed)?;
    let bound = listener.local_addr().with_context(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let work = move || {
        scheduling::be_ordinary();
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            accept_all(listener, asker).await;
            Ok::<(), std::io::Error>(())
        });
        if let Err(error) = served {
            log::error!("no metrics: {error}");
        }
    };
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(work)
        .context("cannot start a thread")?;
    Ok(bound)
}

async fn accept_all(listener: TcpListener, asker: Sender<Ask>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("a scraper could not be let in: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let asker = asker.clone();
        let answer = service_fn(move |request| answer(request, asker.clone()));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(async move {
            if let Err(error) = served.await {
                log::debug!("a scraper: {error}");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    asker: Sender<Ask>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "the figures are at /metrics\n".to_owned()));
    }
    if request.method() != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "GET it\n".to_owned()));
    }
    let (sender, answered) = oneshot::channel();
    let asked = asker.send(Ask::Metrics(sender));
    let text = timeout(ANSWER_TIME, answered).await;
    let (Ok(()), Ok(Ok(text))) = (asked, text) else {
        let text = "the tracing thread does not answer\n".to_owned();
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let mut response = plain(StatusCode::OK, text);
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(open_metrics));
    Ok(response)
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
