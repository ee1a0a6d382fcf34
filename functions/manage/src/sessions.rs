//! Entry to the console: sign-in links, sessions by cookie, and what a session may do.
//!
//! The operator makes a link with the admin key; whoever opens it has a session of that account. The console begins one
//! with an account's key, too, so that the key stays in no browser. From then on a cookie stands for the key in every
//! route of an account. Rules and lifetimes are in [`carteiro_core::session`], what a browser says in
//! [`carteiro_core::browser`].

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, Request, empty, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::sessions::{Begun, Entry};
use carteiro_core::browser::{ACT_HEADER, CSRF_HEADER, CausedBy, Cookie, is_act, own_origin};
use carteiro_core::id::{AccountId, LinkId};
use carteiro_core::key::{ApiKey, KeyHash};
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::session::{
    Destination, Link, LinkFault, LinkRequest, Role, Session, Token, TokenOf, changes,
};
use carteiro_core::time;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::call::{Call, Response, no_such_account};
use crate::context::Manage;
use crate::openapi::{examples, parameters, refusals, requests};
use crate::{body, values};

/// A sign-in link that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Link)]
pub(crate) struct MadeLink {
    /// The link's id. It opens nothing.
    #[schema(value_type = values::LinkId)]
    pub(crate) id: LinkId,
    /// The address to open in a browser: once, and until `expires_at`. It is shown here alone.
    #[schema(extensions(("x-schema" = json!({"format": "uri"}))))]
    pub(crate) url: String,
    /// What the session that it begins may do.
    #[schema(value_type = values::Role)]
    pub(crate) role: Role,
    /// From when on it does not work any more.
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = values::Time)]
    pub(crate) expires_at: Timestamp,
}

/// An account, as its sessions see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamedAccount {
    /// Its id.
    #[schema(value_type = values::AccountId)]
    pub(crate) id: AccountId,
    /// Its name, in the operator's words.
    pub(crate) name: String,
}

/// The session of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// Who is signed in.
    pub(crate) account: NamedAccount,
    /// What the session may do.
    #[schema(value_type = values::Role)]
    pub(crate) role: Role,
    /// The value of the header `carteiro-csrf` that every change by this session needs.
    pub(crate) csrf: String,
    /// When it ends at the latest. It ends earlier where nobody acts for two hours.
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = values::Time)]
    pub(crate) expires_at: Timestamp,
}

/// The account that calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnAccount {
    /// Its id.
    #[schema(value_type = values::AccountId)]
    pub(crate) id: AccountId,
    /// Its name, in the operator's words.
    pub(crate) name: String,
    /// What the caller may do.
    #[schema(value_type = values::Role)]
    pub(crate) role: Role,
}

/// Make a sign-in link
///
/// Makes an address that opens the console for an account, once and for a short time. It is in the answer and is
/// never shown again; its token stands in the fragment, which a browser sends to nobody.
#[utoipa::path(
    post,
    path = "/accounts/{account}/links",
    operation_id = "createLink",
    tag = "accounts",
    security(("adminKey" = [])),
    request_body(
        content = Option<requests::LinkRequest>,
        content_type = "application/json",
        description = "What the link is for.",
        example = json!({"role": "look", "seconds": 60, "language": "pt-BR", "to": "webhooks"}),
    ),
    responses(
        (status = 201, description = "The link.", body = MadeLink, example = json!(examples::link())),
    ),
)]
pub(crate) async fn create_link(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let account: AccountId = request.path("account").parse().map_err(|_| no_such_account())?;
    let wanted = LinkRequest::from_json(&body::optional_object(request)?).map_err(Problem::invalid_fields)?;
    let host = request.header("host").unwrap_or_default();
    let origin = own_origin(&host).ok_or_else(|| Problem::bad_request("the header Host names no host"))?;
    if let Some(Destination::Webhook(webhook)) = &wanted.to
        && manage.config.find_webhook(&account, webhook).await?.is_none()
    {
        return Err(
            Problem::invalid_fields(vec![FieldError::new("to", "is no webhook of the account")]).into()
        );
    }
    let token = Token::from_random(TokenOf::Link, random::bytes()?);
    let link = Link::new(LinkId::from_bits(random::bits128()?), account, &wanted, clock.now());
    if !manage.sessions.create_link(&manage.config, &token.hash(), &link).await? {
        return Err(no_such_account().into());
    }
    let (account, id, role) = (link.account.as_str(), link.id.as_str(), link.role.as_str());
    tracing::info!(account, link = id, role, "session.link_made");
    let url = wanted.url(&origin, &token);
    Ok(json(201, &MadeLink { id: link.id, url, role: link.role, expires_at: link.ends_at }))
}

/// End an account's sessions
///
/// Ends all sessions of the account in the console, and all its sign-in links.
#[utoipa::path(
    delete,
    path = "/accounts/{account}/sessions",
    operation_id = "endSessions",
    tag = "accounts",
    security(("adminKey" = [])),
    responses(
        (status = 204, description = "They have ended."),
    ),
)]
pub(crate) async fn end_all(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let account: AccountId = request.path("account").parse().map_err(|_| no_such_account())?;
    if !manage.config.end_links(&account, clock.now()).await? {
        return Err(no_such_account().into());
    }
    manage.sessions.end_all(&account, None, clock.now()).await?;
    tracing::info!(account = account.as_str(), "session.all_ended");
    Ok(empty(204))
}

/// Read the account that calls
///
/// Says whose key, or whose session of the console, makes the request, and what it may do.
#[utoipa::path(
    get,
    path = "/account",
    operation_id = "getOwnAccount",
    tag = "accounts",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (status = 200, description = "The account.", body = OwnAccount, example = json!(examples::own_account())),
    ),
)]
pub(crate) async fn own_account(call: &Call<'_>) -> Response {
    let account = call.account()?;
    let account = call.manage.config.find_account(&account).await?.ok_or_else(no_such_account)?;
    Ok(json(200, &OwnAccount { id: account.id, name: account.name, role: call.role() }))
}

/// Sign in to the console
///
/// Begins a session: by a sign-in link, which works once, or by an account's key. The answer sets the session's
/// cookie, which then stands for an account's key in every route of an account. A session ends after 12 hours, after
/// two hours in which nobody acts, when it is signed out, and when its key or its account is deleted. An act is a
/// request that is no GET, or that has the header `carteiro-act: true`, which the console's page sends with its first
/// request after somebody used it.
#[utoipa::path(
    post,
    path = "/console/session",
    operation_id = "beginSession",
    tag = "console",
    security(()),
    request_body(
        content = requests::SessionRequest,
        content_type = "application/json",
        description = "The link's token, or the key.",
        example = json!({"link": "cl_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}),
    ),
    responses(
        (status = 201, description = "The session. Two headers `Set-Cookie` begin it, and end an older one of the other kind.", body = SessionView, example = json!(examples::session())),
        (status = 401, response = refusals::LinkRefused),
        (status = 403, response = refusals::SessionForbidden),
    ),
)]
pub(crate) async fn begin(manage: &Manage, request: &Request, clock: InvocationClock) -> Response {
    parameters::refuse_unknown(request)?;
    of_own_page(manage, request)?;
    // A form of another site cannot send this, and its script must ask before it does.
    let media = request.header("content-type").unwrap_or_default();
    if !media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Problem::unsupported_media("the header Content-Type: application/json is needed").into());
    }
    let given = body::object(request)?;
    let text = |name: &str| given.get(name).and_then(|value| value.as_str());
    let mut errors = body::only(&given, &["link", "key"]);
    let entry = match (text("link"), text("key")) {
        (Some(link), None) if given.len() == 1 => Some(Given::Link(link)),
        (None, Some(key)) if given.len() == 1 => Some(Given::Key(key)),
        _ => {
            errors.push(FieldError::new("link", "a link's token or an account's key is expected, as a text"));
            None
        }
    };
    let Some(entry) = entry.filter(|_| errors.is_empty()) else {
        return Err(Problem::invalid_fields(errors).into());
    };
    let token = Token::from_random(TokenOf::Session, random::bytes()?);
    let session = match entry {
        Given::Link(link) => by_link(manage, link, &token.hash(), clock.now()).await?,
        Given::Key(key) => by_key(manage, key, &token.hash(), clock.now()).await?,
    };
    end_earlier(manage, request).await;
    let mut response = json(201, &view(manage, &token, &session).await?);
    response.cookies.extend(Cookie::begin(&token, &manage.frame_ancestors));
    response.headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Ends the session that the browser had before, so that whoever opens one link after another has one session. It would
/// end by itself, too.
async fn end_earlier(manage: &Manage, request: &Request) {
    let Cookie::Session(token) = Cookie::read(request.cookies()) else { return };
    let hash = token.hash();
    let ended = async {
        match manage.sessions.find(&hash).await? {
            Some(session) => manage.sessions.end(&hash, &session).await,
            None => Ok(()),
        }
    };
    if let Err(error) = ended.await {
        tracing::warn!(error = error.chain(), "session.earlier_not_ended");
    }
}

/// What a caller gives to begin a session.
enum Given<'a> {
    Link(&'a str),
    Key(&'a str),
}

async fn by_link(manage: &Manage, link: &str, hash: &KeyHash, now: Timestamp) -> Result<Session, Failure> {
    let refused = |fault: LinkFault| Failure::from(fault.problem());
    let token = Token::read(TokenOf::Link, link).ok_or_else(|| refused(LinkFault::Unknown))?.hash();
    let link = manage.sessions.find_link(&token).await?;
    if let Some(fault) = LinkFault::of(link.as_ref(), now) {
        return Err(refused(fault));
    }
    let link = link.ok_or_else(|| refused(LinkFault::Unknown))?;
    let session = Session::new(link.account.clone(), link.role, None, now);
    let begun = manage.sessions.begin(&manage.config, Entry::Link(&token, &link), (hash, &session), now);
    match begun.await? {
        Begun::Done => Ok(noted(session, link.id.as_str())),
        Begun::Refused(fault) => Err(refused(fault)),
        Begun::Revoked => Err(refused(LinkFault::Unknown)),
    }
}

async fn by_key(manage: &Manage, key: &str, hash: &KeyHash, now: Timestamp) -> Result<Session, Failure> {
    let unknown = || Failure::from(Problem::unauthorized("this key is not known, or was revoked"));
    let key = ApiKey::read(key).ok_or_else(unknown)?.hash();
    if key == manage.admin {
        return Err(Problem::forbidden("this is the admin key; an account's key is needed").into());
    }
    let (account, id) = manage.config.find_key_with_id(&key).await?.ok_or_else(unknown)?;
    let session = Session::new(account, Role::Change, Some(id.clone()), now);
    match manage.sessions.begin(&manage.config, Entry::Key(&key), (hash, &session), now).await? {
        Begun::Done => Ok(noted(session, id.as_str())),
        Begun::Refused(_) | Begun::Revoked => Err(unknown()),
    }
}

/// Notes in the log what began a session: the id of a link or of a key.
fn noted(session: Session, by: &str) -> Session {
    tracing::info!(account = session.account.as_str(), role = session.role.as_str(), by, "session.begun");
    session
}

/// Read the session
///
/// Says who is signed in, and gives the value of the header `carteiro-csrf`, which every request by this cookie needs
/// that is no GET.
#[utoipa::path(
    get,
    path = "/console/session",
    operation_id = "getSession",
    tag = "console",
    security(("session" = [])),
    responses(
        (status = 200, description = "The session.", body = SessionView, example = json!(examples::session())),
        (status = 401, response = refusals::SessionEnded),
        (status = 403, response = refusals::SessionForbidden),
    ),
)]
pub(crate) async fn read(manage: &Manage, request: &Request, clock: InvocationClock) -> Response {
    let entered = Entered::of(manage, request, clock).await?;
    parameters::refuse_unknown(request)?;
    let mut response = json(200, &view(manage, &entered.token, &entered.session).await?);
    response.headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Sign out of the console
///
/// Ends the session, and removes its cookie. The header `carteiro-csrf` is needed.
#[utoipa::path(
    delete,
    path = "/console/session",
    operation_id = "endSession",
    tag = "console",
    security(("session" = [])),
    responses(
        (status = 204, description = "It has ended."),
        (status = 401, response = refusals::SessionEnded),
        (status = 403, response = refusals::SessionForbidden),
    ),
)]
pub(crate) async fn end(manage: &Manage, request: &Request, clock: InvocationClock) -> Response {
    let entered = Entered::of(manage, request, clock).await?;
    parameters::refuse_unknown(request)?;
    entered.unforged(request)?;
    manage.sessions.end(&entered.token.hash(), &entered.session).await?;
    let mut response: ApiGatewayV2httpResponse = empty(204);
    response.cookies.extend(Cookie::ended());
    Ok(response)
}

async fn view(manage: &Manage, token: &Token, session: &Session) -> Result<SessionView, Failure> {
    let account = manage.config.find_account(&session.account).await?.ok_or_else(ended)?;
    Ok(SessionView {
        account: NamedAccount { id: account.id, name: account.name },
        role: session.role,
        csrf: token.csrf(),
        expires_at: session.ends_at,
    })
}

/// A session that a request's cookie names, and that has not ended.
pub(crate) struct Entered {
    token: Token,
    pub(crate) session: Session,
}

impl Entered {
    /// Whether a request says who calls by a cookie: it has one, and no key, which goes first.
    pub(crate) fn is_meant(request: &Request) -> bool {
        request.header("authorization").is_none() && Cookie::read(request.cookies()) != Cookie::None
    }

    /// Finds the session of a request, and keeps it from its idle end where somebody's act caused the request.
    pub(crate) async fn of(
        manage: &Manage,
        request: &Request,
        clock: InvocationClock,
    ) -> Result<Self, Failure> {
        let Cookie::Session(token) = Cookie::read(request.cookies()) else { return Err(ended().into()) };
        of_own_page(manage, request)?;
        let (hash, now) = (token.hash(), clock.now());
        let session = manage.sessions.find(&hash).await?.filter(|session| session.is_open(now));
        let session = session.ok_or_else(ended)?;
        if is_act(method(request), request.header(ACT_HEADER).as_deref())
            && let Some(touch) = session.touch(now)
            && let Err(error) = manage.sessions.touch(&hash, &touch).await
        {
            // The request is good all the same; the next act moves the end.
            tracing::warn!(error = error.chain(), "session.not_kept");
        }
        Ok(Self { token, session })
    }

    /// Makes sure that the session may make the request.
    pub(crate) fn may(&self, request: &Request) -> Result<(), Failure> {
        let method = method(request);
        if changes(method) {
            self.unforged(request)?;
        } else if request.header(CSRF_HEADER).is_some_and(|given| !self.token.is_csrf(&given)) {
            // Its page knows another session: another tab has signed in since, perhaps to another account.
            return Err(ended().into());
        }
        if self.session.role.allows(method) {
            Ok(())
        } else {
            Err(Problem::look_only("this session may look, and not change anything").into())
        }
    }

    /// Makes sure that the request has the header that the console's own page alone can send.
    fn unforged(&self, request: &Request) -> Result<(), Failure> {
        match request.header(CSRF_HEADER) {
            Some(given) if self.token.is_csrf(&given) => Ok(()),
            _ => Err(Problem::csrf(
                "a change by cookie needs the header carteiro-csrf with the session's value",
            )
            .into()),
        }
    }
}

/// Makes sure that no other site caused a request, as far as the browser says.
fn of_own_page(manage: &Manage, request: &Request) -> Result<(), Failure> {
    let [site, origin, host] = ["sec-fetch-site", "origin", "host"].map(|name| request.header(name));
    let caused = CausedBy { site: site.as_deref(), origin: origin.as_deref(), host: host.as_deref() };
    if caused.is_own_page(method(request), &manage.own_hosts) {
        Ok(())
    } else {
        Err(Problem::cross_site("another site caused this request").into())
    }
}

fn method(request: &Request) -> &str {
    request.route().split(' ').next().unwrap_or_default()
}

fn ended() -> Problem {
    Problem::session_ended("there is no session, or it has ended; sign in again")
}
