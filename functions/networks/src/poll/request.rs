//! One request to a network.

/// One of a network's addresses, which are settings. A network's [route](crate::spec::TokenSpec::route) may choose
/// another by the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `…BaseUrl`.
    Api,
    /// `…TokenUrl`.
    Token,
    /// `…HubUrl`, of a network whose pushes a [hub](crate::push::subscription::SubscriptionSpec::hub) sends.
    Hub,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// POST, with the query as a form in the body.
    Post,
    /// PUT, with the query as a JSON object of texts in the body.
    Put,
}

/// The place of the page's token in a request. The caller puts it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `authorization: Bearer <access token>`.
    Bearer,
    /// In the query, under this name.
    Query(&'static str),
    /// In the query, under this name, as what is asked about; the call itself is made with the *app's* token, as
    /// `authorization: Bearer <app id>|<app secret>`. Whoever has no token of the app does not make it.
    Inspected(&'static str),
    /// Nowhere: in the form, under this name, is the secret that the page's pushes are to be signed with.
    PushSecret(&'static str),
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
    /// What it takes of the network's quota, in the network's own units; 0 where no quota counts it.
    pub units: u32,
}
