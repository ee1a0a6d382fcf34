//! Receivers that misuse the head of an HTTP/1 response.

use carteiro_core::outcome::FailureKind::{Protocol, Redirect, Status, Timeout};

use crate::{Hostile, Recorded, Stage, broken_off, failure, hostile};

const TCP: Stage = Stage::Tcp;

pub(crate) fn receivers() -> Vec<Hostile> {
    let mut all = sizes();
    all.extend(bytes());
    all.extend(odd_headers());
    all.extend(odd_lines());
    all.extend(refused_lines());
    all.extend(versions());
    all.extend(other_protocols());
    all.extend(statuses());
    all.extend(informational());
    all.extend(redirects());
    all.extend(waits());
    all
}

fn sizes() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        drips_its_head "sends its head a byte every 100 ms" => failure(Timeout); {
            wire.request().await?;
            wire.drip(format!("HTTP/1.1 200 OK\r\nx-drip: {}\r\n\r\n", "x".repeat(1000))).await
        }
        sends_a_head_that_never_ends "sends headers for ever, as fast as they are read"
        => failure(Protocol); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\n").await?;
            wire.flood("x-more: and more\r\n").await
        }
        sends_a_header_of_a_megabyte "sends one header of 1 MiB" => failure(Protocol); {
            wire.request().await?;
            let head = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(1 << 20));
            wire.say(head).await?;
            wire.listen().await
        }
        sends_ten_thousand_headers "sends 10,000 short headers" => failure(Protocol); {
            wire.request().await?;
            let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(10_000));
            wire.say(head).await?;
            wire.listen().await
        }
    }
}

fn bytes() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        names_a_header_with_bad_bytes "sends a header whose name holds a space, NUL and a byte beyond ASCII"
        => failure(Protocol); {
            wire.answer_each(b"HTTP/1.1 200 OK\r\nb\xffd n\x00me: x\r\ncontent-length: 0\r\n\r\n").await
        }
        puts_nul_into_a_header "sends a header whose value holds NUL" => failure(Protocol); {
            wire.answer_each(b"HTTP/1.1 200 OK\r\nx-bad: a\x00b\r\ncontent-length: 0\r\n\r\n").await
        }
        puts_control_bytes_into_a_header "sends a header whose value holds BEL, which is passed over"
        => Recorded::Success(200); {
            wire.answer_each(b"HTTP/1.1 200 OK\r\nx-bad: a\x07b\r\ncontent-length: 0\r\n\r\n").await
        }
        puts_bytes_beyond_ascii_into_a_header "sends a header whose value is no UTF-8, which HTTP allows"
        => Recorded::Success(200); {
            wire.answer_each(b"HTTP/1.1 200 OK\r\nx-odd: \xff\xfe\xe9\r\ncontent-length: 0\r\n\r\n").await
        }
        sends_binary_noise "answers with bytes that are no HTTP" => failure(Protocol); {
            wire.request().await?;
            wire.say([0x80, 0x00, 0xff, 0x13, 0x0a, 0x0d, 0x0a, 0x00].repeat(64)).await?;
            wire.listen().await
        }
    }
}

/// Headers that common clients accept.
fn odd_headers() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        leaks_a_warning_into_its_head "leaks a warning of PHP, with a colon in it, into its head"
        => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\r\nPHP Warning:  Undefined variable $x in /srv/hook.php on line 3\r\ncontent-length: 2\r\n\r\nok").await
        }
        has_a_line_without_a_colon_in_its_head "has a line without a colon in its head"
        => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\r\nDeprecated function\r\ncontent-length: 2\r\n\r\nok")
                .await
        }
        puts_a_space_before_the_colon "puts a space before the colon of its `Content-Length`"
        => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok").await
        }
        folds_a_header "folds a header over two lines" => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\r\nx-folded: a\r\n b\r\ncontent-length: 2\r\n\r\nok").await
        }
        begins_its_headers_with_a_space "begins its first header with a space" => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\r\n x-a: b\r\ncontent-length: 2\r\n\r\nok").await
        }
        leaves_out_a_headers_name "leaves out a header's name" => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\r\n: b\r\ncontent-length: 2\r\n\r\nok").await
        }
        names_a_header_with_odd_characters "names a header with brackets and a byte beyond ASCII"
        => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\r\nx(odd\u{e9}): b\r\ncontent-length: 2\r\n\r\nok").await
        }
    }
}

/// Line ends and blank lines that common clients accept.
fn odd_lines() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        ends_its_lines_with_lf_alone "ends the lines of its head with LF alone" => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200 OK\ncontent-length: 2\n\nok").await
        }
        sends_blank_lines_before_its_status "sends blank lines before its status" => Recorded::Success(200); {
            wire.answer_each("\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await
        }
    }
}

fn refused_lines() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        sends_a_space_before_its_status "sends a space before its status line" => failure(Protocol); {
            wire.answer_each(" HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await
        }
        names_http_in_small_letters "names the protocol `http/1.1`, in small letters" => failure(Protocol); {
            wire.answer_each("http/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await
        }
        puts_two_spaces_before_its_status "puts two spaces between the version and the status"
        => failure(Protocol); {
            wire.answer_each("HTTP/1.1  200 OK\r\ncontent-length: 2\r\n\r\nok").await
        }
        puts_a_bell_into_its_reason "puts BEL into the reason behind its status" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 200 O\u{7}K\r\ncontent-length: 2\r\n\r\nok").await
        }
        puts_cr_into_a_header "puts CR, without LF, into a header's value" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 2\r\n\r\nok").await
        }
        floods_its_head_with_stray_lines "sends lines without a colon for ever; 64 KiB of head are read"
        => failure(Protocol); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\n").await?;
            wire.flood("stray\r\n").await
        }
    }
}

fn versions() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        answers_in_http_0_9 "answers with a page and no head at all" => failure(Protocol); {
            wire.request().await?;
            wire.say("<html><body>Hello</body></html>\r\n").await?;
            wire.half_close().await
        }
        answers_in_http_1_0 "answers in HTTP/1.0, without a length, and closes" => Recorded::Success(200); {
            wire.request().await?;
            wire.say("HTTP/1.0 200 OK\r\n\r\nhello").await?;
            wire.half_close().await
        }
        claims_http_3_1 "claims to speak HTTP/3.1" => failure(Protocol); {
            wire.answer_each("HTTP/3.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
        }
    }
}

fn other_protocols() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        speaks_ssh "answers as an SSH server does" => failure(Protocol); {
            wire.read_some().await?;
            wire.say("SSH-2.0-OpenSSH_9.6\r\n").await?;
            wire.listen().await
        }
        greets_as_a_mail_server_does "greets as a mail server does, before it has read anything"
        => failure(Protocol); {
            wire.say("220 mail.example ESMTP\r\n").await?;
            wire.listen().await
        }
        answers_with_an_alert_of_tls "answers a request of plain HTTP with an alert of TLS"
        => failure(Protocol); {
            wire.read_some().await?;
            wire.say([21, 3, 1, 0, 2, 2, 22]).await?;
            wire.half_close().await
        }
        speaks_http_2_without_tls "answers an HTTP/1.1 request with frames of HTTP/2" => failure(Protocol); {
            wire.request().await?;
            wire.say([0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
            wire.listen().await
        }
    }
}

fn statuses() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        answers_status_000 "answers with status 000" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 000 None\r\ncontent-length: 0\r\n\r\n").await
        }
        answers_status_99 "answers with the status 99, of two digits" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 99 Two\r\ncontent-length: 0\r\n\r\n").await
        }
        answers_status_999 "answers with status 999" => broken_off(Status, 999); {
            wire.answer_each("HTTP/1.1 999 Denied\r\ncontent-length: 0\r\n\r\n").await
        }
        answers_status_1000 "answers with the status 1000, of four digits" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 1000 Many\r\ncontent-length: 0\r\n\r\n").await
        }
        answers_status_minus_200 "answers with status -200" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 -200 OK\r\ncontent-length: 0\r\n\r\n").await
        }
        answers_without_a_reason "leaves out the reason behind its status, and the space before it"
        => Recorded::Success(200); {
            wire.answer_each("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n").await
        }
    }
}

fn informational() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        floods_with_100_continue "sends 100 Continue for ever" => failure(Timeout); {
            wire.read_some().await?;
            wire.flood("HTTP/1.1 100 Continue\r\n\r\n").await
        }
        floods_with_103_early_hints "sends 103 Early Hints with a kilobyte of links for ever"
        => failure(Timeout); {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: <{}>\r\n\r\n", "x".repeat(1024));
            wire.read_some().await?;
            wire.flood(hint).await
        }
        promises_to_go_on_and_does_not "sends 102 Processing once, and nothing more" => failure(Timeout); {
            wire.request().await?;
            wire.say("HTTP/1.1 102 Processing\r\n\r\n").await?;
            wire.listen().await
        }
        switches_protocols "answers 101 and goes on in a protocol that nobody asked for"
        => broken_off(Status, 101); {
            wire.request().await?;
            wire.say("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
                .await?;
            wire.flood([0x81, 0x05, b'h', b'e', b'l', b'l', b'o']).await
        }
    }
}

fn redirects() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        redirects_to_a_private_address "redirects to the metadata service of clouds"
        => broken_off(Redirect, 302); {
            let location = "http://169.254.169.254/latest/meta-data/";
            let answer =
                format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            wire.answer_each(answer).await
        }
        redirects_to_itself "redirects to itself, for ever" => broken_off(Redirect, 307); {
            wire.answer_each("HTTP/1.1 307 Again\r\nlocation: /webhook\r\ncontent-length: 0\r\n\r\n")
                .await
        }
        redirects_nowhere "answers 301 without a location" => broken_off(Redirect, 301); {
            wire.answer_each("HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n").await
        }
        redirects_to_a_script "answers 308 with a location that is no URL of HTTP"
        => broken_off(Redirect, 308); {
            wire.answer_each(
                "HTTP/1.1 308 Moved\r\nlocation: javascript:alert(1)\r\ncontent-length: 0\r\n\r\n",
            )
            .await
        }
    }
}

fn waits() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        asks_to_wait_for_ever "answers 429 with a `Retry-After` of 10^30 seconds; it counts as 24 h"
        => broken_off(Status, 429); {
            let answer = format!(
                "HTTP/1.1 429 Busy\r\nretry-after: 1{}\r\ncontent-length: 0\r\n\r\n",
                "0".repeat(30)
            );
            wire.answer_each(answer).await
        }
        asks_to_wait_until_the_year_9999 "answers 503 with a `Retry-After` in the year 9999; it counts as 24 h"
        => broken_off(Status, 503); {
            let date = "Fri, 31 Dec 9999 23:59:59 GMT";
            let answer = format!("HTTP/1.1 503 Busy\r\nretry-after: {date}\r\ncontent-length: 0\r\n\r\n");
            wire.answer_each(answer).await
        }
        asks_to_wait_a_negative_time "answers 503 with a `Retry-After` of -5, which is passed over"
        => broken_off(Status, 503); {
            wire.answer_each("HTTP/1.1 503 Busy\r\nretry-after: -5\r\ncontent-length: 0\r\n\r\n").await
        }
    }
}
