//! Which route takes a request.
//!
//! Source: API Gateway developer guide, "Routes for HTTP APIs": full matches win over greedy ones, those over
//! `$default`; a literal segment wins over a parameter, a method over `ANY`. A path with a slash at its end is another
//! path than the one without; a parameter is never empty.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::template::Route;

/// One segment. The order is the order of preference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Parameter(String),
    Greedy(String),
}

#[derive(Clone, Debug)]
struct Compiled {
    route: Route,
    /// Nothing for `$default`.
    segments: Option<Vec<Segment>>,
}

/// The routes, the most specific first.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    routes: Vec<Compiled>,
}

/// The route that takes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) function: String,
    /// `POST /bots/{bot}/messages`, or `$default`.
    pub(crate) route_key: String,
    /// Decoded.
    pub(crate) path_parameters: Vec<(String, String)>,
    pub(crate) timeout: Duration,
}

impl Routes {
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let mut routes: Vec<Compiled> = routes
            .into_iter()
            .map(|route| Compiled { segments: route.path.strip_prefix('/').map(compile), route })
            .collect();
        routes.sort_by_key(|route| {
            let kinds =
                route.segments.as_ref().map(|segments| segments.iter().map(kind).collect::<Vec<u8>>());
            (kinds.is_none(), kinds, route.route.method.is_none())
        });
        Self { routes }
    }

    /// The route for a method and a path as the request line has it.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<Match> {
        let decoded: Vec<String> = path
            .strip_prefix('/')?
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        self.routes.iter().find_map(|compiled| {
            let route = &compiled.route;
            if route.method.as_ref().is_some_and(|wanted| wanted != method) {
                return None;
            }
            let path_parameters = match &compiled.segments {
                None => Vec::new(),
                Some(segments) => parameters(segments, &decoded)?,
            };
            let route_key = match &compiled.segments {
                None => route.path.clone(),
                Some(_) => format!("{} {}", route.method.as_deref().unwrap_or("ANY"), route.path),
            };
            Some(Match {
                function: route.function.clone(),
                route_key,
                path_parameters,
                timeout: route.timeout,
            })
        })
    }
}

fn kind(segment: &Segment) -> u8 {
    match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter(_) => 1,
        Segment::Greedy(_) => 2,
    }
}

fn compile(path: &str) -> Vec<Segment> {
    path.split('/')
        .map(|segment| match segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            None => Segment::Literal(segment.to_owned()),
            Some(name) => match name.strip_suffix('+') {
                None => Segment::Parameter(name.to_owned()),
                Some(name) => Segment::Greedy(name.to_owned()),
            },
        })
        .collect()
}

fn parameters(segments: &[Segment], path: &[String]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        match (segment, path.get(at)?) {
            (Segment::Literal(literal), text) if literal == text => {}
            (Segment::Parameter(name), text) if !text.is_empty() => found.push((name.clone(), text.clone())),
            (Segment::Greedy(name), text) if !text.is_empty() => {
                found.push((name.clone(), path.get(at..)?.join("/")));
                return Some(found);
            }
            _ => return None,
        }
    }
    (segments.len() == path.len()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(&str, &str)]) -> Routes {
        Routes::new(
            list.iter()
                .map(|(method, path)| Route {
                    method: (*method != "ANY").then(|| (*method).to_owned()),
                    path: (*path).to_owned(),
                    function: format!("{method} {path}"),
                    timeout: Duration::from_secs(30),
                })
                .collect(),
        )
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = routes(&[
            ("ANY", "$default"),
            ("ANY", "/{proxy+}"),
            ("GET", "/a/{b}"),
            ("ANY", "/a/{b}"),
            ("GET", "/a/literal"),
            ("GET", "/a/{b}/c"),
            ("ANY", "/"),
        ]);
        for (method, path, expected) in [
            ("GET", "/a/literal", "GET /a/literal"),
            ("GET", "/a/x", "GET /a/{b}"),
            ("POST", "/a/literal", "ANY /a/{b}"),
            ("GET", "/a/x/c", "GET /a/{b}/c"),
            ("GET", "/a/x/d", "ANY /{proxy+}"),
            ("GET", "/a/x/", "ANY /{proxy+}"),
            ("GET", "/", "ANY /"),
        ] {
            assert_eq!(routes.find(method, path).unwrap().function, expected, "{method} {path}");
        }
        assert_eq!(routes.find("GET", "/a/x").unwrap().route_key, "GET /a/{b}");
    }

    #[test]
    fn the_default_route_takes_what_no_other_does() {
        let routes = routes(&[("ANY", "$default"), ("GET", "/a")]);
        assert_eq!(routes.find("POST", "/a").unwrap().route_key, "$default");
    }

    #[test]
    fn parameters_are_decoded_and_never_empty() {
        let routes = routes(&[("GET", "/a/{b}"), ("GET", "/p/{rest+}")]);
        let parameters = |path| routes.find("GET", path).map(|found| found.path_parameters);
        assert_eq!(parameters("/a/x%20y%2Fz"), Some(vec![("b".into(), "x y/z".into())]));
        assert_eq!(parameters("/p/x/y%20z"), Some(vec![("rest".into(), "x/y z".into())]));
        assert_eq!(parameters("/a/"), None);
        assert_eq!(parameters("/p"), None);
        assert_eq!(parameters("/a/x/"), None);
    }
}
