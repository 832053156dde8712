//! Signatures of reports: Ed25519 over the bytes of the file, 64 bytes in a file beside it. Keys are PEM files as OpenSSL
//! makes them, so that whoever receives a report can check it with OpenSSL and without us (docs/report.md).

use std::path::Path;

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use secrecy::ExposeSecret;
use x509_cert::der::Decode;
use x509_cert::spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::error::{Error, Result};
use crate::strict::read_private_file;

/// The algorithm of the key, in a public key file.
const ED25519_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const MAKE_PRIVATE: &str = "make one with `openssl genpkey -algorithm ed25519 -out report.key && chmod 600 report.key`";
const MAKE_PUBLIC: &str = "make it with `openssl pkey -in report.key -pubout -out report.pub`";

/// A private key that signs reports.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Read it. Errors: the file can be read by others, or is no private Ed25519 key.
    pub fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let no_key =
            |why: &str| Error::configuration(format!("cannot read private key `{shown}`: {why}")).hint(MAKE_PRIVATE);
        let pem = read_private_file(file).map_err(|error| error.context(format!("read private key `{shown}`")))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.expose_secret().as_bytes())
            .map_err(|_| no_key("it is not a PEM file with a private key without password"))?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
            .map(Self)
            .map_err(|_| no_key("it is not an Ed25519 key"))
    }

    /// Sign the content of a report.
    pub fn sign(&self, report: &[u8]) -> Vec<u8> {
        self.0.sign(report).as_ref().to_vec()
    }
}

/// A public key that checks signatures.
pub struct VerifyingKey(Vec<u8>);

impl VerifyingKey {
    /// Read it. Errors: no public Ed25519 key.
    pub fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let no_key =
            |why: &str| Error::configuration(format!("cannot read public key `{shown}`: {why}")).hint(MAKE_PUBLIC);
        let pem = std::fs::read(file).map_err(|e| {
            Error::configuration(format!("cannot read public key `{shown}`")).because(e).hint(MAKE_PUBLIC)
        })?;
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&pem)
            .map_err(|_| no_key("it is not a PEM file with a public key"))?;
        let key = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| no_key("its public key cannot be read"))?;
        match key.subject_public_key.as_bytes() {
            Some(bytes) if key.algorithm.oid == ED25519_OID => Ok(Self(bytes.to_vec())),
            _ => Err(no_key("it is not an Ed25519 key")),
        }
    }

    /// Whether `signature` was made over exactly this content by the private key that belongs to this one.
    pub fn has_signed(&self, report: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(report, signature).is_ok()
    }
}
