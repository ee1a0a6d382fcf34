/* The API, called with the session's cookie. No key is kept: one that is typed is exchanged for a session at once. */

/* What the server did not do: `code` is the last part of the problem's type, `errors` name the wrong fields. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = typeof problem?.type === "string" ? problem.type.split(/[/:#]/).pop() : "";
    this.errors = Array.isArray(problem?.errors) ? problem.errors : [];
    this.retryAfter = 0;
  }
}

/* `who` is null while nobody is signed in; `turn` grows with each session, so that no answer of an earlier one counts. */
export const session = { who: null, turn: 0, onEnd: () => {} };
export const mayChange = () => session.who?.role === "change";

/*
 * Whether somebody used the page since its last request. That alone keeps the session from its idle end: what the page
 * asks by itself does not.
 */
let acted = true;
for (const kind of ["pointerdown", "keydown", "wheel"]) addEventListener(kind, ({ isTrusted }) => { acted ||= isTrusted; }, { capture: true, passive: true });

/* Bodies of the last answers, by path: whether anything is new decides how soon the next look is. */
const seen = new Map();
let news = false;
export function anyNews() {
  const was = news;
  news = false;
  return was;
}

export function begin(who) {
  session.who = who;
  session.turn += 1;
  seen.clear();
}

export function end() {
  begin(null);
}

async function answerOf(response) {
  const text = await response.text();
  return [text, text ? JSON.parse(text) : null];
}

/* Another tab may have signed in since: to this account, which goes on here, or to another one, which is shown anew. */
async function isStillOurs() {
  const { who: before } = session;
  const response = await fetch("console/session", { cache: "no-store", redirect: "error" }).catch(() => null);
  if (!response) throw new Refused(0, null);
  const who = response.ok ? await response.json() : null;
  if (who && who.account.id !== before?.account?.id) location.reload();
  else if (who) session.who = who;
  return who?.account.id === before?.account?.id;
}

/* `cache: "no-cache"` lets the browser ask whether what it has still holds, and answer it from its own store. */
export async function call(method, path, body, again = false) {
  const of = session.turn;
  const headers = {};
  if (body !== undefined) headers["content-type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  if (session.who?.csrf) headers["carteiro-csrf"] = session.who.csrf;
  if (acted) headers["carteiro-act"] = "true";
  acted = false;
  let response;
  let answer = null;
  let text = "";
  try {
    response = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), redirect: "error",
      credentials: "same-origin", cache: method === "GET" ? "no-cache" : "no-store", signal: AbortSignal.timeout(30000),
    });
    [text, answer] = await answerOf(response);
  } catch {
    if (!response || response.ok) throw new Refused(0, null);
  }
  if (of !== session.turn) throw new Refused(-1, null);
  if (!response.ok) {
    const refused = new Refused(response.status, answer);
    refused.retryAfter = Number(response.headers.get("retry-after") ?? 0);
    if (!session.who || response.status !== 401 && refused.code !== "csrf") throw refused;
    if (!again && await isStillOurs()) return call(method, path, body, true);
    if (of === session.turn) session.onEnd("session-ended");
    throw new Refused(-1, null);
  }
  if (method === "GET" && seen.get(path) !== text) {
    seen.set(path, text);
    news = true;
  } else if (method !== "GET") news = true;
  return answer;
}

export const get = path => call("GET", path);

export async function listAll(path) {
  const all = [];
  let cursor = "";
  let counts;
  do {
    const page = await get(`${path}?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    all.push(...page.data);
    counts ??= page.counts;
    cursor = page.next;
  } while (cursor);
  return { all, counts };
}

export const webhookPath = (id, rest = "") => `webhooks/${encodeURIComponent(id)}${rest}`;
export const pagePath = (id, rest = "") => `pages/${encodeURIComponent(id)}${rest}`;
