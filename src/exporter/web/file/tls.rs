//! `tls_server_config`: what is asked for, and the rustls configuration that gives it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use saphyr::MarkedYaml;
use secrecy::SecretString;
use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ProtocolVersion, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};

use super::clients::{AnyCertificate, NamedCertificate};
use super::names::{self, ClientAuth, Known, Name};
use super::yaml::{Mistakes, Section};
use crate::error::{Error, OrFailed, Result};
use crate::strict::nearest;

/// Where a PEM text comes from.
#[derive(Debug, Clone)]
pub(super) enum Pem {
    /// A file, read at every connection.
    File(PathBuf),
    /// The configuration file itself.
    Inline(SecretString),
}

/// What the file says of TLS.
#[derive(Debug)]
pub(super) struct TlsDeclared {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
    pub(super) client_ca: Option<Pem>,
    pub(super) client_auth: ClientAuth,
    allowed_sans: Option<Vec<String>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Empty: the usual ones.
    suites: Vec<SupportedCipherSuite>,
    /// Empty: the usual ones.
    curves: Vec<&'static dyn SupportedKxGroup>,
    prefers_own_suites: bool,
    http2: bool,
}

/// Contents of the files that TLS needs.
#[derive(Debug)]
pub(super) struct TlsFiles {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_ca: Option<Vec<u8>>,
}

const KEYS: [&str; 13] = [
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];

impl TlsDeclared {
    /// Read the section; none if it says nothing. Paths are relative to `directory`.
    pub(super) fn read(
        node: Option<&MarkedYaml<'_>>,
        directory: &Path,
        http2: bool,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let section = Section::read(node, "tls_server_config", &KEYS, mistakes);
        if !section.has_values() {
            return None;
        }
        let certificate = pem(&section, ("cert", "cert_file"), directory, mistakes);
        let key = pem(&section, ("key", "key_file"), directory, mistakes);
        for (name, given) in [("cert_file", &certificate), ("key_file", &key)] {
            if given.is_none() {
                section.mistake(&format!("needs `{name}`"), mistakes);
            }
        }
        let client_ca = pem(&section, ("client_ca", "client_ca_file"), directory, mistakes);
        let client_auth = client_auth(&section, client_ca.is_some(), mistakes);
        let sans = section.strings("client_allowed_sans", mistakes);
        let allowed_sans = sans.map(|sans| sans.into_iter().map(|(san, _)| san.to_owned()).collect());
        if allowed_sans.is_some() && !matches!(client_auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify) {
            let what = "`client_allowed_sans` needs `client_auth_type: RequireAndVerifyClientCert`: a client could come without a certificate";
            section.mistake(what, mistakes);
        }
        let versions = versions(&section, mistakes);
        let suites = list(&section, "cipher_suites", &names::CIPHER_SUITES, mistakes);
        let curves = list(&section, "curve_preferences", &names::CURVES, mistakes);
        let prefers_own_suites = section.boolean("prefer_server_cipher_suites", mistakes).unwrap_or(true);
        Some(Self {
            certificate: certificate?,
            key: key?,
            client_ca,
            client_auth,
            allowed_sans,
            versions,
            suites,
            curves,
            prefers_own_suites,
            http2,
        })
    }

    /// The configuration for handshakes. Errors: a file has not what it should have.
    pub(super) fn build(&self, files: &TlsFiles) -> Result<Arc<ServerConfig>> {
        let chain = certificates(&files.certificate).map_err(|e| e.context("read cert_file"))?;
        // What the library says of a key could repeat it.
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| {
            Error::configuration("cannot read key_file: it has no private key that can be read")
                .hint("an unencrypted key in PEM is needed: `-----BEGIN PRIVATE KEY-----`")
        })?;
        let provider = Arc::new(self.provider());
        let verifier = self.verifier(files, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .or_failed("cannot use min_version, max_version and cipher_suites together")?;
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config =
            builder.with_single_cert(chain, key).or_failed("cannot use the certificate with the key of key_file")?;
        config.ignore_client_order = self.prefers_own_suites;
        config.alpn_protocols = if self.http2 { vec![b"h2".to_vec()] } else { Vec::new() };
        config.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(Arc::new(config))
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if !self.suites.is_empty() {
            // As in Go the list is about TLS 1.2; the suites of TLS 1.3 are all good and always there.
            provider.cipher_suites.retain(|suite| suite.version().version == ProtocolVersion::TLSv1_3);
            let older = self.suites.iter().filter(|suite| suite.version().version != ProtocolVersion::TLSv1_3);
            provider.cipher_suites.extend(older);
        }
        if !self.curves.is_empty() {
            provider.kx_groups.clone_from(&self.curves);
        }
        provider
    }

    fn verifier(
        &self,
        files: &TlsFiles,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
        let verifier: Arc<dyn ClientCertVerifier> = match self.client_auth {
            ClientAuth::None => return Ok(None),
            ClientAuth::Request => Arc::new(AnyCertificate::new(false, provider)),
            ClientAuth::RequireAny => Arc::new(AnyCertificate::new(true, provider)),
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
                let mut roots = RootCertStore::empty();
                for one in certificates(files.client_ca.as_deref().unwrap_or_default())
                    .map_err(|e| e.context("read client_ca_file"))?
                {
                    roots.add(one).or_failed("cannot use a certificate of client_ca_file")?;
                }
                let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
                let builder = if self.client_auth == ClientAuth::VerifyIfGiven {
                    builder.allow_unauthenticated()
                } else {
                    builder
                };
                builder.build().or_failed("cannot use client_ca_file")?
            }
        };
        Ok(Some(match &self.allowed_sans {
            None => verifier,
            Some(allowed) => Arc::new(NamedCertificate::new(verifier, allowed.clone())),
        }))
    }
}

fn pem(
    section: &Section<'_, '_>,
    (inline, file): (&str, &str),
    directory: &Path,
    mistakes: &mut Mistakes,
) -> Option<Pem> {
    let text = section.string(inline, mistakes);
    let path = section.string(file, mistakes);
    match (text, path) {
        (Some(_), Some(_)) => {
            section.mistake(&format!("has both `{inline}` and `{file}`; write one of them"), mistakes);
            None
        }
        (Some(text), None) => Some(Pem::Inline(SecretString::from(text))),
        (None, path) => path.map(|path| Pem::File(directory.join(path))),
    }
}

fn client_auth(section: &Section<'_, '_>, has_ca: bool, mistakes: &mut Mistakes) -> ClientAuth {
    let auth = one(section, "client_auth_type", &names::CLIENT_AUTH, mistakes);
    match auth.unwrap_or(ClientAuth::None) {
        ClientAuth::None if has_ca => {
            let what = "has a `client_ca_file` but no `client_auth_type`; write `client_auth_type: RequireAndVerifyClientCert`";
            section.mistake(what, mistakes);
        }
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify if !has_ca => {
            let what =
                "verifies client certificates and needs `client_ca_file`: the public authorities would let anybody in";
            section.mistake(what, mistakes);
        }
        _ => {}
    }
    auth.unwrap_or(ClientAuth::None)
}

fn versions(section: &Section<'_, '_>, mistakes: &mut Mistakes) -> Vec<&'static SupportedProtocolVersion> {
    let least = one(section, "min_version", &names::VERSIONS, mistakes).unwrap_or(&TLS12);
    let most = one(section, "max_version", &names::VERSIONS, mistakes).unwrap_or(&TLS13);
    let (least, most) = (least.version, most.version);
    if least == ProtocolVersion::TLSv1_3 && most == ProtocolVersion::TLSv1_2 {
        section.mistake("has a `min_version` that is newer than its `max_version`", mistakes);
    }
    let number = u16::from;
    let within = |version: ProtocolVersion| number(version) >= number(least) && number(version) <= number(most);
    [&TLS13, &TLS12].into_iter().filter(|one| within(one.version)).collect()
}

fn one<T: Copy>(section: &Section<'_, '_>, key: &str, known: &[Name<T>], mistakes: &mut Mistakes) -> Option<T> {
    let text = section.string(key, mistakes)?;
    named(key, text, section.node(key)?, known, mistakes)
}

fn list<T: Copy>(section: &Section<'_, '_>, key: &str, known: &[Name<T>], mistakes: &mut Mistakes) -> Vec<T> {
    let texts = section.strings(key, mistakes).unwrap_or_default();
    texts.into_iter().filter_map(|(text, node)| named(key, text, node, known, mistakes)).collect()
}

fn named<T: Copy>(
    key: &str,
    text: &str,
    node: &MarkedYaml<'_>,
    known: &[Name<T>],
    mistakes: &mut Mistakes,
) -> Option<T> {
    match known.iter().find(|(name, _)| *name == text) {
        Some((_, Known::Here(value))) => return Some(*value),
        Some((name, Known::Refused(why))) => mistakes.at(node, &format!("`{key}`: `{name}` {why}")),
        None => {
            let possible: Vec<&str> =
                known.iter().filter(|(_, it)| matches!(it, Known::Here(_))).map(|(name, _)| *name).collect();
            let advice = match nearest(text, possible.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write {}", names::one_of(&possible)),
            };
            mistakes.at(node, &format!("`{key}`: unknown `{text}`; {advice}"));
        }
    }
    None
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let read: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::configuration("it has no certificate that can be read")
            .hint("certificates in PEM are needed: `-----BEGIN CERTIFICATE-----`")),
    }
}
