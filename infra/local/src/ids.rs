//! The stack's identifiers: of its HTTP API, and of requests, traces and executions, which must not repeat.

/// What `!Ref` on the HTTP API yields.
pub(crate) const API_ID: &str = "local";

/// The address that AWS would give the API, by its id and the region of this stack.
pub(crate) const OWN_ADDRESS: &str = "https://local.execute-api.us-east-1.amazonaws.com";

/// Random bytes. Without a source of randomness they are zero, and two requests may then share an id: on one machine
/// an id only tells log lines apart.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the local stack draws randomness"
    )]
    let drawn = getrandom::fill(&mut bytes);
    if drawn.is_err() {
        tracing::warn!("no randomness for ids");
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A version 4 UUID.
pub(crate) fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A tracing header of X-Ray that samples nothing.
pub(crate) fn trace_id(now_ms: u64) -> String {
    format!("Root=1-{:08x}-{};Parent={};Sampled=0", now_ms / 1000, hex(&random::<12>()), hex(&random::<8>()))
}

/// 16 random hexadecimal digits.
pub(crate) fn short() -> String {
    hex(&random::<8>())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_is_a_version_4_uuid() {
        let id = super::uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert_ne!(id, super::uuid());
    }
}
