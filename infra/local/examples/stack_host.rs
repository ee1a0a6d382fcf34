//! A process with a stack in it, for the test that kills one: `stack_host <template> <folder of functions>`. It prints
//! its addresses as JSON and stays.

use std::collections::BTreeMap;
use std::io::Write;

use carteiro_local::{Data, LogSink, Ports, Stack, StackOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(template), Some(functions)) = (arguments.next(), arguments.next()) else {
        return Err("usage: stack_host <template> <folder of functions>".into());
    };
    let stack = Stack::start(StackOptions {
        template: template.into(),
        parameters: BTreeMap::new(),
        ports: Ports::Free,
        data: Data::Memory,
        functions: functions.into(),
        clock: carteiro_clock::testing::clock(),
        function_logs: LogSink::Stderr,
        schedules: false,
    })
    .await?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(stack.addresses())?)?;
    std::future::pending::<()>().await;
    Ok(())
}
