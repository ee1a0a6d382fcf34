use super::*;

#[test]
fn what_is_not_set_keeps_its_default() {
    assert_eq!("{}".parse::<NetworkSettings>().unwrap(), NetworkSettings::default());
    let set = r#"{"facebook": {"version": "v26.0"}, "x": {"messages": false, "limits": {"app/mentions": 9}},
        "youtube": {"page_size": 80, "limits": {"app": 1000000}}, "calls": 5}"#;
    let set: NetworkSettings = set.parse().unwrap();
    assert_eq!(
        (&*set.api(Network::Facebook).version, &*set.api(Network::Instagram).version),
        ("v26.0", "v27.0")
    );
    assert_eq!((set.api(Network::X).messages, set.api(Network::X).page_size, set.calls), (false, 100, 5));
    assert_eq!(set.api(Network::Youtube).page_size, 80);
    let units = |network, name: &str| {
        set.limits(network).iter().find(|limit| limit.name() == name).map(|limit| limit.units)
    };
    assert_eq!((units(Network::X, "app/mentions"), units(Network::X, "page/posts")), (Some(9), Some(900)));
    assert_eq!(units(Network::Youtube, "app"), Some(1_000_000));
}

#[test]
fn a_name_or_a_number_that_means_nothing_is_an_error() {
    for wrong in [
        "",
        "[]",
        r#"{"orkut": {}}"#,
        r#"{"x": {"colour": 1}}"#,
        r#"{"x": {"page_size": 4}}"#,
        r#"{"linkedin": {"page_size": 5}}"#,
        r#"{"x": {"limits": {"app/likes": 1}}}"#,
        r#"{"youtube": {"limits": {"app": 0}}}"#,
        r#"{"calls": 0}"#,
    ] {
        assert!(wrong.parse::<NetworkSettings>().is_err(), "{wrong}");
    }
}

#[test]
fn no_two_limits_of_a_network_have_one_name() {
    let settings = NetworkSettings::default();
    for network in Network::ALL {
        let names: std::collections::BTreeSet<String> =
            settings.limits(network).iter().map(Limit::name).collect();
        assert_eq!(names.len(), settings.limits(network).len(), "{network}");
    }
}
