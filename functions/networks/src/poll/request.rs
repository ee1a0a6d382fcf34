//! One request to a network.

/// Which of a network's addresses is asked. Both are settings; the ask's path is below either.
///
/// Instagram has two hosts of an API, by the [login](crate::instagram::Login) that a token is of: everything about a
/// token of its own login is asked at Instagram's `…TokenUrl`. Tokens of Facebook's login are Facebook's, and are asked
/// about at Facebook's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `…BaseUrl`.
    Api,
    /// `…TokenUrl`: what a token is, and, at Instagram, a new one.
    Token,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// POST, with the query as a form in the body.
    Post,
}

/// Where the page's token goes. It is put there by who makes the call, and is nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `authorization: Bearer <access token>`.
    Bearer,
    /// In the query, under this name.
    Query(&'static str),
    /// In the query, under this name, as what is asked about; the call itself is made with the *app's* token, as
    /// `authorization: Bearer <app id>|<app secret>`. Whoever has no token of the app does not make it.
    Inspected(&'static str),
    /// Nowhere: the form has what is needed.
    None,
}

/// One request to a network. It carries no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRequest {
    /// What it is for, in one word for logs, counts and limits: `posts`, `comments`, …
    pub operation: &'static str,
    /// Which of the network's addresses it goes to.
    pub to: Endpoint,
    /// Its method.
    pub method: Method,
    /// The path below the address, percent-encoded, with its leading slash. It is sent as it is, and may have a query
    /// of its own.
    pub path: String,
    /// The query, not encoded yet.
    pub query: Vec<(&'static str, String)>,
    /// Headers beside the token's.
    pub headers: Vec<(&'static str, String)>,
    /// Where the page's token goes.
    pub auth: Auth,
    /// What it takes of the network's quota, in the network's own units.
    pub units: u32,
}
