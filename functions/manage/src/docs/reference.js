"use strict";
// The reference: reads the OpenAPI document of this deployment, and makes the page of it. Texts become text nodes and
// nothing else; what the document does not say is not shown.
(async () => {
  const main = document.getElementById("main");
  const state = document.getElementById("state");
  const words = document.getElementById("words");

  function make(name, attributes, ...inside) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
    node.append(...inside.flat(Infinity).filter(one => one !== null && one !== undefined));
    return node;
  }
  const code = text => make("code", null, String(text));
  const block = text => make("pre", null, make("code", null, text));

  let api;
  try {
    const answer = await fetch("openapi.json", { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    api = await answer.json();
  } catch (error) {
    state.textContent = "";
    main.append(make("p", { role: "alert" }, `The description could not be read (${error.message}). `,
      "Load the page again, or read ", make("a", { href: "openapi.json" }, "the document itself"), "."));
    return;
  }

  // ---- The document

  /** What a reference leads to, with what stands beside the reference. */
  function resolved(thing) {
    if (!thing?.$ref) return thing ?? {};
    const parts = thing.$ref.slice(2).split("/").map(part => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const found = parts.reduce((node, part) => node?.[part], api) ?? {};
    const { $ref, ...beside } = thing;
    return { ...resolved(found), ...beside };
  }
  const named = schema => schema?.$ref?.startsWith("#/components/schemas/") ? schema.$ref.split("/").pop() : null;

  /** An example of a media type, a parameter or a schema: all that there are, by name. */
  function examples(of) {
    if (of.example !== undefined) return [["", of.example]];
    if (of.examples && !Array.isArray(of.examples)) {
      return Object.entries(of.examples).map(([name, one]) => [resolved(one).summary ?? name, resolved(one).value]);
    }
    const schema = resolved(of.schema ?? of);
    if (schema.example !== undefined) return [["", schema.example]];
    return Array.isArray(schema.examples) ? schema.examples.map(one => ["", one]) : [];
  }

  // ---- Texts

  /** A line of Markdown: code, bold and links. */
  function inline(text) {
    const parts = [];
    let at = 0;
    for (const found of text.matchAll(/`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g)) {
      const [all, literal, bold, label, address] = found;
      parts.push(text.slice(at, found.index));
      at = found.index + all.length;
      if (literal) parts.push(code(literal));
      else if (bold) parts.push(make("strong", null, bold));
      else if (/^(https:|#|\/)/.test(address)) parts.push(make("a", { href: address, rel: "noreferrer" }, label));
      else parts.push(all);
    }
    return [...parts, text.slice(at)];
  }
  /** Paragraphs and lists of Markdown. */
  function prose(text) {
    return (text ?? "").split(/\n{2,}/).filter(part => part.trim()).map(part => {
      const lines = part.split("\n");
      const isList = lines.every(line => /^[-*] /.test(line));
      if (isList) return make("ul", null, lines.map(line => make("li", null, inline(line.slice(2)))));
      return make("p", null, inline(part));
    });
  }

  // ---- Schemas

  /** The values of a schema's set: one that is closed, or one that may grow. */
  const set = schema => schema?.enum ?? schema?.["x-extensible-enum"];

  /** The type of a schema in a few words, with links to named ones. */
  function type(schema) {
    if (!schema || typeof schema !== "object") return ["anything"];
    const name = named(schema);
    if (name) return [make("a", { href: `#schema-${name}` }, name)];
    const either = schema.oneOf ?? schema.anyOf;
    if (either && !schema.properties) return either.flatMap((one, at) => [at ? " or " : null, type(one)]);
    if (schema.allOf?.length === 1 && !schema.properties) return type(schema.allOf[0]);
    if (schema.const !== undefined) return [code(JSON.stringify(schema.const))];
    const untyped = schema.properties || schema.allOf ? "object" : schema.enum ? "string" : "anything";
    const types = [schema.type ?? untyped].flat();
    return types.flatMap((one, at) => [
      at ? " or " : null, one === "array" ? ["array of ", type(schema.items)] : one,
    ]);
  }

  function number(value) {
    if (typeof value === "number") return value.toLocaleString("en");
    return typeof value === "string" ? value : JSON.stringify(value);
  }
  function range(schema, least, most, unit) {
    const [from, to] = [schema[least], schema[most]];
    if (from === undefined && to === undefined) return null;
    if (from !== undefined && from === to) return `${number(from)}${unit}`;
    if (from !== undefined && to !== undefined) return `${number(from)} to ${number(to)}${unit}`;
    return from !== undefined ? `at least ${number(from)}${unit}` : `at most ${number(to)}${unit}`;
  }
  /** What a schema's values must keep to, in words. */
  function limits(schema) {
    const own = [
      range(schema, "minimum", "maximum", ""), range(schema, "minLength", "maxLength", " characters"),
      range(schema, "minItems", "maxItems", " entries"), range(schema, "minProperties", "maxProperties", " fields"),
      schema.uniqueItems ? "each once" : null, schema.format ?? null,
      schema.default !== undefined ? ["otherwise ", code(JSON.stringify(schema.default))] : null,
      schema.pattern ? ["pattern ", code(schema.pattern)] : null,
      schema.additionalProperties === false ? "no further field" : null,
      schema.readOnly ? "in answers alone" : null, schema.writeOnly ? "in requests alone" : null,
      schema.deprecated ? "deprecated" : null,
    ];
    const isLimit = ([name]) => name.startsWith("x-") && name !== "x-extensible-enum";
    const extensions = Object.entries(schema).filter(isLimit).map(([name, value]) =>
      [`${name.slice(2).replaceAll("-", " ")}: `, Array.isArray(value) ? value.join(", ") : number(value)]);
    const all = [...own, ...extensions].filter(one => one !== null).map((one, at) => [at ? "; " : null, one]);
    const values = (set(schema) ?? set(schema.items))?.map((value, at) => [at ? ", " : null, code(value)]);
    const mayGrow = schema.enum || schema.items?.enum ? "" : ", and others in future";
    return [
      all.length ? make("p", { class: "quiet" }, "Limits: ", all, ".") : null,
      values ? make("p", null, "Values: ", values, mayGrow, ".") : null,
    ];
  }

  /** The fields of an object, or what an array or a choice is made of. */
  function fields(schema, depth = 0) {
    if (!schema || typeof schema !== "object" || depth > 6) return [];
    const inner = [];
    for (const part of schema.allOf ?? []) {
      inner.push(named(part) ? make("p", null, "All fields of ", type(part), ", and:") : fields(part, depth + 1));
    }
    const properties = Object.entries(schema.properties ?? {});
    if (properties.length) {
      inner.push(make("dl", null, properties.map(([name, one]) => {
        const required = schema.required?.includes(name);
        return [
          make("dt", null, code(name), " ",
            make("span", { class: "quiet" }, type(one), required ? ", required" : null)),
          make("dd", null, prose(one.description), named(one) ? null : limits(one), below(one, depth)),
        ];
      })));
    }
    if (schema.additionalProperties && typeof schema.additionalProperties === "object") {
      inner.push(make("p", null, "Each further field: ", type(schema.additionalProperties), "."),
        below(schema.additionalProperties, depth));
    }
    return inner;
  }
  /** The fields of what has no name of its own, and so no other place. */
  function below(schema, depth) {
    if (!schema || named(schema)) return [];
    const parts = [schema.items, ...(schema.oneOf ?? schema.anyOf ?? [])].filter(one => one && !named(one));
    return [fields(schema, depth + 1), parts.map(part => below(part, depth + 1))];
  }

  function shown([name, value]) {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    return make("figure", null, make("figcaption", null, name ? `Example: ${name}` : "Example"), block(text));
  }

  // ---- Operations

  const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;
  /** The call as a line for the shell. */
  function shell(method, path, operation, parameters) {
    const value = one => examples(one)[0]?.[1];
    const filled = path.replace(/\{([^}]+)\}/g, (all, name) => {
      const example = value(parameters.find(one => one.in === "path" && one.name === name) ?? {});
      return example === undefined ? all : encodeURIComponent(example);
    });
    const query = parameters.filter(one => one.in === "query" && one.required)
      .map(one => `${one.name}=${encodeURIComponent(value(one) ?? resolved(one.schema).enum?.[0] ?? "")}`);
    const address = location.origin + filled + (query.length ? `?${query.join("&")}` : "");
    const lines = [`curl -X ${method} ${quoted(address)}`];
    const schemes = (operation.security ?? api.security ?? []).flatMap(one => Object.keys(one));
    const bearer = schemes.find(name => api.components?.securitySchemes?.[name]?.scheme === "bearer");
    if (bearer) lines.push(`-H "Authorization: Bearer $${bearer === "adminKey" ? "ADMIN_KEY" : "KEY"}"`);
    const [media, body] = Object.entries(resolved(operation.requestBody).content ?? {})[0] ?? [];
    if (media) {
      const example = examples(body)[0]?.[1] ?? {};
      const text = typeof example === "string" ? example : JSON.stringify(example);
      lines.push(`-H 'Content-Type: ${media}'`, `--data-binary ${quoted(text)}`);
    }
    return make("details", null, make("summary", null, "With curl"), block(lines.join(" \\\n  ")));
  }

  const who = { adminKey: "the admin key", accountKey: "a key of the account", session: "a session of the console" };
  function callers(operation) {
    const schemes = (operation.security ?? api.security ?? []).flatMap(one => Object.keys(one));
    if (!schemes.length) return "Needs no key.";
    return `Needs ${schemes.map(name => who[name] ?? name).join(" or ")}.`;
  }

  function content(of) {
    return Object.entries(of.content ?? {}).map(([media, one]) => [
      make("p", null, code(media), one.schema ? [": ", type(one.schema)] : null),
      one.schema && !named(one.schema) ? [limits(one.schema), below(one.schema, 0)] : null,
      examples(one).map(shown),
    ]);
  }

  function listed(parameters) {
    if (!parameters.length) return null;
    return [make("h4", null, "Parameters"), make("dl", null, parameters.map(one => [
      make("dt", null, code(one.name), " ",
        make("span", { class: "quiet" }, type(one.schema), `, in ${one.in}`, one.required ? ", required" : null)),
      make("dd", null, prose(one.description ?? resolved(one.schema).description), limits(resolved(one.schema))),
    ]))];
  }

  function answers(operation) {
    const all = Object.entries(operation.responses ?? {}).map(([status, one]) => [status, resolved(one)]);
    const fine = all.filter(([status]) => /^[23]/.test(status));
    const refused = all.filter(([status]) => !/^[23]/.test(status));
    return [
      fine.map(([status, one]) => [make("h4", null, `Answer ${status}`), prose(one.description), content(one)]),
      refused.length ? make("details", null,
        make("summary", null, `Refusals: ${refused.map(([status]) => status).join(", ")}`),
        make("dl", null, refused.map(([status, one]) => {
          const kinds = Object.values(one.content ?? {}).flatMap(examples).map(([, example]) => example?.type)
            .filter(kind => typeof kind === "string").map(kind => kind.split(/[/:#]/).pop());
          const links = [...new Set(kinds)].map((kind, at) =>
            [at ? ", " : null, make("a", { href: `docs/problems/${kind}` }, kind)]);
          return [
            make("dt", null, make("b", null, status)),
            make("dd", null, prose(one.description), links.length ? make("p", null, "Type: ", links) : null),
          ];
        }))) : null,
    ];
  }

  const entries = [];
  const list = document.getElementById("list");
  /** Puts an article into the page and its link into the contents. */
  function entry(group, id, title, link, ...inside) {
    const anchor = make("a", { class: "anchor", href: `#${id}`, "aria-label": `Link to ${title}` }, "#");
    const heading = make("h3", null, title, anchor);
    const article = make("article", { id, tabindex: "-1" }, heading, inside);
    const item = make("li", null, make("a", { href: `#${id}` }, link));
    group.section.append(article);
    group.list.append(item);
    const name = `${id} ${title}`.toLowerCase();
    entries.push({ article, item, group, name, text: `${name} ${article.textContent.toLowerCase()}` });
  }
  function group(id, title, description) {
    const section = make("section", { "aria-labelledby": id }, make("h2", { id }, title), prose(description));
    const one = { section, heading: make("h2", null, title), list: make("ul") };
    main.append(section);
    list.append(one.heading, one.list);
    return one;
  }

  function operation(into, method, path, one, shared, isCall) {
    const parameters = [...(shared ?? []), ...(one.parameters ?? [])].map(resolved);
    const body = resolved(one.requestBody);
    const heading = make("h4", null, "Body");
    const taken = body.content ? [heading, prose(body.description), limits(body), content(body)] : null;
    const title = one.summary ?? path;
    entry(into, one.operationId ?? `${method} ${path}`, title, title,
      make("p", { class: "route" }, make("b", null, method), isCall ? code(path) : "to the webhook's URL"),
      prose(one.description), isCall ? make("p", null, callers(one)) : null, listed(parameters), taken, answers(one),
      isCall ? shell(method, path, one, parameters) : null);
  }

  const about = make("section", null, prose(api.info.description),
    make("p", { class: "quiet" }, `Version ${api.info.version}, OpenAPI ${api.openapi}.`));
  main.append(about);
  const methods = ["get", "post", "put", "patch", "delete"];
  const each = of => Object.entries(of ?? {}).flatMap(([path, item]) => methods.filter(method => item[method])
    .map(method => [method.toUpperCase(), path, item[method], item.parameters]));
  const calls = [...each(api.paths).map(one => [...one, true]), ...each(api.webhooks).map(one => [...one, false])];
  const tags = api.tags ?? [];
  const known = new Set(tags.map(tag => tag.name));
  for (const tag of [...tags, { name: "other" }]) {
    const own = calls.filter(([, , one]) => (one.tags?.find(name => known.has(name)) ?? "other") === tag.name);
    if (!own.length) continue;
    const into = group(`tag-${tag.name}`, tag.name[0].toUpperCase() + tag.name.slice(1), tag.description);
    for (const call of own) operation(into, ...call);
  }
  const schemas = group("schemas", "Schemas", "The forms of bodies and answers, by name.");
  for (const [name, schema] of Object.entries(api.components?.schemas ?? {})) {
    const form = type(schema);
    entry(schemas, `schema-${name}`, name, name, make("p", { class: "quiet" }, form), prose(schema.description),
      limits(schema), below(schema, 0), examples(schema).map(shown));
  }

  // ---- Search and anchors

  const wantedWords = () => words.value.toLowerCase().split(/\s+/).filter(Boolean);
  function search() {
    const wanted = wantedWords();
    let found = 0;
    const full = new Set();
    for (const one of entries) {
      const fits = wanted.every(word => one.text.includes(word));
      one.article.hidden = one.item.hidden = !fits;
      if (fits) { found += 1; full.add(one.group); }
    }
    for (const one of new Set(entries.map(entry => entry.group))) {
      one.section.hidden = one.heading.hidden = one.list.hidden = !full.has(one);
    }
    about.hidden = wanted.length > 0;
    state.textContent = wanted.length ? `${found} of ${entries.length} entries` : `${entries.length} entries`;
  }
  function go() {
    let target;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    if (!target) return;
    if (target.closest("[hidden]")) { words.value = ""; search(); }
    target.scrollIntoView();
    if (target.hasAttribute("tabindex")) target.focus({ preventScroll: true });
  }
  words.addEventListener("input", search);
  document.getElementById("search").addEventListener("submit", event => {
    event.preventDefault();
    const found = entries.filter(one => !one.article.hidden);
    const first = found.find(one => wantedWords().every(word => one.name.includes(word))) ?? found[0];
    if (first) location.hash = first.article.id;
  });
  addEventListener("hashchange", go);
  document.getElementById("contents").open = matchMedia("(min-width: 60rem)").matches;
  search();
  go();
})();
