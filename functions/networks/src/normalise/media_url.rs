//! Which part of an attachment's address says what it is.
//!
//! Networks sign the addresses of media, let them expire, and answer each time with another host of the same network
//! and another size. None of that is a change of the attachment:
//!
//! | address | part that counts |
//! |---|---|
//! | Facebook's and Instagram's CDN (`fbcdn.net`, `cdninstagram.com`, `fbsbx.com`) | the file's name |
//! | a proxy of theirs for others' pictures (`safe_image.php?url=`, `/emg1/…?url=`), and `l.facebook.com/l.php?u=` | that of the address in it |
//! | LinkedIn's CDN (`licdn.com`) | the media's id, which follows `/dms/<kind>/` |
//! | YouTube's pictures (`ytimg.com`) | the video's id |
//! | Google's pictures (`ggpht.com`, `googleusercontent.com`) | the name, up to its size |
//! | X's CDN (`twimg.com`) | a video's id, or the file's name without its size and format |
//! | any other | all of it, without parameters that sign, expire or track |
//!
//! Hosts and paths as the networks' answers have them; the parameters of signatures are those of Amazon CloudFront and
//! S3, Google Cloud Storage, Azure's shared access signatures and Meta's CDN.

use url::Url;

/// The most addresses within addresses that are followed.
const MAX_NESTED: u8 = 3;

/// Parameters that sign an address, or let it expire, or say from where somebody came, in small letters.
const PASSING: [&str; 11] = [
    "expires",
    "signature",
    "key-pair-id",
    "awsaccesskeyid",
    "googleaccessid",
    "oh",
    "oe",
    "stp",
    "sig",
    "fbclid",
    "igshid",
];

/// Those that do so beside a signature: alone they may be anything.
const PASSING_WHERE_SIGNED: [&str; 7] = ["policy", "se", "sp", "sv", "sr", "st", "skoid"];

/// The beginnings of such parameters.
const PASSING_PREFIXES: [&str; 4] = ["x-amz-", "x-goog-", "_nc_", "utm_"];

/// The part of an address that says what it is of. An address of an unknown host that has nothing that passes is
/// answered as it stands.
pub(crate) fn lasting_part(address: &str) -> String {
    part_of(address, MAX_NESTED)
}

fn part_of(address: &str, nested: u8) -> String {
    let Ok(url) = Url::parse(address) else { return address.to_owned() };
    let host = url.host_str().unwrap_or_default();
    let is_of = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let inner = |name: &str| {
        let inner = url.query_pairs().find(|(key, _)| key == name).map(|(_, inner)| inner.into_owned());
        inner.filter(|inner| nested > 0 && inner.starts_with("http")).map(|inner| part_of(&inner, nested - 1))
    };
    let metas = is_of("fbcdn.net") || is_of("cdninstagram.com") || is_of("fbsbx.com");
    let found = if metas {
        // `lookaside.fbsbx.com` names an asset in a parameter, beside a signature: it has no file's name.
        inner("url").or_else(|| name(&url).filter(|name| name.contains('.') && !name.ends_with(".php")))
    } else if is_of("facebook.com") || is_of("instagram.com") {
        if url.path() == "/l.php" { inner("u") } else { None }
    } else if is_of("licdn.com") {
        linkedin(&url)
    } else if is_of("ytimg.com") {
        after(&url, &["vi", "vi_webp", "an", "an_webp"])
    } else if is_of("ggpht.com") || is_of("googleusercontent.com") {
        name(&url).map(|name| name.split('=').next().unwrap_or_default().to_owned())
    } else if is_of("twimg.com") {
        x(&url)
    } else {
        None
    };
    found.filter(|found| !found.is_empty()).unwrap_or_else(|| without_passing(address, &url))
}

fn segments(url: &Url) -> impl DoubleEndedIterator<Item = &str> {
    url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty())
}

fn name(url: &Url) -> Option<String> {
    segments(url).next_back().map(str::to_owned)
}

/// The segment after the first of these.
fn after(url: &Url, names: &[&str]) -> Option<String> {
    let mut segments = segments(url).skip_while(|segment| !names.contains(segment));
    segments.nth(1).map(str::to_owned)
}

/// `/dms/image/v2/<id>/feedshare-shrink_800/…`: the size and the time follow the id; `v2` is not always there.
fn linkedin(url: &Url) -> Option<String> {
    let mut after_dms = segments(url).skip_while(|segment| *segment != "dms").skip(2);
    after_dms.find(|segment| !matches!(*segment, "v1" | "v2")).map(str::to_owned)
}

/// A video's id is a segment of digits, as its file is another for each size; a picture's size stands after a colon or
/// in a parameter, and its format in either place.
fn x(url: &Url) -> Option<String> {
    let is_number = |segment: &&str| segment.bytes().all(|b| b.is_ascii_digit());
    let video = segments(url).find(is_number).map(str::to_owned);
    video.or_else(|| {
        let name = segments(url).next_back()?;
        name.split([':', '.']).next().map(str::to_owned)
    })
}

fn without_passing(address: &str, url: &Url) -> String {
    let Some(query) = url.query() else { return address.to_owned() };
    let names: Vec<String> = query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or_default().to_ascii_lowercase())
        .collect();
    let is_signed = names.iter().any(|name| matches!(name.as_str(), "sig" | "signature"));
    let passes = |name: &str| {
        let passes_here = PASSING.contains(&name) || (is_signed && PASSING_WHERE_SIGNED.contains(&name));
        passes_here || PASSING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    if !names.iter().any(|name| passes(name)) {
        return address.to_owned();
    }
    let kept = query.split('&').zip(&names).filter(|(_, name)| !passes(name)).map(|(pair, _)| pair);
    let kept = kept.collect::<Vec<_>>().join("&");
    let mut url = url.clone();
    url.set_query(Some(kept.as_str()).filter(|kept| !kept.is_empty()));
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_hosts_and_sizes_are_no_part_of_an_attachment() {
        let same = [
            vec![
                "https://scontent.xx.fbcdn.net/v/t39.30808-6/481_992_77_n.jpg?stp=dst-jpg_p720x720&_nc_cat=1&ccb=1-7\
                 &_nc_sid=5f&oh=00_AfA&oe=674A",
                "https://scontent-gru2-1.xx.fbcdn.net/v/t39.30808-6/p180x540/481_992_77_n.jpg?_nc_cat=9&oh=00_B&oe=9",
            ],
            vec![
                "https://scontent.cdninstagram.com/v/t51.29350-15/44_5_n.webp?stp=dst-jpg&_nc_ht=a&oh=1&oe=2",
                "https://scontent-gig4-2.cdninstagram.com/v/t51.29350-15/s640x640/44_5_n.webp?_nc_ohc=b&oh=3&oe=4",
            ],
            vec![
                "https://external.xx.fbcdn.net/safe_image.php?d=AQ&w=720&url=https%3A%2F%2Fa.test%2F1.gif&_nc_hash=1",
                "https://external-gru1-1.xx.fbcdn.net/emg1/v/t13/77?url=https%3A%2F%2Fa.test%2F1.gif&oh=5&oe=6",
                "https://l.facebook.com/l.php?u=https%3A%2F%2Fa.test%2F1.gif%3Ffbclid%3DIw&h=AT",
                "https://a.test/1.gif",
            ],
            vec![
                "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=77&signature=AYd",
                "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=77&signature=BXe",
            ],
            vec![
                "https://media.licdn.com/dms/image/v2/D4D22AQG/feedshare-shrink_800/B4/0/17?e=1800&v=beta&t=a",
                "https://media-exp1.licdn.com/dms/image/D4D22AQG/feedshare-shrink_2048/0/17?e=1900&v=beta&t=b",
            ],
            vec![
                "https://i.ytimg.com/vi/dQw4/hqdefault.jpg?sqp=-oa&rs=AOn",
                "https://i9.ytimg.com/vi_webp/dQw4/maxresdefault.webp",
            ],
            vec!["https://yt3.ggpht.com/abc=s88-c-k", "https://yt3.ggpht.com/abc=s240-c-k"],
            vec![
                "https://pbs.twimg.com/media/Fabc.jpg",
                "https://pbs.twimg.com/media/Fabc.jpg:large",
                "https://pbs.twimg.com/media/Fabc?format=jpg&name=small",
            ],
            vec![
                "https://video.twimg.com/ext_tw_video/179/pu/vid/1280x720/a.mp4?tag=12",
                "https://video.twimg.com/ext_tw_video/179/pu/vid/320x180/b.mp4",
            ],
            vec![
                "https://files.a.test/1.jpg?size=l&Expires=1&Signature=x&Key-Pair-Id=K",
                "https://files.a.test/1.jpg?size=l&Expires=2&Signature=y&Key-Pair-Id=K",
                "https://files.a.test/1.jpg?size=l&X-Amz-Date=1&X-Amz-Signature=z",
                "https://files.a.test/1.jpg?size=l&se=1&sp=r&sv=2&sr=b&sig=q",
                "https://files.a.test/1.jpg?size=l",
            ],
        ];
        for addresses in &same {
            let parts: Vec<_> = addresses.iter().map(|address| lasting_part(address)).collect();
            assert!(parts.iter().all(|part| *part == parts[0]), "{parts:?}");
        }
        let mut all: Vec<_> = same.iter().map(|addresses| lasting_part(addresses[0])).collect();
        all.dedup();
        assert_eq!(all.len(), same.len(), "each is of something else");
    }

    #[test]
    fn what_names_an_attachment_is_part_of_it() {
        for (one, other) in [
            ("https://e.test/1.jpg", "https://e.test/2.jpg"),
            ("https://scontent.xx.fbcdn.net/v/1_n.jpg?oh=1", "https://scontent.xx.fbcdn.net/v/2_n.jpg?oh=1"),
            ("https://www.youtube.com/watch?v=a", "https://www.youtube.com/watch?v=b"),
            ("https://a.test/?e=1", "https://a.test/?e=2"),
            ("https://a.test/?t=1", "https://a.test/?t=2"),
            ("https://a.test/?se=1", "https://a.test/?se=2"),
            ("https://a.test/x", "https://b.test/x"),
            (
                "https://lookaside.fbsbx.com/x/?asset_id=1&signature=a",
                "https://lookaside.fbsbx.com/x/?asset_id=2",
            ),
            ("https://pbs.twimg.com/media/A.jpg", "https://pbs.twimg.com/media/B.jpg"),
            ("https://notfbcdn.net/v/1.jpg", "https://scontent.xx.fbcdn.net/v/1.jpg"),
        ] {
            assert_ne!(lasting_part(one), lasting_part(other));
        }
    }

    #[test]
    fn an_address_without_a_signature_stays_as_it_stands() {
        for address in ["https://a.test/?b=%20&c", "no address", "", "https://a.test#x", "urn:li:image:C1"] {
            assert_eq!(lasting_part(address), address);
        }
    }
}
