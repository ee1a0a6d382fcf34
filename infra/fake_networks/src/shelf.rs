//! All that one network knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carteiro_networks::network::Network;

use crate::NotDone;
use crate::assertion;
use crate::call::Call;
use crate::fault::Faults;
use crate::hub::Subscription;
use crate::limit::{LimitOf, Taken, Used, Windows};
use crate::request::{Reply, Request};
use crate::thing::{Kind, Published, Thing};
use crate::token::{Bearer, Connection, Login, Role, Token, TokenState, Tokens};

/// A page that was connected.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) name: String,
}

/// What an id is made of.
pub(crate) struct Draft<'a> {
    pub(crate) page: &'a str,
    pub(crate) thing: &'a Thing,
    /// What it is on in the end.
    pub(crate) root: Option<&'a str>,
    pub(crate) at_ms: u64,
    /// Different for each thing of a network.
    pub(crate) sequence: u64,
}

/// One network's API.
pub(crate) trait Api: Sync {
    /// What a call asks for, in one word: for the record, and for faults of such calls alone.
    fn kind(&self, request: &Request) -> String;

    /// The answer, after limits and tokens were checked.
    fn answer(&self, shelf: &mut Shelf, request: &Request) -> Reply;

    /// How the network says that it failed.
    fn unavailable(&self, status: u16) -> Reply;

    /// How it says that a limit is spent. The limit stays spent until then.
    fn limited(&self, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply;

    /// What can be published there.
    fn kinds(&self) -> &'static [Kind];

    /// A new thing's id.
    fn id(&self, draft: &Draft<'_>) -> String;

    /// How long an access token lasts, in seconds, that the network gives out for a refresh token.
    fn lasts_seconds(&self) -> Option<u64> {
        None
    }

    /// The id that a thing has after an edit, where that is another.
    fn edited_id(&self, _thing: &Published, _now_ms: u64) -> Option<String> {
        None
    }
}

/// All that one network knows.
pub(crate) struct Shelf {
    pub(crate) api: &'static dyn Api,
    pub(crate) network: Network,
    /// The stand-in's own address, with the network's path.
    pub(crate) url: String,
    pub(crate) pages: BTreeMap<String, Page>,
    pub(crate) tokens: Tokens,
    /// What service accounts signed.
    pub(crate) assertions: BTreeSet<String>,
    /// The apps that may ask for tokens, with their secrets; where there is none, any may.
    pub(crate) clients: Vec<(String, String)>,
    /// The secret of the app that Meta's tokens are of, where that is known, and whether calls must be proven with it.
    pub(crate) app_secret: Option<(String, bool)>,
    windows: Windows,
    /// Limits that are not the network's own: of whom, and of which kind of call.
    pub(crate) limits: HashMap<(LimitOf, String), u64>,
    /// Meta's usage: of pages, and of the app under an empty name.
    pub(crate) usage: HashMap<String, Used>,
    pub(crate) faults: Faults,
    pub(crate) calls: Vec<Call>,
    /// The most elements of one answer.
    pub(crate) cap: Option<usize>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// The same of calls of a kind.
    pub(crate) caps: HashMap<String, usize>,
    /// How late lists show things of a kind, or (None) all others, in milliseconds.
    pub(crate) late: HashMap<Option<Kind>, u64>,
    things: Vec<Published>,
    by_id: HashMap<String, usize>,
    by_page: HashMap<String, Vec<usize>>,
    by_parent: HashMap<String, Vec<usize>>,
}

impl Shelf {
    pub(crate) fn new(network: Network, api: &'static dyn Api, url: &str) -> Self {
        Self {
            api,
            network,
            url: format!("{url}/{network}"),
            pages: BTreeMap::new(),
            tokens: Tokens::default(),
            assertions: BTreeSet::new(),
            clients: Vec::new(),
            app_secret: None,
            windows: Windows::default(),
            limits: HashMap::new(),
            usage: HashMap::new(),
            faults: Faults::default(),
            calls: Vec::new(),
            cap: None,
            subscriptions: Vec::new(),
            caps: HashMap::new(),
            late: HashMap::new(),
            things: Vec::new(),
            by_id: HashMap::new(),
            by_page: HashMap::new(),
            by_parent: HashMap::new(),
        }
    }

    pub(crate) fn connect(&mut self, connection: Connection, now_ms: u64) {
        let Connection { page, token, refresh_token, expires_in, name, login } = connection;
        let known = self.pages.entry(page.clone()).or_insert_with(|| Page { name: format!("Page {page}") });
        if let Some(name) = name {
            known.name = name;
        }
        let by_token = || token.as_deref().is_some_and(|token| token.starts_with("IG"));
        let login = login.unwrap_or_else(|| if by_token() { Login::Instagram } else { Login::Facebook });
        let lasts = expires_in.or_else(|| refresh_token.as_ref().and(self.api.lasts_seconds()));
        let expires_ms = lasts.map(|lasts| now_ms + lasts * 1000);
        let one = |role, expires_ms| Token {
            page: page.clone(),
            role,
            state: TokenState::Good,
            login,
            issued_ms: now_ms,
            expires_ms,
        };
        if let Some(token) = token {
            self.tokens.put(&token, one(Role::Access, expires_ms));
        }
        if let Some(token) = refresh_token {
            self.tokens.put(&token, one(Role::Refresh, None));
        }
    }

    /// Takes a subscription, in the place of one of the same page and address.
    pub(crate) fn subscribe(&mut self, new: Subscription) {
        self.subscriptions.retain(|one| one.page != new.page || one.callback != new.callback);
        self.subscriptions.push(new);
    }

    pub(crate) fn publish(&mut self, page: &str, thing: Thing, now_ms: u64) -> Result<String, NotDone> {
        if !self.pages.contains_key(page) {
            return Err(NotDone::NoSuchPage(page.to_owned()));
        }
        let kinds = self.api.kinds();
        if !kinds.contains(&thing.kind) {
            return Err(NotDone::NotOfThisNetwork { network: self.network, kind: thing.kind });
        }
        let needs_parent = matches!(thing.kind, Kind::Comment | Kind::Reply | Kind::Ad);
        match &thing.parent {
            None if needs_parent => return Err(NotDone::NoParent(thing.kind)),
            // A mention may be on what is nobody's that is connected.
            Some(parent) if needs_parent && self.network != Network::X && self.find(parent).is_none() => {
                return Err(NotDone::NoSuchThing(parent.clone()));
            }
            _ => {}
        }
        let at_ms = thing.at_ms.unwrap_or(now_ms);
        let late = self.late.get(&Some(thing.kind)).or_else(|| self.late.get(&None));
        let listed_ms = at_ms.saturating_add(late.copied().unwrap_or(0));
        let sequence = u64::try_from(self.things.len()).unwrap_or(u64::MAX);
        let id = thing.id.clone().unwrap_or_else(|| self.new_id(page, &thing, at_ms, sequence));
        if self.by_id.contains_key(&id) {
            return Err(NotDone::Taken(id));
        }
        self.add(Published {
            id: id.clone(),
            page: page.to_owned(),
            kind: thing.kind,
            text: thing.text,
            parent: thing.parent,
            author: thing.author.filter(|author| author.id != page),
            to: thing.to,
            at_ms,
            shown_from_ms: thing.shown_from_ms.unwrap_or(listed_ms).max(at_ms),
            edited_ms: None,
            removed_ms: None,
            rating: thing.rating,
            unlisted: thing.unlisted,
            members: thing.members,
            earlier_ids: Vec::new(),
            sequence,
        });
        Ok(id)
    }

    fn new_id(&self, page: &str, thing: &Thing, at_ms: u64, sequence: u64) -> String {
        let root = thing.parent.as_deref().map(|parent| self.root(parent).to_owned());
        let draft = Draft { page, thing, root: root.as_deref(), at_ms, sequence };
        self.api.id(&draft)
    }

    fn add(&mut self, published: Published) {
        let index = self.things.len();
        self.by_id.insert(published.id.clone(), index);
        self.by_page.entry(published.page.clone()).or_default().push(index);
        if let Some(parent) = &published.parent {
            self.by_parent.entry(parent.clone()).or_default().push(index);
        }
        self.things.push(published);
    }

    /// The new text of a thing; its id from now on.
    pub(crate) fn edit(&mut self, id: &str, text: &str, now_ms: u64) -> Result<String, NotDone> {
        let index = *self.by_id.get(id).ok_or_else(|| NotDone::NoSuchThing(id.to_owned()))?;
        let edited_id = self.things.get(index).and_then(|thing| self.api.edited_id(thing, now_ms));
        let Some(thing) = self.things.get_mut(index).filter(|thing| thing.removed_ms.is_none()) else {
            return Err(NotDone::NoSuchThing(id.to_owned()));
        };
        text.clone_into(&mut thing.text);
        thing.edited_ms = Some(now_ms);
        if let Some(new) = edited_id {
            let old = std::mem::replace(&mut thing.id, new.clone());
            thing.earlier_ids.push(old);
            self.by_id.insert(new, index);
        }
        Ok(thing.id.clone())
    }

    /// Takes a thing away, and what is on it, where the network does that.
    pub(crate) fn remove(&mut self, id: &str, now_ms: u64) -> Result<(), NotDone> {
        let index = *self.by_id.get(id).ok_or_else(|| NotDone::NoSuchThing(id.to_owned()))?;
        let mut left = vec![index];
        let mut gone = BTreeSet::new();
        while let Some(index) = left.pop() {
            let Some(thing) = self.things.get_mut(index).filter(|_| gone.insert(index)) else { continue };
            thing.removed_ms.get_or_insert(now_ms);
            if self.network != Network::X {
                left.extend(self.by_parent.get(&thing.id).into_iter().flatten());
            }
        }
        Ok(())
    }

    /// A thing by its id, removed or not.
    pub(crate) fn find(&self, id: &str) -> Option<&Published> {
        self.things.get(*self.by_id.get(id)?)
    }

    /// A thing by its id, where it is there.
    pub(crate) fn present(&self, id: &str, now_ms: u64) -> Option<&Published> {
        self.find(id).filter(|thing| thing.is_there(now_ms))
    }

    /// All of a page's, removed or not, in the order in which they were published.
    pub(crate) fn all_of<'a>(&'a self, page: &str) -> impl Iterator<Item = &'a Published> {
        self.by_page.get(page).into_iter().flatten().filter_map(|index| self.things.get(*index))
    }

    /// What is in lists of a page's.
    pub(crate) fn listed_of<'a>(&'a self, page: &str, now_ms: u64) -> impl Iterator<Item = &'a Published> {
        self.all_of(page).filter(move |thing| thing.is_listed(now_ms))
    }

    /// The ads of an ad account, of all pages.
    pub(crate) fn ads_of(&self, account: String, now_ms: u64) -> impl Iterator<Item = &Published> {
        let is_its = move |ad: &&Published| {
            ad.kind == Kind::Ad
                && ad.is_listed(now_ms)
                && ad.members.get("account_id").is_some_and(|of| *of == account)
        };
        self.things.iter().filter(is_its)
    }

    /// What is in lists directly below a thing.
    pub(crate) fn listed_below<'a>(&'a self, id: &str, now_ms: u64) -> impl Iterator<Item = &'a Published> {
        let below = self.by_parent.get(id).into_iter().flatten().filter_map(|index| self.things.get(*index));
        below.filter(move |thing| thing.kind != Kind::Ad && thing.is_listed(now_ms))
    }

    /// The same at any depth.
    pub(crate) fn listed_under<'a>(&'a self, id: &str, now_ms: u64) -> Vec<&'a Published> {
        let mut found: Vec<&Published> = self.listed_below(id, now_ms).collect();
        let mut next = 0;
        while let Some(one) = found.get(next) {
            found.extend(self.listed_below(&one.id, now_ms));
            next += 1;
        }
        found
    }

    /// What a thing is on in the end: the post of an answer to a comment, say.
    pub(crate) fn root<'a>(&'a self, id: &'a str) -> &'a str {
        let mut root = id;
        // A chain is as long as there are things, and not longer.
        for _ in 0..self.things.len() {
            match self.find(root).and_then(|thing| thing.parent.as_deref()) {
                Some(parent) => root = parent,
                None => break,
            }
        }
        root
    }

    /// How many elements an answer has, by the numbers asked for and allowed.
    pub(crate) fn size(&self, asked: Option<usize>, usual: usize, most: usize) -> usize {
        let cap = self.cap.unwrap_or(usize::MAX).max(1);
        asked.unwrap_or(usual).min(most).min(cap)
    }

    /// Takes units of a limit of calls of a kind, for the page or the app; also says how many there are. `most` is the
    /// network's own number.
    #[expect(clippy::too_many_arguments, reason = "a limit is of whom, of what, how much, and until when")]
    pub(crate) fn take(
        &mut self,
        of: LimitOf,
        kind: &str,
        page: &str,
        most: u64,
        units: u64,
        now_ms: u64,
        ends_ms: u64,
    ) -> (u64, Taken) {
        let most = self.most(of, kind, most);
        (most, self.windows.take(&window(of, kind, page), most, units, now_ms, ends_ms))
    }

    /// Of a limit: how many there are, how many are left, and until when.
    pub(crate) fn left(
        &self,
        of: LimitOf,
        kind: &str,
        page: &str,
        most: u64,
        ends_ms: u64,
    ) -> (u64, u64, u64) {
        let most = self.most(of, kind, most);
        let (used, ends_ms) = self.windows.used(&window(of, kind, page)).unwrap_or((0, ends_ms));
        (most, most.saturating_sub(used), ends_ms)
    }

    /// Leaves nothing of a limit until then; false where nothing was left before.
    pub(crate) fn spend(&mut self, of: LimitOf, kind: &str, page: &str, now_ms: u64, until_ms: u64) -> bool {
        self.windows.spend(&window(of, kind, page), now_ms, until_ms)
    }

    fn most(&self, of: LimitOf, kind: &str, usual: u64) -> u64 {
        self.limits.get(&(of, kind.to_owned())).copied().unwrap_or(usual)
    }

    /// Connects an app by a service account, whose address stands in place of a refresh token, and answers its key.
    pub(crate) fn service_account(&mut self, page: &str, now_ms: u64) -> String {
        let email = assertion::email(page);
        self.connect(Connection::refreshed_by(page, &email), now_ms);
        assertion::key(&email)
    }

    /// All that nobody else may see.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = self.tokens.texts();
        if secrets.iter().any(|text| text.contains('@')) {
            secrets.extend(assertion::key_lines());
        }
        secrets.extend(self.assertions.iter().cloned());
        secrets
    }

    /// An access token for a refresh token that is good, and stays: with the same holder and permissions.
    pub(crate) fn new_access_token(&mut self, refresh: &str, prefix: &str, now_ms: u64) -> Option<String> {
        let is_good = matches!(self.tokens.bearer(refresh, Role::Refresh, now_ms), Bearer::Good(_));
        let of = self.tokens.get(refresh).filter(|_| is_good)?.clone();
        let access = self.tokens.new_text(prefix, now_ms);
        let expires_ms = self.api.lasts_seconds().map(|lasts| now_ms + lasts * 1000);
        self.tokens.put(&access, Token { role: Role::Access, issued_ms: now_ms, expires_ms, ..of });
        Some(access)
    }

    /// Whether an app may ask for tokens.
    pub(crate) fn is_client(&self, id: &str, secret: Option<&str>) -> bool {
        let fits = |(known, of): &(String, String)| known == id && secret.is_none_or(|secret| secret == of);
        self.clients.is_empty() && !id.is_empty() || self.clients.iter().any(fits)
    }
}

fn window(of: LimitOf, kind: &str, page: &str) -> String {
    match of {
        LimitOf::Page => format!("{kind} of {page}"),
        LimitOf::App => kind.to_owned(),
    }
}
