//! The whole bundle, through its real functions, queue and tables.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails, fails the test")]

mod acts;
mod attempts;
mod aws_clients;
mod bad_input;
mod blocking;
mod building;
mod bulk;
mod collecting;
mod collecting_day;
mod collecting_scale;
mod collecting_tokens;
mod concurrency;
mod console;
mod demonstration;
mod documentation;
mod expiry;
mod held;
mod hostile;
mod idempotency;
mod isolation;
mod items;
mod killed;
mod leaks;
mod networks;
mod page_tokens;
mod pages;
mod permissions;
mod price;
mod push_bursts;
mod pushes;
mod release;
mod replay;
mod restart;
mod retries;
mod revisions;
mod rotation;
mod samples;
mod slow_lane;
mod stand_ins;
mod standard_webhooks;
mod storage_limits;
mod throttled;
mod waiting;
mod webhooks;
