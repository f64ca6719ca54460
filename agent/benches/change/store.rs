//! The requests that an S3 server has got, by its own count.

use std::sync::Arc;

use zonetide_testbed::Garage;
use zonetide_testbed::http::HttpClient;
use zonetide_testbed::net::loopback;

use crate::agent::sum;

pub(crate) struct Requests {
    http: HttpClient,
}

impl Requests {
    pub(crate) fn of(garage: &Garage) -> Self {
        let url = garage.admin_url();
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        let http = HttpClient::new(Arc::new(loopback(port)));
        Self { http }
    }

    pub(crate) async fn count(&self) -> f64 {
        let text = self.http.get_text("/metrics").await.unwrap();
        let count = sum(&text, "api_s3_request_counter");
        assert!(count > 0.0, "the S3 server does not count its requests");
        count
    }
}
