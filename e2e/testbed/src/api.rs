//! PowerDNS' HTTP API, as far as the tests and the demo use it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{HttpClient, HttpError};
use crate::net::Dialer;
use crate::update::TsigKey;

const SERVER: &str = "/api/v1/servers/localhost";

#[derive(Clone)]
pub struct PowerDnsApi {
    http: HttpClient,
}

impl PowerDnsApi {
    pub fn new(dialer: Dialer, api_key: &str) -> Self {
        Self {
            http: HttpClient::new(dialer).header("x-api-key", api_key),
        }
    }

    /// Its version, such as `4.9.18`.
    pub async fn version(&self) -> Result<String, HttpError> {
        let server = self.http.json(Method::GET, SERVER, None).await?;
        Ok(server["version"].as_str().unwrap_or_default().to_owned())
    }

    /// The value of a setting of pdns.conf, as the running server has it.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, HttpError> {
        let settings = self
            .http
            .json(Method::GET, &format!("{SERVER}/config"), None)
            .await?;
        let found = settings
            .as_array()
            .into_iter()
            .flatten()
            .find(|setting| setting["name"] == name);
        Ok(found.and_then(|setting| Some(setting["value"].as_str()?.to_owned())))
    }

    /// Names of all zones, with the final dot, sorted.
    pub async fn zones(&self) -> Result<Vec<String>, HttpError> {
        let zones = self
            .http
            .json(Method::GET, &format!("{SERVER}/zones"), None)
            .await?;
        let mut names: Vec<String> = zones
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|zone| Some(zone["name"].as_str()?.to_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    pub async fn zone(&self, zone: &str) -> Result<Value, HttpError> {
        self.http
            .json(Method::GET, &format!("{SERVER}/zones/{zone}"), None)
            .await
    }

    pub async fn zone_exists(&self, zone: &str) -> Result<bool, HttpError> {
        match self.zone(zone).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The whole zone as text, as AXFR would give it.
    pub async fn export(&self, zone: &str) -> Result<String, HttpError> {
        self.http.get_text(&format!("{SERVER}/zones/{zone}/export")).await
    }

    /// Makes a native zone with one name server, `ns1` in itself.
    pub async fn create_zone(&self, zone: &str) -> Result<(), HttpError> {
        self.create_variant(zone, zone).await
    }

    /// Makes a native zone under a name that says a view too, such as `zone.example..inside` (PowerDNS 5).
    pub async fn create_variant(&self, variant: &str, zone: &str) -> Result<(), HttpError> {
        let body = json!({"name": variant, "kind": "Native", "nameservers": [format!("ns1.{zone}")]});
        self.create(&body).await
    }

    /// Makes a zone as the API has it.
    pub async fn create(&self, zone: &Value) -> Result<(), HttpError> {
        self.http
            .send(Method::POST, &format!("{SERVER}/zones"), Some(zone))
            .await
            .map(drop)
    }

    pub async fn delete_zone(&self, zone: &str) -> Result<(), HttpError> {
        self.http
            .send(Method::DELETE, &format!("{SERVER}/zones/{zone}"), None)
            .await
            .map(drop)
    }

    /// Sets all records of one name and type: `name` is absolute, with the final dot.
    pub async fn replace(
        &self,
        zone: &str,
        name: &str,
        kind: &str,
        records: &[&str],
    ) -> Result<(), HttpError> {
        let records: Vec<Value> = records
            .iter()
            .map(|content| json!({"content": content, "disabled": false}))
            .collect();
        self.patch(
            zone,
            &json!({"name": name, "type": kind, "ttl": 60, "changetype": "REPLACE", "records": records}),
        )
        .await
    }

    /// Sets one A record of each name: many in one request.
    pub async fn replace_many(&self, zone: &str, addresses: &[(String, String)]) -> Result<(), HttpError> {
        let rrset = |(name, address): &(String, String)| {
            let record = json!({"content": address, "disabled": false});
            json!({"name": name, "type": "A", "ttl": 60, "changetype": "REPLACE", "records": [record]})
        };
        let body = json!({"rrsets": addresses.iter().map(rrset).collect::<Vec<_>>()});
        self.http
            .send(Method::PATCH, &format!("{SERVER}/zones/{zone}"), Some(&body))
            .await
            .map(drop)
    }

    pub async fn delete(&self, zone: &str, name: &str, kind: &str) -> Result<(), HttpError> {
        self.patch(zone, &json!({"name": name, "type": kind, "changetype": "DELETE"}))
            .await
    }

    /// Changes one RRset as the API has it.
    pub async fn patch(&self, zone: &str, rrset: &Value) -> Result<(), HttpError> {
        let body = json!({"rrsets": [rrset]});
        self.http
            .send(Method::PATCH, &format!("{SERVER}/zones/{zone}"), Some(&body))
            .await
            .map(drop)
    }

    /// Signs a zone with keys that PowerDNS makes.
    pub async fn enable_dnssec(&self, zone: &str) -> Result<(), HttpError> {
        self.set(zone, &json!({"dnssec": true, "api_rectify": true}))
            .await
    }

    /// Makes one more key for a zone and uses it.
    pub async fn add_key(&self, zone: &str) -> Result<(), HttpError> {
        let path = format!("{SERVER}/zones/{zone}/cryptokeys");
        let key = json!({"keytype": "csk", "active": true, "published": true});
        self.http.send(Method::POST, &path, Some(&key)).await.map(drop)
    }

    /// Sets fields of a zone.
    pub async fn set(&self, zone: &str, body: &Value) -> Result<(), HttpError> {
        self.http
            .send(Method::PUT, &format!("{SERVER}/zones/{zone}"), Some(body))
            .await
            .map(drop)
    }

    /// Sets all values of one kind of a zone's metadata.
    pub async fn set_metadata(&self, zone: &str, kind: &str, values: &[&str]) -> Result<(), HttpError> {
        let path = format!("{SERVER}/zones/{zone}/metadata/{kind}");
        let body = json!({"kind": kind, "metadata": values});
        self.http.send(Method::PUT, &path, Some(&body)).await.map(drop)
    }

    /// Has PowerDNS make a TSIG key.
    pub async fn create_tsig_key(&self, name: &str) -> Result<TsigKey, HttpError> {
        let body = json!({"name": name, "algorithm": "hmac-sha256"});
        let path = format!("{SERVER}/tsigkeys");
        let made = self.http.json(Method::POST, &path, Some(&body)).await?;
        let secret = made["key"].as_str().unwrap_or_default();
        Ok(TsigKey {
            name: name.to_owned(),
            secret: BASE64_STANDARD.decode(secret).unwrap_or_default(),
        })
    }

    /// All values of one kind of a zone's metadata, sorted: PowerDNS on LMDB keeps no order.
    pub async fn metadata(&self, zone: &str, kind: &str) -> Result<Vec<String>, HttpError> {
        let path = format!("{SERVER}/zones/{zone}/metadata/{kind}");
        let found = self.http.json(Method::GET, &path, None).await?;
        let values = found["metadata"].as_array().into_iter().flatten();
        let mut values: Vec<_> = values
            .filter_map(|value| Some(value.as_str()?.to_owned()))
            .collect();
        values.sort_unstable();
        Ok(values)
    }

    /// Removes a TSIG key.
    pub async fn delete_tsig_key(&self, name: &str) -> Result<(), HttpError> {
        let path = format!("{SERVER}/tsigkeys/{name}.");
        self.http.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// Names of what the search finds, sorted.
    pub async fn search(&self, pattern: &str) -> Result<Vec<String>, HttpError> {
        let path = format!("{SERVER}/search-data?q={pattern}&max=10");
        let found = self.http.json(Method::GET, &path, None).await?;
        let name = |hit: &Value| Some(hit["name"].as_str()?.to_owned());
        let mut names: Vec<_> = found.as_array().into_iter().flatten().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Names of all TSIG keys, sorted.
    pub async fn tsig_keys(&self) -> Result<Vec<String>, HttpError> {
        let path = format!("{SERVER}/tsigkeys");
        let keys = self.http.json(Method::GET, &path, None).await?;
        let name = |key: &Value| Some(key["name"].as_str()?.to_owned());
        let mut names: Vec<_> = keys.as_array().into_iter().flatten().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Sets the one comment of an `RRset`, which PowerDNS keeps beside its records since 5.1.
    pub async fn comment(&self, zone: &str, name: &str, kind: &str, text: &str) -> Result<(), HttpError> {
        let comment = json!({"content": text, "account": "test", "modified_at": 1_764_000_000});
        self.patch(
            zone,
            &json!({"name": name, "type": kind, "changetype": "REPLACE", "comments": [comment]}),
        )
        .await
    }

    /// Shows clients of a network a view (PowerDNS 5).
    pub async fn set_network(&self, network: &str, view: &str) -> Result<(), HttpError> {
        let body = json!({"view": view});
        self.http
            .send(Method::PUT, &format!("{SERVER}/networks/{network}"), Some(&body))
            .await
            .map(drop)
    }

    /// The networks that have a view, with it.
    pub async fn networks(&self) -> Result<Value, HttpError> {
        let path = format!("{SERVER}/networks");
        self.http.json(Method::GET, &path, None).await
    }

    /// Puts a variant of a zone, such as `zone.example..inside`, into a view (PowerDNS 5).
    pub async fn add_to_view(&self, view: &str, variant: &str) -> Result<(), HttpError> {
        let body = json!({"name": variant});
        self.http
            .send(Method::POST, &format!("{SERVER}/views/{view}"), Some(&body))
            .await
            .map(drop)
    }

    pub async fn remove_from_view(&self, view: &str, variant: &str) -> Result<(), HttpError> {
        let path = format!("{SERVER}/views/{view}/{variant}");
        self.http.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// The variants of zones in a view.
    pub async fn view(&self, view: &str) -> Result<Value, HttpError> {
        let path = format!("{SERVER}/views/{view}");
        self.http.json(Method::GET, &path, None).await
    }
}
