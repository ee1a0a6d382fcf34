/* The account's webhooks: trouble first, the healthy folded, each with all that can be done to it. */
import { button, byId, draw, el, hide, number, relabel, t, when, words } from "./dom.js";
import { call, get, listAll, mayChange, webhookPath } from "./api.js";
import { Part } from "./forms.js";
import { STATES, counted, messageOf, shortMessage, stateOf } from "./message.js";

/* What not every visit needs is loaded when it is first needed. */
const items = () => import("./items.js");
const forms = () => import("./all_forms.js");

const AT_ONCE = 4;
/* Up to how many healthy webhooks are listed without being asked for. */
const HEALTHY = 10;

class Card extends Part {
  constructor(webhook, all) {
    super();
    Object.assign(this, { webhook, all, activity: null, isOpen: false });
    this.root = el("article.card.fold", { id: `webhook-${webhook.id}`, "data-home": "" });
    this.root.card = this;
    this.name = el("button.url", { id: `${this.root.id}-url`, "data-key": "home", "aria-expanded": "false", onclick: () => this.unfold(!this.isOpen) });
    this.root.setAttribute("aria-labelledby", this.name.id);
    this.chip = el("span.state");
    this.about = el("p.soft");
    this.message = el("div.place");
    this.body = el("div", { hidden: true });
    this.root.append(el("div.group", el("h2", this.name), this.chip), this.message, this.about, this.said.root, this.place, this.body);
  }

  get id() { return this.webhook.id; }

  get home() { return this.name; }

  countOf(name) { return counted(this.webhook, name); }

  async unfold(open) {
    this.isOpen = open;
    this.name.setAttribute("aria-expanded", `${open}`);
    this.body.hidden = !open;
    if (open) await (this.built ??= items().then(module => this.build(module)));
    this.show();
    if (open) await this.load().catch(error => this.fail(error));
  }

  build({ Log, Waiting, plot, settings, typeRow }) {
    this.inside = { plot, settings, typeRow };
    this.types = el("div");
    this.day = el("div");
    this.settings = el("div");
    this.lists = [new Waiting(this, "held"), new Waiting(this, "dead"), new Log(this)];
    this.buttons = el("div.group");
    if (mayChange()) {
      this.buttons.append(button("test", x => x.test, () => this.openTest()), button("edit", x => x.edit, () => this.openForm()),
        button("toggle", () => this.webhook.enabled ? t().disable : t().enable, () => this.webhook.enabled ? this.disable() : this.release("enable")),
        button("rotate", x => x.rotate, () => this.openRotation()), button("remove", x => x.remove, () => this.remove(), "button.danger"));
    }
    this.body.append(this.buttons, this.types, this.day, ...this.lists.map(one => one.root), el("details", el("summary", x => x.settings), this.settings));
  }

  /* An answer without states keeps those that are shown. What went well is said no longer once it goes worse. */
  take(webhook) {
    const before = STATES.indexOf(this.state);
    const status = webhook.status ?? (webhook.revision === this.webhook.revision ? this.webhook.status : undefined);
    this.webhook = { ...this.webhook, ...webhook, status };
    if (STATES.indexOf(this.state) < before && !this.said.isError) this.say();
    this.show();
  }

  get state() { return stateOf(this.webhook); }

  show() {
    const { webhook } = this;
    const { state } = this;
    this.name.textContent = webhook.url;
    this.about.textContent = webhook.description ?? "";
    this.chip.textContent = t().state[state];
    this.chip.className = `state ${state}`;
    this.root.dataset.state = state;
    const message = webhook.status ? messageOf(webhook) : shortMessage(webhook);
    draw(this.message, [message, mayChange()], () => message ? el(`div.message.${message.tone}`, ...message.texts.map(text => el("p", text)),
      mayChange() && message.ways.length > 0 ? el("div.group", ...message.ways.map(way => this.way(way))) : null) : []);
    if (!this.types) return;
    draw(this.types, webhook.status ?? null, () => webhook.status ? el("ul.types", ...Object.entries(webhook.status).map(one => this.inside.typeRow(webhook, ...one))) : el("p.soft", t().loading));
    draw(this.day, this.activity, () => this.activity ? [el("h3", t().lastDay), this.inside.plot(this.activity)] : []);
    draw(this.settings, webhook, () => this.inside.settings(webhook));
    for (const one of this.lists) one.show();
    relabel(this.body);
  }

  way(way) {
    if (way === "mend") return button("mend", x => x.mend, () => this.openForm(true));
    return button(way, x => x[way], () => this.release(way), "button.first");
  }

  /* Answers what it read, which it does not show where something newer was asked for meanwhile. */
  async load() {
    const turn = ++this.turn;
    const webhook = await get(webhookPath(this.id));
    if (turn === this.turn) this.take(webhook);
    if (!this.isOpen) return webhook;
    /* A deployment of an older version has no such route. */
    this.activity = (await get(webhookPath(this.id, "/activity?hours=24")).catch(() => null))?.data ?? null;
    await Promise.all(this.lists.map(one => one.refresh()));
    this.show();
    return webhook;
  }

  async act(done, request) {
    const answer = await this.attempt(request);
    if (!answer) return false;
    this.take(answer);
    this.say(done);
    await this.load().catch(error => this.fail(error));
    this.all.arrange();
    return true;
  }

  release(way) {
    return this.watch(() => this.act(x => x[way === "enable" ? "enabled" : "unblocked"], () => call("POST", webhookPath(this.id, `/${way}`))));
  }

  async watch(act) { return (await items()).watchRelease(this, act); }

  disable() { return this.act(x => x.disabled, () => call("PATCH", webhookPath(this.id), { enabled: false })); }

  /* ---- Forms ---- */

  async openForm(enable = false) {
    const before = this.webhook;
    const { webhookForm } = await forms();
    this.open(`edit-${this.id}`, webhookForm(before, given => this.watch(async () => {
      this.turn += 1;
      const answer = await call("PATCH", webhookPath(this.id), given);
      this.turn += 1;
      this.take(answer);
      this.close();
      this.say(x => x.saved);
      await this.load();
      return answer.revision !== before.revision || answer.enabled && !before.enabled;
    }), enable));
  }

  async openTest() {
    const [{ testForm }, { answered }] = await Promise.all([forms(), items()]);
    this.open(`test-${this.id}`, testForm(async given => {
      this.say(x => x.testing);
      const result = await call("POST", webhookPath(this.id, "/test"), given).catch(error => { this.say(); throw error; });
      const { outcome, status, message, latency_ms: ms, response_body: text, response_headers: headers } = result;
      if (outcome === "success") this.say(x => x.tested(status, number(ms)));
      else this.say(x => x.testFailed(words(message), number(ms)), true);
      this.said.more.append(...answered(text, headers));
    }));
  }

  async openRotation() {
    const { rotateForm } = await forms();
    this.open(`rotate-${this.id}`, rotateForm(this.webhook, async given => {
      this.turn += 1;
      const { secret, ...webhook } = await call("POST", webhookPath(this.id, "/secret"), given);
      this.take(webhook);
      const until = webhook.replaced_until;
      this.say(x => x.rotated(until && when(until)));
      this.showSecret(secret);
    }));
  }

  /* It is in no other place of the page, and goes with this box. */
  showSecret(secret) {
    const code = el("code", secret);
    const copy = button("copy", x => x.copy, async () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      /* Without the permission it stays selected, for the keyboard to copy. */
      await navigator.clipboard?.writeText(secret).then(() => this.say(x => x.copied), () => {});
    });
    const box = el("div.secret", el("p", x => x.secretNow), el("p", code), el("div.group", copy, button("hide", x => x.secretHide, () => this.close())));
    this.place.replaceChildren(box);
    copy.focus();
  }

  async remove() {
    await this.load().catch(() => {});
    const answer = await this.attemptAsked(x => x.removeAsk(this.webhook.url, this.countOf("held"), this.countOf("dead")), x => x.remove, () => call("DELETE", webhookPath(this.id)));
    if (!answer) return;
    this.all.forget(this.id);
    this.all.arrange();
    this.all.say(x => x.removed(answer.dropped, answer.dropped_more));
    byId("title").focus();
  }
}

export class Webhooks extends Part {
  constructor() {
    super();
    this.cards = new Map();
    this.order = [];
    this.showsHealthy = false;
    this.summary = el("p.summary", { id: "summary", role: "status" });
    this.search = el("input", { id: "search", type: "search", autocomplete: "off", "aria-label": x => x.search, placeholder: x => x.search, oninput: () => this.arrange() });
    this.filter = el("select", { id: "state", "aria-label": x => x.filter, onchange: () => this.arrange() },
      el("option", { value: "" }, x => x.all), ...STATES.map(state => el("option", { value: state }, x => x.state[state])));
    this.home = button("add", x => x.add, () => this.openNew(), "button.first");
    this.home.id = "add";
    this.none = el("p.card", { id: "none", hidden: true }, x => x.none);
    this.list = el("div", { id: "webhooks" });
    this.healthy = el("button.healthy", { id: "healthy", "aria-expanded": "false", onclick: () => { this.showsHealthy = !this.showsHealthy; this.arrange(); } });
    this.others = el("div");
    this.found = el("p.soft", { role: "status" });
    this.root = el("section", { "aria-labelledby": "title" }, this.summary, el("div.tools", this.search, this.filter, this.home), this.said.root, this.place,
      this.none, this.found, this.list, this.healthy, this.others);
    this.watcher = new IntersectionObserver(entries => {
      for (const { target, isIntersecting } of entries) {
        target.card.isOnScreen = isIntersecting;
        if (isIntersecting && !target.card.webhook.status && target.card.state !== "open") target.card.load().catch(() => {});
      }
    });
  }

  show() {
    this.home.hidden = !mayChange();
    for (const card of this.cards.values()) card.show();
    this.arrange();
  }

  forget(id) {
    const card = this.cards.get(id);
    if (!card) return;
    this.watcher.unobserve(card.root);
    card.root.remove();
    this.cards.delete(id);
  }

  put(webhook) {
    const card = new Card(webhook, this);
    this.cards.set(webhook.id, card);
    card.show();
    this.watcher.observe(card.root);
    return card;
  }

  async refresh() {
    const began = new Map([...this.cards].map(([id, card]) => [id, card.turn]));
    const { all } = await listAll("webhooks");
    const listed = new Set(all.map(({ id }) => id));
    for (const id of [...this.cards.keys()]) {
      /* One that was made while the list was on its way is not on it. */
      if (!listed.has(id) && began.has(id)) this.forget(id);
    }
    for (const webhook of all) {
      const card = this.cards.get(webhook.id);
      if (!card) this.put(webhook);
      else if (card.turn === began.get(webhook.id)) card.take(webhook);
    }
    this.isRead = true;
    this.arrange();
    const due = [...this.cards.values()].filter(card => card.isOpen || card.isOnScreen && (card.state !== "open" || card.message.hasChildNodes()));
    const work = async () => {
      for (let card = due.shift(); card; card = due.shift()) await card.load().catch(error => { if (error.status !== 404) throw error; });
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    this.arrange();
  }

  /* The worst first, then by creation, as the list has them. What is open, or has the focus, stays where it is. */
  arrange() {
    const counts = {};
    const cards = [...this.cards.values()];
    for (const card of cards) {
      counts[card.state] = (counts[card.state] ?? 0) + 1;
      if (!card.isOpen && !card.root.contains(document.activeElement) || card.rank === undefined) card.rank = STATES.indexOf(card.state);
    }
    cards.sort((a, b) => a.rank - b.rank || (a.webhook.created_at < b.webhook.created_at ? -1 : a.webhook.created_at > b.webhook.created_at ? 1 : 0));
    const said = STATES.filter(state => counts[state]).map(state => t().count[state](counts[state])).join(", ");
    if (this.summary.textContent !== said) this.summary.textContent = said;
    const wanted = this.search.value.trim().toLowerCase();
    const state = this.filter.value;
    const seeks = Boolean(wanted || state);
    const shown = cards.filter(({ webhook, state: mine }) => (!state || mine === state) && `${webhook.url}\n${webhook.description ?? ""}`.toLowerCase().includes(wanted));
    this.found.textContent = seeks ? t().found(shown.length) : "";
    const well = seeks ? [] : shown.filter(card => card.rank === STATES.length - 1);
    const folds = well.length > HEALTHY;
    const focused = document.activeElement;
    place(this.list, shown.filter(card => !well.includes(card)));
    place(this.others, folds && !this.showsHealthy ? well.filter(card => card.isOpen) : well);
    /* What is moved loses the focus. */
    if (focused !== document.activeElement && focused.isConnected) focused.focus();
    hide(this.healthy, !folds, this.home);
    this.healthy.setAttribute("aria-expanded", `${this.showsHealthy}`);
    this.healthy.textContent = t().healthy(well.length);
    this.none.hidden = !this.isRead || cards.length > 0;
  }

  async openNew() {
    const { webhookForm } = await forms();
    this.open("new-webhook", webhookForm(null, async given => {
      const { secret, ...webhook } = await call("POST", "webhooks", given);
      this.place.replaceChildren();
      const card = this.put(webhook);
      card.rank = -1;
      card.isOpen = true;
      this.arrange();
      card.say(x => x.created);
      card.showSecret(secret);
      await card.unfold(true);
    }));
  }

  openOne(id) {
    const card = this.cards.get(id);
    if (!card) return;
    card.unfold(true);
    this.arrange();
    card.root.scrollIntoView();
    card.name.focus();
  }
}

/* Puts cards in order, and moves only those that are elsewhere. */
function place(parent, cards) {
  const wanted = new Set(cards.map(({ root }) => root));
  for (const node of [...parent.children]) if (!wanted.has(node)) node.remove();
  cards.forEach(({ root }, i) => { if (parent.children[i] !== root) parent.insertBefore(root, parent.children[i] ?? null); });
}
