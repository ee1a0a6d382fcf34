//! `GET /console`: the page "Integrações → Webhook", and its style, script and texts.
//!
//! The page shows nothing by itself: it asks for an account's key or takes a sign-in link, and calls this API. It loads
//! its own files and nothing else, and the policy in its headers allows nothing else: no script or style stands inside
//! the page, and texts can only become texts (`require-trusted-types-for`). The files change with a deployment alone; a
//! browser asks each time whether they did, and reads them again only then.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::http_api::{Failure, answer, empty};
use carteiro_core::browser::FrameAncestors;
use carteiro_core::problem::Problem;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::call::Response;
use crate::openapi::refusals;

/// The page, as the repository holds it.
const PAGE: &str = include_str!("console/console.html");

/// A file that the page loads.
struct Asset {
    /// Its name below `/console/`.
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// All files that the page loads.
const ASSETS: [Asset; 13] = [
    Asset { name: "console.css", content_type: STYLE, text: include_str!("console/console.css") },
    Asset { name: "console.js", content_type: SCRIPT, text: include_str!("console/console.js") },
    Asset { name: "dom.js", content_type: SCRIPT, text: include_str!("console/dom.js") },
    Asset { name: "api.js", content_type: SCRIPT, text: include_str!("console/api.js") },
    Asset { name: "forms.js", content_type: SCRIPT, text: include_str!("console/forms.js") },
    Asset { name: "message.js", content_type: SCRIPT, text: include_str!("console/message.js") },
    Asset { name: "items.js", content_type: SCRIPT, text: include_str!("console/items.js") },
    Asset { name: "all_forms.js", content_type: SCRIPT, text: include_str!("console/all_forms.js") },
    Asset { name: "webhooks.js", content_type: SCRIPT, text: include_str!("console/webhooks.js") },
    Asset { name: "pages.js", content_type: SCRIPT, text: include_str!("console/pages.js") },
    Asset { name: "alerts.js", content_type: SCRIPT, text: include_str!("console/alerts.js") },
    Asset { name: "pt-BR.js", content_type: SCRIPT, text: include_str!("console/pt-BR.js") },
    Asset { name: "en.js", content_type: SCRIPT, text: include_str!("console/en.js") },
];

/// The browser features that the page does not use.
const PERMISSIONS: &str = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";

/// Kept by the browser, and asked for anew each time: an unchanged file is no body.
const KEPT: HeaderValue = HeaderValue::from_static("no-cache");

/// Go to the console
///
/// Leads a browser that was given the deployment's address alone to the console.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "enter",
    tag = "console",
    security(()),
    responses((
        status = 302,
        description = "The console is elsewhere.",
        headers(("Location" = String, description = "The console's path.")),
    )),
)]
pub(crate) fn entrance() -> ApiGatewayV2httpResponse {
    let mut response = empty(302);
    response.headers.insert(LOCATION, HeaderValue::from_static("/console"));
    response
}

/// Open the console
///
/// A page for people, in Portuguese and English: an account's webhooks, and below each URL its state for each item
/// type. The page itself needs no key and shows nothing; it takes a sign-in link or asks for an account's key,
/// and calls this API with a session.
#[utoipa::path(
    get,
    path = "/console",
    operation_id = "openConsole",
    tag = "console",
    security(()),
    responses(
        (
            status = 200, description = "The page. It loads its own files alone.",
            body = String,
            headers(("Content-Security-Policy" = String, description = "Allows the page's own files, and nothing from elsewhere.")),
            content_type = "text/html",
        ),
    ),
)]
pub(crate) fn page(framing: &FrameAncestors) -> Response {
    let policy = HeaderValue::try_from(policy(framing));
    let policy = policy.map_err(|_| Problem::internal("the page's policy is no header"))?;
    let mut response = file("text/html; charset=utf-8", PAGE);
    let fixed = HeaderValue::from_static;
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, fixed("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
        (HeaderName::from_static("permissions-policy"), fixed(PERMISSIONS)),
    ] {
        response.headers.insert(name, value);
    }
    if framing.is_none() {
        // It can name no site that may, and would forbid all of them.
        response.headers.insert(X_FRAME_OPTIONS, fixed("DENY"));
    }
    Ok(response)
}

/// Read a file of the console
///
/// A style sheet or script that the console's page loads. Their names are not part of the API.
#[utoipa::path(
    get,
    path = "/console/{asset}",
    operation_id = "readConsoleFile",
    tag = "console",
    security(()),
    responses(
        (status = 200, description = "The file.", content((String = "text/css"), (String = "text/javascript"))),
        (status = 404, response = refusals::NotFound),
    ),
)]
pub(crate) fn asset(name: &str) -> Response {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let found = found.ok_or_else(|| Failure::from(Problem::not_found("the console has no such file")))?;
    Ok(file(found.content_type, found.text))
}

fn file(content_type: &'static str, text: &str) -> ApiGatewayV2httpResponse {
    let mut response = answer(200, content_type, text.to_owned());
    let fixed = HeaderValue::from_static;
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (CACHE_CONTROL, KEPT),
        (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
    ] {
        response.headers.insert(name, value);
    }
    response
}

/// The page's policy. `framing` says who may show the page in a frame.
fn policy(framing: &FrameAncestors) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors {framing}; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aws_lambda_events::encodings::Body;

    use super::*;

    /// The page and its files, by name.
    fn files() -> Vec<(&'static str, &'static str)> {
        let assets = ASSETS.iter().map(|asset| (asset.name, asset.text));
        assets.chain([("console.html", PAGE)]).collect()
    }

    fn text_of(name: &str) -> &'static str {
        files().into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Of which a browser loads the reader's.
    const LANGUAGES: [&str; 2] = ["pt-BR.js", "en.js"];

    /// The values between this beginning and a quotation mark.
    fn quoted<'a>(text: &'a str, beginning: &str) -> BTreeSet<&'a str> {
        text.split(beginning).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// The scripts that the page loads as it opens: the first one, and what it needs before it begins.
    fn at_once() -> BTreeSet<&'static str> {
        let mut found = BTreeSet::from(["console.js"]);
        loop {
            let further = found.iter().flat_map(|name| quoted(text_of(name), " from \"./")).collect();
            let all: BTreeSet<_> = found.union(&further).copied().collect();
            if all == found {
                return found;
            }
            found = all;
        }
    }

    #[test]
    fn the_entrance_leads_to_the_page() {
        let answered = entrance();
        assert_eq!(
            (answered.status_code, &answered.headers[LOCATION]),
            (302, &HeaderValue::from_static("/console"))
        );
    }

    #[test]
    fn only_the_named_sites_may_frame_the_page() {
        let alone = page(&FrameAncestors::default()).unwrap();
        let framed = page(&"https://a.example".parse().unwrap()).unwrap();
        let policy = |of: &ApiGatewayV2httpResponse| {
            let policy = of.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            policy.split("; ").find(|part| part.starts_with("frame-ancestors")).unwrap().to_owned()
        };
        assert_eq!(policy(&alone), "frame-ancestors 'none'");
        assert_eq!(alone.headers[X_FRAME_OPTIONS], "DENY");
        assert_eq!(policy(&framed), "frame-ancestors https://a.example");
        assert!(!framed.headers.contains_key(X_FRAME_OPTIONS));
    }

    #[test]
    fn each_file_is_answered_as_the_repository_holds_it() {
        for Asset { name, content_type, text } in &ASSETS {
            let answered = asset(name).unwrap();
            assert_eq!(answered.headers["content-type"], *content_type);
            assert_eq!(answered.headers["x-content-type-options"], "nosniff");
            assert_eq!(answered.headers["cache-control"], "no-cache");
            assert_eq!(answered.body, Some(Body::Text((*text).to_owned())), "{name}");
        }
        for other in ["", "console.html", "../console.css", "Console.css", "console.css/"] {
            assert!(
                matches!(asset(other), Err(Failure::Problem(problem)) if problem.status == 404),
                "{other}"
            );
        }
    }

    #[test]
    fn the_page_has_no_inline_script_and_loads_what_is_there() {
        let named: BTreeSet<_> = quoted(PAGE, "href=\"").union(&quoted(PAGE, "src=\"")).copied().collect();
        let scripts: Vec<String> = at_once().iter().map(|name| format!("console/{name}")).collect();
        let expected = scripts.iter().map(String::as_str).chain(["data:,", "console/console.css"]).collect();
        assert_eq!(named, expected, "the icon is empty");
        for inside in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!PAGE.contains(inside), "{inside}");
        }
        for script in PAGE.split("<script").skip(1) {
            let (_, inside) = script.split_once('>').unwrap();
            assert!(inside.starts_with("</script>"), "{script}");
        }
        let of_file =
            |(_, text): (&str, &'static str)| [quoted(text, " from \"./"), quoted(text, "import(\"./")];
        for name in files().into_iter().flat_map(of_file).flatten() {
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
        }
    }

    #[test]
    fn the_files_name_nothing_outside_and_make_no_markup_of_texts() {
        for (name, text) in files() {
            for outside in ["://", "@import", "url(", "importScripts"] {
                assert!(!text.contains(outside), "{name}: {outside}");
            }
            for markup in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "DOMParser",
            ] {
                assert!(!text.contains(markup), "{name}: {markup}");
            }
            for stored in ["localStorage", "document.cookie"] {
                assert!(!text.contains(stored), "{name}: {stored}");
            }
        }
    }

    #[test]
    fn the_page_as_it_opens_is_under_80_kb_plain() {
        let scripts: usize = at_once().into_iter().map(|name| text_of(name).len()).sum();
        let language = LANGUAGES.map(|name| text_of(name).len()).into_iter().max().unwrap();
        let bytes = PAGE.len() + text_of("console.css").len() + scripts + language;
        assert!(bytes < 80 * 1024, "{bytes}");
    }

    /// The names of a language's texts, in their order.
    fn names(language: &str) -> Vec<String> {
        let (_, texts) = text_of(language).split_once("export default {").unwrap();
        let mut in_text = None;
        let mut names = Vec::new();
        let mut word = String::new();
        for c in texts.chars() {
            match (c, in_text) {
                ('"' | '`', None) => in_text = Some(c),
                (c, Some(mark)) if c == mark => in_text = None,
                (_, Some(_)) => {}
                (':', None) if !word.is_empty() => names.push(std::mem::take(&mut word)),
                (c, _) if c.is_ascii_alphanumeric() || "_-".contains(c) => word.push(c),
                _ => word.clear(),
            }
        }
        names
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        let texts = names("pt-BR.js");
        assert!(texts.len() > 200, "{texts:?}");
        assert_eq!(texts, names("en.js"));
    }

    #[test]
    fn the_guide_names_what_the_page_shows() {
        let words: Vec<&str> = include_str!("../../../docs/guia.md").split_whitespace().collect();
        let guide = words.join(" ").replace("**", "");
        let page = text_of("pt-BR.js").to_lowercase();
        let named: Vec<&str> = guide.split('*').skip(1).step_by(2).collect();
        assert!(named.len() > 20, "{named:?}");
        for name in named {
            assert!(page.contains(&name.to_lowercase()), "{name}");
        }
    }
}
