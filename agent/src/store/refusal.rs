//! Why a store refuses a request, told from what it says. The crate object_store keeps the code of an error in its text
//! only, and of a refused listing it makes a general error.

use super::Skew;

/// From this difference on S3 and Azure refuse requests.
const MOST_SKEW: i64 = 15 * 60 * 1_000_000_000;

/// What S3, its kin and Azure say to a request whose time is too far from their own.
const CLOCK: [&str; 3] = [
    "RequestTimeTooSkewed",
    // Garage.
    "Date is too old",
    // Azure.
    "Request date header too old",
];

/// What S3 says that has the bucket in another region; the second is the crate's word for a redirection by AWS, whose text it drops.
const REGION: [&str; 4] = [
    "PermanentRedirect",
    "Received redirect without LOCATION",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
];

/// Redirections that say where to. S3 has them for a bucket that is new in another region, web servers to have TLS used.
const REDIRECTED: [&str; 4] = [
    "status code: 301",
    "status code: 302",
    "status code: 307",
    "status code: 308",
];

/// What Alibaba Cloud says to a bucket in the path.
const HOST_STYLE: &str = "SecondLevelDomainForbidden";

/// Refusals of keys that S3 answers with 400: those of temporary ones that have ended.
const KEYS: [&str; 5] = [
    "status code: 401",
    "status code: 403",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The own clock is too far from the store's.
    Clock,
    Keys,
    /// The bucket is in another one.
    Region,
    /// Another server is to be asked.
    Redirected,
    /// The bucket is to be in the name of the host.
    HostStyle,
}

impl Refusal {
    /// What the text of an error means, with what is known of the clocks; `None` if it is no refusal.
    pub(super) fn of(text: &str, skew: Option<&Skew>) -> Option<Self> {
        let says = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
        if says(&CLOCK) {
            return Some(Self::Clock);
        }
        if says(&REGION) {
            return Some(Self::Region);
        }
        if says(&REDIRECTED) {
            return Some(Self::Redirected);
        }
        if text.contains(HOST_STYLE) {
            return Some(Self::HostStyle);
        }
        // Some stores say no more than that they refuse.
        let too_far = skew.is_some_and(|skew| skew.ahead().abs() >= MOST_SKEW);
        says(&KEYS).then_some(if too_far { Self::Clock } else { Self::Keys })
    }
}

/// What is known of the clocks, for a sentence. That they agree is no answer to a store that says they do not.
pub(super) fn clock_words(skew: Option<&Skew>) -> String {
    let apart = skew.filter(|skew| skew.at_least() > 0);
    apart.map_or_else(
        || "this clock is too far from the store's".to_owned(),
        ToString::to_string,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn skew(seconds: i64) -> Skew {
        Skew::between((seconds - 1) * SECOND, seconds * SECOND)
    }

    #[test]
    fn clocks_keys_and_other_failures_are_told_apart() {
        let of = |text| Refusal::of(text, Some(&skew(0)));
        let skewed = "Server returned non-2xx status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>";
        assert_eq!(of(skewed), Some(Refusal::Clock));
        assert_eq!(Refusal::of(skewed, None), Some(Refusal::Clock));
        let refused = "Server returned non-2xx status code: 403 Forbidden: <Code>InvalidAccessKeyId</Code>";
        assert_eq!(of(refused), Some(Refusal::Keys));
        let ended = "Server returned non-2xx status code: 400 Bad Request: <Code>ExpiredToken</Code>";
        assert_eq!(of(ended), Some(Refusal::Keys));
        let elsewhere =
            "Server returned non-2xx status code: 400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>";
        assert_eq!(of(elsewhere), Some(Refusal::Region));
        let redirected = "Server returned non-2xx status code: 307 Temporary Redirect: ";
        assert_eq!(of(redirected), Some(Refusal::Redirected));
        let in_path =
            "Server returned non-2xx status code: 403 Forbidden: <Code>SecondLevelDomainForbidden</Code>";
        assert_eq!(of(in_path), Some(Refusal::HostStyle));
        assert_eq!(
            of("Server returned non-2xx status code: 503 Slow Down: <Code>SlowDown</Code>"),
            None
        );
    }

    #[test]
    fn a_bare_refusal_is_blamed_on_the_clock_when_it_is_far_enough_off() {
        let refused = "Server returned non-2xx status code: 403 Forbidden: ";
        for (seconds, refusal) in [
            (-1_200, Refusal::Clock),
            (1_200, Refusal::Clock),
            (600, Refusal::Keys),
        ] {
            assert_eq!(
                Refusal::of(refused, Some(&skew(seconds))),
                Some(refusal),
                "{seconds}"
            );
        }
        assert_eq!(Refusal::of("no route to the store", Some(&skew(1_200))), None);
        for unknown in [None, Some(&skew(0))] {
            assert_eq!(clock_words(unknown), "this clock is too far from the store's");
        }
        assert!(clock_words(Some(&skew(1_200))).contains("ahead of the store's"));
    }
}
