//! LinkedIn's company pages, `/rest/…`: `posts?q=author`, `socialActions/{urn}/comments`,
//! `organizationalEntityNotifications?q=criteria`, `organizationAcls?q=roleAssignee`, and the address of tokens.
//!
//! A [`Post`](Kind::Post) is the company's; a [`Comment`](Kind::Comment) is on one, a [`Reply`](Kind::Reply) is below a
//! comment, at whatever it is directed; a [`Mention`](Kind::Mention) is another's post that names the company, or, with
//! a parent, shares that post. Members stand in the post's or the comment's JSON; two have more effect: a post of
//! another `visibility` than `PUBLIC` has no notifications, and a `decoratedGeneratedActivity` takes the place of that
//! of the comment's notifications (null: they say nothing of it).
//!
//! `eventSubscriptions` are made and answered by their key; what is pushed to them is in the module `hub`. `GET
//! socialActions/{urn}/comments/{id}` answers one comment.
//!
//! A token of a member that lacks `ADMINISTRATOR` is a recruiting poster's, who is answered empty lists; one that lacks
//! anything else is refused.
//!
//! Chosen where the documentation leaves it open: comments and notifications are newest first; lists of posts and roles
//! say how many there are in all, the others do not; all calls count for the limits of the member and the app together
//! (LinkedIn counts each resource by itself, and does not publish the numbers).
//!
//! Sources: learn.microsoft.com/linkedin (posts, comments, organization-social-action-notifications,
//! organization-access-control-by-role, versioning, error-handling, rate-limits, programmatic-refresh-tokens);
//! a captured notification. Codes and words of errors are partly from memory.

mod notifications;
mod refusal;
mod render;

use serde_json::{Value, json};

use crate::hub::Subscription;
use crate::limit::LimitOf;
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::shelf::{Api, Draft};
use crate::thing::{Kind, Published};
use crate::token::{Bearer, Holder, Role};
use refusal::Refusal;
use render::Render;

/// Calls a day in the development tier: of a member, of the app.
const OF_MEMBER: u64 = 100;
const OF_APP: u64 = 500;
const DAY_MS: u64 = 24 * 3_600_000;
/// How long a refresh token lasts: from the first grant, whatever is done with it.
const REFRESH_MS: u64 = 365 * DAY_MS;
/// How long a subscription lasts: as long as an access token.
const SUBSCRIBED_MS: u64 = 60 * DAY_MS;
const SUBSCRIPTIONS: &str = "eventSubscriptions";
/// For how many months a version is there.
const VERSION_MONTHS: i32 = 12;

pub(crate) struct Linkedin;

impl Api for Linkedin {
    fn lasts_seconds(&self) -> Option<u64> {
        Some(60 * 24 * 3600)
    }

    fn kind(&self, request: &Request) -> String {
        if request.to_token_address {
            return "token".to_owned();
        }
        match request.segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["rest", SUBSCRIPTIONS, _] => SUBSCRIPTIONS.to_owned(),
            ["rest", "socialActions", _, "comments", _] => "comment".to_owned(),
            segments => segments.last().map(|last| (*last).to_owned()).unwrap_or_default(),
        }
    }

    fn answer(&self, shelf: &mut Shelf, request: &Request) -> Reply {
        if request.to_token_address {
            return token(shelf, request).unwrap_or_else(|refused| refused);
        }
        let status = if request.method == http::Method::PUT { 201 } else { 200 };
        read(shelf, request).map_or_else(|refusal| refusal.reply(), |body| Reply::json(status, &body))
    }

    fn unavailable(&self, status: u16) -> Reply {
        Refusal::failure(status).reply()
    }

    fn limited(&self, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply {
        let was_spent = !shelf.spend(LimitOf::App, "", "", request.now_ms, until_ms);
        // LinkedIn's own limits end at midnight and say nothing of it; one that a test plans for a time has to say it.
        let wait = until_ms.saturating_sub(request.now_ms).div_ceil(1000);
        Refusal::limit("APPLICATION").reply().with("retry-after", &wait).over_limit(was_spent)
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Post, Kind::Comment, Kind::Reply, Kind::Mention]
    }

    fn id(&self, draft: &Draft<'_>) -> String {
        // A post and its activity have numbers of their own.
        let number = 7_100_000_000_000_000_000 + draft.sequence * 2;
        match (draft.thing.kind, draft.root) {
            (Kind::Comment | Kind::Reply, Some(post)) => comment_urn(post, number),
            _ => format!("urn:li:share:{number}"),
        }
    }
}

fn comment_urn(post: &str, number: u64) -> String {
    format!("urn:li:comment:({},{number})", activity(post))
}

/// The URN of a post's activity.
fn activity(post: &str) -> String {
    let number: u64 = post.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    format!("urn:li:activity:{}", number + 1)
}

/// The company's number in a URN.
fn organization(urn: &str) -> Option<&str> {
    urn.strip_prefix("urn:li:organization:")
}

fn midnight_utc(now_ms: u64) -> u64 {
    (now_ms / DAY_MS + 1) * DAY_MS
}

/// A call's body; an error is a refusal.
fn read(shelf: &mut Shelf, request: &Request) -> Result<Value, Refusal> {
    let holder = holder(shelf, request)?;
    let ends_ms = midnight_utc(request.now_ms);
    for (of, most, whose) in [(LimitOf::Page, OF_MEMBER, "MEMBER"), (LimitOf::App, OF_APP, "APPLICATION")] {
        if shelf.take(of, "", &holder.id, most, 1, request.now_ms, ends_ms).1.over {
            return Err(Refusal::limit(whose).over());
        }
    }
    versioned(request)?;
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    if let ["rest", SUBSCRIPTIONS, key] = segments.as_slice() {
        return subscription(shelf, request, &holder, key);
    }
    let view = View { shelf, holder: &holder, request };
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["rest", "organizationAcls"]) => view.roles(),
        ("GET", ["rest", "posts"]) => view.posts(),
        ("GET", ["rest", "socialActions", on, "comments"]) => view.comments(on),
        ("GET", ["rest", "socialActions", on, "comments", id]) => view.one_comment(on, id),
        ("GET", ["rest", "organizationalEntityNotifications"]) => view.notifications(),
        _ => Err(Refusal::no_resource(&request.path)),
    }
}

/// Makes a subscription, or answers it: of an app, a member and a company, named in its key.
fn subscription(shelf: &mut Shelf, request: &Request, holder: &Holder, key: &str) -> Result<Value, Refusal> {
    let page = holder.id.clone();
    let of = |name: &str, urn: String| key.contains(&format!("{name}:{urn}"));
    let is_fit = key.starts_with("(developerApplication:urn:li:developerApplication:")
        && of("user", render::member_of(&page))
        && of("entity", format!("urn:li:organization:{page}"))
        && key.ends_with("eventType:ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS)");
    if holder.lacks.is_some() {
        return Err(Refusal::forbidden(SUBSCRIPTIONS));
    }
    let found = shelf.subscriptions.iter().find(|one| one.page == page && one.ends_ms > request.now_ms);
    match (request.method.as_str(), request.json["webhook"].as_str(), found) {
        ("PUT", Some(webhook), _) if is_fit => {
            let (callback, ends_ms) = (webhook.to_owned(), request.now_ms + SUBSCRIBED_MS);
            shelf.subscribe(Subscription { page, callback, secret: String::new(), ends_ms });
            Ok(json!({}))
        }
        ("GET", _, Some(one)) if is_fit => Ok(json!({"expiresAt": one.ends_ms, "webhook": one.callback})),
        ("GET", _, None) => Err(Refusal::not_found(key)),
        _ => Err(Refusal::illegal_argument("Invalid key or body of a subscription")),
    }
}

/// The notification of what happened to a thing last.
pub(crate) fn told_last(shelf: &Shelf, thing: &Published, now_ms: u64) -> Option<Value> {
    notifications::last(&Render { shelf, now_ms }, thing)
}

fn holder(shelf: &Shelf, request: &Request) -> Result<Holder, Refusal> {
    let token = request.bearer().filter(|token| !token.is_empty()).ok_or_else(Refusal::no_token)?;
    match shelf.tokens.bearer(token, Role::Access, request.now_ms) {
        Bearer::Good(holder) => Ok(holder),
        Bearer::Unknown => Err(Refusal::invalid_token()),
        Bearer::Expired(_) => Err(Refusal::expired_token()),
        Bearer::Revoked => Err(Refusal::revoked_token()),
    }
}

/// The versions of the last year are there, each named by its month, and the syntax of the second protocol.
fn versioned(request: &Request) -> Result<(), Refusal> {
    let version = request.header("linkedin-version").ok_or_else(Refusal::no_version)?;
    let month = |year: i32, month: i32| year * 12 + month - 1;
    let asked = (version.len() == 6).then(|| version.split_at(4));
    let asked = asked.and_then(|(year, of)| Some((year.parse::<i32>().ok()?, of.parse::<i32>().ok()?)));
    let asked = asked.filter(|(_, of)| (1..=12).contains(of)).map(|(year, of)| month(year, of));
    let today = crate::timestamp(request.now_ms).to_zoned(jiff::tz::TimeZone::UTC);
    let newest = month(i32::from(today.year()), i32::from(today.month()));
    if !asked.is_some_and(|asked| (newest - VERSION_MONTHS..=newest).contains(&asked)) {
        return Err(Refusal::withdrawn_version(version));
    }
    // What is not escaped would be read as the syntax around it.
    let is_key = request.path.starts_with("/rest/eventSubscriptions/(");
    let is_escaped = !request.raw_query.contains("urn:li:")
        && !request.path.contains("urn:li:")
        && (is_key || !request.path.contains(['(', ',', ')']));
    if request.header("x-restli-protocol-version") == Some("2.0.0") && is_escaped {
        Ok(())
    } else {
        Err(Refusal::illegal_argument("Invalid query parameters passed to request"))
    }
}

/// One call, with a good token.
struct View<'a> {
    shelf: &'a Shelf,
    holder: &'a Holder,
    request: &'a Request,
}

impl<'a> View<'a> {
    fn render(&self) -> Render<'a> {
        Render { shelf: self.shelf, now_ms: self.request.now_ms }
    }

    fn finder(&self, name: &str) -> Result<(), Refusal> {
        let method = self.request.header("x-restli-method");
        let is_finder = method.is_none_or(|method| method.eq_ignore_ascii_case("finder"));
        if is_finder && self.request.query("q") == Some(name) {
            return Ok(());
        }
        Err(Refusal::illegal_argument("No matching finder for the request"))
    }

    /// Whether the token's member sees anything of its company; a recruiting poster sees empty lists.
    fn sees(&self, page: &str, resource: &str) -> Result<bool, Refusal> {
        let is_poster = !self.holder.may("ADMINISTRATOR");
        if self.holder.id != page || self.holder.lacks.is_some() && !is_poster {
            return Err(Refusal::forbidden(resource));
        }
        Ok(!is_poster)
    }

    /// The part of a list from `start` on, `count` long.
    fn paged(&self, all: Vec<Value>, says_total: bool) -> Result<Value, Refusal> {
        let number = |name: &str, usual: usize| {
            let refuse = |_| Refusal::illegal_argument(&format!("Invalid value for parameter {name}"));
            self.request.query(name).map_or(Ok(usual), |text| text.parse::<usize>().map_err(refuse))
        };
        let (start, count) = (number("start", 0)?, number("count", 10)?);
        if count > 100 {
            return Err(Refusal::illegal_argument("Count should be at most 100"));
        }
        let (total, size) = (all.len(), self.shelf.size(Some(count), 10, 100));
        let elements: Vec<Value> = all.into_iter().skip(start).take(size).collect();
        let mut links = Vec::new();
        if start > 0 {
            links.push(self.link("prev", start.saturating_sub(size), size));
        }
        let end = start + elements.len();
        if end < total {
            links.push(self.link("next", end, size));
        }
        let mut paging = json!({"start": start, "count": size, "links": links});
        if says_total {
            paging["total"] = total.into();
        }
        Ok(json!({"elements": elements, "paging": paging}))
    }

    fn link(&self, rel: &str, start: usize, count: usize) -> Value {
        let part = format!("count={count}&start={start}");
        let is_kept =
            |pair: &&str| !pair.is_empty() && !pair.starts_with("start=") && !pair.starts_with("count=");
        let mut kept: Vec<&str> = self.request.raw_query.split('&').filter(is_kept).collect();
        kept.push(&part);
        json!({"type": "application/json", "rel": rel, "href": format!("{}?{}", self.request.path, kept.join("&"))})
    }

    fn roles(&self) -> Result<Value, Refusal> {
        self.finder("roleAssignee")?;
        if self.holder.lacks.as_deref().is_some_and(|lacks| lacks != "ADMINISTRATOR") {
            return Err(Refusal::forbidden("organizationAcls.FINDER-roleAssignee"));
        }
        let role = if self.holder.may("ADMINISTRATOR") { "ADMINISTRATOR" } else { "RECRUITING_POSTER" };
        let member = render::member_of(&self.holder.id);
        let acl = json!({
            "role": role, "organization": format!("urn:li:organization:{}", self.holder.id), "roleAssignee": member,
            "state": "APPROVED", "created": {"actor": member, "time": 0}, "lastModified": {"actor": member, "time": 0},
        });
        let fits = |name: &str, value: &str| self.request.query(name).is_none_or(|asked| asked == value);
        self.paged(if fits("role", role) && fits("state", "APPROVED") { vec![acl] } else { Vec::new() }, true)
    }

    fn posts(&self) -> Result<Value, Refusal> {
        self.finder("author")?;
        let page = self.request.query("author").and_then(organization);
        let page = page.ok_or_else(|| Refusal::illegal_argument("Author is not an organization"))?;
        let resource = "partnerApiPosts.FINDER-author";
        if !self.sees(page, resource)? {
            return self.paged(Vec::new(), true);
        }
        let by_change = match self.request.query("sortBy") {
            Some("LAST_MODIFIED") => true,
            None | Some("CREATED") => false,
            Some(_) => return Err(Refusal::illegal_argument("Invalid value for parameter sortBy")),
        };
        let posts = self.shelf.listed_of(page, self.request.now_ms).filter(|thing| thing.kind == Kind::Post);
        let mut posts: Vec<&Published> = posts.collect();
        let at_ms =
            |post: &Published| if by_change { post.edited_ms.unwrap_or(post.at_ms) } else { post.at_ms };
        posts.sort_by_key(|post| std::cmp::Reverse((at_ms(post), post.sequence)));
        self.paged(posts.into_iter().map(|post| self.render().post(post)).collect(), true)
    }

    /// What a URN is of: a post by itself or its activity, or a comment in either spelling.
    fn find(&self, urn: &str) -> Option<&'a Published> {
        let (shelf, now_ms) = (self.shelf, self.request.now_ms);
        let spelled_out = urn.strip_prefix("urn:li:comment:(").filter(|rest| !rest.starts_with("urn:"));
        let spelled_out = spelled_out.map(|rest| format!("urn:li:comment:(urn:li:{rest}"));
        let by_id = shelf.present(spelled_out.as_deref().unwrap_or(urn), now_ms);
        let by_activity = || {
            let posts = shelf.pages.keys().flat_map(|page| shelf.all_of(page));
            posts
                .filter(|post| post.kind == Kind::Post && post.is_there(now_ms))
                .find(|post| activity(&post.id) == urn)
        };
        by_id.or_else(by_activity)
    }

    fn comments(&self, urn: &str) -> Result<Value, Refusal> {
        let on = self.find(urn).ok_or_else(|| Refusal::not_found(urn))?;
        if !self.sees(&on.page, "socialActions.comments.GET_ALL")? {
            return self.paged(Vec::new(), false);
        }
        let mut below = match on.kind {
            Kind::Comment => self.render().replies(&on.id),
            Kind::Reply => Vec::new(),
            _ => self
                .shelf
                .listed_below(&on.id, self.request.now_ms)
                .filter(|one| one.kind == Kind::Comment)
                .collect(),
        };
        below.sort_by_key(|comment| std::cmp::Reverse((comment.at_ms, comment.sequence)));
        self.paged(below.into_iter().map(|comment| self.render().comment(comment)).collect(), false)
    }

    fn one_comment(&self, on: &str, id: &str) -> Result<Value, Refusal> {
        let urn = format!("urn:li:comment:({on},{id})");
        let comment = self.find(&urn).ok_or_else(|| Refusal::not_found(&urn))?;
        if !self.sees(&comment.page, "socialActions.comments.GET")? {
            return Err(Refusal::not_found(&urn));
        }
        Ok(self.render().comment(comment))
    }

    fn notifications(&self) -> Result<Value, Refusal> {
        self.finder("criteria")?;
        let page = self.request.query("organizationalEntity").and_then(organization);
        let page =
            page.ok_or_else(|| Refusal::illegal_argument("organizationalEntity is not an organization"))?;
        if !self.sees(page, "organizationalEntityNotifications.FINDER-criteria")? {
            return self.paged(Vec::new(), false);
        }
        let wanted = notifications::Wanted::of(self.request)?;
        self.paged(notifications::of(&self.render(), page, &wanted), false)
    }
}

/// The answer of the token address.
fn token(shelf: &mut Shelf, request: &Request) -> Result<Reply, Reply> {
    let refused = |status, error, description| refusal::oauth(status, error, description);
    let field = |name: &'static str| request.form(name).filter(|value| !value.is_empty());
    if request.method != http::Method::POST || field("grant_type") != Some("refresh_token") {
        let description = "A required parameter \"grant_type\" is missing or invalid";
        return Err(refused(400, "invalid_request", description));
    }
    let (Some(id), Some(secret)) = (field("client_id"), field("client_secret")) else {
        return Err(refused(400, "invalid_request", "A required parameter \"client_id\" is missing"));
    };
    if !shelf.is_client(id, Some(secret)) {
        return Err(refused(401, "invalid_client", "Client authentication failed"));
    }
    let refresh = field("refresh_token").unwrap_or_default();
    let ends_ms = shelf.tokens.get(refresh).map_or(0, |token| token.issued_ms + REFRESH_MS);
    let dead = || {
        let description = "The provided authorization grant or refresh token is invalid, expired or revoked.";
        refused(400, "invalid_grant", description).refusing_the_token()
    };
    let left_ms = ends_ms.checked_sub(request.now_ms).filter(|left| *left > 0).ok_or_else(dead)?;
    let access = shelf.new_access_token(refresh, "AQX", request.now_ms).ok_or_else(dead)?;
    let body = json!({
        "access_token": access, "expires_in": 5_184_000, "refresh_token": refresh,
        "refresh_token_expires_in": left_ms / 1000, "scope": "r_organization_social,rw_organization_admin",
    });
    Ok(Reply { units: 0, ..Reply::json(200, &body) })
}
