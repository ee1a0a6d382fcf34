//! `GET /console`: the page "Integrações → Webhook", whole in one answer.
//!
//! The page shows nothing by itself: it asks for an account's key, keeps it in the browser's session storage, and calls
//! this API with it. It loads nothing else, and the policy in its headers allows nothing else: its own script and style
//! are named there by their digests, and texts can only become texts (`require-trusted-types-for`).

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carteiro_adapters::runtime::http_api::{Failure, answer};
use carteiro_core::problem::Problem;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use sha2::{Digest, Sha256};

/// The page, as the repository holds it.
const PAGE: &str = include_str!("console/console.html");

/// The browser features that the page does not use.
const PERMISSIONS: &str = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";

pub(crate) fn page() -> Result<ApiGatewayV2httpResponse, Failure> {
    let policy = HeaderValue::try_from(policy());
    let policy = policy.map_err(|_| Problem::internal("the page's policy is no header"))?;
    let mut response = answer(200, "text/html; charset=utf-8", PAGE.to_owned());
    let fixed = HeaderValue::from_static;
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, fixed("DENY")),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (REFERRER_POLICY, fixed("no-referrer")),
        (CACHE_CONTROL, fixed("no-store")),
        (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
        (HeaderName::from_static("permissions-policy"), fixed(PERMISSIONS)),
    ] {
        response.headers.insert(name, value);
    }
    Ok(response)
}

fn policy() -> String {
    let (script, style) = (digest(inside("script")), digest(inside("style")));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    )
}

/// The content of the page's only element of this name.
fn inside(name: &str) -> &'static str {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let rest = PAGE.split_once(&start).map_or("", |(_, rest)| rest);
    rest.split_once(&end).map_or("", |(inside, _)| inside)
}

fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_pages_only_script_and_style() {
        for name in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{name}")).count(), 1, "{name}");
            let inside = inside(name);
            assert!(inside.len() > 1000, "{name}");
            assert!(policy().contains(&format!("{name}-src '{}'", digest(inside))), "{name}");
        }
        assert!(!PAGE.contains('\r'), "a browser would digest other bytes");
        let empty = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(digest(""), empty, "as any other tool computes it");
    }

    #[test]
    fn the_page_names_nothing_outside_and_makes_no_markup_of_texts() {
        for outside in ["://", "src=", "@import", "url(", "importScripts", "import("] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        assert_eq!(PAGE.matches("href=").count(), 1, "the icon, which is empty");
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "DOMParser",
        ] {
            assert!(!PAGE.contains(markup), "{markup}");
        }
        for inline in [" style=", " onclick=", " onload=", "javascript:", "localStorage", "document.cookie"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        let script = inside("script");
        let (_, texts) = script.split_once("const TEXTS = {").unwrap();
        let (portuguese, english) = texts.split_once("\n    en: {").unwrap();
        let english = english.split_once("\n  };").unwrap().0;
        let names = |texts: &str| -> Vec<String> {
            let words = texts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            let names = words.filter_map(|word| word.strip_suffix(':')).filter(|name| !name.is_empty());
            // Texts themselves hold colons; the names of texts are camel case or types, and stand in both.
            names
                .filter(|name| script.contains(&format!(".{name}")) || name.contains('_'))
                .map(str::to_owned)
                .collect()
        };
        assert!(names(portuguese).len() > 40, "{:?}", names(portuguese));
        assert_eq!(names(portuguese), names(english));
    }
}
