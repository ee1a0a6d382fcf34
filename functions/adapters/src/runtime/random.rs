//! The one place where functions draw randomness.

use std::time::Duration;

use crate::error::AdapterError;

/// Random bytes from the operating system.
///
/// # Errors
/// Where the operating system has none, which is retryable.
pub fn bytes<const N: usize>() -> Result<[u8; N], AdapterError> {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| AdapterError::unavailable("drawing randomness", error))?;
    Ok(bytes)
}

/// 128 random bits, for an identifier.
///
/// # Errors
/// As [`bytes()`].
pub fn bits128() -> Result<u128, AdapterError> {
    bytes().map(u128::from_le_bytes)
}

/// 64 random bits, for jitter.
///
/// # Errors
/// As [`bytes()`].
pub fn bits64() -> Result<u64, AdapterError> {
    bytes().map(u64::from_le_bytes)
}

/// A random pause between this length and twice it, so that waiting callers do not all return together.
///
/// # Errors
/// As [`bytes()`].
pub fn jittered(pause: Duration) -> Result<Duration, AdapterError> {
    let more = bits64()? % u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(pause.saturating_add(Duration::from_millis(more)))
}
