/* The page "Integrações → Webhook": entry, the parts of an account, and when they are read anew. */
import { byId, clock, el, languageNow, live, relabel, setLanguage, t } from "./dom.js";
import { Refused, anyNews, begin, call, end, session } from "./api.js";
import { problemText } from "./forms.js";
import { Alerts } from "./alerts.js";
import { Pages } from "./pages.js";
import { Webhooks } from "./webhooks.js";

/* The page is read anew soon after something changed, and ever more seldom while nothing does. */
const SOON_MS = 10000;
const SELDOM_MS = 60000;

let parts = null;
let timer = 0;
let interval = SOON_MS;
let refreshedAt = null;
/* What the address asks for: it is opened once somebody has signed in. */
let wanted = null;

const trouble = tell => live(byId("trouble"), tell);
for (const [selector, tell] of [["#title", x => x.title], ["#leave", x => x.leave], ["#enter-hint", x => x.enterHint], ["#enter label", x => x.key], ["#enter button", x => x.enter]]) {
  live(document.querySelector(selector), tell);
}

async function refresh() {
  clearTimeout(timer);
  if (!session.who || document.visibilityState !== "visible") return;
  const { turn } = session;
  try {
    await Promise.all(parts.map(part => part.refresh()));
    refreshedAt = new Date();
    interval = anyNews() ? SOON_MS : Math.min(interval * 1.5, SELDOM_MS);
    trouble(null);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    interval = Math.min(interval * 2, SELDOM_MS);
    if (error.status !== -1) trouble(() => problemText(error));
  } finally {
    if (turn === session.turn) {
      show();
      clearTimeout(timer);
      timer = setTimeout(refresh, interval);
    }
  }
}

function show() {
  const { who } = session;
  document.documentElement.lang = languageNow();
  document.title = t().title;
  for (const button of byId("languages").children) button.setAttribute("aria-pressed", `${button.dataset.language === languageNow()}`);
  relabel();
  byId("who").textContent = who ? `${who.account?.name ?? ""}${who.role === "look" ? ` (${t().look})` : ""}` : "";
  byId("refreshed").textContent = refreshedAt ? t().refreshed(clock(refreshedAt)) : t().loading;
  byId("enter").hidden = who !== null;
  byId("leave").hidden = byId("account").hidden = who === null;
  for (const part of who ? parts : []) part.show();
}

/* Only what is signed in has parts: nothing of an account stays in the page after it. */
async function enter(who, to) {
  begin(who);
  const [webhooks, pages, alerts] = parts = [new Webhooks(), new Pages(), new Alerts()];
  byId("account").replaceChildren(alerts.nobody, webhooks.root, pages.root, alerts.root, el("p.soft", { id: "refreshed" }));
  refuse(null);
  show();
  byId("title").focus();
  interval = SOON_MS;
  await refresh();
  if (to === "pages" || to?.startsWith("page_")) pages.title.focus();
  else if (to?.startsWith("wh_")) webhooks.openOne(to);
}

function leave(reason) {
  end();
  clearTimeout(timer);
  parts = refreshedAt = null;
  byId("account").replaceChildren(el("p", { id: "refreshed" }));
  if (byId("ask").open) byId("ask").close();
  trouble(null);
  refuse(null);
  live(byId("told"), x => x.link[reason] ?? "");
  show();
  byId("key").focus();
}

function refuse(tell) {
  live(byId("key-error"), tell);
  byId("key").setAttribute("aria-invalid", `${tell !== null}`);
}

byId("enter").addEventListener("submit", async event => {
  event.preventDefault();
  const key = byId("key").value.trim();
  if (!key) return refuse(x => x.keyNeeded);
  try {
    const who = await call("POST", "console/session", { key });
    byId("key").value = "";
    await enter(who, wanted);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const wrong = error.status === 403 ? "keyOfAdmin" : [400, 401, 422].includes(error.status) ? "keyWrong" : null;
    refuse(wrong ? x => x[wrong] : () => problemText(error));
  }
});

byId("leave").addEventListener("click", async () => {
  try {
    await call("DELETE", "console/session");
    leave("signed-out");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== -1) trouble(() => problemText(error));
  }
});

byId("languages").addEventListener("click", async ({ target }) => {
  await setLanguage(target.dataset.language);
  show();
});

document.addEventListener("visibilitychange", () => { interval = SOON_MS; refresh(); });
/* Times are told in words, which go by without any news. */
setInterval(() => { if (session.who && document.visibilityState === "visible") show(); }, 30000);
session.onEnd = leave;

async function start() {
  const given = new URLSearchParams(location.hash.slice(1));
  const link = given.get("link");
  wanted = given.get("to");
  /* A link is good once, and must not stay in the address or the history. */
  if (link) history.replaceState(null, "", location.pathname + location.search);
  if (link) await setLanguage(given.get("language"));
  show();
  try {
    return await enter(link ? await call("POST", "console/session", { link }) : await call("GET", "console/session"), wanted);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    leave(link ? t().link[error.code] ? error.code : "other" : null);
    if (error.status === 0) trouble(() => problemText(error));
  }
}

/* A link that is pasted into this page's own address loads nothing. */
addEventListener("hashchange", start);
start();
