/*
 * What is said just below a URL: what is wrong, since when, until when, what becomes of the items, and both ways out.
 * Times are the reader's. Everything comes from codes and values of the API's answer, not from its own sentence, which
 * is in UTC.
 */
import { from, list, named, number, t, until, when, words } from "./dom.js";

/* The worst first; webhooks are listed by it. */
export const STATES = ["blocked", "failing", "disabled", "open"];

const situationOf = (status, webhook) => status.situation
  ?? (!webhook.enabled ? `disabled_by_${webhook.disabled_by ?? "owner"}`
    : status.state === "blocked" ? "blocked" : status.failures > 0 ? "failing" : "open");

/* The worst state of a webhook's types. */
export function stateOf(webhook) {
  if (!webhook.enabled) return "disabled";
  const found = Object.values(webhook.status ?? {}).map(status => situationOf(status, webhook));
  if (webhook.status) return STATES.find(state => found.includes(state)) ?? "open";
  return STATES.includes(webhook.state) ? webhook.state : "open";
}

export const typeState = (status, webhook) => {
  const situation = situationOf(status, webhook);
  return situation.startsWith("disabled") ? "disabled" : situation;
};

const sum = (webhook, name) => Object.values(webhook.status ?? {}).reduce((total, one) => total + (one[name] ?? 0), 0);
const more = (webhook, name) => Object.values(webhook.status ?? {}).some(one => one[`${name}_more`]);
/* "312", or "mais de 1000" where counting ended. */
export function counted(webhook, name) {
  const text = number(sum(webhook, name));
  return more(webhook, name) ? t().moreThan(text) : text;
}
export const waiting = webhook => ({ held: sum(webhook, "held"), dead: sum(webhook, "dead"), more: more(webhook, "held") });

/* A type inside a sentence. */
const ofType = type => named(t().type, type).toLowerCase();
const heldOf = status => status.held_more ? t().moreThan(number(status.held)) : number(status.held);
const because = error => error ? words(error.message) : "";

function ofBlock(type, status, webhook) {
  const said = [
    t().blocked(ofType(type), when(status.blocked_at), until(status.blocked_until)),
    t().failedTimes(number(status.failures)),
    because(status.last_error) && t().lastFailure(because(status.last_error)),
  ];
  const discards = (status.while_blocked ?? webhook.while_blocked) === "discard";
  if (discards) said.push(t().discards(status.discarded ?? 0, number(status.discarded ?? 0)));
  if (status.held > 0) said.push(t().heldUntil(status.held, heldOf(status), from(status.blocked_until)));
  else if (!discards) said.push(t().willHold(from(status.blocked_until)));
  return said.filter(Boolean).join(" ");
}

function ofStreak(type, status, webhook) {
  const said = [
    t().failing(ofType(type), number(status.failures), status.failures),
    because(status.last_error) && t().lastFailure(because(status.last_error)),
    t().willBlock(number(status.threshold), status.threshold - status.failures),
  ];
  if (status.held > 0) said.push(ofWaiting(status));
  return said.filter(Boolean).join(" ");
}

const ofWaiting = status => t().waits(status.held, heldOf(status), status.retry_due_at ? until(status.retry_due_at) : null);

/* The paragraphs of a webhook's message, and its ways out: `mend`, `unblock`, `enable`. None where nothing is wrong. */
export function messageOf(webhook) {
  const types = Object.entries(webhook.status ?? {}).map(([type, status]) => ({ type, status, situation: situationOf(status, webhook) }));
  if (!webhook.enabled) {
    const gone = webhook.disabled_by === "gone";
    const { held } = waiting(webhook);
    const text = [gone ? t().gone : t().disabledByOwner, t().heldUntilEnabled(held, counted(webhook, "held"))];
    /* Enabling ends no block. */
    for (const { type, status } of types) if (status.blocked_until) text.push(t().stillBlocked(ofType(type), until(status.blocked_until)));
    return { tone: gone ? "bad" : "idle", texts: [text.join(" "), gone ? t().mendOrEnable : t().enableToSend], ways: gone ? ["mend", "enable"] : ["enable"] };
  }
  const blocked = types.filter(one => one.situation === "blocked");
  const failing = types.filter(one => one.situation === "failing");
  const texts = blocked.map(({ type, status }) => ofBlock(type, status, webhook));
  texts.push(...failing.map(({ type, status }) => ofStreak(type, status, webhook)));
  if (blocked.length > 0) {
    const others = types.filter(one => one.situation !== "blocked" && one.status.taken !== false).map(({ type }) => ofType(type));
    if (others.length > 0) texts.push(t().othersGoOn(list(others), others.length));
    texts.push(t().mendOrUnblock);
    return { tone: "bad", texts, ways: ["mend", "unblock"] };
  }
  if (failing.length > 0) return { tone: "warn", texts: [...texts, t().mendFailing], ways: ["mend"] };
  const due = types.filter(({ status }) => status.held > 0);
  return due.length > 0 ? { tone: "idle", texts: due.map(({ type, status }) => `${t().type[type] ?? type}: ${ofWaiting(status)}`), ways: [] } : null;
}

/* The same in short, of what a list's answer says, until the whole is known. */
export function shortMessage(webhook) {
  const trouble = webhook.trouble;
  if (!webhook.enabled || !trouble) return webhook.enabled ? null : messageOf({ ...webhook, status: {} });
  const type = ofType(trouble.item_type);
  if (trouble.until) return { tone: "bad", texts: [t().blocked(type, when(trouble.since), until(trouble.until))], ways: ["mend", "unblock"] };
  return { tone: "warn", texts: [t().failing(type, number(trouble.failures ?? 0), trouble.failures ?? 0)], ways: ["mend"] };
}
