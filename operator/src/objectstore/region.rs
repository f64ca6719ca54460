//! A bucket in another region than the spec says.

use aws_sdk_s3::config::http::HttpResponse;

use super::{Bucket, StoreError};

/// In which AWS names the region of the bucket, whatever else it answers.
const HEADER: &str = "x-amz-bucket-region";

/// The region that a refusal names: in a header, or in its text.
fn told(answer: &HttpResponse) -> Option<&str> {
    let in_text = || {
        let text = std::str::from_utf8(answer.body().bytes()?).ok()?;
        let (_, rest) = text.split_once("<Region>")?;
        Some(rest.split_once("</Region>")?.0)
    };
    let region = answer.headers().get(HEADER).or_else(in_text)?;
    // It comes from a stranger, and goes into a sentence that people follow.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !region.is_empty() && region.len() <= 63 && region.bytes().all(plain);
    fits.then_some(region)
}

/// What a refusal for the region means.
pub(super) fn elsewhere(bucket: &Bucket, code: String, answer: Option<&HttpResponse>) -> StoreError {
    let endpoint = bucket.endpoint.clone();
    let told = answer.and_then(told);
    let endpoint_of = |region: &str| {
        let other = regional_endpoint(&endpoint, region)?;
        (other != endpoint).then(|| format!(", and spec.objectStore.s3.endpoint to {other}"))
    };
    match told {
        Some(region) if region != bucket.region || endpoint_of(region).is_some() => StoreError::WrongRegion {
            bucket: bucket.name.clone(),
            code,
            asked: bucket.region.clone(),
            remedy: format!(
                "{region}: set spec.objectStore.s3.region to {region}{}",
                endpoint_of(region).unwrap_or_default()
            ),
            endpoint,
        },
        _ => StoreError::Other {
            endpoint,
            bucket: bucket.name.clone(),
            code,
            hint: "the bucket is in another region: look it up where the bucket was made, and correct spec.objectStore.s3.region and endpoint",
        },
    }
}

/// AWS' endpoint of that region, if the one that was named is AWS' too, under a name as plain as that.
fn regional_endpoint(endpoint: &str, region: &str) -> Option<String> {
    let (_, host) = endpoint.split_once("://")?;
    let of_aws = match host.split('.').collect::<Vec<_>>()[..] {
        ["s3", "amazonaws", "com"] => true,
        ["s3", other, "amazonaws", "com"] => other != "dualstack",
        _ => false,
    };
    of_aws.then(|| format!("https://s3.{region}.amazonaws.com"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    /// What AWS answers in the place of a bucket, as it documents it.
    fn refusal(endpoint: &str, region: &str, header: Option<&'static str>, text: &str) -> String {
        let bucket = Bucket {
            endpoint: endpoint.into(),
            region: region.into(),
            name: "crater".into(),
            path_style: true,
            prefix: "a/schema-5/".into(),
        };
        let body = format!("<Error><Code>C</Code>{text}</Error>");
        let mut answer = HttpResponse::new(301.try_into().unwrap(), SdkBody::from(body));
        if let Some(region) = header {
            answer.headers_mut().insert(HEADER, region);
        }
        elsewhere(&bucket, "C".into(), Some(&answer)).to_string()
    }

    #[test]
    fn the_remedy_is_to_write_what_the_store_says_and_leads_to_the_bucket_from_every_mistake() {
        let (global, us) = ("https://s3.amazonaws.com", "https://s3.us-east-1.amazonaws.com");
        let right = "set spec.objectStore.s3.region to eu-west-1, and spec.objectStore.s3.endpoint to https://s3.eu-west-1.amazonaws.com";
        for (endpoint, region) in [(global, "us-east-1"), (us, "us-east-1"), (us, "eu-west-1")] {
            // The endpoint's region is in the text then.
            let told = refusal(endpoint, region, Some("eu-west-1"), "<Region>us-east-1</Region>");
            assert!(told.ends_with(right), "{told}");
        }
        // At the right endpoint the region alone is wrong.
        let told = refusal(
            "https://s3.eu-west-1.amazonaws.com",
            "us-east-1",
            None,
            "<Region>eu-west-1</Region>",
        );
        assert!(
            told.ends_with("set spec.objectStore.s3.region to eu-west-1"),
            "{told}"
        );
    }

    #[test]
    fn a_region_that_is_none_or_was_asked_for_is_not_recommended() {
        for text in [
            "",
            "<Region>moon</Region>",
            "<Region>a b</Region>",
            "<Region></Region>",
        ] {
            let told = refusal("https://s3.moon.test", "moon", None, text);
            assert!(told.contains("look it up") && !told.contains("set "), "{told}");
        }
    }

    #[test]
    fn the_endpoint_of_the_region_is_named_where_that_of_another_is_aws_own() {
        let of = |endpoint| regional_endpoint(endpoint, "eu-west-1");
        for aws in ["https://s3.amazonaws.com", "https://s3.us-east-1.amazonaws.com"] {
            assert_eq!(
                of(aws).as_deref(),
                Some("https://s3.eu-west-1.amazonaws.com"),
                "{aws}"
            );
        }
        for other in [
            "https://s3.example.com",
            "https://amazonaws.com",
            "https://s3.cn-north-1.amazonaws.com.cn",
            "https://zones.vpce-1.s3.us-east-1.vpce.amazonaws.com",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
