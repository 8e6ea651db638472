//! Packs what is kept in ConfigMaps, and unpacks it within a budget; no I/O.

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use std::io::{Read, Write};

/// Packs bytes. Memory takes every byte, so it can't fail but for a fault of the library.
pub fn pack(bytes: &[u8], level: Compression) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Unpacks at most so many bytes; the rest is cut off. `None` for what was not packed so.
pub fn unpack(packed: &[u8], most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
