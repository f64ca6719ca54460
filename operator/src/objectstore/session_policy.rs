//! What made keys may do, as the policy of an STS session. Pure.

use serde_json::{Value, json};

use super::Bucket;

/// The agents' work under the bucket's prefix, and nothing else. A session may do what its role (or user) may and its policy
/// says: so this takes away, and never gives.
pub(super) fn policy(bucket: &Bucket, role_arn: Option<&str>) -> String {
    document(bucket, role_arn, &["s3:GetBucketLocation"])
}

/// The same and to see unfinished uploads, which no prefix bounds: for the operator alone.
pub(super) fn removal_policy(bucket: &Bucket, role_arn: Option<&str>) -> String {
    let actions = ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"];
    document(bucket, role_arn, &actions)
}

fn document(bucket: &Bucket, role_arn: Option<&str>, bucket_actions: &[&str]) -> String {
    let arn = format!("arn:{}:s3:::{}", partition(role_arn), bucket.name);
    let below = format!("{}*", bucket.prefix);
    let mut statements = vec![
        json!({
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [arn],
            // Agents list with longer prefixes, down to one server's.
            "Condition": {"StringLike": {"s3:prefix": [below]}},
        }),
        json!({"Effect": "Allow", "Action": bucket_actions, "Resource": [arn]}),
        json!({
            "Effect": "Allow",
            "Action": [
                "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
                "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
            ],
            "Resource": [format!("{arn}/{below}")],
        }),
    ];
    // Only MinIO does without a role. Releases before October 2025 let everybody make service accounts for himself, whose
    // rights the session's policy does not bound, unless it is forbidden in so many words. Others do not know the action. What no policy
    // forbids is to list and to delete service accounts of the user who asks: he should have none.
    if role_arn.is_none() {
        statements.push(json!({"Effect": "Deny", "Action": ["admin:*"]}));
    }
    let policy: Value = json!({"Version": "2012-10-17", "Statement": statements});
    policy.to_string()
}

/// `aws`, or where the role is: `aws-cn`, `aws-us-gov`.
fn partition(role_arn: Option<&str>) -> &str {
    let second = role_arn.and_then(|arn| arn.split(':').nth(1));
    let known = |text: &&str| {
        text.starts_with("aws") && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    second.filter(known).unwrap_or("aws")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What AWS and MinIO take at most.
    const LONGEST: usize = 2048;

    fn bucket(name: &str, prefix: &str) -> Bucket {
        Bucket {
            path_style: true,
            endpoint: "http://s3.test".into(),
            region: "moon".into(),
            name: name.into(),
            prefix: prefix.into(),
        }
    }

    fn statements(role_arn: Option<&str>) -> Vec<Value> {
        let text = policy(&bucket("crater", "shore/tide/schema-5/"), role_arn);
        let policy: Value = serde_json::from_str(&text).unwrap();
        policy["Statement"].as_array().unwrap().clone()
    }

    #[test]
    fn objects_are_reached_under_the_prefix_only_and_the_bucket_is_listed_there_only() {
        let allowed = statements(Some("arn:aws:iam::1:role/dns"));
        assert_eq!(allowed.len(), 3);
        assert_eq!(allowed[0]["Resource"], json!(["arn:aws:s3:::crater"]));
        assert_eq!(
            allowed[0]["Condition"],
            json!({"StringLike": {"s3:prefix": ["shore/tide/schema-5/*"]}})
        );
        assert_eq!(
            allowed[2]["Resource"],
            json!(["arn:aws:s3:::crater/shore/tide/schema-5/*"])
        );
        let actions: Vec<&str> = allowed
            .iter()
            .flat_map(|statement| statement["Action"].as_array().unwrap())
            .map(|action| action.as_str().unwrap())
            .collect();
        assert_eq!(
            actions,
            [
                "s3:ListBucket",
                "s3:GetBucketLocation",
                "s3:GetObject",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ]
        );
    }

    #[test]
    fn uploads_of_others_are_seen_by_the_operator_alone_and_ended_by_nobody() {
        let bucket = bucket("crater", "shore/tide/schema-5/");
        let statements = |policy: String| {
            let policy: Value = serde_json::from_str(&policy).unwrap();
            policy["Statement"].as_array().unwrap().clone()
        };
        let (mut more, less) = (
            statements(removal_policy(&bucket, None)),
            statements(policy(&bucket, None)),
        );
        let actions = more[1]["Action"].take();
        assert_eq!(
            actions,
            json!(["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"])
        );
        more[1]["Action"] = less[1]["Action"].clone();
        assert_eq!(more, less);
    }

    #[test]
    fn without_a_role_the_admin_api_is_forbidden_in_so_many_words() {
        let statements = statements(None);
        assert_eq!(statements[3], json!({"Effect": "Deny", "Action": ["admin:*"]}));
    }

    #[test]
    fn the_partition_is_that_of_the_role() {
        let resource = |role: &str| {
            statements(Some(role))[0]["Resource"][0]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(resource("arn:aws-cn:iam::1:role/dns"), "arn:aws-cn:s3:::crater");
        assert_eq!(resource("arn:aws:iam:::role/dns"), "arn:aws:s3:::crater");
        assert_eq!(resource("no ARN"), "arn:aws:s3:::crater");
    }

    #[test]
    fn the_longest_names_that_a_spec_can_have_fit() {
        let policy = removal_policy(
            &bucket(&"b".repeat(63), &format!("{}/schema-5/", "p".repeat(256))),
            None,
        );
        assert!(policy.len() <= LONGEST, "{}", policy.len());
    }
}
