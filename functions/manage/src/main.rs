//! The program of `ManageFunction`. The library is apart from it so that what describes the API for `openapi.json` is
//! no part of the program.

// A release build computes the layout of the future of all routes from here, some 130 types deep.
#![recursion_limit = "256"]

use carteiro_adapters::runtime::function::Fatal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    manage::serve().await
}
