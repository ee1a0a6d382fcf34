/* The forms of webhooks, pages and alerts, and an example of each item type. */
import { TYPES, el, languageNow, t } from "./dom.js";
import { Wrong, choices, lines } from "./forms.js";
import { NETWORKS } from "./pages.js";

const collected = (type, kind, rest) => ({
  id: "item_542b257778c2137b0ea97a6e6305f6fc", network: "facebook", page: "page_3c9e1f5a7b2d4c6e8f0a1b3c5d7e9f12", type, kind, action: "created",
  occurred_at: "2026-11-20T18:39:50Z", collected_at: "2026-11-20T18:40:01Z", by: "push", parent: null, link: null, attachments: [], ...rest, raw: {},
});
const EXAMPLES = {
  message: { id: "m-1", from: "5511999990000@example.com", type: "text/plain", content: "Olá!" },
  event: { category: "menu", action: "clicked" },
  contact: { identity: "5511999990000@example.com", name: "Ana Exemplo" },
  publication: collected("publication", "post", { author: { id: "110", name: "Loja", username: null }, text: "Novidades!", thing: "110_5001" }),
  interaction: collected("interaction", "comment", { author: { id: "9001", name: "Ana Souza", username: null }, text: "Quanto custa?", thing: "5001_601" }),
  notice: { type: "webhook.released", timestamp: "2026-11-21T16:00:00.000Z", data: { webhook: "wh_4f5e6d7c8b9a0f1e2d3c4b5a69788796", item_type: "message", threshold: 1000 } },
};
const example = type => JSON.stringify(EXAMPLES[type], null, 2);

const OWN_SECRET = { name: "secret", kind: "password", label: x => x.ownSecret, hint: x => x.ownSecretHint };

/* Header lines to an object; a name that is gone is null, which a patch takes away. */
function headersOf(text, before) {
  const headers = Object.fromEntries(Object.keys(before).map(name => [name, null]));
  for (const line of lines(text)) {
    const [, name, value] = /^([^:\s]+)\s*:\s*(.*)$/.exec(line) ?? [];
    if (!name) throw new Wrong("headers");
    headers[name.toLowerCase()] = value;
  }
  return headers;
}

function settingsOf(values, before) {
  const threshold = values.threshold === "" ? null : Number(values.threshold);
  const minutes = values.block_seconds === "" ? null : Number(values.block_seconds);
  return {
    url: values.url, items: values.items.sort(), description: values.description || null,
    sources: lines(values.sources).length > 0 ? lines(values.sources).sort() : null, headers: headersOf(values.headers, before.headers ?? {}),
    while_blocked: values.while_blocked, threshold, block_seconds: minutes === null ? null : Math.round(minutes * 60), log: values.log,
    key_pair: values.key_pair, enabled: values.enabled, secret: values.secret || undefined,
  };
}

/* `send` gets what is new alone, so that what somebody else changed meanwhile stays. */
export function webhookForm(webhook, send, enable = false) {
  const known = webhook ?? { items: [], headers: {}, enabled: true };
  const items = { name: "items", kind: "checks", label: x => x.types, value: known.items, needed: true, options: choices(x => x.about).map(([type]) => [type, x => `${x.type[type]}: ${x.about[type]}`]),
    extra: type => [el("details.example", el("summary", { "aria-label": x => `${x.example}: ${x.type[type]}` }, x => x.example), el("pre", { tabIndex: 0, "aria-label": x => x.type[type] }, example(type)))] };
  return {
    groups: [
      [
        { name: "url", kind: "url", label: x => x.url, hint: x => x.urlHint, value: known.url ?? "", needed: true },
        { name: "description", label: x => x.description, value: known.description ?? "" },
        /* Of one that exists, the URL is what mostly changes: it and *Save* are on one screen of a phone. */
        webhook ? { name: "enabled", kind: "checkbox", label: x => x.enabledBox, value: known.enabled || enable } : items,
      ],
      [
        webhook && items,
        { name: "sources", kind: "area", label: x => x.sources, hint: x => x.sourcesHint, value: (known.sources ?? []).join("\n") },
        { name: "headers", kind: "area", label: x => x.headers, hint: x => x.headersHint, value: Object.entries(known.headers ?? {}).map(one => one.join(": ")).join("\n") },
        { name: "while_blocked", kind: "select", label: x => x.whileBlocked, options: choices(x => x.while), value: known.while_blocked ?? "hold" },
        { name: "threshold", kind: "number", label: x => x.threshold, hint: x => x.standard, value: known.threshold ?? "" },
        { name: "block_seconds", kind: "number", label: x => x.blockMinutes, hint: x => x.standard, value: known.block_seconds ? known.block_seconds / 60 : "" },
        { name: "log", kind: "select", label: x => x.log, options: choices(x => x.logs), value: known.log ?? "failures" },
        { name: "key_pair", kind: "checkbox", label: x => x.keyPair, value: known.key_pair ?? false },
        !webhook && OWN_SECRET,
      ],
    ],
    submit: webhook ? x => x.save : x => x.create,
    save: values => {
      const given = settingsOf(values, known);
      if (!webhook) return send(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null && value !== undefined)));
      const same = (name, value) => JSON.stringify(value ?? null) === JSON.stringify(name === "items" ? [...known.items].sort() : known[name] ?? null);
      return send(Object.fromEntries(Object.entries(given).filter(([name, value]) => value !== undefined && !same(name, value))));
    },
  };
}

/* A test sends the test's own body, or an example that its owner may change. */
export const testForm = send => ({
  hint: x => x.testHint,
  groups: [[
    { name: "example", kind: "select", label: x => x.testWith, options: ["test", ...TYPES].map(type => [type, x => x.type[type]]), value: "test" },
    { name: "item", kind: "area", label: x => x.testBody },
  ]],
  submit: x => x.testSend,
  begin: form => {
    const [chosen, body] = [form.field("example"), form.field("item")];
    const show = () => {
      body.root.hidden = chosen.input.value === "test";
      body.input.value = body.root.hidden ? "" : example(chosen.input.value);
    };
    body.input.rows = 8;
    chosen.input.addEventListener("change", show);
    show();
  },
  save: ({ example: chosen, item }) => {
    if (chosen === "test") return send({});
    let body = null;
    try { body = JSON.parse(item); } catch { /* Told just below. */ }
    if (body?.constructor !== Object) throw new Wrong("item");
    return send({ item: body });
  },
});

export const rotateForm = (webhook, send) => ({
  groups: [[
    { name: "overlap_seconds", kind: "select", label: x => x.overlap, options: ["86400", "3600", "604800", "0"].map(key => [key, x => x.overlaps[key]]), value: "86400" },
    webhook.key_pair && { name: "key_pair", kind: "checkbox", label: x => x.keyPairToo, value: false },
    OWN_SECRET,
  ]],
  submit: x => x.rotate,
  save: ({ overlap_seconds: seconds, key_pair: pair, secret }) => send({ overlap_seconds: Number(seconds), ...pair ? { key_pair: true } : {}, ...secret ? { secret } : {} }),
});

/* ---- Pages ---- */

/* What is filled in of a page's form, as the API takes it. */
const given = (values, keep = () => true) => Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== "" && keep(name))
  .map(([name, value]) => [name, name === "expires_at" ? new Date(value).toISOString() : value]));

const tokenFields = (network, login) => [
  { name: "access_token", kind: "password", label: x => x.token, hint: x => x.tokenHint, needed: true },
  { name: "refresh_token", kind: "password", label: x => x.refreshToken },
  { name: "expires_at", kind: "datetime-local", label: x => x.endsOn },
  (!network || network === "instagram") && { name: "login", kind: "select", label: x => `Instagram: ${x.loginBy}`, options: choices(x => x.login), value: login ?? "" },
];

/* Connects a page, or changes what may change of one. */
export const pageForm = (page, send) => ({
  groups: [[
    ...page ? [] : [
      { name: "network", kind: "select", label: x => x.network, options: Object.entries(NETWORKS).map(([id, name]) => [id, () => name]), value: "facebook" },
      { name: "network_id", label: x => x.networkId, needed: true },
    ],
    { name: "name", label: x => x.pageName, needed: true, value: page?.name ?? "" }, ...page ? [] : tokenFields(),
    { name: "delivery", kind: "select", label: x => x.delivery, options: choices(x => x.way), value: page?.delivery ?? "by_kind" },
    (!page || page.ad_account) && { name: "ad_account", label: x => x.adAccount, value: page?.ad_account ?? "" },
  ]],
  submit: page ? x => x.save : x => x.connect,
  save: values => page ? send(Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== (page[name] ?? "")).map(([name, value]) => [name, value || null])))
    : send(given(values, name => name !== "login" || values.network === "instagram")),
});

export const renewForm = ({ network, login }, send) => ({
  groups: [tokenFields(network, login)], submit: x => x.renew,
  save: values => {
    const patch = given(values, name => name !== "login");
    if ((values.login ?? "") !== (login ?? "")) patch.login = values.login || null;
    return send(patch);
  },
});

/* ---- Alerts ---- */

export const alertForm = save => ({
  hint: x => x.alertHint,
  groups: [[
    { name: "kind", kind: "select", label: x => x.alertKind, options: choices(x => x.alertKinds), value: "email" },
    { name: "address", label: x => x.address, needed: true },
    { name: "language", kind: "select", label: x => x.alertLanguage, options: choices(x => x.alertLanguages), value: languageNow() },
    { name: "events", kind: "checks", label: x => x.events, options: choices(x => x.event), value: Object.keys(t().event), needed: true },
  ]],
  submit: x => x.save, save,
});

export const codeForm = (address, save) => ({
  groups: [[{ name: "code", label: x => x.code(address), needed: true }]], submit: x => `${x.confirm} ${address}`, save,
});
