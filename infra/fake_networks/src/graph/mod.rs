//! Meta's Graph API: nodes with fields, edges with pages, and what both networks of it share.
//!
//! Sources: developers.facebook.com/docs/graph-api (overview, paginated results, error handling, rate limiting), v27.0.
//! Any version is answered, and none. Ads are those of
//! developers.facebook.com/docs/marketing-api/reference/ad-account/ads.
//!
//! Chosen where the documentation leaves it open: limits above an edge's most are answered with the most; `ratings`,
//! `tagged`, `media`, `stories` and `tags` are newest first; only `feed` and `comments` apply `since` and `until`;
//! `replies` that are expanded and empty are left out.

mod fields;
mod inspection;
mod refusal;

use carteiro_networks::network::Network;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::limit::{Usage, Used};
use crate::listing::{Order, Place, part};
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::thing::{Author, Kind, Published};
use crate::token::{Bearer, Holder, Login, Role};

pub(crate) use fields::Field;
pub(crate) use refusal::Refusal;

/// A conversation with one person.
#[derive(Clone)]
pub(crate) struct Thread<'a> {
    pub(crate) id: String,
    pub(crate) with: &'a Author,
    /// Oldest first; never empty.
    pub(crate) messages: Vec<&'a Published>,
}

impl Thread<'_> {
    fn place(&self) -> Place {
        self.messages
            .iter()
            .map(|message| Place(message.at_ms, message.sequence))
            .max()
            .unwrap_or(Place(0, 0))
    }

    pub(crate) fn updated_ms(&self) -> u64 {
        self.place().0
    }
}

/// What has fields and edges.
#[derive(Clone)]
pub(crate) enum Node<'a> {
    /// The holder of the token, where it is no page of ours itself: the Facebook page of an Instagram account.
    Owner,
    /// The page or account.
    Page,
    Thing(&'a Published),
    Thread(Thread<'a>),
    /// An ad account, which is not the page's alone.
    AdAccount(String),
}

/// A list of nodes.
pub(crate) struct Edge<'a> {
    /// The permission that it takes.
    pub(crate) permission: &'static str,
    pub(crate) elements: Vec<(Place, Node<'a>)>,
    pub(crate) order: Order,
    pub(crate) most: usize,
    /// Whether `since` and `until` have an effect.
    pub(crate) by_time: bool,
}

impl<'a> Edge<'a> {
    pub(crate) fn of(
        permission: &'static str,
        order: Order,
        things: impl IntoIterator<Item = &'a Published>,
    ) -> Self {
        let node = |thing: &'a Published| (Place(thing.at_ms, thing.sequence), Node::Thing(thing));
        let elements = things.into_iter().map(node).collect();
        Self { permission, elements, order, most: 100, by_time: false }
    }

    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    pub(crate) fn by_time(self) -> Self {
        Self { by_time: true, ..self }
    }
}

/// What differs between the two networks of the Graph API.
pub(crate) trait Shape: Sync {
    /// A field of a node: Ok(None) where it is known and empty, and an error where there is no such field. Fields that
    /// are edges are not asked of it.
    fn field(&self, graph: &Graph<'_>, node: &Node<'_>, field: &Field) -> Result<Option<Value>, Refusal>;

    /// An edge of a node, and None where there is no such edge.
    fn edge<'a>(
        &self,
        graph: &Graph<'a>,
        node: &Node<'a>,
        name: &str,
        how: &Arguments<'_>,
    ) -> Option<Edge<'a>>;

    /// The fields of a node where none are asked for.
    fn usual_fields(&self, node: &Node<'_>) -> &'static str;

    /// The name of a node's type in errors.
    fn type_name(&self, node: &Node<'_>) -> &'static str;

    /// The permission that it takes to see a node by its id.
    fn permission(&self, graph: &Graph<'_>, node: &Node<'_>) -> &'static str;

    /// Whether the holder of a token is `me` by itself (and else its owner is).
    fn me_is_the_page(&self, holder: &Holder) -> bool;

    /// Whether tokens of this login are taken at the address that was called.
    fn takes(&self, login: Login, at_token_address: bool) -> bool;

    /// The refusal at the page's limit, and the limit's name in headers.
    fn limit(&self) -> (u32, &'static str);

    /// What of the platform's conversations is listed.
    fn platform(&self) -> &'static str;

    /// A conversation's id.
    fn thread_id(&self, page: &str, with: &str) -> String;

    /// All permissions of a page's token.
    fn permissions(&self, login: Login) -> &'static [&'static str];
}

/// The permission that it takes to list ads.
pub(crate) const ADS: &str = "ads_read";

/// A field of an ad. `creative` says what the ad shows: with these members.
pub(crate) fn of_ad(ad: &Published, name: &str, creative: &Value) -> Option<Option<Value>> {
    Some(Some(match name {
        "id" => ad.id.clone().into(),
        "name" => ad.text.clone().into(),
        "effective_status" => "ACTIVE".into(),
        "created_time" | "updated_time" => time(ad.at_ms).into(),
        "creative" => creative.clone(),
        _ => return None,
    }))
}

/// How a list is asked for: the query's parameters, or a field's arguments.
pub(crate) struct Arguments<'a>(&'a dyn Fn(&str) -> Option<&'a str>);

impl<'a> Arguments<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        (self.0)(name)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let refuse = |_| Refusal::parameter(&format!("param {name} must be a non-negative integer"));
        self.get(name).map(|text| text.parse().map_err(refuse)).transpose()
    }
}

/// One call, with a good token.
pub(crate) struct Graph<'a> {
    pub(crate) shape: &'a dyn Shape,
    pub(crate) shelf: &'a Shelf,
    pub(crate) holder: &'a Holder,
    request: &'a Request,
    token: &'a str,
    /// As it stands in the path, with its slash.
    version: String,
}

/// The path without its version.
fn below_version(request: &Request) -> (Option<&str>, &[String]) {
    let is_version = |one: &&String| one.strip_prefix('v').is_some_and(|rest| rest.parse::<f32>().is_ok());
    match request.segments.split_first() {
        Some((version, rest)) if is_version(&version) => (Some(version), rest),
        _ => (None, &request.segments),
    }
}

/// What a call asks for, in one word.
pub(crate) fn kind(request: &Request) -> String {
    match below_version(request).1 {
        [] => "nothing".to_owned(),
        [one] if one == "me" || one == "debug_token" || one == "refresh_access_token" => one.clone(),
        [_] => {
            let fields = request.query("fields").unwrap_or_default();
            let mentioned =
                ["mentioned_comment", "mentioned_media"].into_iter().find(|name| fields.starts_with(name));
            mentioned.unwrap_or("object").to_owned()
        }
        [_, edge, ..] => edge.clone(),
    }
}

/// The answer to a call.
pub(crate) fn answer(shape: &dyn Shape, shelf: &mut Shelf, request: &Request) -> Reply {
    let trace = refusal::trace(request);
    shelf.usage.retain(|_, used| request.now_ms < used.until_ms);
    match below_version(request).1 {
        _ if request.method != http::Method::GET => {
            let said = format!("Unsupported {} request.", request.method.as_str().to_ascii_lowercase());
            return Refusal::new(400, 100, said).reply(&trace);
        }
        [only] if only == "debug_token" => return inspection::answer(shape, shelf, request, &trace),
        [only] if only == "refresh_access_token" => {
            return inspection::refresh(shape, shelf, request)
                .unwrap_or_else(|refusal| refusal.reply(&trace));
        }
        _ => {}
    }
    let (token, holder) = match holder(shape, shelf, request) {
        Ok(found) => found,
        Err(refusal) => return refusal.reply(&trace),
    };
    if let Some(refusal) = unproven(shelf, request, &token) {
        return refusal.reply(&trace);
    }
    let page = shelf.tokens.page_of(&token).unwrap_or_default();
    let (limited, over_limit) = spent(shape, shelf, &page);
    let answered = match limited {
        Some(refusal) => Err(refusal),
        None => {
            let version = below_version(request).0.map_or_else(String::new, |version| format!("/{version}"));
            Graph { shape, shelf, holder: &holder, request, token: &token, version }.read()
        }
    };
    let reply = match answered {
        Ok(value) => Reply::json(200, &value),
        Err(refusal) => refusal.reply(&trace),
    };
    with_usage(shape, shelf, &page, request, reply).over_limit(over_limit)
}

/// The refusal of a call that is not proven with the app's secret, or wrongly.
fn unproven(shelf: &Shelf, request: &Request, token: &str) -> Option<Refusal> {
    let (secret, is_required) = shelf.app_secret.as_ref()?;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let code = ring::hmac::sign(&key, token.as_bytes());
    let right: String = code.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    match request.query("appsecret_proof") {
        Some(proof) if proof == right => None,
        Some(_) => Some(Refusal::wrong_proof()),
        None => is_required.then(Refusal::no_proof),
    }
}

/// How the network says that a limit is spent, from now on until then.
pub(crate) fn limited(shape: &dyn Shape, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply {
    let page = request.token().and_then(|token| shelf.tokens.page_of(token)).unwrap_or_default();
    let minutes = until_ms.saturating_sub(request.now_ms).div_ceil(60_000);
    let usage = Usage::percent(100).regained_after(minutes);
    let before = shelf.usage.insert(page.clone(), Used { usage, until_ms, told: true });
    let over = before.is_some_and(|before| before.told && before.usage.percent >= 100);
    let reply = Refusal::limit(shape.limit().0).reply(&refusal::trace(request));
    with_usage(shape, shelf, &page, request, reply).over_limit(over)
}

/// How the network says that it failed.
pub(crate) fn unavailable(status: u16) -> Reply {
    match status {
        // What stands before the API answers these, and knows no JSON.
        502 | 504 => Reply::typed(
            status,
            "text/html; charset=utf-8",
            "<html><body>Sorry, something went wrong.</body></html>",
        ),
        _ => Refusal::failure(status).reply("Aunavailable"),
    }
}

/// The token and whose it is.
fn holder(shape: &dyn Shape, shelf: &Shelf, request: &Request) -> Result<(String, Holder), Refusal> {
    let token = request.bearer().or_else(|| request.query("access_token")).ok_or_else(Refusal::no_token)?;
    match shelf.tokens.bearer(token, Role::Access, request.now_ms) {
        Bearer::Good(holder) if shape.takes(holder.login, request.to_token_address) => {
            Ok((token.to_owned(), holder))
        }
        Bearer::Good(_) | Bearer::Unknown => Err(Refusal::unknown_token()),
        Bearer::Expired(since_ms) => Err(Refusal::expired(since_ms, request.now_ms)),
        Bearer::Revoked => Err(Refusal::revoked()),
    }
}

/// The refusal where a limit is spent, and whether that had been said before.
fn spent(shape: &dyn Shape, shelf: &mut Shelf, page: &str) -> (Option<Refusal>, bool) {
    for (whose, code) in [("", 4), (page, shape.limit().0)] {
        let Some(used) = shelf.usage.get_mut(whose).filter(|used| used.usage.percent >= 100) else {
            continue;
        };
        let was_told = std::mem::replace(&mut used.told, true);
        if was_told {
            // "Continuing to make calls will continue to increase your call count" (and the time).
            used.until_ms += 60_000;
        }
        return (Some(Refusal::limit(used.usage.code.unwrap_or(code))), was_told);
    }
    (None, false)
}

/// The answer with the headers that say how much of the limits is used.
fn with_usage(shape: &dyn Shape, shelf: &Shelf, page: &str, request: &Request, reply: Reply) -> Reply {
    let used = |whose: &str| {
        let used = shelf.usage.get(whose);
        let minutes = |used: &Used| used.until_ms.saturating_sub(request.now_ms).div_ceil(60_000);
        let regain = used.filter(|used| used.usage.percent >= 100).map_or(0, minutes);
        (used.map_or(1, |used| used.usage.percent), regain)
    };
    let (app, _) = used("");
    let (percent, regain) = used(page);
    let of_page = json!({page: [{
        "type": shape.limit().1, "call_count": percent, "total_cputime": percent / 2, "total_time": percent / 2,
        "estimated_time_to_regain_access": regain,
    }]});
    let of_app = json!({"call_count": app, "total_time": app / 2, "total_cputime": app / 2});
    let version = below_version(request).0.unwrap_or("v27.0");
    reply
        .with("x-app-usage", &of_app)
        .with("x-business-use-case-usage", &of_page)
        .with("facebook-api-version", version)
}

impl<'a> Graph<'a> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.request.now_ms
    }

    /// The answer's body.
    fn read(&self) -> Result<Value, Refusal> {
        let (id, edge) = match below_version(self.request).1 {
            [] => return Err(Refusal::new(400, 2500, "Unsupported get request.")),
            [id] => (id, None),
            [id, edge] => (id, Some(edge)),
            [_, rest @ ..] => return Err(Refusal::unknown_path(&rest.join("/"))),
        };
        let query = |name: &str| self.request.query(name);
        let Some(edge) = edge else {
            let node = self.node(id)?;
            self.allowed(self.shape.permission(self, &node))?;
            return self.render(&node, query("fields"));
        };
        let node = match self.node(id) {
            // Whose token is not the page's is answered that there are no comments, and not that it is not allowed.
            Err(_)
                if edge == "comments" && self.shelf.network == Network::Facebook && self.is_anothers(id) =>
            {
                return Ok(json!({"data": []}));
            }
            Err(_) if self.shelf.pages.contains_key(id) => {
                return Err(Refusal::permission(self.shape.permissions(self.holder.login)[0]));
            }
            node => node?,
        };
        let list = self.list(&node, edge, &Arguments(&query), query("fields"))?;
        list.ok_or_else(|| Refusal::unknown_path(edge))
    }

    fn is_anothers(&self, id: &str) -> bool {
        self.shelf.present(id, self.now_ms()).is_some_and(|thing| thing.page != self.holder.id)
    }

    pub(crate) fn allowed(&self, permission: &str) -> Result<(), Refusal> {
        if self.holder.may(permission) { Ok(()) } else { Err(Refusal::permission(permission)) }
    }

    fn node(&self, id: &str) -> Result<Node<'a>, Refusal> {
        if id == "me" {
            return Ok(if self.shape.me_is_the_page(self.holder) { Node::Page } else { Node::Owner });
        }
        if id == self.holder.id {
            return Ok(Node::Page);
        }
        if id.starts_with("act_") && !self.request.to_token_address {
            return Ok(Node::AdAccount(id.to_owned()));
        }
        let thing = self.shelf.present(id, self.now_ms()).filter(|thing| thing.page == self.holder.id);
        let thread = || self.threads().into_iter().find(|thread| thread.id == id);
        let node = thing.map(Node::Thing).or_else(|| thread().map(Node::Thread));
        let is_alias = !id.contains(|c: char| c.is_ascii_digit());
        node.ok_or_else(|| if is_alias { Refusal::no_alias(id) } else { Refusal::gone(id) })
    }

    /// All conversations of the page.
    fn threads(&self) -> Vec<Thread<'a>> {
        let mut threads: Vec<Thread<'a>> = Vec::new();
        let messages = self.shelf.listed_of(&self.holder.id, self.now_ms());
        for message in messages.filter(|thing| thing.kind == Kind::DirectMessage) {
            let Some(with) = message.counterpart() else { continue };
            let id = self.shape.thread_id(&self.holder.id, &with.id);
            match threads.iter_mut().find(|thread| thread.id == id) {
                Some(thread) => thread.messages.push(message),
                None => threads.push(Thread { id, with, messages: vec![message] }),
            }
        }
        threads
    }

    /// The edge of an ad account's ads, of those with a status that is asked for.
    pub(crate) fn ads(&self, account: &str, how: &Arguments<'_>) -> Edge<'a> {
        let asked =
            how.get("effective_status").and_then(|asked| serde_json::from_str::<Vec<String>>(asked).ok());
        let status = |ad: &Published| {
            ad.members.get("effective_status").and_then(Value::as_str).unwrap_or("ACTIVE").to_owned()
        };
        let ads = self.shelf.ads_of(account.to_owned(), self.now_ms());
        let ads = ads.filter(|ad| asked.as_ref().is_none_or(|asked| asked.contains(&status(ad))));
        Edge::of(ADS, Order::NewestFirst, ads)
    }

    /// The edge of conversations.
    pub(crate) fn conversations(&self, permission: &'static str, how: &Arguments<'_>) -> Edge<'a> {
        let fits = how.get("platform").unwrap_or("messenger").eq_ignore_ascii_case(self.shape.platform());
        let threads = if fits { self.threads() } else { Vec::new() };
        let elements = threads.into_iter().map(|thread| (thread.place(), Node::Thread(thread))).collect();
        Edge { permission, elements, order: Order::NewestFirst, most: 100, by_time: false }
    }

    /// An edge as it is answered; None where there is no such edge.
    fn list(
        &self,
        node: &Node<'a>,
        name: &str,
        how: &Arguments<'_>,
        fields: Option<&str>,
    ) -> Result<Option<Value>, Refusal> {
        let Some(edge) = self.shape.edge(self, node, name, how) else { return Ok(None) };
        self.allowed(edge.permission)?;
        let (since, until) = (how.number("since")?, how.number("until")?);
        let in_time = |place: &Place| {
            let at = place.0 / 1000;
            !edge.by_time || since.is_none_or(|since| at >= since) && until.is_none_or(|until| at <= until)
        };
        let elements: Vec<_> = edge.elements.into_iter().filter(|(place, _)| in_time(place)).collect();
        let total = elements.len();
        let asked = how.number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let size = self.shelf.size(asked, 25, edge.most);
        let list_name = format!("{}/{name}", self.id_of(node));
        let cut = part(&list_name, elements, edge.order, how.get("after"), size)
            .map_err(|_| Refusal::parameter("Invalid parameter: the cursor is invalid"))?;
        let rendered: Result<Vec<_>, _> = cut.elements.iter().map(|node| self.render(node, fields)).collect();
        let mut list = json!({ "data": rendered? });
        if let (Some(before), Some(after)) = (&cut.before, &cut.after) {
            list["paging"] = json!({"cursors": {"before": before, "after": after}});
            if cut.more {
                list["paging"]["next"] = self.link(&list_name, how, fields, size, ("after", after)).into();
            }
            if how.get("after").is_some() {
                list["paging"]["previous"] =
                    self.link(&list_name, how, fields, size, ("before", before)).into();
            }
        }
        if let Some(summary) = how.get("summary") {
            let mut members = Map::from_iter([("total_count".to_owned(), total.into())]);
            if summary != "total_count" {
                members.insert("order".to_owned(), "chronological".into());
                members.insert("can_comment".to_owned(), true.into());
            }
            list["summary"] = members.into();
        }
        Ok(Some(list))
    }

    /// A link to another part of a list. The real ones have the token in them, too.
    fn link(
        &self,
        list: &str,
        how: &Arguments<'_>,
        fields: Option<&str>,
        size: usize,
        (name, cursor): (&str, &str),
    ) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("access_token", self.token).append_pair("pretty", "0");
        for kept in ["filter", "order", "platform", "since", "until", "summary"] {
            if let Some(value) = how.get(kept) {
                query.append_pair(kept, value);
            }
        }
        if let Some(fields) = fields {
            query.append_pair("fields", fields);
        }
        query.append_pair("limit", &size.to_string()).append_pair(name, cursor);
        format!("{}{}/{list}?{}", self.shelf.url, self.version, query.finish())
    }

    pub(crate) fn id_of(&self, node: &Node<'_>) -> String {
        match node {
            Node::Owner => self.owner_id(),
            Node::Page => self.holder.id.clone(),
            Node::Thing(thing) => thing.id.clone(),
            Node::Thread(thread) => thread.id.clone(),
            Node::AdAccount(id) => id.clone(),
        }
    }

    /// The id of the Facebook page of an Instagram account.
    pub(crate) fn owner_id(&self) -> String {
        format!("9{}", self.holder.id)
    }

    pub(crate) fn page_name(&self) -> String {
        let page = self.shelf.pages.get(&self.holder.id);
        page.map_or_else(|| format!("User {}", self.holder.id), |page| page.name.clone())
    }

    /// Who did something, with the page for none.
    pub(crate) fn author(&self, of: &Published) -> Author {
        let page = || Author { id: self.holder.id.clone(), name: self.page_name() };
        of.author.clone().unwrap_or_else(page)
    }

    /// A node with the fields that were asked for.
    pub(crate) fn render(&self, node: &Node<'a>, fields: Option<&str>) -> Result<Value, Refusal> {
        let fields = fields.filter(|fields| !fields.is_empty());
        let fields = fields.unwrap_or_else(|| self.shape.usual_fields(node));
        let fields = fields::parse(fields).map_err(|broken| Refusal::syntax(broken.0))?;
        let mut rendered = Map::new();
        for field in &fields {
            if let Some(value) = self.field(node, field)? {
                rendered.insert(field.name.clone(), value);
            }
        }
        // A recommendation has no id of its own; all else tells it, asked for or not.
        if !matches!(node, Node::Thing(thing) if thing.kind == Kind::Review) {
            let id = Field { name: "id".to_owned(), arguments: Vec::new(), inner: None };
            if let Some(id) = self.field(node, &id)? {
                rendered.entry("id").or_insert(id);
            }
        }
        Ok(rendered.into())
    }

    fn field(&self, node: &Node<'a>, field: &Field) -> Result<Option<Value>, Refusal> {
        let own = if let Node::Thing(thing) = node { thing.members.get(&field.name) } else { None };
        if let Some(value) = own {
            return project(value, field.inner.as_deref()).map(Some);
        }
        let argument = |name: &str| field.argument(name);
        if let Some(list) = self.list(node, &field.name, &Arguments(&argument), field.inner.as_deref())? {
            let is_empty = list["data"].as_array().is_some_and(Vec::is_empty);
            return Ok((!is_empty || list.get("summary").is_some()).then_some(list));
        }
        match self.shape.field(self, node, field)? {
            Some(value) => project(&value, field.inner.as_deref()).map(Some),
            None => Ok(None),
        }
    }
}

/// An object's members that were asked for, where it says which; of a list, those of each element.
fn project(value: &Value, inner: Option<&str>) -> Result<Value, Refusal> {
    let Some(inner) = inner else { return Ok(value.clone()) };
    let fields = fields::parse(inner).map_err(|broken| Refusal::syntax(broken.0))?;
    if let Some(data) = value.get("data").and_then(Value::as_array) {
        let each: Result<Vec<_>, _> = data.iter().map(|one| project(one, Some(inner))).collect();
        return Ok(json!({ "data": each? }));
    }
    let mut members = Map::new();
    for field in &fields {
        if let Some(member) = value.get(&field.name) {
            members.insert(field.name.clone(), project(member, field.inner.as_deref())?);
        }
    }
    Ok(members.into())
}

/// A time as the graph writes it.
pub(crate) fn time(ms: u64) -> String {
    crate::timestamp(ms).strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}
