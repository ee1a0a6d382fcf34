//! Reads what wakes a function: routes, queues, schedules.

use std::time::Duration;

use super::TemplateError;
use super::model::{QueueMapping, Route, Schedule, Template};
use super::properties::Properties;

/// The longest that an HTTP API waits for an integration, and its default.
const INTEGRATION_TIMEOUT_MS: u32 = 30_000;

pub(crate) fn read(function: &str, events: Properties, into: &mut Template) -> Result<(), TemplateError> {
    for (id, path, event) in events.into_entries() {
        let mut event = Properties::new(event, &path)?;
        let kind = event.required_text("Type")?;
        let properties = event.required_map("Properties")?;
        event.finish()?;
        match kind.as_str() {
            "HttpApi" => into.routes.push(route(function, properties)?),
            "SQS" => into.queue_mappings.extend(queue_mapping(function, properties)?),
            "ScheduleV2" => into.schedules.extend(schedule(function, &id, properties)?),
            _ => return Err(TemplateError::at(&path, &format!("the event type {kind} is not understood"))),
        }
    }
    Ok(())
}

fn route(function: &str, mut properties: Properties) -> Result<Route, TemplateError> {
    let api = properties.required_text("ApiId")?;
    if api != crate::ids::API_ID {
        return Err(TemplateError::at(&properties.path_of("ApiId"), "is not the template's HTTP API"));
    }
    let sent = (properties.text("Path")?, properties.text("Method")?);
    let (path, method) = match sent {
        (Some(path), Some(method)) => (path, method.to_ascii_uppercase()),
        // SAM's route of what no other takes.
        (None, None) => ("$default".to_owned(), "ANY".to_owned()),
        _ => {
            return Err(TemplateError::at(
                &properties.path_of("Path"),
                "stands without Method, or Method without it",
            ));
        }
    };
    check_path(&path).map_err(|why| TemplateError::at(&properties.path_of("Path"), why))?;
    let methods = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    let at = properties.path_of("Method");
    if !methods.contains(&method.as_str()) {
        return Err(TemplateError::at(&at, &format!("the method {method} is not understood")));
    }
    properties.choice("PayloadFormatVersion", &["2.0"])?;
    let timeout = properties.integer("TimeoutInMillis", 50..=INTEGRATION_TIMEOUT_MS)?;
    // Nothing is throttled by rate here.
    properties.ignore(&["RouteSettings"]);
    properties.finish()?;
    Ok(Route {
        method: (method != "ANY").then_some(method),
        path,
        function: function.to_owned(),
        timeout: Duration::from_millis(timeout.unwrap_or(INTEGRATION_TIMEOUT_MS).into()),
    })
}

/// A path is `$default`, or begins with `/` and has literal, `{name}` and, at its end, `{name+}` segments.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path == "$default" {
        return Ok(());
    }
    let Some(rest) = path.strip_prefix('/') else { return Err("does not begin with /") };
    let segments: Vec<&str> = rest.split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        let inner = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        match inner {
            None if segment.contains(['{', '}']) => {
                return Err("has a segment that mixes text and a parameter");
            }
            None => {}
            Some(name) => {
                let greedy = name.ends_with('+');
                if greedy && at + 1 < segments.len() {
                    return Err("has a greedy parameter that is not last");
                }
                let name = name.trim_end_matches('+');
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c)) {
                    return Err("has a parameter without a proper name");
                }
            }
        }
    }
    Ok(())
}

fn queue_mapping(function: &str, mut properties: Properties) -> Result<Option<QueueMapping>, TemplateError> {
    let queue = queue_name(&mut properties, "Queue")?;
    let batch_size = properties.integer("BatchSize", 1..=10_000)?.unwrap_or(10);
    let window = properties.integer("MaximumBatchingWindowInSeconds", 0..=300)?.unwrap_or(0);
    if batch_size > 10 && window == 0 {
        let path = properties.path_of("BatchSize");
        return Err(TemplateError::at(
            &path,
            "above 10 needs a MaximumBatchingWindowInSeconds of at least 1",
        ));
    }
    let path = properties.path_of("FunctionResponseTypes");
    let responses = properties.scalars("FunctionResponseTypes")?.unwrap_or_default();
    if responses.iter().any(|response| response != "ReportBatchItemFailures") {
        return Err(TemplateError::at(&path, "only ReportBatchItemFailures is understood"));
    }
    let mut maximum_concurrency = None;
    if let Some(mut scaling) = properties.map("ScalingConfig")? {
        maximum_concurrency = scaling.integer("MaximumConcurrency", 2..=1000)?;
        scaling.finish()?;
    }
    let enabled = properties.boolean("Enabled")?.unwrap_or(true);
    properties.finish()?;
    Ok(enabled.then(|| QueueMapping {
        queue,
        function: function.to_owned(),
        batch_size: size(batch_size),
        window: Duration::from_secs(window.into()),
        maximum_concurrency: maximum_concurrency.map(size),
        report_item_failures: !responses.is_empty(),
    }))
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn schedule(function: &str, id: &str, mut properties: Properties) -> Result<Option<Schedule>, TemplateError> {
    let at = properties.path_of("ScheduleExpression");
    let expression = properties.required_text("ScheduleExpression")?;
    let every = rate(&expression).map_err(|why| TemplateError::at(&at, &format!("{expression}: {why}")))?;
    let name = properties.text("Name")?.unwrap_or_else(|| format!("{function}{id}"));
    let input = properties.required_text("Input")?;
    let (mut retries, mut seconds) = (185, 86_400);
    if let Some(mut policy) = properties.map("RetryPolicy")? {
        retries = policy.integer("MaximumRetryAttempts", 0..=185)?.unwrap_or(retries);
        seconds = policy.integer("MaximumEventAgeInSeconds", 60..=86_400)?.unwrap_or(seconds);
        policy.finish()?;
    }
    let mut dead_letter = None;
    if let Some(mut config) = properties.map("DeadLetterConfig")? {
        config.choice("Type", &["SQS"])?;
        dead_letter = Some(queue_name(&mut config, "Arn")?);
        config.finish()?;
    }
    if let Some(mut window) = properties.map("FlexibleTimeWindow")? {
        window.choice("Mode", &["OFF"])?;
        window.finish()?;
    }
    properties.choice("ScheduleExpressionTimezone", &["UTC"])?;
    let state = properties.choice("State", &["ENABLED", "DISABLED"])?;
    properties.ignore(&["Description"]);
    properties.finish()?;
    Ok((state.as_deref() != Some("DISABLED")).then(|| Schedule {
        name,
        function: function.to_owned(),
        every,
        input,
        retries,
        max_age: Duration::from_secs(seconds.into()),
        dead_letter,
    }))
}

/// `rate(1 minute)`, `rate(15 minutes)`: the unit is singular exactly for 1.
fn rate(expression: &str) -> Result<Duration, &'static str> {
    let inner = expression
        .strip_prefix("rate(")
        .and_then(|inner| inner.strip_suffix(')'))
        .ok_or("only rate(…) is understood")?;
    let (count, unit) = inner.split_once(' ').ok_or("needs a number and a unit")?;
    let count: u32 = count.parse().map_err(|_| "the number is not a whole one")?;
    let seconds = match (count, unit) {
        (0, _) => return Err("the number must be at least 1"),
        (1, "minute") | (2.., "minutes") => 60,
        (1, "hour") | (2.., "hours") => 3600,
        (1, "day") | (2.., "days") => 86_400,
        _ => return Err("the unit is minute, hour or day for 1, else minutes, hours or days"),
    };
    Ok(Duration::from_secs(u64::from(count) * seconds))
}

/// The name of the queue whose ARN a property holds.
pub(crate) fn queue_name(properties: &mut Properties, property: &str) -> Result<String, TemplateError> {
    let path = properties.path_of(property);
    let arn = properties.required_text(property)?;
    match arn.rsplit_once(':') {
        Some((prefix, name)) if prefix.starts_with("arn:aws:sqs:") => Ok(name.to_owned()),
        _ => Err(TemplateError::at(&path, "is not the ARN of a queue")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_as_the_scheduler_writes_it() {
        assert_eq!(rate("rate(1 minute)"), Ok(Duration::from_secs(60)));
        assert_eq!(rate("rate(15 minutes)"), Ok(Duration::from_secs(900)));
        assert_eq!(rate("rate(2 days)"), Ok(Duration::from_secs(172_800)));
        for refused in [
            "rate(1 minutes)",
            "rate(15 minute)",
            "rate(0 minutes)",
            "every(15 minutes)",
            "cron(0 * * * ? *)",
        ] {
            assert!(rate(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_path_is_checked() {
        for good in ["$default", "/", "/a/{b}/c", "/{proxy+}", "/a/{proxy+}"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["a", "/a{b}", "/{proxy+}/a", "/{}", "/{a b}"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
