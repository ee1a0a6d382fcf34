//! What people read: a subject of one line, and a text, in the address's language.
//!
//! Names and URLs are others' words. In a subject, and in each value that is set into a text, control characters become
//! spaces, so nothing that they hold begins a header or a line; and what is long is cut.

use serde_json::Value;

use super::confirmation::Code;
use super::{AlertEvent, Language, Raised};
use crate::both;
use crate::item::ItemType;
use crate::message::type_names;

/// The most characters of a subject.
const MAX_SUBJECT_CHARS: usize = 150;
/// The most characters of a value in a text.
const MAX_VALUE_CHARS: usize = 1000;

/// A message to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertText {
    /// One line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// The link that stops what would follow; an e-mail has it in its header, too.
    pub stop: Option<String>,
}

impl AlertText {
    /// The form for a chat. It has no `<` and `>`, with which chats mark mentions and links.
    #[must_use]
    pub fn chat(&self) -> String {
        format!("{}\n\n{}", self.subject, self.body).replace('<', "‹").replace('>', "›")
    }
}

/// The text that carries a code. `console` is the address of the console.
#[must_use]
pub fn of_code(code: &Code, language: Language, console: &str) -> AlertText {
    let code = code.reveal();
    let (subject, body) = match language {
        Language::Portuguese => (
            "Carteiro: confirme este endereço",
            format!(
                "Alguém pediu que os alertas de uma conta do Carteiro cheguem a este endereço.\n\n\
                 Código de confirmação: {code}\n\n\
                 Informe o código no console em até 24 horas: {console}\n\n\
                 Se não foi você, ignore esta mensagem: sem o código, nenhum alerta será enviado."
            ),
        ),
        Language::English => (
            "Carteiro: confirm this address",
            format!(
                "Somebody asked that the alerts of a Carteiro account come to this address.\n\n\
                 Confirmation code: {code}\n\n\
                 Enter the code in the console within 24 hours: {console}\n\n\
                 If it was not you, ignore this message: without the code, no alert is sent."
            ),
        ),
    };
    AlertText { subject: subject.to_owned(), body, stop: None }
}

/// The links in an alert.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// The address of the console.
    pub console: &'a str,
    /// What stops the address's alerts.
    pub stop: &'a str,
}

/// The text of an alert. `missed` is how many were left out before it.
#[must_use]
pub fn of_alert(raised: &Raised, language: Language, missed: usize, links: Links<'_>) -> AlertText {
    let Links { console, stop: stop_link } = links;
    let link = format!("{console}#to={}", raised.thing_id());
    let (subject, said) = match language {
        Language::Portuguese => portuguese(raised),
        Language::English => english(raised),
    };
    let has_time = said.contains("(UTC)");
    let (zone, open, left_out, stop) = match language {
        Language::Portuguese => (
            "Os horários estão em UTC; o console mostra os da sua região.",
            "Abrir no console",
            match missed {
                0 => String::new(),
                1 => "\n\nDesde o último alerta como este, 1 outro não foi enviado.".to_owned(),
                missed => format!("\n\nDesde o último alerta como este, {missed} outros não foram enviados."),
            },
            "Para não receber mais alertas neste endereço",
        ),
        Language::English => (
            "Times are in UTC; the console shows those of your time zone.",
            "Open in the console",
            match missed {
                0 => String::new(),
                1 => "\n\nSince the last alert like this, 1 more was not sent.".to_owned(),
                missed => format!("\n\nSince the last alert like this, {missed} more were not sent."),
            },
            "To get no more alerts at this address",
        ),
    };
    let zone = if has_time { format!("\n\n{zone}") } else { String::new() };
    let body = format!("{said}{zone}{left_out}\n\n{open}: {link}\n\n{stop}: {stop_link}");
    let subject = one_line(&format!("Carteiro: {subject}"), MAX_SUBJECT_CHARS);
    AlertText { subject, body, stop: Some(stop_link.to_owned()) }
}

/// The values of a notice that texts show.
struct Shown {
    url: String,
    name: String,
    /// What the notice says by itself, in the language.
    message: String,
    /// The last failure, in the language.
    last_error: String,
    item_type: ItemType,
    failures: u64,
    threshold: u64,
    items: u64,
}

impl Shown {
    fn of(raised: &Raised, language: Language) -> Self {
        let value = |text: &str| one_line(text, MAX_VALUE_CHARS);
        let said = |of: &Value| value(of["message"][language.as_str()].as_str().unwrap_or_default());
        let number = |name: &str| raised.data[name].as_u64().unwrap_or_default();
        Self {
            url: value(raised.text("url")),
            name: value(raised.text("name")),
            message: said(&raised.data),
            last_error: said(&raised.data["last_error"]),
            item_type: raised.text("item_type").parse().unwrap_or(ItemType::WHOLE_WEBHOOK),
            failures: number("failures"),
            threshold: number("threshold"),
            items: number("items"),
        }
    }
}

fn portuguese(raised: &Raised) -> (String, String) {
    let shown = Shown::of(raised, Language::Portuguese);
    let Shown { url, name, message, last_error, failures, threshold, items, .. } = &shown;
    let item_type = type_names(&shown.item_type).0;
    match raised.event {
        AlertEvent::Failing => (
            format!("perto do bloqueio: {url}"),
            format!(
                "O envio de {item_type} para esta URL falhou {failures} vezes consecutivas. Com {threshold}, ele será \
                 bloqueado.\n\nURL: {url}{}",
                after_label("\nÚltima falha", last_error)
            ),
        ),
        AlertEvent::Blocked => both!("envio bloqueado: {url}", "{message}\n\nURL: {url}"),
        AlertEvent::Disabled => both!(
            "webhook desabilitado: {url}",
            "A URL respondeu com o status 410, que diz que ela não existe mais, e o webhook foi desabilitado. Os \
             itens ficam guardados até que a URL seja corrigida ou o webhook seja habilitado de novo.\n\nURL: {url}"
        ),
        AlertEvent::Dead => {
            let which = if *items == 1 {
                format!("1 item ({item_type}) não será mais enviado por si só")
            } else {
                format!("{items} itens ({item_type}) não serão mais enviados por si só")
            };
            both!("itens não entregues: {url}", "{which}. No console é possível reenviar.\n\nURL: {url}")
        }
        AlertEvent::Token => (format!("token da página \"{name}\""), message.clone()),
        AlertEvent::Silence => (format!("página em silêncio: \"{name}\""), message.clone()),
    }
}

fn english(raised: &Raised) -> (String, String) {
    let shown = Shown::of(raised, Language::English);
    let Shown { url, name, message, last_error, failures, threshold, items, .. } = &shown;
    let item_type = type_names(&shown.item_type).1;
    match raised.event {
        AlertEvent::Failing => (
            format!("close to a block: {url}"),
            format!(
                "Sending {item_type} to this URL failed {failures} times in a row. At {threshold} it will be blocked.\n\n\
                 URL: {url}{}",
                after_label("\nLast failure", last_error)
            ),
        ),
        AlertEvent::Blocked => both!("sending is blocked: {url}", "{message}\n\nURL: {url}"),
        AlertEvent::Disabled => both!(
            "webhook disabled: {url}",
            "The URL answered with status 410, which says that it is gone for good, and the webhook was disabled. \
             Items are held until the URL is corrected or the webhook is enabled again.\n\nURL: {url}"
        ),
        AlertEvent::Dead => {
            let which = if *items == 1 {
                format!("1 item ({item_type}) will not be sent again by itself")
            } else {
                format!("{items} items ({item_type}) will not be sent again by themselves")
            };
            both!("items not delivered: {url}", "{which}. The console can send them again.\n\nURL: {url}")
        }
        AlertEvent::Token => (format!("token of the page \"{name}\""), message.clone()),
        AlertEvent::Silence => (format!("silent page: \"{name}\""), message.clone()),
    }
}

/// A line with a label, where there is something to say.
fn after_label(label: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{label}: {text}.") }
}

/// A text on one line, cut where it is long.
fn one_line(text: &str, most: usize) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let line: String = text.chars().map(|c| if is_break(c) { ' ' } else { c }).collect();
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raised(kind: &str, data: &Value) -> Raised {
        let notice = json!({"type": kind, "timestamp": "2026-11-30T12:00:00Z", "data": data}).to_string();
        Raised::of(notice.as_bytes()).unwrap()
    }

    const LINKS: Links<'_> =
        Links { console: "https://c.example/console", stop: "https://c.example/alert-stop/x" };

    fn webhook() -> Value {
        json!({
            "webhook": "wh_1", "url": "https://example.com/in", "item_type": "event", "percent": 90, "failures": 900,
            "threshold": 1000, "items": 3,
            "message": {"pt-BR": "Está bloqueado.", "en": "It is blocked."},
            "last_error": {"message": {"pt-BR": "a URL respondeu 500", "en": "the URL answered 500"}},
        })
    }

    fn page() -> Value {
        json!({"page": "page_1", "name": "Loja", "message": {"pt-BR": "O token venceu.", "en": "The token ended."}})
    }

    #[test]
    fn each_event_has_its_words_and_a_link_in_both_languages() {
        let table = [
            (
                "webhook.failing",
                webhook(),
                "perto do bloqueio",
                "falhou 900 vezes",
                "close to a block",
                "At 1000 it",
            ),
            ("webhook.blocked", webhook(), "bloqueado", "Está bloqueado.", "is blocked", "It is blocked."),
            ("webhook.disabled", webhook(), "desabilitado", "status 410", "disabled", "status 410"),
            (
                "webhook.dead",
                webhook(),
                "não entregues",
                "3 itens (registros de eventos)",
                "not delivered",
                "3 items (events)",
            ),
            ("page.token_expired", page(), "\"Loja\"", "O token venceu.", "\"Loja\"", "The token ended."),
            ("page.silent", page(), "em silêncio", "O token venceu.", "silent page", "The token ended."),
        ];
        for (kind, data, pt_subject, pt_body, en_subject, en_body) in table {
            let raised = raised(kind, &data);
            for (language, subject, body, link) in [
                (
                    Language::Portuguese,
                    pt_subject,
                    pt_body,
                    "Abrir no console: https://c.example/console#to=",
                ),
                (
                    Language::English,
                    en_subject,
                    en_body,
                    "Open in the console: https://c.example/console#to=",
                ),
            ] {
                let text = of_alert(&raised, language, 0, LINKS);
                assert!(text.subject.starts_with("Carteiro: ") && text.subject.contains(subject), "{text:?}");
                assert!(text.body.contains(body), "{kind}: {}", text.body);
                assert!(text.body.ends_with(&format!(": {}", LINKS.stop)), "{}", text.body);
                assert!(text.body.contains(&format!("{link}{}", raised.thing_id())), "{}", text.body);
                assert!(
                    !text.body.contains("não foram enviados") && !text.body.contains("not sent."),
                    "{}",
                    text.body
                );
            }
        }
    }

    #[test]
    fn a_text_with_times_says_where_those_of_the_reader_are() {
        let mut data = webhook();
        data["message"] =
            json!({"pt-BR": "Está bloqueado até 2026-11-30 16:00 (UTC).", "en": "Until 16:00 (UTC)."});
        for (language, said) in [
            (Language::Portuguese, "(UTC).\n\nURL: https://example.com/in\n\nOs horários estão em UTC; "),
            (Language::English, "(UTC).\n\nURL: https://example.com/in\n\nTimes are in UTC; "),
        ] {
            let with = of_alert(&raised("webhook.blocked", &data), language, 0, LINKS);
            assert!(with.body.contains(said), "{}", with.body);
            let without = of_alert(&raised("webhook.dead", &data), language, 0, LINKS);
            assert!(!without.body.contains("UTC"), "{}", without.body);
        }
    }

    #[test]
    fn what_was_left_out_is_counted_in_words() {
        let raised = raised("webhook.blocked", &webhook());
        for (language, missed, said) in [
            (Language::Portuguese, 1, "1 outro não foi enviado"),
            (Language::Portuguese, 7, "7 outros não foram enviados"),
            (Language::English, 1, "1 more was not sent"),
            (Language::English, 7, "7 more were not sent"),
        ] {
            assert!(of_alert(&raised, language, missed, LINKS).body.contains(said), "{said}");
        }
    }

    #[test]
    fn a_name_begins_no_header_and_no_mention() {
        let mut data = page();
        data["name"] = "Loja\r\nBcc: a@b.co\u{2028}<!channel>".into();
        data["message"]["pt-BR"] = "Olá\r\n<users/all>".into();
        let text = of_alert(&raised("page.silent", &data), Language::Portuguese, 0, LINKS);
        assert!(!text.subject.contains(['\r', '\n', '\u{2028}']), "{:?}", text.subject);
        assert!(text.body.starts_with("Olá  <users/all>\n"), "{}", text.body);
        assert!(!text.chat().contains(['<', '>']), "{}", text.chat());
        data["name"] = "x".repeat(5000).into();
        let text = of_alert(&raised("page.silent", &data), Language::English, 0, LINKS);
        assert_eq!(text.subject.chars().count(), MAX_SUBJECT_CHARS + 1);
    }

    #[test]
    fn a_code_is_sent_in_the_addresss_language() {
        let code = Code::from_random([9; 5]);
        for (language, said) in
            [(Language::Portuguese, "Código de confirmação"), (Language::English, "Confirmation code")]
        {
            let text = of_code(&code, language, "https://c.example/console");
            assert!(text.body.contains(&format!("{said}: {}", code.reveal())), "{}", text.body);
            assert!(!text.subject.contains(code.reveal()), "the subject is shown on locked screens");
        }
    }
}
