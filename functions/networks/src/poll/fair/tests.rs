use proptest::prelude::*;

use super::*;
use crate::poll::plan::interval;

const TICK: Duration = Duration::from_secs(900);

fn accounts(pages: &[(u64, u64)]) -> ByAccount {
    let pages = pages.iter().enumerate();
    pages
        .map(|(n, (proven, unproven))| (n.to_string(), Pages { proven: *proven, unproven: *unproven }))
        .collect()
}

fn part_of(network: Network, pages: &[(u64, u64)], mine: usize) -> Part {
    part(network, network.spec().limits, &accounts(pages), &mine.to_string(), TICK)
}

fn minutes(network: Network, pages: &[(u64, u64)], mine: usize) -> u64 {
    let sharing = part_of(network, pages, mine).sharing;
    interval(network, network.spec().limits, sharing, TICK).as_secs() / 60
}

#[test]
fn nobody_has_more_than_an_even_part_unless_others_need_less() {
    let table: [(u64, &[u64], u64, u64); 8] = [
        (100, &[], 10, 100),
        (100, &[], 500, 100),
        (100, &[10], 10, 50),
        (100, &[10], 500, 90),
        (100, &[500], 10, 10),
        (100, &[500], 500, 50),
        (100, &[500, 500, 10], 500, 30),
        (0, &[5], 5, 0),
    ];
    for (there, others, mine, expected) in table {
        assert_eq!(even_part(there, others, mine), expected, "{there} {others:?} {mine}");
    }
}

#[test]
fn equal_accounts_have_equal_parts_of_the_limits() {
    for network in [Network::X, Network::Youtube, Network::Linkedin] {
        assert_eq!(part_of(network, &[(40, 2)], 0), Part { sharing: 42, millionths: None }, "{network}");
        let alike = part_of(network, &[(5, 0), (5, 0), (5, 0), (5, 0)], 1);
        assert_eq!(alike.sharing, 20, "{network}");
    }
}

#[test]
fn pages_with_made_up_tokens_do_not_slow_another_accounts_pages() {
    // As many pages as the limits have room for at each tick, less the small share of those that are not proven.
    for (network, pages) in [(Network::Linkedin, 4), (Network::Youtube, 30), (Network::X, 280)] {
        let alone = minutes(network, &[(pages, 0)], 0);
        assert_eq!(minutes(network, &[(pages, 0), (0, 510)], 0), alone, "{network}");
    }
}

#[test]
fn many_real_pages_of_one_account_leave_the_others_theirs() {
    assert_eq!(minutes(Network::Linkedin, &[(1, 0), (1000, 0)], 0), 60);
    assert_eq!(minutes(Network::Youtube, &[(10, 0), (1000, 0)], 0), 15);
    // And have what is left.
    let left = part_of(Network::Linkedin, &[(1, 0), (1000, 0)], 1);
    assert_eq!(left.millionths, Some(800_000));
}

#[test]
fn a_new_account_can_have_its_first_page_proven() {
    for network in [Network::X, Network::Youtube, Network::Linkedin] {
        for limit in network.spec().limits.iter().filter(|limit| limit.of == LimitScope::TheApp) {
            assert!((10..=limit.units / 40).contains(&unproven(limit)), "{network}");
            let millionths = part_of(network, &[(1000, 0), (0, 1)], 1).millionths.unwrap();
            assert!(most(limit, millionths) >= 10, "{network}");
        }
    }
}

proptest! {
    #[test]
    fn the_parts_together_are_no_more_than_the_limit(
        pages in proptest::collection::vec((0_u64..600, 0_u64..600), 2..12)
    ) {
        for network in [Network::X, Network::Youtube, Network::Linkedin] {
            let parts: u64 =
                (0..pages.len()).map(|mine| u64::from(part_of(network, &pages, mine).millionths.unwrap())).sum();
            prop_assert!(parts <= MILLION, "{network} {parts}");
        }
    }
}
