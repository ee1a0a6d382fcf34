//! Each receiver of the catalogue, twice in a row with one sender: the second attempt meets the connection that the
//! first one left.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_adapters::http::sender::MAX_RESPONSE_BYTES;
use carteiro_core::cause::Code;
use carteiro_core::outcome::FailureKind;
use carteiro_hostile::{Recorded, Running, catalogue, find};
use jiff::Timestamp;
use tokio::time::timeout;

use crate::{AUTHORITY, LONG, attempt, sender};

/// The deadline where it ends the attempt.
const SHORT: Duration = Duration::from_secs(2);

/// How long an attempt is waited for that its deadline does not end: far more than a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often whatever else is on the thread gets its turn during a flood, at least. On a quiet machine it is a thousand
/// times in a deadline, and none where the flood does not give way; beside other work it may be once or twice.
const TURNS: usize = 1;

/// The pause between two attempts, for late bytes.
const BETWEEN: Duration = Duration::from_millis(80);

async fn ends_as_recorded(name: &str, code: Option<Code>) {
    let hostile = find(name).unwrap();
    let receiver = Running::start(&hostile, &AUTHORITY).await.unwrap();
    let hangs = matches!(hostile.recorded, Recorded::Failure(FailureKind::Timeout, _));
    let deadline = if hangs { SHORT } else { LONG };
    let sender = sender(deadline);
    for nth in 1..=2 {
        let attempted = timeout(PATIENCE, attempt(&sender, &receiver.url, Timestamp::UNIX_EPOCH)).await;
        let attempted = attempted.unwrap_or_else(|_| panic!("its deadline did not end it"));
        assert_eq!(Recorded::of(&attempted.outcome), hostile.recorded, "attempt {nth}: {attempted:?}");
        let cause = attempted.outcome.failure().and_then(|failure| failure.cause.as_ref());
        if code.is_some() || matches!(hostile.recorded, Recorded::Success(_)) {
            assert_eq!(cause.map(|cause| cause.code), code, "attempt {nth}: {attempted:?}");
        }
        assert!(attempted.response_body.len() <= MAX_RESPONSE_BYTES);
        tokio::time::sleep(BETWEEN).await;
    }
}

/// A test for each receiver, with its cause where only one is possible, and the list of all tests.
macro_rules! receivers {
    ($($name:ident $(=> $code:ident)?)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let codes: &[Code] = &[$(Code::$code)?];
                ends_as_recorded(stringify!($name), codes.first().copied()).await;
            }
        )*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

receivers! {
    listens_nowhere => ConnectionRefused
    never_accepts_with_a_full_backlog => ConnectTimedOut
    accepts_and_says_nothing => HeadTimedOut
    closes_on_accept
    resets_on_accept
    resets_in_the_middle_of_the_request
    resets_after_the_request
    resets_in_the_middle_of_the_head => ConnectionReset
    resets_in_the_middle_of_the_body => ConnectionReset
    closes_after_the_request => ClosedBeforeAnswer
    half_closes_and_reads_on
    reads_nothing_of_a_large_request
    answers_before_it_has_read
    refuses_the_body_and_reads_no_more
    drips_its_head => HeadTimedOut
    sends_a_head_that_never_ends => HeadTooLarge
    sends_a_header_of_a_megabyte => HeadTooLarge
    sends_ten_thousand_headers => HeadTooLarge
    names_a_header_with_bad_bytes => BadHeader
    puts_nul_into_a_header => BadHeader
    puts_control_bytes_into_a_header
    puts_bytes_beyond_ascii_into_a_header
    sends_binary_noise => NotHttpBinary
    leaks_a_warning_into_its_head
    has_a_line_without_a_colon_in_its_head
    puts_a_space_before_the_colon
    folds_a_header
    begins_its_headers_with_a_space
    leaves_out_a_headers_name
    names_a_header_with_odd_characters
    ends_its_lines_with_lf_alone
    sends_blank_lines_before_its_status
    sends_a_space_before_its_status => NotHttpText
    names_http_in_small_letters => HttpVersion
    puts_two_spaces_before_its_status => BadStatusLine
    puts_a_bell_into_its_reason => BadStatusLine
    puts_cr_into_a_header => BadHeader
    floods_its_head_with_stray_lines => HeadTooLarge
    answers_in_http_0_9 => NotHttpPage
    answers_in_http_1_0
    claims_http_3_1 => HttpVersion
    speaks_ssh => NotHttpSsh
    greets_as_a_mail_server_does => NotHttpMail
    answers_with_an_alert_of_tls => NotHttpTls
    speaks_http_2_without_tls => NotHttpFrames
    answers_status_000 => BadStatusLine
    answers_status_99 => BadStatusLine
    answers_status_999
    answers_status_1000 => BadStatusLine
    answers_status_minus_200 => BadStatusLine
    answers_without_a_reason
    floods_with_100_continue => HeadTimedOut
    floods_with_103_early_hints
    promises_to_go_on_and_does_not => HeadTimedOut
    switches_protocols
    redirects_to_a_private_address => Redirected
    redirects_to_itself => Redirected
    redirects_nowhere => RedirectedNowhere
    redirects_to_a_script => Redirected
    asks_to_wait_for_ever
    asks_to_wait_until_the_year_9999
    asks_to_wait_a_negative_time
    claims_more_than_it_sends => EndedEarly
    sends_more_than_it_claims
    claims_two_lengths => BadLength
    claims_the_same_length_twice
    claims_no_length_at_all => BadLength
    answers_204_with_two_lengths
    says_chunked_in_http_1_0 => BadTransferCoding
    names_a_coding_that_is_none
    claims_a_negative_length => BadLength
    claims_a_length_beyond_numbers => BadLength
    claims_exabytes => BodyTimedOut
    drips_its_body => BodyTimedOut
    sends_a_body_with_204
    sends_a_body_with_304 => NotModified
    sends_a_chunk_of_an_impossible_size => BadChunk
    sends_a_chunk_of_a_negative_size => BadChunk
    claims_a_chunk_of_exabytes
    floods_with_chunk_extensions => BadChunk
    never_sends_the_last_chunk => EndedEarly
    drips_chunk_sizes
    says_chunked_and_a_length
    drips_its_trailers
    sends_trailers_that_never_end
    sends_50_megabytes
    sends_a_body_that_never_ends
    sends_tiny_chunks_for_ever
    sends_a_gzip_bomb
    pipelines_a_second_answer
    pipelines_a_second_answer_late
    closes_the_kept_connection_at_once
    resets_the_kept_connection
    fills_the_kept_connection_with_noise
    shows_a_certificate_of_its_own => CertificateUntrusted
    shows_an_expired_certificate => CertificateExpired
    shows_a_certificate_of_the_future => CertificateNotYetValid
    shows_a_certificate_of_another_host => CertificateWrongHost
    demands_a_client_certificate => ClientCertificateDemanded
    speaks_http_where_tls_belongs => NotTls
    speaks_tls_1_1_only => TlsVersion
    refuses_the_version_of_tls => TlsVersion
    closes_in_the_handshake => TlsClosed
    resets_in_the_handshake => TlsClosed
    sends_noise_in_the_handshake => NotTls
    sends_a_record_that_is_too_long
    hangs_in_the_handshake => TlsTimedOut
    drips_its_handshake => TlsTimedOut
    sends_a_hello_of_16_megabytes
    floods_with_alerts
    ends_tls_without_a_word_in_the_body => EndedEarly
    ends_tls_without_a_word_behind_the_body
    agrees_on_http_1_and_speaks_http_2 => NotHttpFrames
    floods_with_settings
    floods_with_pings
    floods_with_pings_and_reads_nothing
    floods_with_empty_data
    floods_with_103_over_http_2
    floods_with_unknown_frames
    resets_the_stream => Http2Broken
    refuses_every_stream => Http2Broken
    goes_away_at_once
    answers_http_2_with_http_1 => Http2Broken
    overflows_the_window
    sends_a_frame_that_is_too_large
    sends_a_body_before_a_head
    pushes_what_nobody_asked_for
    agrees_on_http_2_and_says_nothing => HeadTimedOut
    opens_no_window
    allows_no_streams
    never_ends_the_stream => BodyTimedOut
    continues_its_headers_for_ever
    continues_its_headers_with_nothing
    sends_a_header_bomb
    names_no_number_of_the_header_table
    sends_no_status => Http2Broken
    sends_data_for_ever
    claims_more_than_it_sends_over_http_2 => Http2Broken
    goes_away_behind_each_answer
    pushes_an_answer_on_the_next_stream
}

#[test]
fn every_receiver_of_the_catalogue_has_its_test() {
    let listed: Vec<_> =
        catalogue().iter().flat_map(|group| group.receivers.clone()).map(|one| one.name).collect();
    let distinct: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(distinct.len(), listed.len(), "two have one name");
    assert_eq!(distinct, TESTED.iter().copied().collect());
    assert!(distinct.len() >= 40);
}

#[tokio::test]
async fn a_cause_names_the_redirects_target_or_certificates_names() {
    for (name, detail) in [
        ("redirects_to_a_private_address", "http://169.254.169.254/latest/meta-data/"),
        ("shows_a_certificate_of_another_host", "elsewhere.example"),
    ] {
        let receiver = Running::start(&find(name).unwrap(), &AUTHORITY).await.unwrap();
        let attempted = attempt(&sender(LONG), &receiver.url, Timestamp::UNIX_EPOCH).await;
        let cause = attempted.outcome.failure().unwrap().cause.clone().unwrap();
        assert_eq!(cause.detail.as_deref(), Some(detail), "{name}");
    }
}

#[tokio::test]
async fn what_is_packed_is_not_unpacked() {
    let receiver = Running::start(&find("sends_a_gzip_bomb").unwrap(), &AUTHORITY).await.unwrap();
    let attempted = attempt(&sender(LONG), &receiver.url, Timestamp::UNIX_EPOCH).await;
    // The bytes as they came: gzip's first bytes, and some 40 KB.
    assert_eq!(attempted.response_body[..2], [0x1f, 0x8b]);
    assert!((30_000..MAX_RESPONSE_BYTES).contains(&attempted.response_body.len()));
}

#[tokio::test]
async fn a_flood_leaves_the_thread_to_the_others_of_its_batch() {
    // On a thread of its own, so that only the sender's own work could block. Before it yielded, it blocked for
    // minutes, and past its own deadline.
    let (started, running) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let receivers = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let flood = find("floods_with_100_continue").unwrap();
            started.send(Running::start(&flood, &AUTHORITY).await.unwrap()).unwrap();
            let _ = stopped.await;
        });
    });
    let flood = running.recv().unwrap();
    let sender = sender(SHORT);
    let mut turns = 0;
    let watching = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            turns += 1;
        }
    };
    tokio::select! {
        attempted = timeout(PATIENCE, attempt(&sender, &flood.url, Timestamp::UNIX_EPOCH)) => {
            attempted.expect("its deadline ends it");
        }
        () = watching => {}
    }
    assert!(turns >= TURNS, "the others had {turns} turns");
    drop(flood);
    drop(stop);
    receivers.join().unwrap();
}
