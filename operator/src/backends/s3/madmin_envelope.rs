//! The envelope in which MinIO's admin API carries secrets: madmin's `EncryptData` and `DecryptData`.
//!
//! Layout: 32 bytes of salt, one byte naming the algorithms, 8 bytes of nonce, then the plaintext in fragments of
//! 16 KiB, each sealed with AES-256-GCM. The key is Argon2id(secret key of the caller, salt); the nonce of a
//! fragment is the 8 bytes followed by a little-endian counter from 1; the associated data is one byte (0x80 on the
//! last fragment, else 0) followed by the tag of sealing nothing under counter 0.
//! Sources: github.com/minio/madmin-go/v3 `encrypt.go`, github.com/secure-io/sio-go `sio.go` and `writer.go`.
//!
//! Deriving a key takes 64 MiB and some 50 ms of one core: call these from a thread that may block.

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use argon2::{Algorithm, Argon2, Params, Version};

const SALT_LEN: usize = 32;
const NONCE_LEN: usize = 8;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = SALT_LEN + 1 + NONCE_LEN;
/// Plaintext bytes a fragment holds (sio-go `BufSize`).
const FRAGMENT_LEN: usize = 1 << 14;
/// The byte that names Argon2id with AES-256-GCM (madmin `argon2idAESGCM`).
const ARGON2ID_AES_GCM: u8 = 0;
/// Marks the last fragment.
const LAST: u8 = 0x80;
/// Memory of the key derivation in KiB, its passes and its lanes (madmin `encrypt.go`: `argon2.IDKey`).
const ARGON2_MEMORY_KIB: u32 = 64 * 1024;
const ARGON2_PASSES: u32 = 1;
const ARGON2_LANES: u32 = 4;

/// Why an envelope could not be made or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The key derivation refused its parameters.
    #[error("the key of the envelope could not be derived")]
    Derivation,
    /// Shorter than a header and one tag.
    #[error("the envelope is cut off")]
    CutOff,
    /// Sealed with other algorithms (a FIPS build or a machine without AES instructions).
    #[error("the envelope uses algorithms {0}, only 0 (Argon2id, AES-256-GCM) is known")]
    Algorithm(u8),
    /// Too many fragments, or a seal that does not fit the key.
    #[error("the envelope could not be sealed or its seal is broken")]
    Seal,
}

/// Seals `plaintext` for the server that knows `secret`, under fresh random salt and nonce.
pub fn encrypt(secret: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    encrypt_with(secret, plaintext, &rand::random(), rand::random())
}

fn encrypt_with(
    secret: &[u8],
    plaintext: &[u8],
    salt: &[u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
) -> Result<Vec<u8>, EnvelopeError> {
    let stream = Stream::new(secret, salt, nonce)?;
    let mut envelope = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
    envelope.extend_from_slice(salt);
    envelope.push(ARGON2ID_AES_GCM);
    envelope.extend_from_slice(&nonce);
    for (index, fragment, last) in fragments(plaintext, FRAGMENT_LEN) {
        envelope.extend(stream.seal(index, fragment, last)?);
    }
    Ok(envelope)
}

/// Opens an envelope that was sealed for `secret`.
pub fn decrypt(secret: &[u8], envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let (header, sealed) = envelope.split_at_checked(HEADER_LEN).ok_or(EnvelopeError::CutOff)?;
    let (salt, rest) = header.split_at(SALT_LEN);
    let (algorithm, nonce) = rest.split_first().ok_or(EnvelopeError::CutOff)?;
    if *algorithm != ARGON2ID_AES_GCM {
        return Err(EnvelopeError::Algorithm(*algorithm));
    }
    let stream = Stream::new(secret, salt, nonce.try_into().map_err(|_| EnvelopeError::CutOff)?)?;
    let mut plaintext = Vec::with_capacity(sealed.len());
    for (index, fragment, last) in fragments(sealed, FRAGMENT_LEN + TAG_LEN) {
        plaintext.extend(stream.open(index, fragment, last)?);
    }
    Ok(plaintext)
}

/// Cuts a text into numbered fragments; an empty text is one empty fragment, which is the last.
fn fragments(text: &[u8], size: usize) -> impl Iterator<Item = (u32, &[u8], bool)> {
    let count = text.len().div_ceil(size).max(1);
    let chunks = text
        .chunks(size)
        .chain(std::iter::repeat_n(&[][..], usize::from(text.is_empty())));
    chunks
        .zip(1_u32..)
        .enumerate()
        .map(move |(position, (chunk, index))| (index, chunk, position + 1 == count))
}

/// A key and what seals its fragments have in common.
struct Stream {
    cipher: Aes256Gcm,
    nonce: [u8; NONCE_LEN],
    associated: [u8; TAG_LEN],
}

impl Stream {
    fn new(secret: &[u8], salt: &[u8], nonce: [u8; NONCE_LEN]) -> Result<Self, EnvelopeError> {
        let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, Some(32))
            .map_err(|_| EnvelopeError::Derivation)?;
        let mut key = [0_u8; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(secret, salt, &mut key)
            .map_err(|_| EnvelopeError::Derivation)?;
        let cipher = Aes256Gcm::new(&key.into());
        let tag = cipher
            .encrypt(&nonce_of(nonce, 0), &[][..])
            .map_err(|_| EnvelopeError::Seal)?;
        let associated = tag.try_into().map_err(|_| EnvelopeError::Seal)?;
        Ok(Self {
            cipher,
            nonce,
            associated,
        })
    }

    fn associated(&self, last: bool) -> Vec<u8> {
        let flag = if last { LAST } else { 0 };
        [&[flag][..], &self.associated].concat()
    }

    fn seal(&self, index: u32, fragment: &[u8], last: bool) -> Result<Vec<u8>, EnvelopeError> {
        let aad = self.associated(last);
        self.cipher
            .encrypt(
                &nonce_of(self.nonce, index),
                Payload {
                    msg: fragment,
                    aad: &aad,
                },
            )
            .map_err(|_| EnvelopeError::Seal)
    }

    fn open(&self, index: u32, fragment: &[u8], last: bool) -> Result<Vec<u8>, EnvelopeError> {
        let aad = self.associated(last);
        self.cipher
            .decrypt(
                &nonce_of(self.nonce, index),
                Payload {
                    msg: fragment,
                    aad: &aad,
                },
            )
            .map_err(|_| EnvelopeError::Seal)
    }
}

fn nonce_of(prefix: [u8; NONCE_LEN], counter: u32) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0_u8; 12];
    nonce[..NONCE_LEN].copy_from_slice(&prefix);
    nonce[NONCE_LEN..].copy_from_slice(&counter.to_le_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened() {
        for length in [0, 1, FRAGMENT_LEN - 1, FRAGMENT_LEN, FRAGMENT_LEN + 1, 3 * FRAGMENT_LEN] {
            let plaintext: Vec<u8> = (0..=255_u8).cycle().take(length).collect();
            let envelope = encrypt(b"a secret key", &plaintext).unwrap();
            assert_eq!(
                decrypt(b"a secret key", &envelope).unwrap(),
                plaintext,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let envelope = encrypt(b"a secret key", b"{}").unwrap();
        assert_eq!(decrypt(b"another key", &envelope), Err(EnvelopeError::Seal));
    }

    #[test]
    fn a_cut_or_changed_envelope_is_refused() {
        let envelope = encrypt(b"k", &vec![7; FRAGMENT_LEN + 5]).unwrap();
        assert_eq!(decrypt(b"k", &envelope[..HEADER_LEN - 1]), Err(EnvelopeError::CutOff));
        let first_fragment_only = &envelope[..HEADER_LEN + FRAGMENT_LEN + TAG_LEN];
        assert_eq!(decrypt(b"k", first_fragment_only), Err(EnvelopeError::Seal));
        let mut other = envelope.clone();
        other[SALT_LEN] = 2;
        assert_eq!(decrypt(b"k", &other), Err(EnvelopeError::Algorithm(2)));
    }
}
