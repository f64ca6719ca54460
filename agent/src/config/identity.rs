//! Who the agent is for an S3 store, where it has no keys of its own: what the platform says in its environment, unless the
//! options say another thing.

use std::path::{Path, PathBuf};

use super::options::StorageOptions;
use super::{ConfigError, value_error};

/// Who gives keys, to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A token, and the role that its bearer may assume: AWS IRSA and the like.
    WebIdentity { token_file: PathBuf, role_arn: String },
    /// EKS Pod Identity.
    Endpoint { url: String, token_file: PathBuf },
}

/// A variable of the environment that is not empty.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

impl StorageOptions {
    /// True if one of the keys, or one of their files, is given.
    pub fn has_keys(&self) -> bool {
        let files = [
            &self.access_key_file,
            &self.secret_key_file,
            &self.session_token_file,
        ];
        let keys = [&self.access_key, &self.secret_key, &self.session_token];
        files.iter().any(|file| !file.as_os_str().is_empty()) || keys.iter().any(|key| !key.is_empty())
    }

    /// Who the agent is; `None` if there are keys, or nothing says it.
    pub fn identity(&self, environment: impl Fn(&str) -> Option<String>) -> Option<Identity> {
        if self.has_keys() {
            return None;
        }
        let token_file = given(&self.web_identity_token_file)
            .or_else(|| environment("AWS_WEB_IDENTITY_TOKEN_FILE").map(PathBuf::from));
        let role_arn = Some(self.role_arn.clone())
            .filter(|arn| !arn.is_empty())
            .or_else(|| environment("AWS_ROLE_ARN"));
        if let (Some(token_file), Some(role_arn)) = (token_file, role_arn) {
            return Some(Identity::WebIdentity { token_file, role_arn });
        }
        let url = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
        let token_file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?.into();
        Some(Identity::Endpoint { url, token_file })
    }

    /// Keys are given in one way, and whole.
    pub(super) fn check_keys(&self, environment: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let need = |key: &str, is_given: bool, why: &str| {
            is_given
                .then_some(())
                .ok_or_else(|| value_error(format!("storage.options.{key}"), why.to_owned()))
        };
        let file = |file: &Path| !file.as_os_str().is_empty();
        if file(&self.access_key_file) || file(&self.secret_key_file) || file(&self.session_token_file) {
            let why = "is needed, as keys are read from files";
            need("access_key_file", file(&self.access_key_file), why)?;
            need("secret_key_file", file(&self.secret_key_file), why)?;
            let why = "is not used with keys from files: set session_token_file";
            return need("session_token", self.session_token.is_empty(), why);
        }
        if self.has_keys() {
            need("access_key", !self.access_key.is_empty(), "is needed for type s3")?;
            return need("secret_key", !self.secret_key.is_empty(), "is needed for type s3");
        }
        if self.identity(&environment).is_some() {
            return Ok(());
        }
        if file(&self.web_identity_token_file) || !self.role_arn.is_empty() {
            let why = "is needed for a web identity, here or in AWS_WEB_IDENTITY_TOKEN_FILE";
            need(
                "web_identity_token_file",
                file(&self.web_identity_token_file),
                why,
            )?;
            let why = "is needed for a web identity, here or in AWS_ROLE_ARN";
            need("role_arn", !self.role_arn.is_empty(), why)?;
        }
        let why = "is needed for type s3, unless the environment has a web identity (AWS_WEB_IDENTITY_TOKEN_FILE and \
                   AWS_ROLE_ARN)";
        need("access_key", false, why)
    }

    /// The STS that gives keys for a role; empty: AWS' of the region.
    pub fn sts_endpoint(&self, environment: impl Fn(&str) -> Option<String>) -> String {
        if self.sts_endpoint.is_empty() {
            environment("AWS_ENDPOINT_URL_STS").unwrap_or_default()
        } else {
            self.sts_endpoint.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn irsa(name: &str) -> Option<String> {
        let value = match name {
            "AWS_WEB_IDENTITY_TOKEN_FILE" => "/aws/token",
            "AWS_ROLE_ARN" => "arn:aws:iam::1:role/dns",
            "AWS_ENDPOINT_URL_STS" => "https://sts.example",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn keys_go_before_options_and_options_before_the_environment() {
        let mut options = StorageOptions::default();
        assert_eq!(options.identity(|_| None), None);
        let web = |token_file: &str, role_arn: &str| {
            Some(Identity::WebIdentity {
                token_file: token_file.into(),
                role_arn: role_arn.into(),
            })
        };
        assert_eq!(
            options.identity(irsa),
            web("/aws/token", "arn:aws:iam::1:role/dns")
        );
        assert_eq!(options.sts_endpoint(irsa), "https://sts.example");
        options.web_identity_token_file = "/own/token".into();
        options.role_arn = "arn:own".into();
        options.sts_endpoint = "https://sts.own".into();
        assert_eq!(options.identity(irsa), web("/own/token", "arn:own"));
        assert_eq!(options.identity(|_| None), web("/own/token", "arn:own"));
        assert_eq!(options.sts_endpoint(irsa), "https://sts.own");
        options.access_key = "AKIA1".into();
        assert_eq!(options.identity(irsa), None);
    }

    #[test]
    fn the_endpoint_on_the_node_is_asked_if_there_is_no_role() {
        let pod_identity = |name: &str| {
            let value = match name {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI" => "http://169.254.170.23/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" => "/eks/token",
                _ => return None,
            };
            Some(value.to_owned())
        };
        assert_eq!(
            StorageOptions::default().identity(pod_identity),
            Some(Identity::Endpoint {
                url: "http://169.254.170.23/v1/credentials".into(),
                token_file: "/eks/token".into()
            })
        );
    }
}
