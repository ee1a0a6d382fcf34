use super::*;

const TICK: Duration = Duration::from_secs(900);

fn due(account: u128, page: u128, began: Option<i64>) -> Due {
    Due {
        page: PageId::from_bits(page),
        account: AccountId::from_bits(account),
        network: Network::Facebook,
        began_at: began.map(|second| Timestamp::from_second(second).unwrap()),
    }
}

#[test]
fn accounts_take_turns_and_who_waited_longest_comes_first() {
    let mut given: Vec<Due> = (10..20).map(|page| due(1, page, Some(5))).collect();
    given.push(due(2, 30, Some(9)));
    given.push(due(2, 31, Some(7)));
    given.push(due(3, 40, None));
    let order: Vec<(AccountId, PageId)> =
        in_turns(given).into_iter().map(|due| (due.account, due.page)).collect();
    let (account, page) = (AccountId::from_bits, PageId::from_bits);
    assert_eq!(order[..3], [(account(3), page(40)), (account(1), page(10)), (account(2), page(31))]);
    assert_eq!(order[3..5], [(account(1), page(11)), (account(2), page(30))]);
    assert_eq!(order.len(), 13);
}

#[test]
fn pages_are_polled_at_each_tick_while_limits_allow() {
    let every = |network, connected| interval(network, network.spec().limits, connected, TICK).as_secs() / 60;
    assert_eq!(every(Network::Facebook, 100_000), 15);
    assert_eq!((every(Network::X, 400), every(Network::X, 900)), (15, 45));
    // 2 units 96 times, and 95 for walks through what is older and for what happens, of 9,600 a day. Where it is
    // less, half of it is for runs.
    assert_eq!((every(Network::Youtube, 33), every(Network::Youtube, 34)), (15, 30));
    assert_eq!((every(Network::Youtube, 330), every(Network::Youtube, 9600)), (210, 96 * 60));
    assert_eq!(every(Network::GooglePlay, 100_000), 15);
    // 3 units a run, of a member's 96 a day, and from the sixth page on of the app's 480.
    assert_eq!((every(Network::Linkedin, 1), every(Network::Linkedin, 5)), (60, 60));
    assert_eq!((every(Network::Linkedin, 6), every(Network::Linkedin, 10)), (75, 120));
    assert_eq!((every(Network::Linkedin, 100), every(Network::Linkedin, 480)), (1155, 5535));
}

#[test]
fn turns_are_spread_over_the_interval_and_come_once_in_each() {
    let every = Duration::from_secs(40 * 900);
    let begin = Timestamp::from_second(1_795_305_600).unwrap();
    let mut first: BTreeMap<Duration, u32> = BTreeMap::new();
    for nth in 0..400 {
        let page = PageId::from_bits(nth);
        assert_eq!(until_turn(&page, begin, TICK, TICK), TICK);
        let (mut turns, mut next) = (Vec::new(), begin);
        for tick in 0..200_u32 {
            let at = begin.checked_add(TICK * tick).unwrap();
            if at >= next {
                turns.push(TICK * tick);
                next = at
                    .checked_add(until_turn(&page, at, every, TICK))
                    .unwrap()
                    .checked_sub(TICK / 2)
                    .unwrap();
            }
        }
        assert!(turns[1] - turns[0] <= every, "{turns:?}");
        assert!(turns.windows(2).skip(1).all(|two| two[1] - two[0] == every), "{turns:?}");
        *first.entry(turns[1]).or_default() += 1;
    }
    assert!(first.len() >= 39 && first.values().all(|count| *count < 30), "{first:?}");
}

#[test]
fn a_page_has_its_share_of_calls_and_never_too_few() {
    let calls = |network: Network, connected| {
        let limits = network.spec().limits;
        calls(network, limits, connected, interval(network, limits, connected, TICK), 60)
    };
    assert_eq!((calls(Network::Youtube, 1), calls(Network::Youtube, 5)), (60, 20));
    // Twice what a run takes, where half is for runs.
    assert_eq!((calls(Network::Youtube, 1000), calls(Network::X, 1000)), (4, 7));
    assert_eq!((calls(Network::Linkedin, 1), calls(Network::Linkedin, 100)), (20, 3));
    assert_eq!((calls(Network::Facebook, 100_000), calls(Network::GooglePlay, 9)), (60, 60));
}
