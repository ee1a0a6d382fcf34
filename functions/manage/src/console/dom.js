/* Elements, the reader's language, and times in the reader's time zone. */
export const TYPES = ["message", "event", "contact", "publication", "interaction", "notice"];

const TEXTS = { "pt-BR": null, en: null };
const STORED = "carteiro.language";

/* Without storage a choice lasts as long as the page. */
const stored = () => { try { return sessionStorage.getItem(STORED); } catch { return null; } };

let language = Object.hasOwn(TEXTS, stored() ?? "") ? stored() : "pt-BR";

export const languageNow = () => language;
export const t = () => TEXTS[language];

/* Only the reader's language is loaded. */
const load = async chosen => { TEXTS[chosen] ??= (await import(`./${chosen}.js`)).default; };
await load(language);

export async function setLanguage(chosen) {
  if (!Object.hasOwn(TEXTS, chosen ?? "")) return;
  await load(chosen);
  language = chosen;
  try { sessionStorage.setItem(STORED, chosen); } catch { /* As above. */ }
  document.documentElement.lang = language;
  relabel();
}

/* A text of a code that may be newer than this page. */
export const named = (names, name) => Object.hasOwn(names, name) ? names[name] : name;
/* The reader's language of a text that the server has in both. */
export const words = message => message?.[language] ?? "";

/* ---- Elements ---- */

export const byId = id => document.getElementById(id);

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function label(node) {
  if (node.live) setText(node, node.live(t()));
  for (const [name, tell] of Object.entries(node.liveAttributes ?? {})) node.setAttribute(name, tell(t()));
}

export function relabel(root = document) {
  for (const node of root.querySelectorAll("[data-live]")) label(node);
}

/* Gives a node a text that follows the language. */
export function live(node, tell) {
  node.live = tell ?? (() => "");
  node.dataset.live = "";
  label(node);
}

/*
 * `el("p.soft", {…}, …)`: an element with classes, attributes and children. A function among the attributes that is no
 * listener, or as a child, is a text by language, and follows a change of it.
 */
export function el(form, ...rest) {
  const [name, ...classes] = form.split(".");
  const node = document.createElement(name);
  if (classes.length > 0) node.className = classes.join(" ");
  if (name === "button") node.type = "button";
  const given = rest[0]?.constructor === Object ? rest.shift() : {};
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (typeof value === "function") (node.liveAttributes ??= {})[key] = value;
    else if (key in node && !/^(aria|data|role)/.test(key)) node[key] = value;
    else node.setAttribute(key, value);
  }
  const children = rest.flat().filter(child => child !== null && child !== undefined && child !== "");
  if (children.length === 1 && typeof children[0] === "function") [node.live] = children;
  else node.append(...children.map(child => typeof child === "function" ? el("span", child) : child));
  if (node.live || node.liveAttributes) node.dataset.live = "";
  label(node);
  return node;
}

/* Draws anew what depends on values, where they changed. Focus and open details stay, by their keys. */
export function draw(node, values, build) {
  const drawn = JSON.stringify([language, values]);
  if (node.drawn === drawn) return;
  node.drawn = drawn;
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  const open = new Set(Array.from(node.querySelectorAll("details[open] > [data-key]"), summary => summary.dataset.key));
  node.replaceChildren(...[build(t())].flat(2).filter(child => child !== null));
  for (const summary of node.querySelectorAll("summary[data-key]")) summary.parentNode.open = open.has(summary.dataset.key);
  if (focused) regain(node, focused.dataset.key);
}

/* Gives back the focus of what was drawn anew, by its key; where it is gone, to what it was in. */
function regain(node, key = "") {
  const home = node.closest("[data-home]") ?? node;
  (home.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? home.querySelector("[data-key=home]"))?.focus();
}

/* Hides a node, whose focus goes elsewhere, or shows it. */
export function hide(node, hidden, home) {
  if (hidden && node.contains(document.activeElement)) home.focus();
  node.hidden = hidden;
}

/* Name and value pairs; each value is found by its name. */
export const facts = pairs => el("dl", ...pairs.filter(Boolean).flatMap(([name, title, value]) =>
  [el("dt", title), el("dd", { "data-fact": name }, value)]));

/* A button whose action runs once at a time, and keeps the focus while it does. Of several alike, `of` tells them apart. */
export function button(name, text, action, form = "button", of = null) {
  const made = el(form, { "data-action": name, "data-key": name, onclick: async () => {
    if (made.getAttribute("aria-disabled") === "true") return;
    made.setAttribute("aria-disabled", "true");
    try { await action(made); } finally { made.removeAttribute("aria-disabled"); }
  }, ...of ? { "aria-label": x => `${text(x)}: ${of()}` } : {} }, text);
  return made;
}

/* What is said about what was done: read aloud, and in the language of now. */
export class Said {
  constructor() {
    this.root = el("div.said", { role: "status" });
    this.bar = el("progress", { hidden: true, "aria-hidden": "true" });
    this.text = el("p");
    this.more = el("div");
    this.root.append(this.text, this.bar, this.more);
  }

  say(tell, isError = false, progress = null) {
    live(this.text, tell);
    this.more.replaceChildren();
    this.isError = isError;
    this.root.classList.toggle("error", isError);
    this.bar.hidden = progress === null;
    if (progress) [this.bar.value, this.bar.max] = progress;
  }
}

/* A question before what cannot be undone. The answer is true where its button was pressed. */
export function ask(text, action) {
  const box = byId("ask");
  const back = document.activeElement;
  const around = back.closest("[data-home]");
  return new Promise(done => {
    const end = answer => {
      box.onclose = null;
      box.close();
      /* Its place may have been drawn anew meanwhile. */
      if (back.isConnected) back.focus();
      else if (around) regain(around, back.dataset.key);
      done(answer);
    };
    box.replaceChildren(el("p", { id: "ask-text" }, text), el("div.group",
      el("button.danger", { "data-action": "confirm", onclick: () => end(true) }, action),
      el("button", { "data-action": "dismiss", autofocus: true, onclick: () => end(false) }, x => x.cancel)));
    box.onclose = () => end(false);
    box.showModal();
  });
}

/* ---- Times ---- */

const format = (at, options) => new Intl.DateTimeFormat(language, options).format(at);
const midnight = at => new Date(at.getFullYear(), at.getMonth(), at.getDate());

export const clock = at => format(at, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/* "hoje às 16:05", "03/12 às 16:05". */
export function when(text) {
  const [at, now] = [new Date(text), new Date()];
  const days = Math.round((midnight(at) - midnight(now)) / 864e5);
  const year = at.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return t().when(t().day[days] ?? format(at, { day: "2-digit", month: "2-digit", year }), clock(at));
}

/* From when on: "a partir das 16:05", "a partir de amanhã às 01:00". */
export function from(text) {
  const at = new Date(text);
  return midnight(at) - midnight(new Date()) === 0 ? t().from(clock(at)) : t().fromDay(when(text));
}

/* "3 h 40 min". */
export function span(ms) {
  const minutes = Math.round(ms / 6e4);
  if (minutes < 1) return t().moment;
  const parts = [[Math.floor(minutes / 1440), t().days], [Math.floor(minutes / 60) % 24, "h"], [minutes % 60, "min"]];
  return parts.filter(([n]) => n > 0).slice(0, 2).map(([n, unit]) => `${n}\u00a0${unit}`).join("\u00a0");
}

/* "hoje às 16:05, em 3 h 40 min". */
export function until(text) {
  const left = new Date(text) - new Date();
  return left > 0 ? `${when(text)}, ${t().in(span(left))}` : when(text);
}

export const time = text => el("time", { dateTime: text, title: format(new Date(text), { dateStyle: "full", timeStyle: "long" }) }, when(text));

/* A duration of seconds that was promised or measured. */
export const duration = seconds => seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${seconds / 60} min` : `${seconds / 3600} h`;
export const number = value => new Intl.NumberFormat(language).format(value);
export const list = values => new Intl.ListFormat(language, { type: "conjunction" }).format(values);
