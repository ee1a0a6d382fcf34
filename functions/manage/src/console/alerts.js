/* Who is told of trouble: the account's addresses, each confirmed by a code before it is used. */
import { button, draw, el, list, named, t } from "./dom.js";
import { call, get, mayChange } from "./api.js";
import { Part } from "./forms.js";

const forms = () => import("./all_forms.js");

const path = (id, rest = "") => `alerts/${encodeURIComponent(id)}${rest}`;

export class Alerts extends Part {
  constructor() {
    super();
    this.all = null;
    this.nobody = el("p.message.warn", { id: "nobody", hidden: true }, x => x.nobody);
    this.title = el("h2", { tabIndex: -1, id: "alerts-title" }, x => x.alerts);
    this.home = button("alert", x => x.alertAdd, () => this.add());
    this.home.dataset.key = "home";
    this.list = el("ul.types", { id: "alerts" });
    this.root = el("section.card", { "aria-labelledby": "alerts-title", "data-home": "", hidden: true },
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
    const act = (name, tell, action, form) => button(`${name}-${one.id}`, tell, action, form, () => one.address);
    return el("li", { "data-alert": one.id }, el("div.group", el("h3", one.address), el(`span.state.${waits ? "failing" : "open"}`, named(t().alertState, one.state))),
      el("p.soft", `${named(t().alertKinds, one.kind)}; ${named(t().alertLanguages, one.language)}. ${t().events}: ${list((one.events ?? []).map(event => named(t().event, event)))}.`),
      mayChange() ? el("div.group", ...waits ? [act("confirm", x => x.confirm, () => this.confirm(one)),
        act("resend", x => x.resend, () => this.act(x => x.resentCode, () => call("POST", path(one.id, "/resend"))))] : [],
      act("drop", x => x.remove, () => this.remove(one), "button.danger")) : null);
  }

  async act(done, request) {
    if (!await this.attempt(request)) return;
    this.say(done);
    await this.refresh();
  }

  async confirm(one) {
    this.open("confirm", (await forms()).codeForm(one.address, async values => {
      await call("POST", path(one.id, "/confirm"), values);
      this.close();
      await this.act(x => x.confirmed, () => null);
    }));
  }

  async add() {
    this.open("new-alert", (await forms()).alertForm(async values => {
      const made = await call("POST", "alerts", values);
      await this.act(x => x.alertAdded, () => null);
      await this.confirm(made);
    }));
  }

  async remove(one) {
    if (!await this.attemptAsked(x => x.alertRemoveAsk(one.address), x => x.remove, () => call("DELETE", path(one.id)))) return;
    this.title.focus();
    await this.act(x => x.alertRemoved, () => null);
  }
}
