//! The console by the keyboard alone: all that it can do, with the focus always seen, and never lost.

use carteiro_receiver::Behaviour;
use carteiro_tests::{Account, Bundle, Patience, Webhook, blocks};
use http::StatusCode;
use serde_json::json;

use super::Browser;
use super::walk::{code_sent, disabled_until_dead, enabled};

const ZONE: &str = "America/Sao_Paulo";

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const SPACE: &str = " ";
const ESCAPE: &str = "\u{e00c}";
const DOWN: &str = "\u{e015}";
const SHIFT: &str = "\u{e008}";

/// More than the steps of Tab through all of the page.
const MOST_STEPS: usize = 200;

/// What has the focus where it is not seen; else nothing.
const UNSEEN: &str = "(() => { const one = document.activeElement; const box = one.getBoundingClientRect(); \
    const seen = one !== document.body && one.checkVisibility() \
    && getComputedStyle(one).outlineStyle !== 'none' && box.bottom > 0 && box.top < innerHeight; \
    return seen ? '' : one.outerHTML.slice(0, 300); })()";

/// Somebody who has no mouse.
struct Keyboard<'a> {
    browser: &'a Browser,
}

impl Keyboard<'_> {
    async fn has_focus(&self, selector: &str) -> bool {
        let expression = format!("document.activeElement.matches({})", json!(selector));
        self.browser.value(&expression).await == true
    }

    async fn focus_is_seen(&self, after: &str) {
        assert_eq!(self.browser.value(UNSEEN).await, "", "the focus is seen after {after}");
    }

    /// Goes by Tab to what a selector finds first, forwards or backwards, and sees each step.
    async fn to(&self, selector: &str) {
        self.browser.element(selector).await;
        for _ in 0..MOST_STEPS {
            if self.has_focus(selector).await {
                return self.focus_is_seen(selector).await;
            }
            let is_before = format!(
                "document.activeElement.compareDocumentPosition(document.querySelector({})) & 2",
                json!(selector)
            );
            if self.browser.value(&is_before).await == 2 {
                self.back().await;
            } else {
                self.browser.press(&[TAB]).await;
            }
            if self.browser.value("document.activeElement === document.body").await != true {
                self.focus_is_seen("a step").await;
            }
        }
        panic!("Tab does not lead to {selector}: {}", self.browser.text("body").await);
    }

    async fn back(&self) {
        let key = |kind: &str, value: &str| json!({"type": kind, "value": value});
        let strokes = [key("keyDown", SHIFT), key("keyDown", TAB), key("keyUp", TAB), key("keyUp", SHIFT)];
        let keyboard = json!([{"type": "key", "id": "keyboard", "actions": strokes}]);
        self.browser.post("actions", json!({"actions": keyboard})).await;
    }

    async fn write(&self, text: &str) {
        let keys: Vec<String> = text.chars().map(String::from).collect();
        self.browser.press(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    /// Waits until what a selector finds has the focus.
    async fn lands(&self, selector: &str, after: &str) {
        let mut patience = Patience::default();
        while patience.lasts().await {
            if self.has_focus(selector).await {
                return self.focus_is_seen(after).await;
            }
        }
        let found = self.browser.value("document.activeElement.outerHTML.slice(0, 300)").await;
        panic!("after {after} the focus is not at {selector} but at {found}");
    }

    /// Presses what a selector finds, and waits until the focus is where it leads.
    async fn press(&self, selector: &str, key: &str, leads_to: &str) {
        self.to(selector).await;
        self.browser.press(&[key]).await;
        self.lands(leads_to, selector).await;
    }

    /// Presses what a selector finds, which keeps the focus.
    async fn act(&self, selector: &str) {
        self.press(selector, ENTER, selector).await;
    }

    async fn fill(&self, selector: &str, text: &str) {
        self.to(selector).await;
        self.write(text).await;
    }

    /// Goes down a list to a value.
    async fn choose(&self, selector: &str, value: &str) {
        self.to(selector).await;
        let chosen = format!("document.querySelector({}).value", json!(selector));
        for _ in 0..20 {
            if self.browser.value(&chosen).await == value {
                return self.focus_is_seen(selector).await;
            }
            self.browser.press(&[DOWN]).await;
        }
        panic!("{selector} has no {value}");
    }

    /// Answers a question with yes: it offers *no* first.
    async fn confirm(&self, leads_to: &str) {
        self.lands("#ask [data-action=dismiss]", "a question").await;
        self.press("#ask [data-action=confirm]", ENTER, leads_to).await;
    }
}

#[tokio::test]
async fn a_keyboard_alone_does_all_that_the_console_can_do() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_with([("RetentionDays", "1")]).await;
    let account = bundle.account().await;
    let keyboard = Keyboard { browser: &browser };
    sign_in(&keyboard, &bundle, &account).await;
    let webhook = create(&keyboard, &bundle, &account).await;
    let card = format!("#webhook-{}", webhook.id);
    test_edit_and_rotate(&keyboard, &card).await;
    mend_a_block(&keyboard, &bundle, &account, &webhook).await;
    switch_off_and_on(&keyboard, &card).await;
    dead_items(&keyboard, &bundle, &account, &webhook).await;
    seek_and_read(&keyboard, &card).await;
    pages(&keyboard).await;
    alerts(&keyboard, &bundle).await;

    keyboard.to(&format!("{card} [data-action=remove]")).await;
    browser.press(&[ENTER]).await;
    keyboard.confirm("#title").await;
    browser.until_gone(&card).await;
    keyboard.press("#leave", ENTER, "#key").await;
    browser.until("#told", "Você saiu.").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

async fn sign_in(keyboard: &Keyboard<'_>, bundle: &Bundle, account: &Account) {
    keyboard.browser.open_as_of(bundle, ZONE, "/console").await;
    keyboard.lands("#key", "the page's opening").await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.browser.until("#key-error", "Digite a chave.").await;
    keyboard.write(&account.key).await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.lands("#title", "signing in").await;
    keyboard.browser.until("#refreshed", "Atualizado").await;
}

async fn create(keyboard: &Keyboard<'_>, bundle: &Bundle, account: &Account) -> Webhook {
    let form = "#new-webhook";
    keyboard.press("#add", ENTER, "#new-webhook-url").await;
    keyboard.press(&format!("{form} [data-action=cancel]"), ENTER, "#add").await;
    keyboard.press("#add", ENTER, "#new-webhook-url").await;
    // What is wrong takes the focus.
    keyboard.press(&format!("{form} button.first"), ENTER, "#new-webhook-url").await;
    keyboard.write(&bundle.receiver.url("/teclas")).await;
    for item_type in ["message", "event"] {
        let check = format!("{form} [value={item_type}]");
        keyboard.press(&check, SPACE, &check).await;
    }
    keyboard.act(&format!("{form} .example summary")).await;
    keyboard.act(&format!("{form} > details > summary")).await;
    keyboard.fill(&format!("{form} [name=threshold]"), "3").await;
    keyboard.choose(&format!("{form} [name=log]"), "all").await;
    keyboard.press(&format!("{form} button.first"), ENTER, ".secret [data-action=copy]").await;
    keyboard.act(".secret [data-action=copy]").await;
    let created = bundle.client.get("/webhooks", &account.key).await.json()["data"][0].clone();
    assert_eq!((&created["threshold"], &created["log"]), (&json!(3), &json!("all")));
    let secret = keyboard.browser.text(".secret code").await;
    bundle.receiver.add_secret(&secret).unwrap();
    let webhook = Webhook { id: created["id"].as_str().unwrap().to_owned(), secret };
    let home = format!("#webhook-{}-url", webhook.id);
    keyboard.press(".secret [data-action=hide]", ENTER, &home).await;
    webhook
}

async fn test_edit_and_rotate(keyboard: &Keyboard<'_>, card: &str) {
    let home = format!("{card}-url");
    let button = |name: &str| format!("{card} [data-action={name}]");
    let submit = format!("{card} form button.first");
    keyboard.press(&button("test"), ENTER, "[name=example]").await;
    keyboard.choose("[name=example]", "message").await;
    keyboard.act(&submit).await;
    keyboard.browser.until(&format!("{card} .said"), "O teste teve sucesso").await;
    // The response's headers are there, and folded.
    assert_eq!(keyboard.browser.text(&format!("{card} .said dl")).await, "");
    keyboard.act(&format!("{card} .said summary")).await;
    assert_ne!(keyboard.browser.text(&format!("{card} .said dl")).await, "");
    keyboard.press(&button("cancel"), ENTER, &home).await;

    keyboard.press(&button("edit"), ENTER, &format!("{card} [name=url]")).await;
    keyboard.fill(&format!("{card} [name=description]"), "Loja").await;
    keyboard.press(&submit, ENTER, &home).await;
    keyboard.browser.until(&format!("{card} .said"), "Alterações salvas.").await;

    keyboard.press(&button("rotate"), ENTER, &format!("{card} [name=overlap_seconds]")).await;
    keyboard.choose(&format!("{card} [name=overlap_seconds]"), "3600").await;
    keyboard.press(&submit, ENTER, &button("copy")).await;
    keyboard.press(&button("hide"), ENTER, &home).await;
}

/// A block: held items are looked at and discarded, the URL is mended, and what is held is released.
async fn mend_a_block(keyboard: &Keyboard<'_>, bundle: &Bundle, account: &Account, webhook: &Webhook) {
    let card = format!("#webhook-{}", webhook.id);
    let home = format!("{card}-url");
    bundle.receiver.set_behaviour("/teclas", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    bundle.send_many(account, "message", 6).await;
    blocks::until_held(&bundle.client, account, webhook, "message", 6).await;
    keyboard.browser.until(&format!("{card} .message"), "está bloqueado").await;
    // What went well before is said no longer.
    assert_eq!(keyboard.browser.text(&format!("{card} > .said")).await, "");

    let held = format!("{card} [data-list=held]");
    keyboard.act(&format!("{held} > summary")).await;
    keyboard.browser.until(&format!("{held} li"), "item_").await;
    keyboard.act(&format!("{held} li summary")).await;
    keyboard.browser.until(&format!("{held} pre"), "\"n\"").await;
    let discard = format!("{held} li [data-action^=drop]");
    keyboard.to(&discard).await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.lands("#ask [data-action=dismiss]", "a question").await;
    keyboard.browser.press(&[ESCAPE]).await;
    keyboard.lands(&discard, "a question that was left").await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.confirm(&format!("{held} > summary")).await;
    keyboard.browser.until(&format!("{held} .said"), "1 item descartado.").await;

    bundle.receiver.set_behaviour("/teclas", Behaviour::default());
    keyboard.press(&format!("{card} [data-action=unblock]"), ENTER, &home).await;
    keyboard.browser.until(&format!("{card} > .said"), "Itens guardados enviados: 5.").await;
    keyboard.focus_is_seen("a release").await;
}

async fn switch_off_and_on(keyboard: &Keyboard<'_>, card: &str) {
    let (toggle, chip) = (format!("{card} [data-action=toggle]"), format!("{card} .state"));
    keyboard.press(&toggle, SPACE, &toggle).await;
    keyboard.browser.until(&chip, "Desabilitado").await;
    keyboard.press(&format!("{card} .message [data-action=enable]"), ENTER, &format!("{card}-url")).await;
    keyboard.browser.until(&chip, "Ativo").await;
}

/// Dead items: one is sent again, then those of a time span, then all; the held ones of another time are discarded.
async fn dead_items(keyboard: &Keyboard<'_>, bundle: &Bundle, account: &Account, webhook: &Webhook) {
    disabled_until_dead(bundle, account, webhook, 3).await;
    bundle.send_many(account, "message", 2).await;
    blocks::until_held(&bundle.client, account, webhook, "message", 2).await;
    // The session ended while a day went by.
    sign_in(keyboard, bundle, account).await;
    let card = format!("#webhook-{}", webhook.id);
    keyboard.act(&format!("{card}-url")).await;
    let held = format!("{card} [data-list=held]");
    keyboard.act(&format!("{held} > summary")).await;
    keyboard.to(&format!("{held} [data-action=all]")).await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.confirm(&format!("{held} > summary")).await;
    keyboard.browser.until(&format!("{held} .said"), "2 itens descartados.").await;
    enabled(bundle, account, webhook, true).await;

    let dead = format!("{card} [data-list=dead]");
    let summary = format!("{dead} > summary");
    keyboard.act(&summary).await;
    keyboard.browser.until(&format!("{dead} li"), "item_").await;
    keyboard.act(&format!("{dead} li summary")).await;
    keyboard.browser.until(&format!("{dead} pre"), "\"n\"").await;
    keyboard.press(&format!("{dead} li [data-action^=again]"), ENTER, &summary).await;
    keyboard.browser.until(&format!("{dead} .said"), "O item será enviado de novo.").await;
    // Of a span in which none arrived, then of any.
    let [from, submit] = ["[name=from]", "form button.first"].map(|rest| format!("{dead} {rest}"));
    keyboard.press(&format!("{dead} [data-action=span]"), ENTER, &from).await;
    keyboard.write("01012031").await;
    keyboard.browser.press(&[TAB]).await;
    keyboard.write("1200A").await;
    keyboard.press(&submit, ENTER, &summary).await;
    keyboard.browser.until(&format!("{dead} .said"), "Enviados de novo: 0 entregues.").await;
    keyboard.press(&format!("{dead} [data-action=span]"), ENTER, &from).await;
    keyboard.press(&format!("{dead} [data-action=cancel]"), ENTER, &summary).await;
    keyboard.press(&format!("{dead} [data-action=all]"), ENTER, &summary).await;
    keyboard.browser.until(&format!("{dead} .said"), "Enviados de novo: 2 entregues.").await;
}

/// The search, the filter, the log with its filters, the settings, and the languages.
async fn seek_and_read(keyboard: &Keyboard<'_>, card: &str) {
    keyboard.fill("#search", "nada disso").await;
    keyboard.browser.until("#account", "0 webhooks encontrados").await;
    keyboard.browser.press(&["\u{e003}"; 10]).await;
    keyboard.choose("#state", "open").await;
    keyboard.browser.until("#account", "1 webhook encontrado").await;
    let log = format!("{card} [data-list=attempts]");
    keyboard.act(&format!("{log} > summary")).await;
    keyboard.browser.until(&format!("{log} [data-attempt]"), "200").await;
    keyboard.choose(&format!("{log} select[id$=outcome]"), "failure").await;
    keyboard.browser.until(&format!("{log} [data-attempt]"), "503").await;
    keyboard.act(&format!("{log} [data-attempt] summary")).await;
    keyboard.act(&format!("{card} > div > details:last-child > summary")).await;
    keyboard.act("[data-language=en]").await;
    keyboard.browser.until("#leave", "Sign out").await;
    keyboard.act("[data-language='pt-BR']").await;
    keyboard.browser.until("#leave", "Sair").await;
}

async fn pages(keyboard: &Keyboard<'_>) {
    let (connect, form) = ("[data-action=connect]", "#new-page");
    keyboard.press(connect, ENTER, &format!("{form} [name=network]")).await;
    keyboard.choose(&format!("{form} [name=network]"), "googleplay").await;
    for (name, value) in
        [("network_id", "com.example.app"), ("name", "Loja"), ("access_token", "planted-token")]
    {
        keyboard.fill(&format!("{form} [name={name}]"), value).await;
    }
    keyboard.press(&format!("{form} button.first"), ENTER, connect).await;
    let button = |name: &str| format!("[data-page] [data-action={name}]");
    keyboard.act("[data-page] details summary").await;
    keyboard.act(&button("check")).await;
    keyboard.browser.until("[data-page] .said", "Verificação pedida").await;

    keyboard.press(&button("edit"), ENTER, "[data-page] [name=name]").await;
    keyboard.write(" do centro").await;
    keyboard.choose("[data-page] [name=delivery]", "immediate").await;
    keyboard.press("[data-page] form button.first", ENTER, &button("renew")).await;
    keyboard.browser.until("[data-page] h3", "Loja do centro").await;
    keyboard.browser.until("[data-page] [data-fact=delivery]", "Imediata").await;
    let named = "document.activeElement.ariaLabel";
    assert_eq!(keyboard.browser.value(named).await, "Renovar o token: Loja do centro");

    keyboard.press(&button("renew"), ENTER, "[data-page] [name=access_token]").await;
    keyboard.write("planted-another").await;
    keyboard.press("[data-page] form button.first", ENTER, &button("renew")).await;
    keyboard.to(&button("remove")).await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.confirm("#pages-title").await;
    keyboard.browser.until_gone("[data-page]").await;
}

async fn alerts(keyboard: &Keyboard<'_>, bundle: &Bundle) {
    let add = "[data-action=alert]";
    keyboard.press(add, ENTER, "#new-alert [name=kind]").await;
    keyboard.fill("#new-alert [name=address]", "dona@example.com").await;
    keyboard.press("#new-alert button.first", ENTER, "#confirm [name=code]").await;
    keyboard.press("#confirm [data-action=cancel]", ENTER, add).await;
    keyboard.act("[data-alert] [data-action^=resend]").await;
    keyboard.press("[data-alert] [data-action^=confirm]", ENTER, "#confirm [name=code]").await;
    bundle.until_rest().await;
    keyboard.write(&code_sent(bundle, "dona@example.com").await).await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.lands(add, "the code").await;
    keyboard.browser.until_gone("#nobody").await;
    keyboard.to("[data-alert] [data-action^=drop]").await;
    keyboard.browser.press(&[ENTER]).await;
    keyboard.confirm("#alerts-title").await;
    keyboard.browser.until_gone("[data-alert]").await;
}
