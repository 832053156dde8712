//! Writes blobs of our own making, as the repository format says: packs and the index that makes them known.
//!
//! Why not `rustic_core`: its archiver stores the size that a file had *before* it was read, which for a stream is 0, and
//! offers no other way to write a directory; `restic restore` then makes empty files without a word. So the directory of a
//! published backup is written here. The format: <https://restic.readthedocs.io/en/stable/100_references.html>.

use std::num::NonZeroU32;

use aes256ctr_poly1305aes::aead::AeadInPlace;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce, Tag};
use chrono::{DateTime, SecondsFormat, Utc};
use rand::Rng;
use rustic_core::repofile::{BlobType, MasterKey};
use rustic_core::{BytesList, FileType, Id, WriteBackend};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::failure::OrRefused;
use crate::error::{Error, OrFailed, Result};

/// A fast level: these are small.
const ZSTD_LEVEL: i32 = 3;

/// Encrypts for one repository, and decrypts.
pub struct Cipher {
    aead: Aes256CtrPoly1305Aes,
    compress: bool,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// Encrypt with the repository's master key; `compress` where its version knows compression (2 and later).
    pub fn new(key: &MasterKey, compress: bool) -> Result<Self> {
        let bytes = [key.encrypt.as_slice(), &key.mac.k, &key.mac.r].concat();
        if bytes.len() != 64 {
            return Err(Error::failed("cannot use the master key: it is not 64 bytes long"));
        }
        Ok(Self { aead: Aes256CtrPoly1305Aes::new(Key::from_slice(&bytes)), compress })
    }

    /// Nonce, encrypted content, authentication tag.
    pub fn encrypt(&self, content: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = Nonce::default();
        rand::rng().fill_bytes(&mut nonce);
        let mut out = Vec::with_capacity(content.len() + 32);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(content);
        let tag = self
            .aead
            .encrypt_in_place_detached(&nonce, &[], &mut out[16..])
            .map_err(|_| Error::failed("cannot encrypt a piece"))?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Write `blobs` as packs of one kind; returns their entries for the index. Nothing knows them before that is written.
    pub fn write_pack(&self, backend: &dyn WriteBackend, kind: BlobType, blobs: &[Vec<u8>]) -> Result<Value> {
        let (mut pack, mut header, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        let (code, name) = match kind {
            BlobType::Data => (0_u8, "data"),
            BlobType::Tree => (1, "tree"),
        };
        for blob in blobs {
            let id = hash(blob);
            let (encrypted, plain_length) = self.encrypt_blob(blob)?;
            let (offset, length) = (narrow(pack.len())?, narrow(encrypted.len())?);
            let mut entry = json!({ "id": id, "type": name, "offset": offset, "length": length });
            header.push(code + if plain_length.is_some() { 2 } else { 0 });
            header.extend_from_slice(&length.to_le_bytes());
            if let Some(plain) = plain_length {
                header.extend_from_slice(&plain.get().to_le_bytes());
                entry["uncompressed_length"] = plain.get().into();
            }
            header.extend_from_slice(&Sha256::digest(blob));
            entries.push(entry);
            pack.extend_from_slice(&encrypted);
        }
        let header = self.encrypt(&header)?;
        pack.extend_from_slice(&header);
        pack.extend_from_slice(&narrow(header.len())?.to_le_bytes());
        let id = write(backend, FileType::Pack, pack)?;
        Ok(json!({ "id": id, "blobs": entries }))
    }

    /// Write the index file that makes `packs` known, which were made at `made`: what is young is not taken for something that
    /// nobody needs.
    pub fn write_index(&self, backend: &dyn WriteBackend, packs: &[Value], made: DateTime<Utc>) -> Result<()> {
        let time = made.to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut packs = packs.to_vec();
        for pack in &mut packs {
            pack["time"] = time.as_str().into();
        }
        let plain = serde_json::to_vec(&json!({ "packs": packs })).or_failed("cannot write the index")?;
        write(backend, FileType::Index, self.encrypt(&plain)?)?;
        Ok(())
    }

    /// What [`Self::encrypt`] took; none where it is something else.
    pub fn decrypt(&self, encrypted: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = encrypted.split_at_checked(16)?;
        let (content, tag) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
        let mut out = content.to_vec();
        let (nonce, tag) = (Nonce::from_slice(nonce), Tag::from_slice(tag));
        self.aead.decrypt_in_place_detached(nonce, &[], &mut out, tag).ok().map(|()| out)
    }

    fn encrypt_blob(&self, blob: &[u8]) -> Result<(Vec<u8>, Option<NonZeroU32>)> {
        match NonZeroU32::new(narrow(blob.len())?) {
            Some(plain) if self.compress => {
                let small = zstd::encode_all(blob, ZSTD_LEVEL).or_failed("cannot compress a piece")?;
                Ok((self.encrypt(&small)?, Some(plain)))
            }
            _ => Ok((self.encrypt(blob)?, None)),
        }
    }
}

/// The id of a blob or file: the SHA-256 of its content.
pub fn hash(content: &[u8]) -> Id {
    Id::new(Sha256::digest(content).into())
}

fn write(backend: &dyn WriteBackend, kind: FileType, content: Vec<u8>) -> Result<Id> {
    let id = hash(&content);
    backend
        .write_bytes(kind, &id, false, BytesList::from(content))
        .or_refused(format!("cannot write {}", kind.dirname()))?;
    Ok(id)
}

fn narrow(length: usize) -> Result<u32> {
    u32::try_from(length).or_failed("cannot write a pack: a length is over 4 GiB")
}
