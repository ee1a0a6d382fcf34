//! The collection of one page of Meta's in one tick.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{Element, Listed, parameter};
use super::edge::{
    AccountCheck, Ads, Edge, EdgeOwner, Finds, Order, Plan, are_older, ask_of, at, events, is_older,
};
use super::walk::{Child, MAX_AD_CHILDREN, MAX_CHILDREN, MAX_ID_BYTES, Post, Walk};
use super::{Checkpoint, Reply, Settings, encoded, read};
use crate::inbox::Event;
use crate::network::NetworkId;
use crate::normalise::value::id;
use crate::poll::{
    Collector, CooldownScope, NetworkRequest, NetworkResponse, OperatorFault, ParsedResponse, Stored,
    TokenTrouble, Verdict, checkpoint_json,
};

const DAY: i64 = 24 * 3600;

/// How often the ads of an ad account are listed, in seconds: one answer an hour, which goes on where the last one
/// ended.
const ADS_EVERY: i64 = 3600;

/// How many posts behind ads are read by their ids in one tick.
const AD_READS: usize = 10;

/// Of how many posts behind ads the comments are looked at in one tick.
const AD_VISITS: usize = 5;

/// Of how many posts that mention the page the comments are looked at in one tick.
const MENTION_VISITS: usize = 3;

/// The permission that it takes to list an ad account's ads.
pub(crate) const ADS_PERMISSION: &str = "ads_read";

/// Whose walk it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Edge(usize),
    Post(String),
}

/// What is asked next.
#[derive(Clone)]
enum Task {
    /// Whose the token is: of `/me`, or of the page itself, with these fields.
    Verify(Option<&'static str>),
    Page(Place),
    Child(Place, String),
}

/// What is known of this tick alone.
#[derive(Clone, Debug, Default)]
struct Tick {
    ended: bool,
    /// Whether `/me` named no page, so that the page itself is asked for.
    asks_account: bool,
    /// Whose next page is not asked for any more.
    done: BTreeSet<Place>,
    /// Of whom nothing is.
    denied: BTreeSet<Place>,
    /// Children that failed.
    parked: BTreeSet<String>,
    /// Posts that were looked at.
    visited: BTreeSet<String>,
    no_visits: bool,
    /// Whether anything of the page's was.
    answered: bool,
    /// Whose whole list had one element alone.
    alone: BTreeSet<Place>,
    /// What became of objects that were asked for one by one, by what was asked of them.
    kinds: BTreeMap<&'static str, Kind>,
    /// How many posts behind ads were read.
    ad_reads: usize,
}

/// What became of the objects of a kind in this tick.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    answered: bool,
    denied: u8,
}

/// The collection of one page. Nothing is asked of the network before the token was seen to be the page's.
pub struct Collection {
    plan: &'static Plan,
    settings: Settings,
    page: NetworkId,
    token: u64,
    ad_account: Option<String>,
    now: i64,
    kept: Checkpoint,
    tick: Tick,
    staged: Option<(Checkpoint, Tick)>,
}

impl Collection {
    /// Goes on from a checkpoint. `token` numbers the page's tokens: whose a new one is, is asked first.
    pub(crate) fn begin(
        plan: &'static Plan,
        settings: &Settings,
        page: &NetworkId,
        token: u64,
        mut kept: Checkpoint,
        now: Timestamp,
    ) -> Self {
        let now = now.as_second();
        kept.halved = kept.halved.filter(|(_, at)| now - at < DAY);
        kept.forget(now - i64::from(settings.again_days) * DAY, settings.again_posts, now);
        let (settings, page) = (settings.clone(), page.clone());
        Self { plan, settings, page, token, ad_account: None, now, kept, tick: Tick::default(), staged: None }
    }

    /// The same, for a page that names an ad account: the posts behind its ads are collected, too.
    pub(crate) fn with_ads_of(self, ad_account: Option<&str>) -> Self {
        Self { ad_account: ad_account.map(str::to_owned), ..self }
    }

    fn edge(&self, place: &Place) -> &'static Edge {
        match place {
            Place::Edge(nth) => &self.plan.edges[*nth],
            Place::Post(_) => self.plan.comments,
        }
    }

    fn walk(&self, place: &Place) -> Walk {
        match place {
            Place::Edge(nth) => self.kept.edges.get(self.plan.edges[*nth].what).cloned(),
            Place::Post(id) => self.post(id).map(|post| post.walk.clone()),
        }
        .unwrap_or_default()
    }

    fn post(&self, id: &str) -> Option<&Post> {
        self.kept.looked_at().find(|post| post.id == id)
    }

    /// Whether a post is somebody else's, and mentions the page.
    fn is_mention(&self, id: &str) -> bool {
        self.kept.mentions.iter().any(|post| post.id == id)
    }

    fn task(&self) -> Option<Task> {
        if self.tick.ended {
            return None;
        }
        if self.kept.verified != Some(self.token) {
            return Some(Task::Verify(self.account_fields()));
        }
        let mut edges = (0..self.plan.edges.len()).map(Place::Edge);
        edges.find_map(|place| self.due(place)).or_else(|| self.visit())
    }

    /// The fields by which the page itself is asked for; none where `/me` is.
    fn account_fields(&self) -> Option<&'static str> {
        match self.plan.account {
            AccountCheck::AfterMe(_) if !self.tick.asks_account => None,
            check => check.fields(),
        }
    }

    /// Whether `/me` was asked for, and the page itself may be.
    fn may_ask_account(&self, task: &Task) -> bool {
        matches!((task, self.plan.account), (Task::Verify(None), AccountCheck::AfterMe(_)))
    }

    /// What is to be asked of a place: first what was found there, then what comes next, then what failed before.
    fn due(&self, place: Place) -> Option<Task> {
        if self.tick.denied.contains(&place) {
            return None;
        }
        let walk = self.walk(&place);
        let is_listed = match self.ads(&place) {
            Some(_) if self.ad_account.is_none() || self.tick.ad_reads >= AD_READS => return None,
            Some(_) => walk.next.is_none_or(|next| next <= self.now),
            None => true,
        };
        let mut open = walk.children.iter().filter(|child| !self.tick.parked.contains(&child.id));
        let mut failed = open.clone().filter(|child| child.has_failed());
        if let Some(child) = open.find(|child| !child.has_failed()) {
            return Some(Task::Child(place, child.id.clone()));
        }
        let waiting = match place {
            Place::Edge(_) => walk.children.len(),
            Place::Post(_) => self.kept.children_of_posts(),
        };
        if is_listed && waiting < MAX_CHILDREN && !self.tick.done.contains(&place) {
            return Some(Task::Page(place));
        }
        failed.next().map(|child| Task::Child(place, child.id.clone()))
    }

    /// The next post to look at: one that was begun in this tick, or in another; one that had no look for six hours;
    /// one with another number of comments than it had; the one whose last look is the longest ago. One that failed has
    /// no precedence, and waits its turn like all others.
    fn visit(&self) -> Option<Task> {
        if self.tick.no_visits {
            return None;
        }
        let full = self.tick.visited.len() >= self.settings.again_visits;
        let begun = |post: &Post| self.tick.visited.contains(&post.id);
        let begun_of =
            |is: &dyn Fn(&Post) -> bool| self.kept.looked_at().filter(|one| is(one) && begun(one)).count();
        let ads_full = begun_of(&Post::is_ads_alone) >= AD_VISITS;
        let mentions_full = begun_of(&|post| self.is_mention(&post.id)) >= MENTION_VISITS;
        let may = |post: &&Post| {
            let is_due = if self.is_mention(&post.id) {
                !mentions_full && post.is_mention_due(self.now)
            } else {
                !(ads_full && post.is_ads_alone()) && post.is_due(self.now, self.plan.whole_every)
            };
            begun(post) || !full && is_due
        };
        let mut posts: Vec<&Post> = self.kept.looked_at().filter(may).collect();
        posts.sort_by_key(|post| {
            let failed = post.walk.tries > 0;
            let neglected = post.looked.is_some_and(|looked| self.now - looked > DAY / 4);
            let cut = post.walk.started.is_some() && !failed;
            (!begun(post), !cut, !neglected, !post.changed() || failed, post.looked)
        });
        posts.into_iter().find_map(|post| self.due(Place::Post(post.id.clone())))
    }

    /// Down to which time a place is walked; none where all of it is.
    fn floor(&self, place: &Place) -> Option<i64> {
        if let Place::Post(id) = place {
            let post = self.post(id)?;
            if self.looks_whole(post) {
                // An ad runs for longer than the inbox remembers what is on it.
                let is_old = post.created < self.now - i64::from(self.settings.again_days) * DAY;
                return is_old.then_some(self.oldest());
            }
        }
        if self.ads(place).is_some() {
            return None;
        }
        let first = i64::from(self.settings.first_days) * DAY;
        Some(self.walk(place).floor(self.now, self.edge(place).overlap, first))
    }

    /// Whether the next look at a post's comments is a whole one.
    fn looks_whole(&self, post: &Post) -> bool {
        post.walk.known.is_none() || post.looks_whole(self.now, self.plan.whole_every)
    }

    /// What is older is not told of what has no list of its own.
    fn oldest(&self) -> i64 {
        self.now - i64::from(self.settings.first_days) * DAY
    }

    /// How the posts behind ads are found, where a place lists ads.
    fn ads(&self, place: &Place) -> Option<&'static Ads> {
        match self.edge(place).finds {
            Finds::Ads(ads) => Some(ads),
            _ => None,
        }
    }

    fn child_edge(&self, place: &Place) -> Option<&'static Edge> {
        match self.edge(place).finds {
            Finds::Threads(edge) | Finds::Answered(edge) => Some(edge),
            Finds::Ads(ads) => Some(ads.post),
            Finds::Things | Finds::Mentions | Finds::Posts(_) => None,
        }
    }

    fn request(&self, edge: &Edge, object: &str, floor: Option<i64>, after: Option<&str>) -> NetworkRequest {
        let of = match edge.of {
            EdgeOwner::ThePage => self.page.as_str(),
            EdgeOwner::Me if self.kept.of_the_account => self.page.as_str(),
            EdgeOwner::Me => "me",
            EdgeOwner::AnObject => object,
            EdgeOwner::TheAdAccount => self.ad_account.as_deref().unwrap_or_default(),
        };
        if edge.path.is_empty() {
            let path = format!("/{}/{}", self.settings.version, encoded(of));
            return ask_of(edge.what, path, vec![("fields", edge.fields.to_owned())]);
        }
        let halved = self.kept.halved.map_or(0, |(times, _)| u32::from(times.min(4)));
        let limit = (self.settings.page_size.clamp(1, 100).min(edge.page_size) >> halved).max(1);
        let mut query = vec![("fields", edge.fields.to_owned()), ("limit", limit.to_string())];
        query.extend(edge.query.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if let (Some(floor), true) = (floor, edge.order != Order::NewestFirst) {
            query.push(("since", floor.to_string()));
        }
        query.extend(after.map(parameter));
        let path = format!("/{}/{}/{}", self.settings.version, encoded(of), edge.path);
        ask_of(edge.what, path, query)
    }

    /// What a good answer tells; it is staged until that is stored.
    fn good(
        &mut self,
        task: &Task,
        body: &serde_json::value::RawValue,
        value: &Value,
    ) -> Result<Vec<Event>, Verdict> {
        let (mut kept, mut tick) = (self.kept.clone(), self.tick.clone());
        let events = match task {
            Task::Verify(account) => {
                let is_the_pages = match account {
                    Some(_) => id(value, "id").map(|id| id == self.page.as_str()),
                    None => (self.plan.is_the_pages)(value, &self.page),
                };
                let says_nothing =
                    if self.may_ask_account(task) { Verdict::Gone } else { Verdict::Malformed };
                if !is_the_pages.ok_or(says_nothing)? {
                    return Err(Verdict::NotThePages);
                }
                (kept.verified, kept.of_the_account) = (Some(self.token), account.is_some());
                // Another ad account sets the page going anew, as another token does.
                let of_ads = self.plan.edges.iter().filter(|edge| matches!(edge.finds, Finds::Ads(_)));
                for edge in of_ads {
                    kept.edges.remove(edge.what);
                }
                Vec::new()
            }
            Task::Page(place) => {
                let walk = self.walk(place);
                let listed = Listed::of(body, value, walk.after.as_deref()).ok_or(Verdict::Malformed)?;
                self.page_of(place, walk, listed, &mut kept, &mut tick)
            }
            Task::Child(place, child) => self.child_of(place, child, body, value, (&mut kept, &mut tick))?,
        };
        tick.answered |= !matches!(task, Task::Verify(_));
        if let Some(kind) = self.kind(task) {
            tick.kinds.entry(kind).or_default().answered = true;
        }
        self.staged = Some((kept, tick));
        Ok(events)
    }

    /// What an object tells that was asked for by its id.
    fn child_of(
        &self,
        place: &Place,
        child: &str,
        body: &serde_json::value::RawValue,
        value: &Value,
        (kept, tick): (&mut Checkpoint, &mut Tick),
    ) -> Result<Vec<Event>, Verdict> {
        let mut walk = self.walk(place);
        let at = walk.children.iter().position(|one| one.id == child);
        let (Some(at), Some(edge)) = (at, self.child_edge(place)) else { return Ok(Vec::new()) };
        let events = if let Some(ads) = self.ads(place) {
            tick.ad_reads += 1;
            walk.read_post(child, self.now);
            self.post_of_ad(ads, walk.children.remove(at), body, value, kept)?
        } else {
            let one = &mut walk.children[at];
            let listed = Listed::of(body, value, one.after.as_deref()).ok_or(Verdict::Malformed)?;
            let beside = self.beside(place, &one.id);
            let events = events(self.plan.network, edge, &listed.elements, Some(one.floor), &beside);
            let is_over = listed.after.is_none() || are_older(&listed.elements, edge, one.floor);
            one.after = listed.after;
            one.answered();
            if is_over && !one.ended() {
                walk.children.remove(at);
            }
            events
        };
        put(kept, self.plan, place, walk);
        Ok(events)
    }

    /// What a post tells that was read because an ad shows it. One that is older than what a first collection takes is
    /// not told, for the inbox may have forgotten that it was; nor is a copy of a publication.
    fn post_of_ad(
        &self,
        ads: &Ads,
        child: Child,
        body: &serde_json::value::RawValue,
        value: &Value,
        kept: &mut Checkpoint,
    ) -> Result<Vec<Event>, Verdict> {
        let listed = Listed::single(body, value, &child.id).ok_or(Verdict::Malformed)?;
        let created = listed.elements.first().and_then(|one| at(one, ads.post)).unwrap_or(self.now);
        let comments = value.pointer(ads.comments).and_then(Value::as_i64);
        kept.was_read(&child, created, comments, self.now);
        self.forget(kept);
        let floor = if child.original.is_some() { i64::MAX } else { self.oldest() };
        let beside = child.ad.map_or(Value::Null, |ad| json!({ "ad": ad }));
        Ok(events(self.plan.network, ads.post, &listed.elements, Some(floor), &beside))
    }

    fn forget(&self, kept: &mut Checkpoint) {
        let days = i64::from(self.settings.again_days);
        kept.forget(self.now - days * DAY, self.settings.again_posts, self.now);
    }

    /// What is needed to read an element and stands in the ask alone.
    fn beside(&self, place: &Place, child: &str) -> Value {
        let id = match (place, child) {
            (Place::Edge(_), "") => return Value::Null,
            (Place::Edge(_), within) => return json!({"within": within}),
            (Place::Post(id), _) => id,
        };
        let post = self.post(id);
        let on = post.and_then(|post| post.original.as_ref()).unwrap_or(id);
        let mut beside = json!({ "on": on });
        if !child.is_empty() {
            beside["answers"] = child.into();
        }
        if let Some(ad) = post.and_then(|post| post.ad.as_ref()) {
            beside["ad"] = json!({ "id": ad });
        }
        beside
    }

    /// What a page of a place's own edge tells.
    fn page_of(
        &self,
        place: &Place,
        mut walk: Walk,
        listed: Listed,
        kept: &mut Checkpoint,
        tick: &mut Tick,
    ) -> Vec<Event> {
        let (edge, floor) = (self.edge(place), self.floor(place));
        let object = if let Place::Post(id) = place { id.as_str() } else { "" };
        let elements = &listed.elements;
        let events = match edge.finds {
            Finds::Threads(_) | Finds::Ads(_) => Vec::new(),
            _ => events(self.plan.network, edge, elements, floor, &self.beside(place, "")),
        };
        let waited = walk.children.clone();
        let answers = self.found(place, &mut walk, elements, floor, kept);
        let is_thread_list = matches!(edge.finds, Finds::Threads(_));
        // Of conversations of which none is to be read, the last says by itself that those behind it are known.
        let nothing_new = is_thread_list
            && waited == walk.children
            && elements.last().is_some_and(|last| is_older(last, edge, floor.unwrap_or(i64::MIN)));
        if walk.after.is_none() && listed.after.is_none() && elements.len() == 1 {
            tick.alone.insert(place.clone());
        }
        let started = walk.started.unwrap_or(self.now);
        let down = floor.unwrap_or(i64::MIN);
        let is_over = listed.after.is_none()
            || nothing_new
            || edge.order != Order::AnySince && are_older(elements, edge, down);
        walk.tries = 0;
        walk.next = self.ads(place).map(|_| self.now + ADS_EVERY);
        if !is_over {
            (walk.after, walk.started) = (listed.after, Some(started));
        } else if walk.ended(started, down, is_thread_list) {
            tick.done.insert(place.clone());
        }
        if let Some(post) = kept.post_mut(object) {
            tick.visited.insert(post.id.clone());
            post.is_whole = self.post(object).is_some_and(|post| self.looks_whole(post));
            if is_over {
                post.whole = if post.is_whole { Some(started) } else { post.whole };
                // What the number became during the look is another number.
                post.seen =
                    post.said.filter(|(_, at)| *at <= started).map_or(post.seen, |(count, _)| Some(count));
                (post.looked, post.is_whole) = (Some(self.now), false);
            }
        }
        put(kept, self.plan, place, walk);
        events.into_iter().chain(answers).collect()
    }

    /// What elements say besides themselves: posts to look at, conversations to read, answers.
    fn found(
        &self,
        place: &Place,
        walk: &mut Walk,
        elements: &[Element],
        floor: Option<i64>,
        kept: &mut Checkpoint,
    ) -> Vec<Event> {
        let (edge, mut answers) = (self.edge(place), Vec::new());
        for element in elements.iter().filter(|one| !is_older(one, edge, floor.unwrap_or(i64::MIN))) {
            let Some(id) = id(&element.value, "id").filter(|id| id.len() <= MAX_ID_BYTES) else { continue };
            match edge.finds {
                Finds::Things => {}
                Finds::Mentions => kept.mentioned(&id, at(element, edge).unwrap_or(self.now)),
                Finds::Posts(count) => {
                    let created = at(element, edge).unwrap_or(self.now);
                    let count = element.value.pointer(count).and_then(Value::as_i64);
                    kept.look_again_at(&id, created, count, self.now);
                    kept.is_listed(&id);
                }
                Finds::Threads(_) => {
                    let down = walk.base.or(floor).unwrap_or_default();
                    let updated = at(element, edge).unwrap_or(self.now);
                    if let Some(down_to) = walk.reads(&id, updated, down, self.now) {
                        add_child(walk, Child::new(id, down_to));
                    }
                }
                Finds::Ads(ads) => {
                    let behind = (ads.behind)(&element.value, &self.page);
                    let has_room = walk.children.len() < MAX_AD_CHILDREN;
                    let behind = behind.filter(|of| kept.advertised(of, self.now) && has_room);
                    if let Some(of) = behind.filter(|of| walk.reads_post(&of.id, self.now)) {
                        add_child(
                            walk,
                            Child { ad: Some(of.ad), original: of.original, ..Child::new(of.id, 0) },
                        );
                    }
                }
                Finds::Answered(of) => {
                    let nested = Listed::nested(element.value.get(of.path).unwrap_or(&Value::Null));
                    answers.extend(events(
                        self.plan.network,
                        of,
                        &nested.elements,
                        None,
                        &self.beside(place, &id),
                    ));
                    if nested.after.is_some() {
                        add_child(walk, Child::new(id, 0));
                    }
                }
            }
        }
        if matches!(edge.finds, Finds::Posts(_) | Finds::Mentions) {
            self.forget(kept);
        }
        answers
    }

    /// What is asked of an object that is one of many; none of what is the page's own.
    fn kind(&self, task: &Task) -> Option<&'static str> {
        match task {
            Task::Verify(_) | Task::Page(Place::Edge(_)) => None,
            Task::Page(Place::Post(id)) if self.is_mention(id) => None,
            Task::Page(place @ Place::Post(_)) => Some(self.edge(place).what),
            Task::Child(place, _) => self.child_edge(place).map(|edge| edge.what),
        }
    }

    /// One of many objects was denied. Whether it is the token's fault, and not the object's: two were denied in this
    /// tick, or the only one there is, and none was answered. Then no more of them are asked for in this tick.
    fn denied(&mut self, kind: &'static str, task: &Task) -> bool {
        let of_kind = self.tick.kinds.entry(kind).or_default();
        of_kind.denied = of_kind.denied.saturating_add(1);
        let (none, many) = (!of_kind.answered, of_kind.denied > 1);
        let is_only = match task {
            Task::Child(place, _) => self.tick.alone.contains(place),
            _ => self.kept.posts.len() == 1,
        };
        if let (true, true, Task::Page(place) | Task::Child(place, _)) = (none, many, task) {
            match place {
                Place::Edge(_) => drop(self.tick.denied.insert(place.clone())),
                Place::Post(_) => self.tick.no_visits = true,
            }
        }
        none && (many || is_only)
    }

    /// What an answer that is not good changes, at once: there is nothing of it to be stored. Says what it is to be
    /// taken for: one object among others that is denied is gone, and says nothing of the token.
    fn trouble(&mut self, task: &Task, verdict: Verdict, cursor_refused: bool) -> Verdict {
        let is_narrowed = matches!(verdict, Verdict::Token(TokenTrouble::Narrowed(_)));
        let place = match (&verdict, task) {
            // Nothing is collected with a token that nobody has seen to be the page's.
            (_, Task::Verify(_)) | (Verdict::Wait { .. } | Verdict::NotThePages, _) => None,
            // The app may not ask for this, or for nothing at all; the object is not to blame.
            (Verdict::OurFault(fault), Task::Page(place) | Task::Child(place, _)) => {
                self.refused_to_app(place, *fault);
                return verdict;
            }
            (Verdict::Token(_), _) if !is_narrowed => None,
            (_, Task::Page(place) | Task::Child(place, _)) => Some(place),
        };
        let Some(place) = place else {
            self.tick.ended = true;
            return verdict;
        };
        match self.kind(task).filter(|_| is_narrowed) {
            None if is_narrowed => {
                self.tick.denied.insert(place.clone());
                verdict
            }
            None => {
                self.failed(task, place, &verdict, cursor_refused);
                verdict
            }
            Some(kind) => {
                let is_the_tokens = self.denied(kind, task);
                self.failed(task, place, &verdict, cursor_refused);
                if is_the_tokens { verdict } else { Verdict::Gone }
            }
        }
    }

    /// The list of an ad account's ads was refused: what that is told as; none where it is told as of any list. The
    /// page is collected all the same, and the ads are asked for again in an hour, or when their limit is over.
    fn refused_ads(&mut self, task: &Task, verdict: &Verdict, status: u16) -> Option<Verdict> {
        let Task::Page(place) = task else { return None };
        self.ads(place)?;
        let mut walk = self.walk(place);
        // An account that is unknown, and one that the token may not see, are answered alike.
        let is_refused =
            *verdict == Verdict::Malformed && (400..500).contains(&status) && walk.after.is_none();
        let (next, told) = match verdict {
            Verdict::Wait { until, of: CooldownScope::ThePage } => {
                (until.as_second(), Verdict::Wait { until: *until, of: CooldownScope::ThisOperation })
            }
            Verdict::Token(TokenTrouble::Narrowed(_)) | Verdict::Gone | Verdict::Malformed
                if is_refused || *verdict != Verdict::Malformed =>
            {
                let missing = TokenTrouble::Narrowed(Some(ADS_PERMISSION.to_owned()));
                (self.now + ADS_EVERY, Verdict::Token(missing))
            }
            _ => return None,
        };
        walk.next = Some(next);
        self.tick.denied.insert(place.clone());
        put(&mut self.kept, self.plan, place, walk);
        Some(told)
    }

    /// The comments on somebody else's post were refused: the token of a page may see those of few. They are not asked
    /// for again, and it says nothing of the token.
    fn refused_mention(&mut self, task: &Task, verdict: &Verdict) -> Option<Verdict> {
        let Task::Page(Place::Post(id)) = task else { return None };
        let is_refused = match verdict {
            Verdict::Gone | Verdict::Malformed | Verdict::Token(TokenTrouble::Narrowed(_)) => true,
            Verdict::OurFault(fault) => fault.spares_others(),
            _ => false,
        };
        if !is_refused || !self.is_mention(id) {
            return None;
        }
        self.tick.visited.insert(id.clone());
        self.tick.done.insert(Place::Post(id.clone()));
        if let Some(post) = self.kept.post_mut(id) {
            (post.is_closed, post.walk) = (true, Walk::default());
        }
        Some(Verdict::Gone)
    }

    /// A limit of the ad account's is near: its ads are not asked for before its end, and the page is.
    fn near_ads(&mut self, task: &Task, near: Option<Verdict>) -> Option<Verdict> {
        let (Task::Page(place), Some(Verdict::Wait { until, of: CooldownScope::ThePage })) = (task, &near)
        else {
            return near;
        };
        if self.ads(place).is_none() {
            return near;
        }
        let what = self.edge(place).what;
        if let Some((kept, _)) = &mut self.staged {
            let mut walk = kept.edges.get(what).cloned().unwrap_or_default();
            walk.next = walk.next.max(Some(until.as_second()));
            put(kept, self.plan, place, walk);
        }
        None
    }

    /// The app was refused what it asked of a place. Nothing of that kind is asked for in this tick, or nothing more.
    fn refused_to_app(&mut self, place: &Place, fault: OperatorFault) {
        match place {
            _ if !fault.spares_others() => self.tick.ended = true,
            Place::Edge(_) => drop(self.tick.denied.insert(place.clone())),
            Place::Post(_) => self.tick.no_visits = true,
        }
    }

    /// Whether a failure is the object's own: the network answered others in this tick, and, where it was denied,
    /// others of its kind.
    fn is_its_own(&self, task: &Task, verdict: &Verdict) -> bool {
        match (verdict, self.kind(task)) {
            (Verdict::Token(_), Some(kind)) => self.tick.kinds.get(kind).is_some_and(|kind| kind.answered),
            _ => self.tick.answered,
        }
    }

    /// What was asked for was not answered: the others go first.
    fn failed(&mut self, task: &Task, place: &Place, verdict: &Verdict, cursor_refused: bool) {
        let mut walk = self.walk(place);
        if let Task::Child(_, id) = task {
            let at = walk.children.iter().position(|child| child.id == *id);
            if let Some(mut child) = at.map(|at| walk.children.remove(at)) {
                let is_down = *verdict == Verdict::Transient;
                let again = child.failed(cursor_refused, is_down, self.now);
                if *verdict != Verdict::Gone && (again || !self.is_its_own(task, verdict)) {
                    walk.children.push(child);
                } else if self.ads(place).is_some() {
                    walk.read_post(id, self.now);
                }
            }
            self.tick.parked.insert(id.clone());
        } else {
            self.tick.done.insert(place.clone());
            walk.failed(cursor_refused);
        }
        if let (Place::Post(id), Task::Page(_)) = (place, task) {
            self.tick.visited.insert(id.clone());
            if *verdict == Verdict::Gone {
                self.kept.posts.retain(|post| post.id != *id);
            }
            if let Some(post) = self.kept.post_mut(id) {
                post.looked = Some(self.now);
            }
        }
        put(&mut self.kept, self.plan, place, walk);
    }
}

impl Collector for Collection {
    fn next(&self) -> Option<NetworkRequest> {
        Some(match self.task()? {
            Task::Verify(account) => {
                let of = if account.is_some() { encoded(self.page.as_str()) } else { "me".to_owned() };
                let path = format!("/{}/{of}", self.settings.version);
                let fields = account.unwrap_or(self.plan.me);
                ask_of(
                    if account.is_some() { "account" } else { "me" },
                    path,
                    vec![("fields", fields.to_owned())],
                )
            }
            Task::Page(place) => {
                let object = if let Place::Post(id) = &place { id.as_str() } else { "" };
                let walk = self.walk(&place);
                self.request(self.edge(&place), object, self.floor(&place), walk.after.as_deref())
            }
            Task::Child(place, id) => {
                let walk = self.walk(&place);
                let child = walk.children.iter().find(|child| child.id == id)?;
                self.request(self.child_edge(&place)?, &child.id, None, child.after.as_deref())
            }
        })
    }

    fn on_response(&mut self, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
        self.staged = None;
        let Some(task) = self.task() else {
            return ParsedResponse { events: Vec::new(), verdict: Verdict::Fine };
        };
        let (mut verdict, mut too_much) = match read(answer, &self.settings, now) {
            Reply::Good { body, value, near } => match self.good(&task, &body, &value) {
                Ok(events) => {
                    let near = self.near_ads(&task, near);
                    let ended = near.is_some();
                    self.tick.ended |= ended;
                    self.staged.iter_mut().for_each(|(_, tick)| tick.ended |= ended);
                    return ParsedResponse { events, verdict: near.unwrap_or(Verdict::Fine) };
                }
                Err(verdict) => (verdict, false),
            },
            Reply::Bad { verdict, too_much, unknown_field } => match (&task, &verdict) {
                // A user has no such field: it names no page, and so not another one.
                _ if unknown_field && self.may_ask_account(&task) => (Verdict::Gone, false),
                // The token may not see the page.
                (Task::Verify(Some(_)), Verdict::Gone) => {
                    (Verdict::Token(TokenTrouble::Narrowed(None)), false)
                }
                (Task::Verify(Some(_)), _) if unknown_field => {
                    (Verdict::Token(TokenTrouble::Narrowed(None)), false)
                }
                _ => (verdict, too_much),
            },
        };
        if verdict == Verdict::Gone && self.may_ask_account(&task) {
            self.tick.asks_account = true;
            return ParsedResponse { events: Vec::new(), verdict };
        }
        let told = self.refused_ads(&task, &verdict, answer.status);
        if let Some(told) = told.or_else(|| self.refused_mention(&task, &verdict)) {
            return ParsedResponse { events: Vec::new(), verdict: told };
        }
        let halved = self.kept.halved.map_or(0, |(times, _)| times);
        too_much &= halved < 4;
        if too_much {
            self.kept.halved = Some((halved + 1, self.now));
        } else {
            let refused = verdict == Verdict::Malformed && (400..500).contains(&answer.status);
            verdict = self.trouble(&task, verdict, refused);
        }
        ParsedResponse { events: Vec::new(), verdict }
    }

    fn on_stored(&mut self, _: Stored) {
        if let Some((kept, tick)) = self.staged.take() {
            (self.kept, self.tick) = (kept, tick);
        }
    }

    fn checkpoint(&self) -> String {
        checkpoint_json(&self.kept.fitting())
    }
}

fn put(kept: &mut Checkpoint, plan: &Plan, place: &Place, walk: Walk) {
    match place {
        Place::Edge(nth) => {
            kept.edges.insert(plan.edges[*nth].what.to_owned(), walk);
        }
        Place::Post(id) => {
            if let Some(post) = kept.post_mut(id) {
                post.walk = walk;
            }
        }
    }
}

/// An object to be asked for, down to a time; one that waits already goes down to the earlier of the two.
fn add_child(walk: &mut Walk, new: Child) {
    match walk.children.iter_mut().find(|child| child.id == new.id) {
        Some(child) => child.found_again(new.floor),
        None => walk.children.push(new),
    }
}
