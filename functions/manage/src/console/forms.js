/* Forms: fields with labels, hints and errors of their own, in the language of now. */
import { Said, ask, button, el, live, t } from "./dom.js";
import { Refused } from "./api.js";

/* What a problem says, in the reader's language: by its code, never by the server's sentence. */
export function problemText(error) {
  const { problem, wrong } = t();
  if (error.status === 0) return t().noAnswer;
  const limit = error.errors.find(({ field }) => Object.hasOwn(wrong, field));
  return limit ? wrong[limit.field] : problem[error.code] ?? problem.other;
}

/*
 * A part of the page that acts: what comes of it is said in the part, its forms open in one place, and answers that were
 * asked for before what the user asks for do not undo what it shows (`turn`).
 */
export class Part {
  turn = 0;
  said = new Said();
  place = el("div");

  say(...said) { this.said.say(...said); }

  fail(error, said = this.said) {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== -1) said.say(() => problemText(error), true);
    return null;
  }

  /* Answers what was answered, or null where it was refused. */
  async attempt(request) {
    this.turn += 1;
    try {
      const answer = await request();
      this.turn += 1;
      return answer ?? {};
    } catch (error) {
      return this.fail(error);
    }
  }

  /* Answers null where the question is denied, too. */
  async attemptAsked(text, action, request) {
    return await ask(text, action) ? this.attempt(request) : null;
  }

  open(id, form) {
    const { root } = this.form = new Form(id, { cancel: () => this.close(), ...form });
    this.place.replaceChildren(root);
    this.form.focus();
  }

  /* The focus goes back to the part's own `home`. */
  close() {
    this.place.replaceChildren();
    this.home.focus();
  }
}

const rootOf = field => field.split(/[.[]/)[0];

const wrongText = field => t().wrong[rootOf(field)] ?? t().wrong.other;

/* A field that the page itself finds wrong. */
export class Wrong extends Error {
  constructor(field) { super(field); this.field = field; }
}

/* `kind`: an input's type, or `area`, `select` (with `options` of values and texts), `checks` (the same, several). */
class Field {
  constructor(id, { name, kind = "text", label, hint, value = "", options = [], needed = false, extra = () => [] }) {
    Object.assign(this, { name, kind, needed });
    const input = { id: `${id}-${name}`, name, autocomplete: "off", spellcheck: false };
    const errorId = `${input.id}-error`;
    this.error = el("p.error", { id: errorId, role: "alert" });
    const described = { "aria-describedby": hint ? `${errorId} ${input.id}-hint` : errorId };
    const hints = hint ? [el("p.soft", { id: `${input.id}-hint` }, hint)] : [];
    if (kind === "checks") {
      this.boxes = options.map(([key]) => el("input", { type: "checkbox", name, value: key, checked: value.includes(key) }));
      this.input = this.boxes[0];
      this.root = el("fieldset", described, el("legend", label), ...hints,
        ...options.flatMap(([key, text], i) => [el("label", this.boxes[i], el("span", text)), ...extra(key)]), this.error);
      return;
    }
    if (kind === "checkbox") {
      this.input = el("input", { ...input, type: kind, checked: value });
      this.root = el("div", el("label.check", this.input, el("span", label)), ...hints, this.error);
      return;
    }
    this.input = kind === "select" ? el("select", input, ...options.map(([key, text]) => el("option", { value: key }, text)))
      : kind === "area" ? el("textarea", { ...input, rows: 3 }) : el("input", { ...input, type: kind });
    this.input.value = value;
    for (const [key, text] of Object.entries(described)) this.input.setAttribute(key, text);
    this.root = el("div", el("label", { htmlFor: input.id }, label), this.input, ...hints, this.error);
  }

  read() {
    if (this.boxes) return this.boxes.filter(box => box.checked).map(box => box.value);
    return this.kind === "checkbox" ? this.input.checked : this.input.value.trim();
  }

  mark(tell) {
    live(this.error, tell);
    (this.boxes ? this.root : this.input).setAttribute("aria-invalid", `${tell !== null}`);
  }
}

/*
 * `groups` are lists of fields; all but the first are folded. `save` gets the values by name; what it throws is shown at
 * its fields, and the first wrong one gets the focus.
 */
export class Form {
  constructor(id, { groups, hint, submit, save, cancel, begin = () => {} }) {
    const made = groups.map(group => group.filter(Boolean).map(field => new Field(id, field)));
    this.fields = made.flat();
    this.problem = el("p.error", { role: "alert" });
    this.submit = el("button.first", { type: "submit" }, submit);
    const [first, ...rest] = made.map(group => group.map(field => field.root));
    this.root = el("form.card", { id, noValidate: true, onsubmit: event => { event.preventDefault(); this.send(save); } },
      hint ? el("p.soft", hint) : null, ...first, ...rest.map(group => el("details", el("summary", x => x.moreOptions), ...group)),
      this.problem, el("div.group", this.submit, button("cancel", x => x.cancel, cancel)));
    begin(this);
  }

  focus() { this.fields[0].input.focus(); }

  field(name) { return this.fields.find(field => field.name === name); }

  values() { return Object.fromEntries(this.fields.map(field => [field.name, field.read()])); }

  show(errors) {
    let first = null;
    for (const field of this.fields) {
      const mine = errors.find(one => rootOf(one.field) === field.name);
      field.mark(mine ? mine.tell : null);
      if (mine) first ??= field;
    }
    const other = errors.find(one => !this.field(rootOf(one.field)));
    live(this.problem, other?.tell);
    const folded = first?.root.closest("details");
    if (folded) folded.open = true;
    first?.input.focus();
  }

  async send(save) {
    if (this.submit.getAttribute("aria-disabled") === "true") return;
    const empty = this.fields.filter(field => field.needed && field.read().length === 0);
    const errors = empty.map(({ name, kind }) => ({ field: name, tell: () => kind === "checks" ? t().wrong[name] : t().needed }));
    const bad = this.fields.filter(({ input }) => input.validity.badInput);
    errors.push(...bad.map(({ name }) => ({ field: name, tell: () => wrongText(name) })));
    this.show(errors);
    if (errors.length > 0) return;
    this.submit.setAttribute("aria-disabled", "true");
    try {
      await save(this.values());
    } catch (error) {
      if (error instanceof Wrong) this.show([{ field: error.field, tell: () => t().wrong[error.field] }]);
      else if (!(error instanceof Refused)) throw error;
      else if (error.status !== -1) {
        const named = error.errors.map(({ field }) => ({ field, tell: () => wrongText(field) }));
        this.show(named.length > 0 ? named : [{ field: "", tell: () => problemText(error) }]);
      }
    } finally {
      this.submit.removeAttribute("aria-disabled");
    }
  }
}

export const choices = texts => Object.keys(texts(t())).map(key => [key, x => texts(x)[key]]);
export const lines = text => text.split("\n").map(line => line.trim()).filter(Boolean);
