//! Requests with a deadline, and answers of bounded size.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::DATE;

use crate::time::Timestamp;

/// How long one request may take, from the name lookup to the end of the answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// More of an answer is not read. Session tokens make credentials long.
const MAX_ANSWER: usize = 64 << 10;

/// What came back. The body may hold credentials: never to be logged.
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
    /// When it was sent, by the sender's clock.
    pub date: Option<Timestamp>,
}

/// What sends requests.
pub(super) struct Http {
    /// For this host and its cloud: metadata and credentials never go through a proxy.
    direct: reqwest::Client,
    /// As the environment says, like curl.
    outside: reqwest::Client,
}

impl Http {
    /// # Errors
    /// No TLS configuration can be made; there is nothing a user can do about it.
    pub fn new() -> Result<Self, String> {
        let tls = crate::notify::outbound_tls(None).map_err(|error| error.to_string())?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .user_agent(concat!("wsprobe/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(DEADLINE / 2)
                .timeout(DEADLINE)
        };
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| text(&error));
        Ok(Http { direct: build(builder().no_proxy())?, outside: build(builder())? })
    }

    /// Asks this host's surroundings, and returns the body of a success.
    ///
    /// # Errors
    /// Says what happened, without anything of the answer but its status.
    pub async fn ask(&self, method: Method, url: url::Url, headers: &[(&str, String)]) -> Result<String, String> {
        let answer = call(&self.direct, method, url, headers, String::new()).await.map_err(|error| text(&error))?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("it answered {}", answer.status)) }
    }

    /// Sends a POST.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn post(&self, url: url::Url, headers: &[(&str, String)], body: String) -> Result<Answer, reqwest::Error> {
        let local = url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
        call(if local { &self.direct } else { &self.outside }, Method::POST, url, headers, body).await
    }
}

async fn call(
    client: &reqwest::Client,
    method: Method,
    url: url::Url,
    headers: &[(&str, String)],
    body: String,
) -> Result<Answer, reqwest::Error> {
    let mut request = client.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut response = request.body(body).send().await?;
    let status = response.status().as_u16();
    let date = response.headers().get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let mut bytes = vec![];
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER - bytes.len();
        bytes.extend(chunk.into_iter().take(room));
        if bytes.len() == MAX_ANSWER {
            break;
        }
    }
    Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned(), date: date.map(Timestamp::from) })
}

/// An error and what caused it, in one line, without the URL.
pub(super) fn text(error: &reqwest::Error) -> String {
    let what = match () {
        () if error.is_timeout() => "no answer in time",
        () if error.is_connect() => "no connection",
        () => "the request failed",
    };
    crate::notify::with_causes(what.to_owned(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string("x".repeat(1 << 20))).mount(&server).await;
        let url = url::Url::parse(&server.uri()).unwrap();
        let http = Http::new().unwrap();
        let answer = http.post(url.clone(), &[], String::new()).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(answer.body.len(), MAX_ANSWER);
        assert_eq!(http.ask(Method::GET, url, &[]).await.unwrap().len(), MAX_ANSWER);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_answer_is_given_up_in_time() {
        let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url::Url::parse(&format!("http://{}", deaf.local_addr().unwrap())).unwrap();
        let http = Http::new().unwrap();
        // the clock is paused and runs ahead while only the answer is waited for
        let asked = tokio::time::timeout(DEADLINE * 2, http.post(url, &[], String::new())).await;
        assert!(asked.expect("a deadline of its own").is_err_and(|error| error.is_timeout()));
    }
}
