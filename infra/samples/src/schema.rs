//! The published schema of collected items.

use carteiro_networks::collected::SCHEMA;
use jsonschema::Validator;
use serde_json::Value;

/// What checks items against the schema, dates included; or why the schema is none.
pub(crate) fn validator() -> Result<Validator, String> {
    let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| error.to_string())?;
    let validator = jsonschema::options().should_validate_formats(true).build(&schema);
    validator.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use carteiro_core::id::{ItemId, PageId};
    use carteiro_core::item::MAX_ITEM_BYTES;
    use carteiro_networks::collected::{
        Action, Ad, Attachment, Author, By, Content, Envelope, Kind, Location, MAX_ATTACHMENTS, Parent,
        Published, Rating, render,
    };
    use carteiro_networks::network::Network;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    fn item(content: &Content, network: Network, by: By, raw: &str) -> Value {
        let envelope = Envelope {
            id: &ItemId::from_bits(1),
            network,
            page: &PageId::from_bits(2),
            thing: (content.kind != Kind::Other).then_some("1_2"),
            collected_at: "2026-11-21T12:00:01.5Z".parse().unwrap(),
            by,
        };
        let raw = RawValue::from_string(raw.to_owned()).unwrap();
        serde_json::from_slice(&render(content, &envelope, &raw)).unwrap()
    }

    fn content(kind: Kind, action: Action) -> Content {
        Content {
            published: Published::ByThePage,
            kind,
            action,
            occurred_at: Some("2026-11-21T12:00:00Z".parse().unwrap()),
            author: Some(Author { name: Some("Ana".into()), ..Author::default() }),
            text: Some("olá".into()),
            parent: Some(Parent { id: "1".into(), kind: Some(kind) }),
            link: Some("https://example.com/1".into()),
            attachments: vec![Attachment { kind: "photo".into(), id: None, url: None }; MAX_ATTACHMENTS + 1],
            rating: Rating::new(Some(5), Some(true)),
            reaction: Some("love".into()),
            location: Some(Location {
                id: Some("7".into()),
                name: None,
                latitude: Some("-90".parse().unwrap()),
                longitude: Some("180.0".parse().unwrap()),
            }),
            ad: Some(Ad { id: "120".into(), name: None }),
        }
    }

    fn bare() -> Content {
        Content {
            published: Published::Interaction,
            kind: Kind::Other,
            action: Action::Created,
            occurred_at: None,
            author: None,
            text: None,
            parent: None,
            link: None,
            attachments: Vec::new(),
            rating: None,
            reaction: None,
            location: None,
            ad: None,
        }
    }

    #[test]
    fn every_item_that_is_rendered_fits_the_published_schema() {
        let validator = validator().unwrap();
        let fits = |item: &Value| {
            let errors: Vec<_> = validator.iter_errors(item).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}: {item}");
        };
        for kind in Kind::ALL {
            for action in Action::ALL {
                fits(&item(&content(kind, action), Network::Facebook, By::Push, "{}"));
            }
        }
        for network in Network::ALL {
            fits(&item(&bare(), network, By::Poll, "[1,2]"));
        }
        let large = json!("x".repeat(MAX_ITEM_BYTES)).to_string();
        let omitted = item(&bare(), Network::X, By::Push, &large);
        assert_eq!(omitted["raw_omitted"], true);
        fits(&omitted);
    }

    #[test]
    fn the_schemas_own_example_fits_it() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert!(validator().unwrap().is_valid(&schema["examples"][0]));
    }

    #[test]
    fn what_is_no_collected_item_does_not_fit() {
        let validator = validator().unwrap();
        let good = item(&bare(), Network::X, By::Push, "{}");
        let with = |field: &str, value: Value| {
            let mut item = good.clone();
            item[field] = value;
            item
        };
        for wrong in [
            with("kind", json!("like")),
            with("occurred_at", json!("yesterday")),
            with("collected_at", json!(null)),
            with("page", json!("1234")),
            with("author", json!({"id": "1"})),
            with("raw_omitted", json!(true)),
            with("rating", json!({"stars": 6, "recommends": null})),
            with("reaction", json!(null)),
            with("location", json!({"id": "1"})),
            with("surprise", json!(1)),
        ] {
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
    }
}
