/* The account's pages: their tokens, collections and freshness; connect, change, renew, check, delete. */
import { button, draw, duration, el, facts, named, relabel, t, time, until, when, words } from "./dom.js";
import { call, get, listAll, mayChange, pagePath } from "./api.js";
import { Part } from "./forms.js";

const forms = () => import("./all_forms.js");

export const NETWORKS = { facebook: "Facebook", instagram: "Instagram", x: "X", youtube: "YouTube", googleplay: "Google Play", linkedin: "LinkedIn" };
/* How a token's state looks: as the state of a type does. */
const LOOKS = { ok: "open", expiring: "failing", expired: "blocked", revoked: "blocked", narrowed: "failing", unknown: "disabled" };

/*
 * What is wrong with a page's token. Where an end is near, the server's words name an instant in UTC: that is worded
 * here, from codes, in the reader's time zone.
 */
export function tokenText({ name, network, token }) {
  const consent = token.cause === "consent" && token.consent_ends_at;
  const end = consent || token.expires_at;
  if (token.state !== "expiring" || !end) return words(token.message);
  return (consent ? t().consentEnds : t().tokenEnds)(name, named(NETWORKS, network), until(end));
}

class Row extends Part {
  constructor(page, all) {
    super();
    Object.assign(this, { page, all, freshness: undefined });
    this.root = el("li", { "data-page": page.id, "data-home": "" });
    this.head = el("div.group");
    this.message = el("div");
    this.facts = el("div");
    this.fresh = el("div");
    this.details = el("details", el("summary", { "data-key": "home" }, x => x.details), this.facts, el("h4", x => x.freshness), this.fresh);
    this.details.addEventListener("toggle", () => { if (this.details.open) this.load().catch(error => this.fail(error)); });
    const act = (name, action, form) => button(name, x => x[name], action, form, () => this.page.name);
    this.home = act("renew", () => this.renew());
    this.buttons = el("div.group", act("check", () => this.check()), this.home, act("edit", () => this.edit()), act("remove", () => this.remove(), "button.danger"));
    this.root.append(this.head, this.message, this.details, mayChange() ? this.buttons : "", this.said.root, this.place);
  }

  take(page) {
    this.page = page;
    if (page.freshness) this.freshness = page.freshness;
    this.show();
  }

  /* Only the page itself is answered with its freshness, not the list. */
  async load() {
    const page = await get(pagePath(this.page.id));
    this.freshness = page.freshness;
    this.take(page);
  }

  show() {
    const { page } = this;
    const { token, last_tick: last, silence } = page;
    draw(this.head, [page.name, page.network, token.state], x => [el("h3", page.name), el("span.soft", named(NETWORKS, page.network)),
      el(`span.state.${LOOKS[token.state] ?? "disabled"}`, named(x.tokenState, token.state))]);
    relabel(this.buttons);
    const told = [["token", tokenText(page)], ["operator", words(last?.message)], ["silence", silence ? t().silence(when(silence.since), silence.usual_hours) : ""]];
    const tone = LOOKS[token.state] === "disabled" ? "idle" : "bad";
    draw(this.message, [told, tone], () => told.filter(([, text]) => text).map(([name, text]) => el(`p.message.${name === "token" ? tone : "bad"}`, { "data-fact": name }, text)));
    draw(this.facts, page, x => facts([
      ["network-id", x.networkId, page.network_id], ["delivery", x.delivery, named(x.way, page.delivery)],
      page.login && ["login", x.loginBy, named(x.login, page.login)], token.expires_at && ["expires", x.expires, time(token.expires_at)],
      token.consent_ends_at && ["consent", x.consent, time(token.consent_ends_at)], token.permission && ["permission", x.permission, token.permission],
      token.since && ["since", x.stateSince, time(token.since)],
      ["last-tick", x.lastTick, last ? x.ticked(when(last.at), named(x.result, last.result), last.new) : x.never], ["next-tick", x.nextTick, this.next()],
    ]));
    const { kinds = {}, promise } = this.freshness ?? {};
    draw(this.fresh, this.freshness ?? null, x => this.freshness === undefined ? x.loading : facts([
      ...Object.entries(kinds).map(([kind, one]) => [`fresh-${kind}`, named(x.kind, kind), x.fresh(one.count, duration(one.median_seconds), duration(one.p95_seconds), duration(one.p99_seconds))]),
      promise ? ["promise", x.promised, x.promise(duration(promise.p95_seconds), duration(promise.p99_seconds))] : ["none", x.freshness, x.noFreshness],
    ]));
  }

  next() {
    const { next_at: next, every_minutes: every, token } = this.page;
    if (next === null) return ["expired", "revoked"].includes(token.state) ? t().stopped : t().never;
    return `${new Date(next) <= new Date() ? t().soon : when(next)}${every ? ` (${t().every(every)})` : ""}`;
  }

  async check() {
    const page = await this.attempt(() => call("POST", pagePath(this.page.id, "/check")));
    if (!page) return;
    this.take(page);
    this.say(x => x.checked);
  }

  renew() { return this.change("renewForm", x => x.renewed); }

  edit() { return this.change("pageForm", x => x.saved); }

  async change(form, done) {
    const made = (await forms())[form](this.page, async patch => {
      this.turn += 1;
      const page = await call("PATCH", pagePath(this.page.id), patch);
      this.turn += 1;
      this.take(page);
      this.close();
      this.say(done);
    });
    this.open(`${form}-${this.page.id}`, made);
  }

  async remove() {
    const answer = await this.attemptAsked(x => x.pageRemoveAsk(this.page.name), x => x.remove, () => call("DELETE", pagePath(this.page.id)));
    if (!answer) return;
    this.all.forget(this.page.id);
    this.all.say(x => x.pageRemoved(answer.dropped));
    this.all.title.focus();
  }
}

export class Pages extends Part {
  constructor() {
    super();
    this.rows = new Map();
    this.title = el("h2", { tabIndex: -1, id: "pages-title" }, x => x.pages);
    this.home = button("connect", x => x.connect, () => this.connect());
    this.none = el("p", { id: "no-pages", hidden: true }, x => x.noPages);
    this.list = el("ul.types", { id: "pages" });
    this.root = el("section.card", { "aria-labelledby": "pages-title" }, el("div.group.between", this.title, this.home), this.said.root, this.place, this.none, this.list);
  }

  show() {
    this.home.hidden = !mayChange();
    for (const row of this.rows.values()) row.show();
  }

  forget(id) {
    this.rows.get(id)?.root.remove();
    this.rows.delete(id);
    this.none.hidden = this.rows.size > 0;
  }

  put(page) {
    const row = new Row(page, this);
    this.rows.set(page.id, row);
    this.list.append(row.root);
    row.show();
    this.none.hidden = true;
  }

  async refresh() {
    const began = new Map([...this.rows].map(([id, row]) => [id, row.turn]));
    const { all } = await listAll("pages");
    for (const id of began.keys()) if (!all.some(page => page.id === id)) this.forget(id);
    for (const page of all) {
      const row = this.rows.get(page.id);
      if (!row) this.put(page);
      else if (row.turn === began.get(page.id)) row.take(page);
    }
    this.none.hidden = this.rows.size > 0;
    for (const row of this.rows.values()) if (row.details.open) await row.load().catch(error => { if (error.status !== 404) throw error; });
  }

  async connect() {
    this.open("new-page", (await forms()).pageForm(null, async page => {
      this.put(await call("POST", "pages", page));
      this.close();
      this.say(x => x.connected);
    }));
  }
}
