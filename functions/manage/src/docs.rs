//! `GET /docs`: the reference of this API, for people; and `GET /docs/problems`, what each kind of problem means.
//!
//! The reference's script reads `/openapi.json` and makes the page of it, so that it says what the deployment does and
//! nothing else. The problems' pages are whole as they are answered and need no script: a problem's `type` leads to
//! them. No page loads anything from elsewhere; the policies name the pages' own script and style by their digests.

use std::fmt::Write as _;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carteiro_adapters::runtime::http_api::{Failure, answer};
use carteiro_core::problem::explanation::{self, Explanation, Text};
use carteiro_core::problem::{Kind, Problem};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use sha2::{Digest, Sha256};

const REFERENCE: &str = include_str!("docs/reference.html");
const SCRIPT: &str = include_str!("docs/reference.js");
const STYLE: &str = include_str!("docs/docs.css");

/// Open the reference
///
/// A page for people: this description with search, examples and an anchor for each operation. No key is needed.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "openReference",
    tag = "description",
    security(()),
    responses(
        (
            status = 200, description = "The page, which loads this description and nothing else.",
            body = String,
            headers(("Content-Security-Policy" = String, description = "Names the page's own style, and its script if it has one, by their digests, and allows nothing from elsewhere.")),
            content_type = "text/html",
        ),
    ),
)]
pub(crate) fn reference() -> Result<ApiGatewayV2httpResponse, Failure> {
    page("Carteiro: API reference", REFERENCE, Some(SCRIPT))
}

/// Open the list of problems
///
/// A page for people: each kind of problem, its cause and what to do, in English and Portuguese. No key is needed.
#[utoipa::path(
    get,
    path = "/docs/problems",
    operation_id = "openProblems",
    tag = "description",
    security(()),
    responses(
        (
            status = 200, description = "The page, whole: it loads nothing else.",
            body = String,
            headers(("Content-Security-Policy" = String, description = "Names the page's own style, and its script if it has one, by their digests, and allows nothing from elsewhere.")),
            content_type = "text/html",
        ),
    ),
)]
pub(crate) fn problems() -> Result<ApiGatewayV2httpResponse, Failure> {
    let mut body =
        "<header><h1>Problems</h1><nav aria-label=\"Pages\"><a href=\"../docs\">API reference</a></nav>\
                    </header><main>"
            .to_owned();
    for kind in Problem::KINDS {
        let link = format!("<a href=\"problems/{0}\">{0}</a>", kind.name);
        body.push_str(&article(kind, &format!("<h2>{link}</h2>"), "h3"));
    }
    body.push_str("</main>");
    page("Carteiro: problems", &body, None)
}

/// Open the page of a problem
///
/// A page for people: one kind of problem, its cause and what to do, in English and Portuguese. No key is needed.
#[utoipa::path(
    get,
    path = "/docs/problems/{problem}",
    operation_id = "openProblem",
    tag = "description",
    security(()),
    responses(
        (
            status = 200, description = "The page, whole: it loads nothing else.",
            body = String,
            headers(("Content-Security-Policy" = String, description = "Names the page's own style, and its script if it has one, by their digests, and allows nothing from elsewhere.")),
            content_type = "text/html",
        ),
    ),
)]
pub(crate) fn problem(name: &str) -> Result<ApiGatewayV2httpResponse, Failure> {
    let Some(kind) = Problem::KINDS.iter().find(|kind| kind.name == name) else {
        return Err(Problem::not_found("there is no problem of this name").into());
    };
    let body = format!(
        "<header><p><a href=\"../problems\">All problems</a> <a href=\"../../docs\">API reference</a></p></header>\
         <main>{}</main>",
        article(kind, &format!("<h1>{}</h1>", kind.name), "h2")
    );
    page(&format!("Carteiro: {}", kind.name), &body, None)
}

/// What is said of a kind, in both languages, below its heading.
fn article(kind: &Kind, heading: &str, below: &str) -> String {
    let mut article =
        format!("<article id=\"{}\">{heading}<p class=\"quiet\">HTTP status {}</p>", kind.name, kind.status);
    if let Some(Explanation { en, pt_br, .. }) = explanation::of(kind.name) {
        for (language, words, text) in
            [("en", ["Cause", "What to do"], en), ("pt-BR", ["Causa", "O que fazer"], pt_br)]
        {
            article.push_str(&section(language, words, text, below));
        }
    }
    article.push_str("</article>");
    article
}

fn section(language: &str, [cause, remedy]: [&str; 2], text: &Text, heading: &str) -> String {
    let title = escaped(text.title);
    let mut section = format!("<section lang=\"{language}\"><{heading}>{title}</{heading}>");
    for (word, said) in [(cause, text.cause), (remedy, text.remedy)] {
        _ = write!(section, "<p><strong>{word}.</strong> {}</p>", escaped(said));
    }
    section.push_str("</section>");
    section
}

/// A text as HTML that shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A whole page. Its title and body are HTML already.
fn page(title: &str, body: &str, script: Option<&str>) -> Result<ApiGatewayV2httpResponse, Failure> {
    let policy = HeaderValue::try_from(policy(script));
    let policy = policy.map_err(|_| Problem::internal("the page's policy is no header"))?;
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
    );
    if let Some(script) = script {
        _ = writeln!(html, "<script>{script}</script>");
    }
    html.push_str("</body>\n</html>\n");
    let mut response = answer(200, "text/html; charset=utf-8", html);
    let fixed = HeaderValue::from_static;
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, fixed("DENY")),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (REFERRER_POLICY, fixed("no-referrer")),
        // Kept by the browser, and asked for anew each time: it changes with a deployment alone.
        (CACHE_CONTROL, fixed("no-cache")),
        (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
    ] {
        response.headers.insert(name, value);
    }
    Ok(response)
}

/// A page's policy: its own style, its own script if it has one, and nothing else.
fn policy(script: Option<&str>) -> String {
    let script = script
        .map(|script| format!("script-src '{}'; connect-src 'self'; ", digest(script)))
        .unwrap_or_default();
    format!(
        "default-src 'none'; {script}style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        digest(STYLE)
    )
}

fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::encodings::Body;

    use super::*;

    fn text(answered: Result<ApiGatewayV2httpResponse, Failure>) -> String {
        let response = answered.unwrap();
        assert_eq!(
            (response.status_code, &response.headers["content-type"]),
            (200, &HeaderValue::from_static("text/html; charset=utf-8"))
        );
        let Some(Body::Text(text)) = response.body else { panic!("no text") };
        text
    }

    /// The contents of a page's elements of this name.
    fn inside<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        page.split(&start).skip(1).map(|rest| rest.split_once(&end).unwrap().0).collect()
    }

    #[test]
    fn each_policy_names_what_the_page_has_inside_and_nothing_else() {
        for (page, scripts) in [(reference(), 1), (problems(), 0), (problem("not-found"), 0)] {
            let policy =
                page.as_ref().unwrap().headers["content-security-policy"].to_str().unwrap().to_owned();
            let page = text(page);
            let (style, script) = (inside(&page, "style"), inside(&page, "script"));
            assert_eq!((style.len(), script.len()), (1, scripts));
            assert_eq!(
                (page.matches("<style").count(), page.matches("<script").count()),
                (1, scripts),
                "none with attributes"
            );
            assert!(policy.contains(&format!("style-src '{}'", digest(style[0]))), "{policy}");
            match script.first() {
                Some(script) => {
                    assert!(policy.contains(&format!("script-src '{}'", digest(script))), "{policy}");
                }
                None => {
                    assert!(!policy.contains("script-src") && !policy.contains("connect-src"), "{policy}");
                }
            }
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            assert!(!page.contains('\r'), "a browser would digest other bytes");
        }
    }

    #[test]
    fn the_pages_name_nothing_outside_and_make_no_markup_of_texts() {
        for page in [text(reference()), text(problems()), text(problem("invalid"))] {
            for outside in ["://", "src=", "@import", "url(", "importScripts", "import("] {
                assert!(!page.contains(outside), "{outside}");
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
                assert!(!page.contains(markup), "{markup}");
            }
            for inline in
                [" style=", " onclick=", " onload=", "javascript:", "localStorage", "document.cookie"]
            {
                assert!(!page.contains(inline), "{inline}");
            }
        }
    }

    #[test]
    fn the_reference_is_under_40_kb_plain() {
        let bytes = text(reference()).len();
        assert!(bytes < 40 * 1024, "{bytes}");
    }

    #[test]
    fn each_kind_of_problem_has_a_page_in_both_languages() {
        let all = text(problems());
        for kind in Problem::KINDS {
            let page = text(problem(kind.name));
            let said = explanation::of(kind.name).unwrap();
            for part in [said.en.title, said.en.cause, said.en.remedy, said.pt_br.title, said.pt_br.remedy] {
                assert!(
                    page.contains(&escaped(part)) && all.contains(&escaped(part)),
                    "{}: {part}",
                    kind.name
                );
            }
            assert!(page.contains(&format!("HTTP status {}", kind.status)));
            assert!(all.contains(&format!("id=\"{}\"", kind.name)));
        }
        for other in ["", "Not-Found", "not-found/", "../docs"] {
            assert!(
                matches!(problem(other), Err(Failure::Problem(problem)) if problem.status == 404),
                "{other}"
            );
        }
    }

    #[test]
    fn texts_are_shown_as_they_are() {
        assert_eq!(escaped("a < b & \"c\" > d"), "a &lt; b &amp; &quot;c&quot; &gt; d");
    }
}
