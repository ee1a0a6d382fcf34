/* What is inside an open webhook: its types and settings, the last day in a plot, the attempt log, held and dead items. */
import { TYPES, ask, button, draw, el, facts, hide, list, named, number, t, time, when, words } from "./dom.js";
import { call, get, mayChange, webhookPath } from "./api.js";
import { Part } from "./forms.js";
import { typeState } from "./message.js";

const SHOWN = 20;
const STEP_MS = 1500;
const pause = ms => new Promise(done => setTimeout(done, ms));
const query = values => Object.entries(values).filter(([, value]) => value).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");

/* ---- What is inside an open webhook ---- */

export function typeRow(webhook, type, status) {
  const state = typeState(status, webhook);
  const pairs = [
    status.failures > 0 && ["failures", t().typeFacts.failures, `${number(status.failures)} / ${number(status.threshold)}`],
    status.held > 0 && ["held", t().typeFacts.held, status.held_more ? t().moreThan(number(status.held)) : number(status.held)],
    status.dead > 0 && ["dead", t().typeFacts.dead, status.dead_more ? t().moreThan(number(status.dead)) : number(status.dead)],
    status.discarded > 0 && ["discarded", t().typeFacts.discarded, number(status.discarded)],
    status.last_error && ["last-error", t().typeFacts.error, `${words(status.last_error.message)} (${when(status.last_error.at)})`],
  ].filter(Boolean);
  return el("li", { "data-type": type }, el("div.group", el("h3", named(t().type, type)), el(`span.state.${state}`, t().state[state])), pairs.length > 0 ? facts(pairs) : null);
}

export function settings(webhook) {
  const x = t();
  return facts([
    ["sources", x.sources, webhook.sources ? list(webhook.sources) : x.everything],
    ["headers", x.headers, Object.entries(webhook.headers ?? {}).map(one => one.join(": ")).join("; ") || x.nothing],
    ["while", x.whileBlocked, named(x.while, webhook.while_blocked)],
    webhook.threshold && ["threshold", x.threshold, number(webhook.threshold)],
    webhook.block_seconds && ["block", x.blockMinutes, number(webhook.block_seconds / 60)],
    ["log", x.log, named(x.logs, webhook.log)],
    webhook.public_key && ["public-key", x.publicKey, webhook.public_key],
    webhook.replaced_until && ["replaced", x.replaced, when(webhook.replaced_until)],
    ["created", x.createdAt, time(webhook.created_at)],
  ]);
}

/* ---- The plot ---- */

const svg = (name, attributes, ...children) => {
  const node = document.createElementNS("http" + ":" + "//www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

/* One bar an hour: failures, and deliveries where they are logged. */
export function plot(hours) {
  const total = name => hours.reduce((sum, hour) => sum + (hour[name] ?? 0), 0);
  const logged = hours.some(hour => hour.delivered !== null);
  /* Of a failed attempt, its item may be held: each attempt counts once. */
  const kinds = [["failed", t().failedBar], ...(logged ? [["delivered", t().deliveredBar]] : [])];
  const most = Math.max(...hours.map(hour => kinds.reduce((sum, [kind]) => sum + (hour[kind] ?? 0), 0)));
  if (!(most > 0)) return el("p.soft", t().quiet);
  const bars = hours.flatMap((hour, i) => {
    let top = 48;
    return kinds.filter(([kind]) => hour[kind] > 0).map(([kind]) => {
      const height = Math.max(1, 48 * hour[kind] / most);
      top -= height;
      return svg("rect", { class: kind, x: 10 * i, y: top, width: 8, height }, svg("title", {}, `${when(hour.hour)}: ${number(hour[kind])}`));
    });
  });
  const said = t().plot(number(total("failed")), logged ? number(total("delivered")) : null);
  return el("figure", svg("svg", { viewBox: "0 0 240 49", role: "img", "aria-label": said, preserveAspectRatio: "none" }, ...bars),
    el("figcaption.soft", ...kinds.map(([kind, name]) => el(`span.key.${kind}`, `${name}: ${number(total(kind))} `))));
}

/* What a URL answered, in its own words; its headers are folded. */
export function answered(text, headers, key = "") {
  const rows = Object.entries(headers ?? {}).map(([name, value]) => [`header-${name}`, name, value]);
  return [
    text ? [el("p", x => x.answered), el("pre", { tabIndex: 0, "aria-label": x => x.answered }, text)] : [],
    rows.length > 0 ? el("details", el("summary", { "data-key": `headers-${key}` }, x => x.answerHeaders), facts(rows)) : [],
  ].flat();
}

/* ---- Lists ---- */

/* A folded list of pages that are read on, with filters; it is read while it is open alone. */
class Folded extends Part {
  constructor(card, name, title, filters = []) {
    super();
    Object.assign(this, { card, name, rows: null, next: null, drawn: 0 });
    this.filters = filters.map(([key, label, options]) => {
      const id = `${card.root.id}-${name}-${key}`;
      const input = options ? el("select", { id }, ...options.map(([value, text]) => el("option", { value }, text))) : el("input", { id, type: "date" });
      input.addEventListener("change", () => this.read());
      return { key, input, root: el("div", el("label", { htmlFor: id }, label), input) };
    });
    this.list = el("ul.types");
    this.home = el("summary", { "data-key": "home" }, title);
    this.tools = el("div.group");
    this.onward = button("more", x => x.more, () => this.read(this.next));
    this.root = el("details", { "data-list": name, "data-home": "" }, this.home, this.filters.length > 0 ? el("div.filters", ...this.filters.map(one => one.root)) : null,
      this.tools, this.place, this.said.root, this.list, this.onward);
    this.onward.hidden = true;
    this.root.addEventListener("toggle", () => { if (this.root.open) this.read(); });
  }

  value(key) { return this.filters.find(one => one.key === key)?.input.value ?? ""; }

  path() { return webhookPath(this.card.id, `/${this.name}?limit=${SHOWN}${query({ type: this.value("type") })}`); }

  async read(cursor = null) {
    if (!this.root.open) return;
    const turn = ++this.drawn;
    try {
      const page = await get(`${this.path()}${query({ cursor })}`);
      if (turn !== this.drawn) return;
      this.rows = cursor ? [...this.rows, ...page.data] : page.data;
      this.next = page.next;
    } catch (error) {
      this.fail(error);
    }
    this.show();
  }

  /* Whoever read on is not thrown back to the first page. */
  refresh() { return this.rows?.length > SHOWN ? null : this.read(); }

  show() {
    hide(this.onward, !this.next, this.home);
    hide(this.tools, !this.rows?.length, this.home);
    draw(this.list, [this.rows, mayChange()], () => this.rows === null ? el("li.soft", t().loading)
      : this.rows.length === 0 ? el("li.soft", t().noRows[this.name]) : this.rows.map(row => this.row(row)));
  }

  /* An action whose result is said at the list. */
  async act(request, done) {
    try {
      const answer = await request();
      this.say(done(answer));
      await this.card.load();
      await this.read();
      return answer;
    } catch (error) {
      return this.fail(error);
    }
  }

  again(item) {
    const send = () => call("POST", webhookPath(this.card.id, "/replay"), { item }).catch(error => {
      if (error.status === 404) error.code = "item-gone";
      throw error;
    });
    return button(`again-${item}`, x => x.again, () => this.act(send, () => x => x.againSaid));
  }
}

const nameOf = type => named(t().type, type);
const ofType = ["type", x => x.typeFilter, [["", x => x.all], ...TYPES.map(type => [type, x => x.type[type]])]];

export class Log extends Folded {
  constructor(card) {
    super(card, "attempts", x => x.attempts, [ofType, ["day", x => x.dayFilter],
      ["outcome", x => x.outcome, [["", x => x.all], ["failure", x => x.outcomes.failure], ["success", x => x.outcomes.success]]]]);
  }

  path() {
    const day = this.value("day") ? new Date(`${this.value("day")}T00:00`) : null;
    const next = day && new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1);
    return `${super.path()}${query({ outcome: this.value("outcome"), from: day?.toISOString(), to: next?.toISOString() })}`;
  }

  row(one) {
    const why = one.outcome === "success" ? t().succeeded(one.status) : words(one.message);
    const next = one.next_at ? `, ${when(one.next_at)}` : "";
    return el("li", { "data-attempt": one.item }, el("p", time(one.at), `: ${why}`),
      el("p.soft", `${nameOf(one.type)}, ${t().attempt(one.attempt)}, ${number(one.latency_ms)} ms. ${named(t().became, one.became)}${next}.`),
      el("details", el("summary", { "data-key": `look-${one.item}-${one.attempt}` }, t().details), facts([["item", t().item, one.item]]), ...answered(one.response_body, one.response_headers, `${one.item}-${one.attempt}`)),
      mayChange() && ["dead", "held"].includes(one.became) ? this.again(one.item) : null);
  }
}

/* Held or dead items: they are looked at, sent again, and held ones discarded. */
export class Waiting extends Folded {
  constructor(card, name) {
    super(card, name, x => name === "held" ? x.heldNow(card.countOf("held")) : x.deadNow(card.countOf("dead")), [ofType]);
    if (!mayChange()) return;
    this.tools.append(...name === "held" ? [button("all", x => x.cancelAll, () => this.all())]
      : [button("all", x => x.againAll, () => this.replay()), button("span", x => x.againSpan, () => this.span())]);
  }

  row(one) {
    const text = el("pre", { tabIndex: 0, "aria-label": t().item });
    const look = el("details", { ontoggle: async () => { if (look.open && !text.textContent) text.textContent = await this.content(one); } },
      el("summary", { "data-key": `look-${one.id}` }, t().lookAt), text);
    const why = this.name === "held" ? named(t().heldFor, one.held_for) : named(t().died, one.cause);
    const held = this.name === "held";
    return el("li", { "data-item": one.id }, el("p", `${nameOf(one.type)}: ${why}${one.due_at ? `, ${when(one.due_at)}` : ""}. ${one.last_error ? t().lastFailure(words(one.last_error.message)) : ""}`),
      el("p.soft", `${t().accepted} `, time(one.accepted_at), `, ${t().attempt(one.attempt)}, ${t().bytes(number(one.bytes))}, ${one.id}`),
      look, el("div.group", ...mayChange() ? [!held || one.held_for === "retry" ? this.again(one.id) : null, held ? button(`drop-${one.id}`, t().cancelOne, () => this.drop(one)) : null] : []));
  }

  /* The page that holds the item is read with its bytes: no other route answers them. */
  async content(one) {
    try {
      let cursor = null;
      do {
        const page = await get(webhookPath(this.card.id, `/${this.name}?items=true&limit=${SHOWN}${query({ type: one.type, cursor })}`));
        const found = page.data.find(({ id }) => id === one.id);
        if (found) return found.item;
        cursor = page.next;
      } while (cursor);
      this.say(x => x.againNot, true);
    } catch (error) {
      this.fail(error);
    }
    return "";
  }

  async drop(one) {
    if (!await ask(x => x.cancelOneAsk, x => x.cancelOne)) return;
    await this.act(() => call("DELETE", webhookPath(this.card.id, `/held/${encodeURIComponent(one.id)}`)), answer => x => x.cancelled(answer?.dropped ?? 1, answer?.dropped_more));
  }

  /* The type that is asked for, or each that has some now: what the card shows may be older than the list. */
  async types() {
    try {
      this.card.take(await get(webhookPath(this.card.id)));
    } catch (error) {
      this.fail(error);
    }
    const status = this.card.webhook.status ?? {};
    return Object.keys(status).filter(type => status[type][this.name] > 0 && ["", type].includes(this.value("type")));
  }

  async all() {
    const types = await this.types();
    const { status } = this.card.webhook;
    if (types.length === 0) return;
    const count = types.reduce((sum, type) => sum + status[type].held, 0);
    if (!await ask(x => x.cancelAsk(types.some(type => status[type].held_more) ? x.moreThan(number(count)) : number(count), types.map(type => named(x.type, type)).join(", ")), x => x.cancelAll)) return;
    for (const type of types) {
      await this.act(() => call("DELETE", webhookPath(this.card.id, `/held?type=${type}`)), ({ dropped, dropped_more: more }) => x => x.cancelled(dropped, more));
    }
  }

  span() {
    this.open(`${this.card.root.id}-span`, {
      groups: [[{ name: "from", kind: "datetime-local", label: x => x.spanFrom }, { name: "to", kind: "datetime-local", label: x => x.spanTo }]],
      submit: x => x.again,
      save: values => {
        this.close();
        const given = Object.entries(values).filter(([, value]) => value).map(([name, value]) => [name, new Date(value).toISOString()]);
        return this.replay(Object.fromEntries(given));
      },
    });
  }

  async replay(span = {}) {
    for (const type of await this.types()) {
      try {
        let replay = await call("POST", webhookPath(this.card.id, "/replay"), { type, ...span });
        while (this.root.isConnected && replay.state !== "done") {
          const { taken, found, delivered, dead, dropped } = replay;
          this.say(x => x.resending(number(delivered + dead + dropped), number(Math.max(taken, found))), false, [delivered + dead + dropped, Math.max(taken, found, 1)]);
          await pause(STEP_MS);
          replay = await get(webhookPath(this.card.id, `/replay/${encodeURIComponent(replay.id)}`));
        }
        const { delivered, dead } = replay;
        this.say(x => x.resent(number(delivered), dead), dead > 0);
      } catch (error) {
        this.fail(error);
      }
    }
    await this.card.load().catch(error => this.card.fail(error));
    await this.read();
  }
}

/* ---- A release ---- */

/* How many held items of a type are listed before a release, to know how many there are and in what order they leave. */
const MOST_LISTED = 5000;

/*
 * How far a release is. The status counts the held items of a type to a limit; above it, the list that was read before
 * says how many there were, and the oldest item that is still held says how many of them are gone: they leave in order.
 */
export class Progress {
  types = new Map();

  /* What a type's list said before the release: its items in their order, and whether there are more than those. */
  listed(type, ids, rest) { this.types.set(type, { all: ids.length, rest, ids, done: 0, left: null }); }

  /* What a look says: how many of a type are held, or that it is more than can be counted, and which is the oldest. */
  look(type, { held, held_more: many }, oldest = null) {
    const one = this.types.get(type) ?? { all: 0, rest: false, ids: [], done: 0, left: 0 };
    this.types.set(type, one);
    one.left = many ? null : held;
    if (many) {
      if (one.all <= held) Object.assign(one, { all: held, rest: true });
      one.done = Math.max(one.done, one.ids.indexOf(oldest));
    } else if (!one.rest) {
      one.all = Math.max(one.all, held);
      one.done = Math.max(one.done, one.all - held);
    }
  }

  sum(name) { return [...this.types.values()].reduce((sum, one) => sum + one[name], 0); }

  /* Whether there were more than could be counted. */
  get isOpen() { return [...this.types.values()].some(one => one.rest); }

  get isOver() { return [...this.types.values()].every(one => one.left === 0); }

  total(x) { return this.isOpen ? x.moreThan(number(this.sum("all"))) : number(this.sum("all")); }

  /* What is said of it, and how far a bar is. */
  said() {
    const [done, all] = [this.sum("done"), this.sum("all")];
    const isCounted = [...this.types.values()].every(one => one.left !== null);
    if (!this.isOpen || !isCounted) return [x => x.sending(number(done), this.total(x)), false, [done, all]];
    const left = this.sum("left");
    return [x => x.sendingLeft(number(left)), false, [Math.max(0, all - left), all]];
  }
}

async function listHeld(card, type) {
  const ids = [];
  let cursor = null;
  do {
    const page = await get(webhookPath(card.id, `/held?limit=200${query({ type, cursor })}`));
    ids.push(...page.data.map(({ id }) => id));
    cursor = page.next;
  } while (cursor && ids.length < MOST_LISTED);
  return [ids, cursor !== null];
}

async function look(card, progress) {
  const webhook = await card.load();
  for (const [type, status] of Object.entries(webhook.status)) {
    if (status.held_more && !progress.types.has(type)) progress.listed(type, ...await listHeld(card, type));
    const oldest = status.held_more ? (await get(webhookPath(card.id, `/held?limit=1${query({ type })}`))).data[0] : null;
    progress.look(type, status, oldest?.id);
  }
  return webhook;
}

/* Says how far the release of what was held is, until nothing is, a block begins again, or it has been watched enough. */
export async function watchRelease(card, act) {
  const progress = new Progress();
  /* What came since the card was read is sent, too. */
  await look(card, progress);
  if (!await act() || progress.isOver) return;
  for (let step = 0; step < 300 && card.root.isConnected; step += 1) {
    const webhook = await look(card, progress).catch(error => { if (error.status !== 0) throw error; return null; });
    if (webhook && progress.isOver) return card.say(x => x.sentAll(progress.total(x)));
    if (webhook && step > 0 && (!webhook.enabled || Object.values(webhook.status).some(one => one.blocked_until))) return card.say(x => x.stoppedAgain, true);
    if (webhook) card.say(...progress.said());
    await pause(STEP_MS);
  }
}
