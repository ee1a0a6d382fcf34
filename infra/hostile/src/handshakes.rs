//! Receivers that misuse TLS.

use carteiro_core::outcome::FailureKind::{Protocol, Timeout, Tls};

use crate::{Certificate, Hostile, Recorded, Stage, broken_off, failure, hostile};

const RAW: Stage = Stage::TcpForTls;
const GOOD: Stage = Stage::Tls(Certificate::Good);

/// A whole answer.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A record of TLS (RFC 8446, 5.1).
fn record(content_type: u8, version: [u8; 2], content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut record = vec![content_type, version[0], version[1], length[0], length[1]];
    record.extend_from_slice(content);
    record
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const TLS_1_1: [u8; 2] = [3, 2];
const TLS_1_2: [u8; 2] = [3, 3];

/// A server's hello in TLS 1.1: version, random, no session, `TLS_RSA_WITH_AES_128_CBC_SHA`, no compression.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0, 0x2f, 0]);
    let mut message = vec![2, 0, 0, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    message.extend(body);
    record(HANDSHAKE, TLS_1_1, &message)
}

pub(crate) fn receivers() -> Vec<Hostile> {
    let mut all = certificates();
    all.extend(versions());
    all.extend(broken());
    all.extend(endless());
    all.extend(ends());
    all
}

fn certificates() -> Vec<Hostile> {
    vec![
        hostile!(
            Stage::Tls(Certificate::SelfSigned),
            shows_a_certificate_of_its_own,
            "shows a certificate that it signed itself",
            failure(Tls),
            |wire| { wire.answer_each(OK).await }
        ),
        hostile!(
            Stage::Tls(Certificate::Expired),
            shows_an_expired_certificate,
            "shows a certificate that has expired",
            failure(Tls),
            |wire| { wire.answer_each(OK).await }
        ),
        hostile!(
            Stage::Tls(Certificate::NotYetValid),
            shows_a_certificate_of_the_future,
            "shows a certificate that is not valid yet",
            failure(Tls),
            |wire| { wire.answer_each(OK).await }
        ),
        hostile!(
            Stage::Tls(Certificate::WrongHost),
            shows_a_certificate_of_another_host,
            "shows a good certificate of another host",
            failure(Tls),
            |wire| { wire.answer_each(OK).await }
        ),
        hostile!(
            Stage::TlsOfClients,
            demands_a_client_certificate,
            "demands a certificate of the client, which it does not have",
            failure(Tls),
            |wire| { wire.answer_each(OK).await }
        ),
    ]
}

fn versions() -> Vec<Hostile> {
    hostile! { RAW, |wire|
        speaks_http_where_tls_belongs "answers plain HTTP on a port for https" => failure(Tls); {
            wire.read_some().await?;
            wire.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await?;
            wire.listen().await
        }
        speaks_tls_1_1_only "agrees on TLS 1.1, which is not spoken any more" => failure(Tls); {
            wire.read_some().await?;
            wire.say(hello_of_tls_1_1()).await?;
            wire.listen().await
        }
        refuses_the_version_of_tls "refuses the handshake with the alert `protocol_version`"
        => failure(Tls); {
            wire.read_some().await?;
            wire.say(record(ALERT, TLS_1_2, &[2, 70])).await?;
            wire.listen().await
        }
    }
}

fn broken() -> Vec<Hostile> {
    hostile! { RAW, |wire|
        closes_in_the_handshake "closes after the client's hello" => failure(Tls); {
            wire.read_some().await?;
            wire.half_close().await?;
            wire.listen().await
        }
        resets_in_the_handshake "resets after the client's hello" => failure(Tls); {
            wire.read_some().await?;
            wire.reset()
        }
        sends_noise_in_the_handshake "answers the hello with noise" => failure(Tls); {
            wire.read_some().await?;
            wire.flood([0xff, 0x00, 0x17, 0x99]).await
        }
        sends_a_record_that_is_too_long "sends a record of TLS longer than any may be" => failure(Tls); {
            wire.read_some().await?;
            wire.say(record(HANDSHAKE, TLS_1_2, &[2; 65_535])).await?;
            wire.listen().await
        }
    }
}

fn endless() -> Vec<Hostile> {
    hostile! { RAW, |wire|
        hangs_in_the_handshake "takes the client's hello and says nothing" => failure(Timeout); {
            wire.listen().await
        }
        drips_its_handshake "sends its hello a byte every 100 ms" => failure(Timeout); {
            wire.read_some().await?;
            let hello = record(HANDSHAKE, TLS_1_2, &[2; 16_000]);
            wire.drip(hello).await
        }
        sends_a_hello_of_16_megabytes "announces a message of 16 MB in the handshake, and sends it"
        => failure(Tls); {
            wire.read_some().await?;
            let mut first = vec![2, 0xff, 0xff, 0xff];
            first.extend([0; 16_000]);
            wire.say(record(HANDSHAKE, TLS_1_2, &first)).await?;
            wire.flood(record(HANDSHAKE, TLS_1_2, &[0; 16_000])).await
        }
        floods_with_alerts "sends warnings for ever" => failure(Tls); {
            wire.read_some().await?;
            wire.flood(record(ALERT, TLS_1_2, &[1, 90])).await
        }
    }
}

fn ends() -> Vec<Hostile> {
    hostile! { GOOD, |wire|
        ends_tls_without_a_word_in_the_body "cuts the connection in a body without a length, without TLS' own end: who cut it is not known"
        => broken_off(Protocol, 200); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello").await?;
            wire.cut()?;
            wire.listen().await
        }
        ends_tls_without_a_word_behind_the_body "cuts the connection behind a whole answer, without TLS' own end"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say(OK).await?;
            wire.cut()?;
            wire.listen().await
        }
        agrees_on_http_1_and_speaks_http_2 "agrees on HTTP/1.1 and answers with frames of HTTP/2"
        => failure(Protocol); {
            wire.request().await?;
            wire.say([0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
            wire.listen().await
        }
    }
}
