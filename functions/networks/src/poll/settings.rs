//! What a deployment may set of how networks are asked: the template's parameter `NetworkSettings`, JSON.
//!
//! ```json
//! {"facebook": {"version": "v26.0", "page_size": 100},
//!  "x": {"messages": false, "limits": {"app/mentions": 450}},
//!  "youtube": {"limits": {"app": 1000000}}}
//! ```
//!
//! What is not named keeps its default. A name that is not known is an error: a setting that was misspelled and has no
//! effect is worse than a function that does not start.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::budget::{self, Limit};
use crate::network::Network;
use crate::{
    googleplay::collect as googleplay, linkedin::collect as linkedin, meta::collect as meta, x::collect as x,
    youtube::collect as youtube,
};

/// How the networks are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Facebook.
    pub facebook: meta::Settings,
    /// Instagram.
    pub instagram: meta::Settings,
    /// X.
    pub x: x::Settings,
    /// YouTube.
    pub youtube: youtube::Settings,
    /// Google Play.
    pub googleplay: googleplay::Settings,
    /// LinkedIn.
    pub linkedin: linkedin::Settings,
    /// How many calls are made for a page in one tick at most.
    pub calls: u32,
    limits: BTreeMap<Network, Vec<Limit>>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    facebook: OfNetwork,
    instagram: OfNetwork,
    x: OfNetwork,
    youtube: OfNetwork,
    googleplay: OfNetwork,
    linkedin: OfNetwork,
    calls: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfNetwork {
    version: Option<String>,
    page_size: Option<u32>,
    /// X alone.
    messages: Option<bool>,
    limits: BTreeMap<String, u32>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            facebook: meta::Settings::default(),
            instagram: meta::Settings::default(),
            x: x::Settings::default(),
            youtube: youtube::Settings::default(),
            googleplay: googleplay::Settings::default(),
            linkedin: linkedin::Settings::default(),
            calls: CALLS,
            limits: Network::ALL.map(|network| (network, budget::limits(network).to_vec())).into(),
        }
    }
}

impl NetworkSettings {
    /// A network's limits on calls, as this deployment has them.
    #[must_use]
    pub fn limits(&self, network: Network) -> &[Limit] {
        self.limits.get(&network).map_or(&[], Vec::as_slice)
    }

    fn limit(&mut self, network: Network, given: &BTreeMap<String, u32>) -> Result<(), InvalidSettings> {
        let limits = self.limits.entry(network).or_default();
        for (name, units) in given {
            let Some(limit) = limits.iter_mut().find(|limit| limit.name() == *name) else {
                let known: Vec<String> = limits.iter().map(Limit::name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(InvalidSettings::Limit { network, name: name.clone(), known });
            };
            limit.units = within(network, name, *units, 1, u32::MAX)?;
        }
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
        let size = |network, given: &OfNetwork, least, most| {
            given.page_size.map(|size| within(network, "page_size", size, least, most)).transpose()
        };
        for (network, given, kept) in [
            (Network::Facebook, &given.facebook, &mut settings.facebook),
            (Network::Instagram, &given.instagram, &mut settings.instagram),
        ] {
            kept.version = given.version.clone().unwrap_or_else(|| kept.version.clone());
            kept.page_size = size(network, given, 1, 100)?.unwrap_or(kept.page_size);
        }
        let version = |given: &OfNetwork, kept: &mut String| {
            if let Some(version) = &given.version {
                kept.clone_from(version);
            }
        };
        version(&given.x, &mut settings.x.version);
        version(&given.youtube, &mut settings.youtube.version);
        version(&given.googleplay, &mut settings.googleplay.version);
        version(&given.linkedin, &mut settings.linkedin.version);
        let kept = settings.x.page_size;
        settings.x.page_size = size(Network::X, &given.x, 5, 100)?.unwrap_or(kept);
        settings.x.messages = given.x.messages.unwrap_or(settings.x.messages);
        if let Some(size) = size(Network::Youtube, &given.youtube, 1, 100)? {
            (settings.youtube.videos, settings.youtube.comments) = (size.min(50), size);
        }
        let kept = settings.googleplay.page_size;
        settings.googleplay.page_size = size(Network::GooglePlay, &given.googleplay, 1, 100)?.unwrap_or(kept);
        let kept = settings.linkedin.page_size;
        let least = linkedin::OVERLAP + 1;
        settings.linkedin.page_size = size(Network::Linkedin, &given.linkedin, least, 100)?.unwrap_or(kept);
        for (network, given) in [
            (Network::Facebook, &given.facebook),
            (Network::Instagram, &given.instagram),
            (Network::X, &given.x),
            (Network::Youtube, &given.youtube),
            (Network::GooglePlay, &given.googleplay),
            (Network::Linkedin, &given.linkedin),
        ] {
            settings.limit(network, &given.limits)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_keeps_its_default() {
        assert_eq!("{}".parse::<NetworkSettings>().unwrap(), NetworkSettings::default());
        let set = r#"{"facebook": {"version": "v27.0"}, "x": {"messages": false, "limits": {"app/mentions": 9}},
            "youtube": {"page_size": 80, "limits": {"app": 1000000}}, "calls": 5}"#;
        let set: NetworkSettings = set.parse().unwrap();
        assert_eq!((set.facebook.version.as_str(), set.instagram.version.as_str()), ("v27.0", "v26.0"));
        assert_eq!((set.x.messages, set.x.page_size, set.calls), (false, 100, 5));
        assert_eq!((set.youtube.videos, set.youtube.comments), (50, 80));
        let units = |network, name: &str| {
            set.limits(network).iter().find(|limit| limit.name() == name).map(|limit| limit.units)
        };
        assert_eq!(
            (units(Network::X, "app/mentions"), units(Network::X, "page/posts")),
            (Some(9), Some(900))
        );
        assert_eq!(units(Network::Youtube, "app"), Some(1_000_000));
    }

    #[test]
    fn a_name_or_a_number_that_means_nothing_is_an_error() {
        for wrong in [
            "",
            "[]",
            r#"{"orkut": {}}"#,
            r#"{"x": {"colour": 1}}"#,
            r#"{"x": {"page_size": 4}}"#,
            r#"{"linkedin": {"page_size": 5}}"#,
            r#"{"x": {"limits": {"app/likes": 1}}}"#,
            r#"{"youtube": {"limits": {"app": 0}}}"#,
            r#"{"calls": 0}"#,
        ] {
            assert!(wrong.parse::<NetworkSettings>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_two_limits_of_a_network_have_one_name() {
        let settings = NetworkSettings::default();
        for network in Network::ALL {
            let names: std::collections::BTreeSet<String> =
                settings.limits(network).iter().map(Limit::name).collect();
            assert_eq!(names.len(), settings.limits(network).len(), "{network}");
        }
    }
}
