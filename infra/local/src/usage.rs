//! What AWS's own metrics would count of the functions and the HTTP API, since the stack's start.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;

use crate::lambda::{Invocation, InvokeError};

/// The counts of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionUsage {
    /// `Invocations`.
    pub invocations: u64,
    /// `Errors`: invocations that the function failed, or in which it crashed, timed out or could not start.
    pub errors: u64,
    /// `Throttles`.
    pub throttles: u64,
}

/// The counts of the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackUsage {
    /// By function.
    pub functions: BTreeMap<String, FunctionUsage>,
    /// The HTTP API's answers of 500 and above.
    pub api_server_errors: u64,
}

/// Where they are counted.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<StackUsage>);

impl Usage {
    pub(crate) fn count_invocation(&self, function: &str, ended: &Result<Invocation, InvokeError>) {
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = usage.functions.entry(function.to_owned()).or_default();
        match ended {
            Ok(invocation) => {
                usage.invocations += 1;
                usage.errors += u64::from(invocation.function_error);
            }
            Err(InvokeError::Throttled) => usage.throttles += 1,
            Err(InvokeError::CannotStart(_)) => {
                usage.invocations += 1;
                usage.errors += 1;
            }
            // No invocation came about.
            Err(_) => {}
        }
    }

    pub(crate) fn count_answer(&self, status: StatusCode) {
        let errors = u64::from(status.is_server_error());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).api_server_errors += errors;
    }

    pub(crate) fn so_far(&self) -> StackUsage {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
