//! What each kind of problem means and what to do about it, in both languages: the texts of `GET /docs/problems`.
//!
//! A problem's `detail` says what went wrong in one request; these texts say what the kind is. A test holds them to
//! [`super::Problem::KINDS`], so that no `type` lacks its page.

/// A kind in one language.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The kind, as a heading.
    pub title: &'static str,
    /// How it comes about.
    pub cause: &'static str,
    /// What the caller does about it, and whether a repeat can succeed.
    pub remedy: &'static str,
}

/// A kind, explained.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The kind: the last part of `type`.
    pub kind: &'static str,
    /// In English.
    pub en: Text,
    /// In Portuguese, as it is written in Brazil.
    pub pt_br: Text,
}

/// The explanation of a kind, if there is such a kind.
#[must_use]
pub fn of(kind: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|explanation| explanation.kind == kind)
}

/// The explanations: of each kind the heading, the cause and the remedy, in English and then in Portuguese.
macro_rules! explanations {
    ($($kind:literal:
        $en:literal $en_cause:literal $en_remedy:literal
        $pt:literal $pt_cause:literal $pt_remedy:literal)+) => {
        /// All kinds, in the order of [`super::Problem::KINDS`].
        pub const EXPLANATIONS: &[Explanation] = &[$(Explanation {
            kind: $kind,
            en: Text { title: $en, cause: $en_cause, remedy: $en_remedy },
            pt_br: Text { title: $pt, cause: $pt_cause, remedy: $pt_remedy },
        }),+];
    };
}

explanations! {
    "bad-request":
        "The request cannot be read"
        "The body is empty, is not UTF-8, is not JSON, or is not one JSON object; or a network's check of a push \
         address lacks a parameter."
        "Send one JSON object in UTF-8, without compression. Repeating the same request does not help."
        "A requisição não pode ser lida"
        "O corpo está vazio, não está em UTF-8, não é JSON ou não é um único objeto JSON; ou a verificação de um \
         endereço de push por uma rede veio sem um parâmetro."
        "Envie um objeto JSON em UTF-8, sem compressão. Repetir a mesma requisição não resolve."
    "unauthorized":
        "A valid key is needed"
        "No key was sent, or one that is not known, was revoked, or belongs to an account that was deleted. For a \
         push: its signature is missing or wrong."
        "Send the header \"Authorization: Bearer <key>\" with a key that is in force. The operator of the \
         deployment gives out a new one."
        "É necessária uma chave válida"
        "Nenhuma chave foi enviada, ou a chave não é conhecida, foi revogada ou pertence a uma conta excluída. Em \
         um push: a assinatura está ausente ou incorreta."
        "Envie o cabeçalho \"Authorization: Bearer <chave>\" com uma chave em vigor. O operador da instalação \
         fornece uma nova."
    "link-used":
        "This link was used already"
        "A sign-in link works once, and this one was opened before: perhaps by you in another window, perhaps by a \
         program that previews links."
        "Ask where you got it for a new one. If nobody of yours opened it, have all sessions of the account ended."
        "Este link já foi usado"
        "Um link de acesso funciona uma vez, e este já foi aberto: talvez por você em outra janela, talvez por um \
         programa que mostra uma prévia de links."
        "Peça um novo a quem o enviou. Se ninguém da sua equipe o abriu, peça o encerramento de todas as sessões da \
         conta."
    "link-expired":
        "This link is too old"
        "A sign-in link works for a few minutes, and its time is over."
        "Ask for a new one, and open it at once."
        "Este link expirou"
        "Um link de acesso funciona por alguns minutos, e o tempo deste acabou."
        "Peça um novo e abra-o em seguida."
    "link-unknown":
        "This link is not known"
        "The text is no sign-in link of this deployment: it was cut or altered on the way, or its account was \
         deleted."
        "Open the whole link as it was sent, or ask for a new one."
        "Este link não é conhecido"
        "O texto não é um link de acesso desta instalação: foi cortado ou alterado no caminho, ou a conta foi \
         excluída."
        "Abra o link inteiro, como foi enviado, ou peça um novo."
    "session-ended":
        "Sign in again"
        "There is no session, its time is over, it was ended, or the key that it was opened with was revoked."
        "Sign in again, by a new link or with a key."
        "Entre novamente"
        "Não há sessão, o tempo dela acabou, ela foi encerrada ou a chave com que foi aberta foi revogada."
        "Entre novamente, por um novo link ou com uma chave."
    "cross-site":
        "Another site caused this request"
        "The browser says that a page of another site caused a change with this session's cookie."
        "Make the change in the console itself. A program uses a key in place of a session."
        "Outro site causou esta requisição"
        "O navegador informa que uma página de outro site causou uma alteração com o cookie desta sessão."
        "Faça a alteração no próprio console. Um programa usa uma chave em vez de uma sessão."
    "csrf":
        "The header carteiro-csrf is missing or wrong"
        "A change by a session needs the header carteiro-csrf with the session's value, which protects against \
         forged requests."
        "Read the value with GET /console/session, and send it with each change."
        "O cabeçalho carteiro-csrf está ausente ou incorreto"
        "Uma alteração por sessão exige o cabeçalho carteiro-csrf com o valor da sessão, que protege contra \
         requisições forjadas."
        "Leia o valor com GET /console/session e envie-o em cada alteração."
    "look-only":
        "This session may look, and not change"
        "The sign-in link of this session was made for looking."
        "Ask for a link with the role \"change\", or have somebody make the change who has one."
        "Esta sessão permite ver, mas não alterar"
        "O link de acesso desta sessão foi criado apenas para consulta."
        "Peça um link com o papel \"change\" ou peça a alteração a quem tem um."
    "forbidden":
        "This key may not do that"
        "The key is valid, but of the other sort: an account's key where the admin key is needed, or the admin \
         key where an account's key is needed. With the admin key, reading an account's things needs \
         \"?account=\"."
        "Use the other key, or name the account. The reference says for each operation which key it takes."
        "Esta chave não permite isso"
        "A chave é válida, mas do outro tipo: a chave de uma conta onde é necessária a chave de administração, ou o \
         contrário. Com a chave de administração, a leitura dos dados de uma conta exige \"?account=\"."
        "Use a outra chave ou informe a conta. A referência indica, em cada operação, qual chave ela aceita."
    "not-found":
        "Not found"
        "Nothing has this id, it was deleted, the id is malformed, or it belongs to another account. These are \
         answered alike, so that an id of another account tells nothing."
        "Compare the id with a list, such as GET /webhooks, and check that the key is of the right account."
        "Não encontrado"
        "Nada tem este id, ele foi excluído, está malformado ou pertence a outra conta. A resposta é a mesma em \
         todos os casos, para que o id de outra conta não revele nada."
        "Compare o id com uma lista, como GET /webhooks, e verifique se a chave é da conta correta."
    "method-not-allowed":
        "This method is not taken here"
        "The path is known, and takes other methods. The header Allow names them."
        "Use one of the methods that the header Allow names."
        "Este método não é aceito aqui"
        "O caminho é conhecido, mas aceita outros métodos. O cabeçalho Allow os indica."
        "Use um dos métodos indicados no cabeçalho Allow."
    "conflict":
        "Changed by another request"
        "Others changed the same webhook or page at the same time, again and again, and this change was not made."
        "Read it again, and repeat the change if it is still wanted."
        "Alterado por outra requisição"
        "Outras requisições alteraram o mesmo webhook ou a mesma página ao mesmo tempo, repetidamente, e esta \
         alteração não foi feita."
        "Leia novamente e repita a alteração se ela ainda for desejada."
    "already-exists":
        "There is one already"
        "There can be only one of it: a page is connected already, or a replay of the same items is under way."
        "Use the one that exists, which \"detail\" names; wait for it, or delete it first."
        "Já existe"
        "Só pode haver um: a página já está conectada, ou um reenvio dos mesmos itens está em andamento."
        "Use o existente, indicado em \"detail\"; aguarde o seu término ou exclua-o antes."
    "too-large":
        "Too large"
        "The body has more bytes or more lines than this operation takes. \"detail\" names the limit."
        "Send less in one request. Items have a limit of their own; larger contents can be sent as a link."
        "Grande demais"
        "O corpo tem mais bytes ou mais linhas do que esta operação aceita. O limite está em \"detail\"."
        "Envie menos em cada requisição. Os itens têm um limite próprio; conteúdos maiores podem ser enviados como \
         link."
    "unsupported-media":
        "The body's form is not taken"
        "The body is compressed. Its bytes are kept and signed as they come, so that they are taken only as they \
         are."
        "Send the body without Content-Encoding."
        "O formato do corpo não é aceito"
        "O corpo está comprimido. Os bytes são guardados e assinados como chegam, por isso só são aceitos sem \
         compressão."
        "Envie o corpo sem Content-Encoding."
    "invalid":
        "Some fields are not valid"
        "The request can be read, and fields, parameters or headers of it are wrong, or a limit of the account is \
         reached. \"errors\" names all of them, each with its fault."
        "Correct what \"errors\" names. Nothing was done; repeating the same request does not help."
        "Alguns campos não são válidos"
        "A requisição pode ser lida, mas há campos, parâmetros ou cabeçalhos incorretos, ou um limite da conta foi \
         atingido. \"errors\" indica todos eles, cada um com o seu erro."
        "Corrija o que \"errors\" indica. Nada foi feito; repetir a mesma requisição não resolve."
    "idempotency-conflict":
        "The idempotency key was used for another item"
        "The same idempotency key came with other bytes, another bot or another type before. Nothing was queued."
        "Give each item a key of its own, and repeat a request with exactly the bytes of the first one."
        "A chave de idempotência já foi usada para outro item"
        "A mesma chave de idempotência já veio com outros bytes, outro bot ou outro tipo. Nada foi enfileirado."
        "Dê a cada item a sua própria chave e repita uma requisição exatamente com os bytes da primeira."
    "code-wrong":
        "The code is wrong"
        "The code is not the one that was sent to this address. Only a few attempts are taken for each code."
        "Read the newest message at the address, and type its code as it stands there."
        "O código está incorreto"
        "O código não é o que foi enviado para este endereço. Cada código aceita poucas tentativas."
        "Leia a mensagem mais recente no endereço e digite o código como está nela."
    "code-over":
        "The code is no longer good"
        "The code is too old, was tried too often, or was not sent yet."
        "Have a new one sent, with POST /alerts/{alert}/resend, and use it within its time."
        "O código não vale mais"
        "O código é antigo demais, foi tentado vezes demais ou ainda não foi enviado."
        "Peça um novo, com POST /alerts/{alert}/resend, e use-o dentro do prazo."
    "too-many-requests":
        "Too many at once"
        "The account used up its share of this operation: tests of webhooks, or lookups of items."
        "Wait as many seconds as the header Retry-After says, then repeat the request."
        "Requisições demais ao mesmo tempo"
        "A conta esgotou a sua parcela desta operação: testes de webhooks ou buscas de itens."
        "Aguarde os segundos indicados no cabeçalho Retry-After e repita a requisição."
    "internal":
        "Something went wrong here"
        "A fault of this deployment. Its operator finds the cause in the log, by the id of the request."
        "Repeat the request later; with an idempotency key, an item is not taken twice. If it stays, tell the \
         operator the time and the id of the request."
        "Algo deu errado aqui"
        "Uma falha desta instalação. O operador encontra a causa no log, pelo id da requisição."
        "Repita a requisição mais tarde; com uma chave de idempotência, um item não é aceito duas vezes. Se \
         persistir, informe ao operador o horário e o id da requisição."
    "unavailable":
        "Try again"
        "For the moment it cannot be done: a service behind the deployment is busy or away, the time of the \
         request was over with a part of the work done, or a setting is missing."
        "Repeat the request, first after the seconds of Retry-After, then at growing intervals. What was done in \
         part goes on where it ended."
        "Tente novamente"
        "No momento não é possível: um serviço por trás da instalação está ocupado ou fora do ar, o tempo da \
         requisição acabou com parte do trabalho feita, ou falta uma configuração."
        "Repita a requisição, primeiro após os segundos de Retry-After e depois em intervalos crescentes. O que foi \
         feito em parte continua de onde parou."
    "loop-detected":
        "It goes round in a loop"
        "The header carteiro-hop says that the items of this request have passed through Carteiro too often: a \
         webhook's URL leads back to an intake."
        "Find the webhook whose deliveries are sent here again, and change its URL or the types that it takes. \
         Nothing of this request was taken."
        "Há um ciclo"
        "O cabeçalho carteiro-hop diz que os itens desta requisição já passaram vezes demais pelo Carteiro: a URL de \
         um webhook leva de volta a uma entrada."
        "Encontre o webhook cujas entregas voltam para cá e altere a sua URL ou os tipos que ele recebe. Nada desta \
         requisição foi aceito."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    #[test]
    fn each_kind_of_problem_is_explained_once_and_no_other() {
        let kinds: Vec<&str> = Problem::KINDS.iter().map(|kind| kind.name).collect();
        let explained: Vec<&str> = EXPLANATIONS.iter().map(|explanation| explanation.kind).collect();
        let missing: Vec<_> = kinds.iter().filter(|kind| !explained.contains(kind)).collect();
        assert!(missing.is_empty(), "kinds without an explanation: {missing:?}");
        assert_eq!(explained, kinds);
    }

    #[test]
    fn each_text_says_something_in_both_languages() {
        for Explanation { kind, en, pt_br } in EXPLANATIONS {
            for (one, other) in [(en.title, pt_br.title), (en.cause, pt_br.cause), (en.remedy, pt_br.remedy)]
            {
                assert!(one.len() >= 9 && other.len() >= 9 && one != other, "{kind}: {one} {other}");
            }
            for sentence in [en.cause, en.remedy, pt_br.cause, pt_br.remedy] {
                assert!(sentence.ends_with('.') && !sentence.contains("  "), "{kind}: {sentence}");
            }
            assert_eq!(of(kind).unwrap().en.title, en.title);
        }
        assert!(of("").is_none() && of("nothing").is_none());
    }

    #[test]
    fn an_english_heading_is_the_problems_own_title() {
        for kind in Problem::KINDS {
            assert_eq!(of(kind.name).unwrap().en.title, kind.title);
        }
    }
}
