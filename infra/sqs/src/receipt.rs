//! Names that the service makes up: message ids and receipt handles, both functions of one key.
//!
//! The key is drawn once, when a store is made, and kept in it. So a message's id need not be stored, and a receipt
//! handle is recognised as one that was given out, without a list of them: it carries the queue, the message and
//! which receive it was, under a keyed digest. A sequence number is never used twice in a store, so neither is an id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::error::SqsError;

const TAG_BYTES: usize = 16;
const HANDLE_BYTES: usize = 8 + 8 + 4 + TAG_BYTES;

/// What a receipt handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) queue: u64,
    pub(crate) seq: u64,
    /// The message's receive count at that receive.
    pub(crate) receive: u32,
}

/// Makes names.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    key: [u8; 32],
}

impl Names {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn digest(&self, purpose: &[u8], value: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.key).chain_update(purpose).chain_update(value).finalize().into()
    }

    /// The id of the message with that sequence number: a UUID (version 8, RFC 9562: made up by the application).
    pub(crate) fn message_id(&self, seq: u64) -> String {
        let digest = self.digest(b"message", &seq.to_be_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | (8 << 76) | (0b10 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// The handle to give out.
    pub(crate) fn handle(&self, receipt: Receipt) -> String {
        let mut bytes = Vec::with_capacity(HANDLE_BYTES);
        bytes.extend(receipt.queue.to_be_bytes());
        bytes.extend(receipt.seq.to_be_bytes());
        bytes.extend(receipt.receive.to_be_bytes());
        let tag = self.digest(b"receipt", &bytes);
        bytes.extend(&tag[..TAG_BYTES]);
        STANDARD.encode(bytes)
    }

    /// What a handle stands for.
    pub(crate) fn receipt(&self, handle: &str) -> Result<Receipt, SqsError> {
        self.read(handle).ok_or_else(|| SqsError::ReceiptHandleIsInvalid(handle.to_owned()))
    }

    fn read(&self, handle: &str) -> Option<Receipt> {
        let bytes: [u8; HANDLE_BYTES] = STANDARD.decode(handle).ok()?.try_into().ok()?;
        let (fields, tag) = bytes.split_at_checked(HANDLE_BYTES - TAG_BYTES)?;
        if self.digest(b"receipt", fields)[..TAG_BYTES] != *tag {
            return None;
        }
        let (queue, rest) = fields.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        Some(Receipt {
            queue: u64::from_be_bytes(*queue),
            seq: u64::from_be_bytes(*seq),
            receive: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_back_and_a_changed_one_does_not() {
        let names = Names::new([7; 32]);
        let receipt = Receipt { queue: 1, seq: 2, receive: 3 };
        let handle = names.handle(receipt);
        assert_eq!(names.receipt(&handle), Ok(receipt));
        assert!(Names::new([8; 32]).receipt(&handle).is_err());
        let (first, rest) = handle.split_at(1);
        assert_eq!(first, "A");
        for bad in ["", "x", "AAAA", &format!("B{rest}")] {
            assert_eq!(names.receipt(bad), Err(SqsError::ReceiptHandleIsInvalid(bad.to_owned())));
        }
    }

    #[test]
    fn message_ids_are_uuids_and_distinct() {
        let names = Names::new([7; 32]);
        let id = names.message_id(1);
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'8');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(id, names.message_id(2));
    }
}
