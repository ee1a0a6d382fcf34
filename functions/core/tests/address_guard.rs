//! The address guard against a table of ranges of its own, and against `docs/address_guard.md`.
//!
//! The ranges here are those of IANA's registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890 and its
//! updates), of multicast (RFC 5771, RFC 4291) and of what is reserved (RFC 1112, RFC 4291), as first and last
//! addresses.

#![expect(clippy::unwrap_used, reason = "what fails, fails the test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carteiro_core::address::{ForbiddenAddress, PrivateTargets, UrlError, WebhookUrl, is_public, vet};
use ipnet::IpNet;
use proptest::prelude::*;

/// First and last of what is not public in IPv4.
const NOT_PUBLIC_V4: [(&str, &str); 16] = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.254"),
    ("255.255.255.255", "255.255.255.255"),
];

/// First and last of what is not public in IPv6.
const NOT_PUBLIC_V6: [(&str, &str); 6] = [
    ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

fn ranges_v4() -> Vec<(u32, u32)> {
    let number = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
    NOT_PUBLIC_V4.iter().map(|(first, last)| (number(first), number(last))).collect()
}

fn ranges_v6() -> Vec<(u128, u128)> {
    let number = |text: &str| u128::from(text.parse::<Ipv6Addr>().unwrap());
    NOT_PUBLIC_V6.iter().map(|(first, last)| (number(first), number(last))).collect()
}

fn expected_v4(bits: u32) -> bool {
    !ranges_v4().iter().any(|&(first, last)| (first..=last).contains(&bits))
}

fn expected_v6(bits: u128) -> bool {
    let isatap = matches!((bits >> 32) & 0xffff_ffff, 0x5efe | 0x0200_5efe);
    !isatap && !ranges_v6().iter().any(|&(first, last)| (first..=last).contains(&bits))
}

fn v4(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(bits))
}

fn v6(bits: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(bits))
}

#[test]
fn the_guard_agrees_with_the_registries_on_ipv4() {
    let ranges = ranges_v4();
    let expected = |bits: u32| !ranges.iter().any(|&(first, last)| (first..=last).contains(&bits));
    let edges = ranges.iter().flat_map(|&(first, last)| [first, last]);
    let blocks = (0..=u16::MAX).map(|block| u32::from(block) << 16);
    for around in edges.chain(blocks) {
        for bits in [around.wrapping_sub(1), around, around.wrapping_add(1)] {
            assert_eq!(is_public(v4(bits)), expected(bits), "{}", v4(bits));
        }
    }
}

#[test]
fn the_guard_agrees_with_the_registries_on_ipv6() {
    let edges = ranges_v6().into_iter().flat_map(|(first, last)| [first, last]);
    let blocks = (0..=u16::MAX).map(|block| u128::from(block) << 112);
    // 2001::/16 holds most of what is special among the public ones.
    let special = (0..=u16::MAX).map(|block| 0x2001_u128 << 112 | u128::from(block) << 96);
    for around in edges.chain(blocks).chain(special) {
        for bits in [around.wrapping_sub(1), around, around.wrapping_add(1)] {
            assert_eq!(is_public(v6(bits)), expected_v6(bits), "{}", v6(bits));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_ipv4_address_is_judged_as_the_registries_say(bits: u32) {
        prop_assert_eq!(is_public(v4(bits)), expected_v4(bits));
    }

    #[test]
    fn any_ipv6_address_is_judged_as_the_registries_say(high in 0x1f00_u16..=0x4100, low: u128) {
        let bits = u128::from(high) << 112 | low >> 16;
        prop_assert_eq!(is_public(v6(bits)), expected_v6(bits));
    }

    #[test]
    fn no_ipv4_address_passes_in_the_dress_of_an_ipv6_one(bits: u32, prefix: u64, low: u64, mark: bool) {
        let (carried, low) = (u128::from(bits), u128::from(low));
        let mark = if mark { 0x5efe_u128 } else { 0x0200_5efe };
        // Any prefix of global unicast.
        let prefix = u128::from(prefix >> 3 | 1 << 61) << 64;
        for dress in [
            carried,                                                             // compatible
            0xffff << 32 | carried,                                              // mapped
            0xffff << 48 | carried,                                              // translated
            0x5efe << 32 | carried,                                              // ISATAP without a prefix
            prefix | mark << 32 | carried,                                       // ISATAP
            0x0064_ff9b << 96 | carried,                                         // NAT64
            0x0064_ff9b_0001 << 80 | low << 16 & (u128::MAX >> 48) | carried,    // NAT64 of local use
            0x2002 << 112 | carried << 80 | low,                                 // 6to4
            0x2001 << 112 | low << 32 | (carried ^ 0xffff_ffff),                 // Teredo's client
            0x2001 << 112 | carried << 64 | low,                                 // Teredo's server
        ] {
            prop_assert!(!is_public(v6(dress)), "{}", v6(dress));
        }
    }

    #[test]
    fn one_address_that_is_not_public_forbids_all(good in 1..8_usize, at in 0..8_usize, range in 0..16_usize, offset: u32) {
        let (first, last) = ranges_v4()[range];
        let bad = first + offset.checked_rem((last - first).wrapping_add(1)).unwrap_or(0);
        let url = WebhookUrl::check("https://example.com/", &PrivateTargets::default()).unwrap();
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)); good];
        addresses.insert(at.min(good), v4(bad));
        prop_assert_eq!(vet(&url, &addresses, &PrivateTargets::default()), Err(ForbiddenAddress(v4(bad))));
    }
}

/// A row of the document: the range, and who refuses it: all of it, some of it, or none.
struct Row {
    range: IpNet,
    refused_by: [Refused; 3],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    All,
    Part,
    None,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/address_guard.md");
    let document = std::fs::read_to_string(path).unwrap();
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let [range, _, own, hook0, svix, ""] = cells[..] else { panic!("{line}") };
        let refused = |cell| match cell {
            "refused" => Refused::All,
            "in part" => Refused::Part,
            "allowed" => Refused::None,
            other => panic!("{other}"),
        };
        let range = range.strip_suffix('`').unwrap().parse().unwrap();
        Some(Row { range, refused_by: [own, hook0, svix].map(refused) })
    });
    rows.collect()
}

/// The first, the last, and addresses spread between.
fn samples(range: IpNet) -> Vec<IpAddr> {
    let mut samples = vec![range.network(), range.broadcast()];
    // Steps of a generator with a fixed beginning: the same addresses each time.
    let mut random = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
    for _ in 0..200 {
        random = random.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
        samples.push(match range {
            IpNet::V4(range) => {
                let host = u32::try_from(random >> 96).unwrap() & !u32::from(range.netmask());
                v4(u32::from(range.network()) | host)
            }
            IpNet::V6(range) => v6(u128::from(range.network()) | random & !u128::from(range.netmask())),
        });
    }
    samples
}

#[test]
fn the_document_says_of_each_range_what_the_guard_does() {
    let rows = rows();
    assert!(rows.len() >= 60, "{}", rows.len());
    for row in &rows {
        let refused: Vec<bool> = samples(row.range).into_iter().map(|address| !is_public(address)).collect();
        match row.refused_by[0] {
            Refused::All => assert!(refused.iter().all(|refused| *refused), "{}", row.range),
            Refused::None => assert!(!refused.iter().any(|refused| *refused), "{}", row.range),
            Refused::Part => panic!("{} is in part", row.range),
        }
    }
}

#[test]
fn nothing_that_other_guards_refuse_is_allowed() {
    let rows = rows();
    for row in &rows {
        let others = row.refused_by[1..].iter().any(|refused| *refused != Refused::None);
        assert!(!others || row.refused_by[0] == Refused::All, "{}", row.range);
    }
    let listed = |address: IpAddr| {
        rows.iter().any(|row| row.range.contains(&address) && row.refused_by[0] == Refused::All)
    };
    for (first, last) in ranges_v4() {
        assert!(listed(v4(first)) && listed(v4(last)), "{}", v4(first));
    }
    for (first, last) in ranges_v6() {
        assert!(listed(v6(first)) && listed(v6(last)), "{}", v6(first));
    }
    // All that is not given out as global unicast, piece by piece.
    for block in (0..=u8::MAX).filter(|block| block >> 5 != 1) {
        assert!(listed(v6(u128::from(block) << 120)), "{block:x}00::/8");
    }
}

fn check(text: &str) -> Result<WebhookUrl, UrlError> {
    WebhookUrl::check(text, &PrivateTargets::default())
}

#[test]
fn an_address_is_recognised_in_whatever_spelling() {
    for (spelling, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0x7f.0.0x0.0x1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("１２７.０.０.１", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("127.0.0.1\u{ad}", "127.0.0.1"),
        ("169。254．169｡254", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("[::127.0.0.1]", "::7f00:1"),
        ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
        ("[2002:7f00:1::]", "2002:7f00:1::"),
        ("[fd00:ec2::254]", "fd00:ec2::254"),
        ("[2a00::5efe:127.0.0.1]", "2a00::5efe:7f00:1"),
    ] {
        let expected = UrlError::ForbiddenAddress(address.parse().unwrap());
        assert_eq!(check(&format!("https://{spelling}/")), Err(expected), "{spelling}");
    }
    let public = check("https://0x08080808/").unwrap();
    assert_eq!(public.as_str(), "https://8.8.8.8/");
}

#[test]
fn what_is_no_host_is_not_taken() {
    for text in [
        "https://127.0.0.1.5/",
        "https://256.1.1.1/",
        "https://4294967296/",
        "https://0x100000000/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://[::ffff:127.0.0.1.5]/",
        "https://a b/",
        "https://a%00b/",
        "https://a%2fb/",
        "https:///",
        "https://./",
    ] {
        assert!(matches!(check(text), Err(UrlError::NotAUrl | UrlError::Host)), "{text}: {:?}", check(text));
    }
}

#[test]
fn a_disguised_host_is_judged_by_its_real_address() {
    for text in [
        "https://example.com@127.0.0.1/",
        "https://example.com:443@127.0.0.1/",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://:secret@example.com/",
        "https://%00@example.com/",
    ] {
        assert_eq!(check(text), Err(UrlError::Credentials), "{text}");
    }
    let loopback = UrlError::ForbiddenAddress("127.0.0.1".parse().unwrap());
    for text in [
        "https:127.0.0.1",
        "https:/127.0.0.1",
        "https:\\\\127.0.0.1\\@example.com/",
        "https://127.0.0.1\\@example.com/",
        " https://127.0.0.1/ ",
        "ht\ntps://127.0.0.1/",
        "https://127.0.\t0.1/",
    ] {
        assert_eq!(check(text), Err(loopback.clone()), "{text:?}");
    }
    for (text, normal) in [
        ("https://EXAMPLE.com./a", "https://example.com/a"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://ｅｘａｍｐｌｅ.com/", "https://example.com/"),
        ("https://e%78ample.com/", "https://example.com/"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com\\path", "https://example.com/path"),
    ] {
        assert_eq!(check(text).unwrap().as_str(), normal, "{text}");
    }
}

#[test]
fn a_port_is_443_or_above_1023() {
    for port in 0..=u16::MAX {
        let taken = check(&format!("https://example.com:{port}/"));
        let expected = port == 443 || port > 1023;
        assert_eq!(taken.is_ok(), expected, "{port}");
        if !expected {
            assert_eq!(taken, Err(UrlError::Port(port)));
        }
    }
}
