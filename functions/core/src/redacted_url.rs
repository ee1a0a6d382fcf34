//! URLs as logs and other receivers may see them: a query often carries a token.
//!
//! Scheme, host, port and path stay, and the names in the query. The query's values become `***`; user info and the
//! fragment are left out. Not guaranteed: a secret in the path stays, for without the path nobody knows which URL it
//! is.

use url::Url;

use crate::address::WebhookUrl;

/// Stands in place of a query's value.
const HIDDEN: &str = "***";

impl WebhookUrl {
    /// The URL as logs and other receivers may see it.
    #[must_use]
    pub fn redacted(&self) -> String {
        redacted(self.as_str())
    }
}

/// A URL as logs and other receivers may see it. A text that is no absolute URL becomes empty.
#[must_use]
pub fn redacted(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return String::new() };
    // Both fail only for URLs that cannot have user info.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    let query = url.query().map(redacted_query);
    url.set_query(query.as_deref());
    url.into()
}

fn redacted_query(query: &str) -> String {
    let part = |part: &str| match part.split_once('=') {
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None if part.is_empty() => String::new(),
        // A part without a name may be the token itself.
        None => HIDDEN.to_owned(),
    };
    query.split('&').map(part).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_shown_without_the_values_of_its_query() {
        for (whole, shown) in [
            ("https://host.example/path", "https://host.example/path"),
            ("https://host.example:8443/a/b?token=s3cret", "https://host.example:8443/a/b?token=***"),
            ("https://host.example/?a=1&b=&c=x=y&&s3cret", "https://host.example/?a=***&b=***&c=***&&***"),
            ("https://user:s3cret@host.example/#s3cret", "https://host.example/"),
            ("https://host.example/?", "https://host.example/?"),
            ("s3cret", ""),
            ("", ""),
        ] {
            assert_eq!(redacted(whole), shown, "{whole}");
        }
    }

    proptest! {
        #[test]
        fn no_value_of_a_query_is_shown(name in "[a-z]{1,8}", value in "[A-Z0-9+%_.-]{4,40}") {
            for query in [format!("{name}={value}"), value.clone(), format!("a=b&{name}={value}&c")] {
                let shown = redacted(&format!("https://u:{value}@host.example/p?{query}#{value}"));
                prop_assert!(shown.starts_with("https://host.example/p?"), "{shown}");
                prop_assert!(!shown.contains(&value), "{shown}");
            }
        }
    }
}
