//! A bucket in another region than requests are signed for. Which one it is in, S3 says in a header, or in the text of the refusal.

use object_store::client::HttpResponse;

/// In which AWS names the region of the bucket, whatever else it answers.
const HEADER: &str = "x-amz-bucket-region";

/// The region that an answer names beside a refusal.
pub(super) fn of_answer(answer: &HttpResponse) -> Option<String> {
    let refused = !answer.status().is_success();
    let region = answer.headers().get(HEADER).filter(|_| refused)?;
    plain(region.to_str().ok()?)
}

/// The same that a refusal names in its text, as Garage, MinIO and AWS do.
pub(super) fn of_text(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<Region>")?;
    plain(rest.split_once("</Region>")?.0)
}

/// It comes from a stranger, and goes into a sentence that people follow.
fn plain(region: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !region.is_empty() && region.len() <= 63 && region.bytes().all(plain);
    fits.then(|| region.to_owned())
}

/// What to do about a refusal for the region. `asked` is the region of the request, `told` that of the answer.
pub(super) fn remedy(asked: &str, told: Option<&str>) -> String {
    match told.filter(|told| *told != asked) {
        Some(told) => format!(
            "it is in the region {told}, and was asked for in {asked}: set storage.options.region to {told}, and \
             endpoint_url to an endpoint of that region where it names one of another"
        ),
        None => format!(
            "it does not say which one is right in the place of {asked}: look it up where the bucket was made, and correct \
             storage.options.region, and endpoint_url if that is of another region"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_read_from_a_refusal_and_nothing_that_is_none() {
        let text = |region: &str| format!("400: <Error><Region>{region}</Region></Error>");
        assert_eq!(of_text(&text("eu-west-1")).as_deref(), Some("eu-west-1"));
        for wrong in ["", "a b", "<b>", &"x".repeat(64)] {
            assert_eq!(of_text(&text(wrong)), None, "{wrong}");
        }
        assert_eq!(of_text("<Region>eu-west-1"), None);
    }

    #[test]
    fn a_region_that_was_asked_for_is_not_named_as_another() {
        assert!(remedy("garage", Some("moon")).contains("set storage.options.region to moon"));
        for told in [None, Some("garage")] {
            assert!(!remedy("garage", told).contains("set "), "{told:?}");
        }
    }
}
