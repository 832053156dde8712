//! Names of the file format and what they are in rustls.

use tokio_rustls::rustls::crypto::SupportedKxGroup;
use tokio_rustls::rustls::crypto::ring::{cipher_suite as suite, kx_group};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// Headers that may be set, and the values that each may have (none: any).
pub(super) const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// What a name of the format is here.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known<T> {
    /// It is this.
    Here(T),
    /// It cannot be had, for this reason.
    Refused(&'static str),
}

/// A name that may be written, and what it is.
pub(super) type Name<T> = (&'static str, Known<T>);

/// How a client is asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

pub(super) const CLIENT_AUTH: [Name<ClientAuth>; 6] = [
    ("NoClientCert", Known::Here(ClientAuth::None)),
    ("RequestClientCert", Known::Here(ClientAuth::Request)),
    ("RequireClientCert", Known::Here(ClientAuth::RequireAny)),
    ("RequireAnyClientCert", Known::Here(ClientAuth::RequireAny)),
    ("VerifyClientCertIfGiven", Known::Here(ClientAuth::VerifyIfGiven)),
    ("RequireAndVerifyClientCert", Known::Here(ClientAuth::RequireAndVerify)),
];

const TOO_OLD: &str = "is older than TLS12, the oldest version that is safe";

pub(super) static VERSIONS: [Name<&SupportedProtocolVersion>; 4] = [
    ("TLS10", Known::Refused(TOO_OLD)),
    ("TLS11", Known::Refused(TOO_OLD)),
    ("TLS12", Known::Here(&TLS12)),
    ("TLS13", Known::Here(&TLS13)),
];

const NO_CBC: &str = "is not in rustls: CBC is not safe in TLS";

pub(super) static CIPHER_SUITES: [Name<SupportedCipherSuite>; 13] = [
    ("TLS_AES_128_GCM_SHA256", Known::Here(suite::TLS13_AES_128_GCM_SHA256)),
    ("TLS_AES_256_GCM_SHA384", Known::Here(suite::TLS13_AES_256_GCM_SHA384)),
    ("TLS_CHACHA20_POLY1305_SHA256", Known::Here(suite::TLS13_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Known::Here(suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Known::Here(suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Known::Here(suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Known::Here(suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Known::Here(suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Known::Here(suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Known::Refused(NO_CBC)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Known::Refused(NO_CBC)),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Known::Refused(NO_CBC)),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Known::Refused(NO_CBC)),
];

pub(super) static CURVES: [Name<&dyn SupportedKxGroup>; 4] = [
    ("CurveP256", Known::Here(kx_group::SECP256R1)),
    ("CurveP384", Known::Here(kx_group::SECP384R1)),
    ("CurveP521", Known::Refused("is not in rustls with ring; write CurveP384")),
    ("X25519", Known::Here(kx_group::X25519)),
];

/// "`a` or `b`", "one of `a`, `b`, `c`".
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    if quoted.len() > 2 { format!("one of {}", quoted.join(", ")) } else { quoted.join(" or ") }
}
