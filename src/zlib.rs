//! Packs what is kept in ConfigMaps, and unpacks it within a budget; no I/O.

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{BufWriter, Read, Write};

/// Packs bytes. Memory takes every byte, so it can't fail but for a fault of the library.
pub fn pack(bytes: &[u8], level: Compression) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Packs something as JSON, and says the SHA-256 of that JSON, which is never whole in memory.
pub fn pack_json(value: &impl Serialize, level: Compression) -> std::io::Result<(String, Vec<u8>)> {
    let hashed = Hashed { hash: Sha256::new(), encoder: ZlibEncoder::new(Vec::new(), level) };
    let mut writer = BufWriter::new(hashed);
    serde_json::to_writer(&mut writer, value)?;
    let Hashed { hash, encoder } = writer.into_inner().map_err(|error| error.into_error())?;
    Ok((crate::jobs::hex(&hash.finalize()), encoder.finish()?))
}

/// Bytes on their way into a packed text.
struct Hashed {
    hash: Sha256,
    encoder: ZlibEncoder<Vec<u8>>,
}

impl Write for Hashed {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        let written = self.encoder.write(piece)?;
        self.hash.update(&piece[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.encoder.flush()
    }
}

/// Unpacks at most so many bytes; the rest is cut off. `None` for what was not packed so.
pub fn unpack(packed: &[u8], most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_packed_and_known_by_its_hash_as_if_it_were_whole() {
        let value = serde_json::json!({ "a": vec!["x".repeat(100); 1000] });
        let (sha256, packed) = pack_json(&value, Compression::fast()).unwrap();
        let json = serde_json::to_vec(&value).unwrap();
        assert_eq!(unpack(&packed, 1 << 20).unwrap(), json);
        assert_eq!(sha256, crate::jobs::hex(&Sha256::digest(&json)));
    }
}
