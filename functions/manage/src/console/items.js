/* What happened to a webhook's items: the last day in a plot, the attempt log, held and dead items. */
import { Said, TYPES, ask, button, draw, el, facts, named, number, t, time, when, words } from "./dom.js";
import { call, get, mayChange, webhookPath } from "./api.js";

const SHOWN = 20;
const STEP_MS = 1500;
const pause = ms => new Promise(done => setTimeout(done, ms));
const query = values => Object.entries(values).filter(([, value]) => value).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");

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

/* What a URL answered, in its own words. */
export function answered(text, headers) {
  const rows = Object.entries(headers ?? {}).map(([name, value]) => [`header-${name}`, name, value]);
  return [
    text ? [el("p", x => x.answered), el("pre", { tabIndex: 0, "aria-label": x => x.answered }, text)] : [],
    rows.length > 0 ? [el("p", x => x.answerHeaders), facts(rows)] : [],
  ].flat();
}

/* ---- Lists ---- */

/* A folded list of pages that are read on, with filters; it is read while it is open alone. */
class Folded {
  constructor(card, name, title, filters = []) {
    Object.assign(this, { card, name, rows: null, next: null, drawn: 0 });
    this.filters = filters.map(([key, label, options]) => {
      const id = `${card.root.id}-${name}-${key}`;
      const input = options ? el("select", { id }, ...options.map(([value, text]) => el("option", { value }, text))) : el("input", { id, type: "date" });
      input.addEventListener("change", () => this.read());
      return { key, input, root: el("div", el("label", { htmlFor: id }, label), input) };
    });
    this.list = el("ul.types");
    this.title = el("summary", title);
    this.tools = el("div.group");
    this.said = new Said();
    this.onward = button("more", x => x.more, () => this.read(this.next));
    this.root = el("details", { "data-list": name }, this.title, this.filters.length > 0 ? el("div.filters", ...this.filters.map(one => one.root)) : null,
      this.tools, this.said.root, this.list, this.onward);
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
      this.card.fail(error, this.said);
    }
    this.show();
  }

  /* Whoever read on is not thrown back to the first page. */
  refresh() { return this.rows?.length > SHOWN ? null : this.read(); }

  show() {
    this.onward.hidden = !this.next;
    this.tools.hidden = !this.rows?.length;
    draw(this.list, [this.rows, mayChange()], () => this.rows === null ? el("li.soft", t().loading)
      : this.rows.length === 0 ? el("li.soft", t().noRows[this.name]) : this.rows.map(row => this.row(row)));
  }

  /* An action whose result is said at the list. */
  async act(request, done) {
    try {
      const answer = await request();
      this.said.say(done(answer));
      await this.card.load();
      await this.read();
      return answer;
    } catch (error) {
      return this.card.fail(error, this.said);
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
      el("details", el("summary", { "data-key": `look-${one.item}-${one.attempt}` }, t().details), facts([["item", t().item, one.item]]), ...answered(one.response_body, one.response_headers)),
      mayChange() && ["dead", "held"].includes(one.became) ? this.again(one.item) : null);
  }
}

/* Held or dead items: they are looked at, sent again, and held ones discarded. */
export class Waiting extends Folded {
  constructor(card, name) {
    super(card, name, x => name === "held" ? x.heldNow(card.countOf("held")) : x.deadNow(card.countOf("dead")), [ofType]);
    if (!mayChange()) return;
    this.tools.append(button("all", name === "held" ? x => x.cancelAll : x => x.againAll, () => this.all()));
  }

  row(one) {
    const text = el("pre", { tabIndex: 0, "aria-label": t().item });
    const look = el("details", { ontoggle: async () => { if (look.open && !text.textContent) text.textContent = await this.content(one); } },
      el("summary", { "data-key": `look-${one.id}` }, t().lookAt), text);
    const why = this.name === "held" ? named(t().heldFor, one.held_for) : named(t().died, one.cause);
    const held = this.name === "held";
    return el("li", { "data-item": one.id }, el("p", `${nameOf(one.type)}: ${why}${one.due_at ? `, ${when(one.due_at)}` : ""}.`, " ", words(one.last_error?.message)),
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
      this.said.say(x => x.againNot, true);
    } catch (error) {
      this.card.fail(error, this.said);
    }
    return "";
  }

  async drop(one) {
    if (!await ask(x => x.cancelOneAsk, x => x.cancelOne)) return;
    await this.act(() => call("DELETE", webhookPath(this.card.id, `/held/${encodeURIComponent(one.id)}`)), answer => x => x.cancelled(answer?.dropped ?? 1, answer?.dropped_more));
  }

  /* All of one type, or of each that has some. */
  async all() {
    const status = this.card.webhook.status ?? {};
    const types = Object.keys(status).filter(type => status[type][this.name] > 0 && ["", type].includes(this.value("type")));
    if (types.length === 0) return;
    if (this.name === "dead") return this.replay(types);
    const count = types.reduce((sum, type) => sum + status[type].held, 0);
    if (!await ask(x => x.cancelAsk(types.some(type => status[type].held_more) ? x.moreThan(count) : count, types.map(type => named(x.type, type)).join(", ")), x => x.cancelAll)) return;
    for (const type of types) {
      await this.act(() => call("DELETE", webhookPath(this.card.id, `/held?type=${type}`)), ({ dropped, dropped_more: more }) => x => x.cancelled(dropped, more));
    }
  }

  async replay(types) {
    for (const type of types) {
      try {
        let replay = await call("POST", webhookPath(this.card.id, "/replay"), { type });
        while (this.root.isConnected && replay.state !== "done") {
          const { taken, found, delivered, dead, dropped } = replay;
          this.said.say(x => x.resending(number(delivered + dead + dropped), number(Math.max(taken, found))), false, [delivered + dead + dropped, Math.max(taken, found, 1)]);
          await pause(STEP_MS);
          replay = await get(webhookPath(this.card.id, `/replay/${encodeURIComponent(replay.id)}`));
        }
        const { delivered, dead } = replay;
        this.said.say(x => x.resent(number(delivered), dead), dead > 0);
      } catch (error) {
        this.card.fail(error, this.said);
      }
    }
    await this.card.load().catch(error => this.card.fail(error));
    await this.read();
  }
}

/* ---- A release ---- */

/* How many are held, counted by their list where the status counts no further. */
async function countHeld(card) {
  const status = Object.values(card.webhook.status ?? {});
  if (!status.some(one => one.held_more)) return status.reduce((sum, one) => sum + one.held, 0);
  let [count, cursor] = [0, null];
  do {
    const page = await get(webhookPath(card.id, `/held?limit=200${query({ cursor })}`));
    count += page.data.length;
    cursor = page.next;
  } while (cursor && count < 5000);
  return count;
}

/* Says how far the release of what was held is, until nothing is, a block begins again, or it has been watched enough. */
export async function watchRelease(card, act) {
  /* What came since the last look is sent, too. */
  await card.load();
  const all = await countHeld(card);
  if (!await act() || all === 0) return;
  for (let step = 0; step < 300 && card.root.isConnected; step += 1) {
    const status = Object.values(card.webhook.status ?? {});
    const held = status.reduce((sum, one) => sum + one.held, 0);
    const many = status.some(one => one.held_more);
    if (held === 0) return card.say(x => x.sentAll(number(all)));
    if (step > 0 && (!card.webhook.enabled || status.some(one => one.blocked_until))) return card.say(x => x.stoppedAgain, true);
    const done = Math.max(0, all - held);
    if (many) card.say(x => x.sendingMany(x.moreThan(number(held)), number(all)), false, [0, all]);
    else card.say(x => x.sending(number(done), number(all)), false, [done, all]);
    await pause(STEP_MS);
    await card.load().catch(error => { if (error.status !== 0) throw error; });
  }
}
