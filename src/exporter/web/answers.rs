//! From a request to its answer: rate limit, users, then the page. Every path goes this way.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, FORWARDED, HOST, HeaderValue, ORIGIN,
    RETRY_AFTER, VARY, VIA, WWW_AUTHENTICATE,
};
use hyper::http::request;
use hyper::{Method, Response, StatusCode};
use tokio::sync::Semaphore;

use super::body::Parts;
use super::file::{Settings, WebFile};
use super::negotiation;
use super::site::Site;
use super::users::Verdict;
use crate::error::{Error, Kind, Result};
use crate::exporter::pages;

/// Paths of other pages: what begins with one of these cannot be where the metrics are.
const PAGES: [&str; 4] = ["/-", "/api", "/sources", "/favicon.ico"];

/// Where a test page is raised.
const TEST_PAGE: &str = "/-/test-page";
/// How long it is raised if nobody confirms it.
const TEST_PAGE_LASTS: Duration = Duration::from_mins(15);

/// Who asks, in the extensions of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Scrapes that are rendered at once.
const RENDERED_AT_ONCE: usize = 2;

/// Is `path` one where the metrics can be?
pub(super) fn check_telemetry_path(path: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::configuration(format!("cannot use `{path}` as telemetry path: {why}"))
            .hint("write a path such as `/metrics`"))
    };
    if !path.starts_with('/') {
        return wrong("it does not begin with `/`");
    }
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte)) {
        return wrong("it has characters other than letters, digits, `/`, `-`, `.`, `_` and `~`");
    }
    let is_page = |page: &&str| path.strip_prefix(*page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if path == "/" || PAGES.iter().any(is_page) {
        return wrong("there is a page of that name");
    }
    Ok(())
}

/// Everything that answers are made from.
pub(super) struct Answers {
    site: Arc<Site>,
    telemetry_path: String,
    file: Option<Arc<WebFile>>,
    open_to_all: Arc<Settings>,
    /// Scrapes that are rendered at once: more would only share the processors, and each thread keeps memory of its own.
    rendering: Semaphore,
}

impl Answers {
    pub(super) fn new(site: Arc<Site>, telemetry_path: String, file: Option<Arc<WebFile>>) -> Self {
        Self {
            site,
            telemetry_path,
            file,
            open_to_all: Arc::new(Settings::open_to_all()),
            rendering: Semaphore::new(RENDERED_AT_ONCE),
        }
    }

    /// What is in use now; without a web configuration file nothing is read.
    pub(super) async fn settings(&self) -> Arc<Settings> {
        let Some(file) = self.file.clone() else { return self.open_to_all.clone() };
        // Should reading panic, nobody is served: better than to serve anybody.
        match tokio::task::spawn_blocking(move || file.settings()).await {
            Ok(settings) => settings,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Answer a request.
    pub(super) async fn answer(&self, request: &request::Parts) -> Response<Parts> {
        let settings = self.settings().await;
        let mut response = self.admit(&settings, request).await;
        for (name, value) in &settings.headers {
            response.headers_mut().insert(name, value.clone());
        }
        if request.method == Method::HEAD {
            let length = response.body().length();
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            *response.body_mut() = Parts::default();
        }
        response
    }

    async fn admit(&self, settings: &Settings, request: &request::Parts) -> Response<Parts> {
        if settings.bucket.as_ref().is_some_and(|bucket| !bucket.admits()) {
            return text(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
        }
        match settings.users.judge(request.headers.get(hyper::header::AUTHORIZATION)).await {
            Verdict::Admitted => self.find(request).await,
            Verdict::Refused => {
                let mut response = text(StatusCode::UNAUTHORIZED, "user and password are required\n");
                let challenge = HeaderValue::from_static("Basic realm=\"backup-sla\", charset=\"UTF-8\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
            Verdict::Busy => {
                let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "too many passwords are being checked\n");
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        }
    }

    async fn find(&self, request: &request::Parts) -> Response<Parts> {
        if request.uri.path() == TEST_PAGE && request.method == Method::POST {
            return self.raise_test_page(request).await;
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri.path() {
            path if path == self.telemetry_path => self.metrics(request).await,
            "/-/healthy" => text(StatusCode::OK, "backup-sla is healthy\n"),
            "/-/ready" => match self.site.exporter.state().trouble() {
                None => text(StatusCode::OK, "backup-sla is ready\n"),
                Some(trouble) => text(StatusCode::SERVICE_UNAVAILABLE, format!("backup-sla is not ready: {trouble}\n")),
            },
            path => self.page(path, request.uri.query()).await,
        }
    }

    /// The one thing that is not only looked at: for whoever is on this machine, and for no page of a browser.
    async fn raise_test_page(&self, request: &request::Parts) -> Response<Parts> {
        let is_from_here = request.extensions.get::<Peer>().is_some_and(|peer| peer.0.is_loopback());
        let is_passed_on = [FORWARDED, ORIGIN, VIA].iter().any(|name| request.headers.contains_key(name))
            || ["x-forwarded-for", "x-real-ip"].iter().any(|name| request.headers.contains_key(*name));
        // A proxy in front of us says the name that it was called by.
        let host = request.uri.host().or_else(|| request.headers.get(HOST).and_then(|host| host.to_str().ok()));
        if !is_from_here || is_passed_on || !host.is_some_and(is_loopback_name) {
            let why = "a test page can only be raised from this machine, with curl or `backup-sla test-page`\n";
            return text(StatusCode::FORBIDDEN, why);
        }
        match self.site.ledger.raise_test_page(TEST_PAGE_LASTS).await {
            Ok(page) => {
                tracing::info!("test page raised over HTTP, until {}", page.ends);
                self.site.exporter.state().changed();
                text(StatusCode::ACCEPTED, "test page raised: whoever receives it runs the command in it\n")
            }
            Err(error) if error.kind() == Kind::Busy => text(StatusCode::CONFLICT, format!("{error}\n")),
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        }
    }

    async fn metrics(&self, request: &request::Parts) -> Response<Parts> {
        let form = negotiation::form(&request.headers);
        let exporter = self.site.exporter.clone();
        let _turn = self.rendering.acquire().await;
        // Thousands of sources take a while to write down: not on a thread that drives connections.
        let rendered = tokio::task::spawn_blocking(move || exporter.scrape(form)).await;
        match rendered.unwrap_or_else(|panic| Err(Error::failed("cannot render metrics").because(panic))) {
            Ok(parts) => {
                let mut response = typed(StatusCode::OK, form.format.content_type(), parts);
                response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
                if form.gzip {
                    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                response
            }
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        }
    }

    async fn page(&self, path: &str, query: Option<&str>) -> Response<Parts> {
        let view = match self.site.exporter.state().view() {
            Ok(view) => view,
            Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        };
        match pages::answer(&view, (&self.site.ledger, self.site.events.as_ref()), path, query).await {
            Ok(Some(page)) => {
                let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::OK);
                let mut response = typed(status, page.content_type, [page.body]);
                for (name, value) in page.headers {
                    if let Ok(value) = HeaderValue::try_from(value) {
                        response.headers_mut().insert(name, value);
                    }
                }
                response
            }
            Ok(None) => text(StatusCode::NOT_FOUND, "not found; / lists what is here\n"),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

/// Whether somebody on this machine would call it by this name.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None if host.matches(':').count() == 1 => host.split(':').next().unwrap_or_default(),
        None => host,
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Parts> {
    typed(status, "text/plain; charset=utf-8", [body.into()])
}

fn typed(status: StatusCode, content_type: &'static str, parts: impl IntoIterator<Item = Bytes>) -> Response<Parts> {
    let mut response = Response::new(Parts::new(parts));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
