//! What a deployment may set of how networks are asked: the template's parameter `NetworkSettings`, JSON.
//!
//! ```json
//! {"facebook": {"version": "v27.0", "page_size": 100},
//!  "x": {"messages": false, "limits": {"app/mentions": 450}}}
//! ```
//!
//! What is not named keeps its default. A name that is not known is an error: a setting that was misspelled and has no
//! effect is worse than a function that does not start.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::budget::Limit;
use crate::network::Network;

/// How the networks are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// How many calls are made for a page in one tick at most.
    pub calls: u32,
    apis: BTreeMap<Network, ApiSettings>,
    limits: BTreeMap<Network, Vec<Limit>>,
}

/// How a network's API is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// The API's version, as paths or headers have it.
    pub version: Cow<'static, str>,
    /// How many things a response is asked to hold.
    pub page_size: u32,
    /// Whether direct messages are asked for, where that takes a permission of its own.
    pub messages: bool,
}

/// The most calls for a page in one tick, unless it is set.
const CALLS: u32 = 60;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// The JSON, or a name in it.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    /// A limit that the network does not have.
    #[error("{network} has no limit {name:?}; it has {known}")]
    Limit {
        /// The network.
        network: Network,
        /// What was given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A number out of its bounds.
    #[error("{name} is not between {least} and {most}")]
    Bounds {
        /// Of which network, and which setting.
        name: String,
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
}

#[derive(Debug, Deserialize)]
struct Given {
    calls: Option<u32>,
    #[serde(flatten)]
    networks: BTreeMap<Network, OfNetwork>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfNetwork {
    version: Option<String>,
    page_size: Option<u32>,
    messages: Option<bool>,
    limits: BTreeMap<String, u32>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self { calls: CALLS, apis: BTreeMap::new(), limits: BTreeMap::new() }
    }
}

impl NetworkSettings {
    /// How a network's API is called, as this deployment has it.
    #[must_use]
    pub fn api(&self, network: Network) -> &ApiSettings {
        self.apis.get(&network).unwrap_or(&network.spec().api)
    }

    /// A network's limits on calls, as this deployment has them.
    #[must_use]
    pub fn limits(&self, network: Network) -> &[Limit] {
        self.limits.get(&network).map_or(network.spec().limits, Vec::as_slice)
    }

    fn set(&mut self, network: Network, given: OfNetwork) -> Result<(), InvalidSettings> {
        let mut api = self.api(network).clone();
        if let Some(size) = given.page_size {
            let bounds = &network.spec().page_sizes;
            api.page_size = within(network, "page_size", size, *bounds.start(), *bounds.end())?;
        }
        api.messages = given.messages.unwrap_or(api.messages);
        if let Some(version) = given.version {
            api.version = version.into();
        }
        self.apis.insert(network, api);
        let mut limits = self.limits(network).to_vec();
        for (name, units) in given.limits {
            let Some(limit) = limits.iter_mut().find(|limit| limit.name() == name) else {
                let known: Vec<String> = limits.iter().map(Limit::name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(InvalidSettings::Limit { network, name, known });
            };
            limit.units = within(network, &name, units, 1, u32::MAX)?;
        }
        self.limits.insert(network, limits);
        Ok(())
    }
}

fn within(network: Network, name: &str, given: u32, least: u32, most: u32) -> Result<u32, InvalidSettings> {
    if (least..=most).contains(&given) {
        return Ok(given);
    }
    Err(InvalidSettings::Bounds { name: format!("{network}.{name}"), least, most })
}

impl FromStr for NetworkSettings {
    type Err = InvalidSettings;

    fn from_str(text: &str) -> Result<Self, InvalidSettings> {
        // A map first: a list would be taken for all of the fields in their order.
        let given: Map<String, Value> = serde_json::from_str(text)?;
        let given: Given = serde_json::from_value(Value::Object(given))?;
        let mut settings = Self::default();
        for (network, given) in given.networks {
            settings.set(network, given)?;
        }
        if let Some(calls) = given.calls {
            if !(1..=1000).contains(&calls) {
                return Err(InvalidSettings::Bounds { name: "calls".to_owned(), least: 1, most: 1000 });
            }
            settings.calls = calls;
        }
        Ok(settings)
    }
}
