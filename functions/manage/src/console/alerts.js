/* Who is told of trouble: the account's addresses, each confirmed by a code before it is used. */
import { button, draw, el, languageNow, list, named, t } from "./dom.js";
import { call, get, mayChange } from "./api.js";
import { Part, choices } from "./forms.js";

const path = (id, rest = "") => `alerts/${encodeURIComponent(id)}${rest}`;

export class Alerts extends Part {
  constructor() {
    super();
    this.all = null;
    this.nobody = el("p.message.warn", { id: "nobody", hidden: true }, x => x.nobody);
    this.title = el("h2", { tabIndex: -1, id: "alerts-title" }, x => x.alerts);
    this.home = button("alert", x => x.alertAdd, () => this.add());
    this.list = el("ul.types", { id: "alerts" });
    this.root = el("section.card", { "aria-labelledby": "alerts-title", hidden: true },
      el("div.group.between", this.title, this.home), this.said.root, this.place, this.list);
  }

  show() {
    this.root.hidden = this.all === null;
    this.nobody.hidden = this.all === null || this.all.some(one => one.state === "confirmed");
    this.home.hidden = !mayChange();
    draw(this.list, [this.all, mayChange()], x => !this.all?.length ? el("li.soft", x.noAlerts) : this.all.map(one => this.row(one)));
  }

  /* A deployment of an older version has none. */
  async refresh() {
    try {
      this.all = (await get("alerts")).data;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    this.show();
  }

  row(one) {
    const waits = one.state === "unconfirmed";
    return el("li", { "data-alert": one.id }, el("div.group", el("h3", one.address), el(`span.state.${waits ? "failing" : "open"}`, named(t().alertState, one.state))),
      el("p.soft", `${named(t().alertKinds, one.kind)}; ${named(t().alertLanguages, one.language)}. ${list((one.events ?? []).map(event => named(t().event, event)))}`),
      mayChange() ? el("div.group", waits ? button(`confirm-${one.id}`, t().confirm, () => this.confirm(one)) : null,
        waits ? button(`resend-${one.id}`, t().resend, () => this.act(x => x.resentCode, () => call("POST", path(one.id, "/resend")))) : null,
        button(`drop-${one.id}`, t().remove, () => this.remove(one), "button.danger")) : null);
  }

  async act(done, request) {
    if (!await this.attempt(request)) return;
    this.say(done);
    await this.refresh();
  }

  confirm(one) {
    this.open("confirm", {
      groups: [[{ name: "code", label: x => x.code, needed: true }]], submit: x => x.confirm,
      save: async values => {
        await call("POST", path(one.id, "/confirm"), values);
        this.close();
        await this.act(x => x.confirmed, () => null);
      },
    });
  }

  add() {
    this.open("new-alert", {
      hint: x => x.alertHint,
      groups: [[
        { name: "kind", kind: "select", label: x => x.alertKind, options: choices(x => x.alertKinds), value: "email" },
        { name: "address", label: x => x.address, needed: true },
        { name: "language", kind: "select", label: x => x.alertLanguage, options: choices(x => x.alertLanguages), value: languageNow() },
        { name: "events", kind: "checks", label: x => x.events, options: choices(x => x.event), value: Object.keys(t().event), needed: true },
      ]],
      submit: x => x.save,
      save: async values => {
        const made = await call("POST", "alerts", values);
        await this.act(x => x.alertAdded, () => null);
        this.confirm(made);
      },
    });
  }

  async remove(one) {
    if (!await this.attemptAsked(x => x.alertRemoveAsk(one.address), x => x.remove, () => call("DELETE", path(one.id)))) return;
    this.title.focus();
    await this.act(x => x.alertRemoved, () => null);
  }
}
