//! The request of an HTTP client, in the middle of a chain.

use std::future::Future;
use std::pin::Pin;

use workflow_runtime::prelude::*;

struct Response;

impl Response {
    fn text(self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> {
        Box::pin(async { Ok(String::new()) })
    }
}

struct Pending;

impl Future for Pending {
    type Output = Result<Response, String>;
    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::task::Poll::Ready(Ok(Response))
    }
}

fn get(_url: &str) -> Pending {
    Pending
}

#[workflow]
async fn crawl(url: String) -> Result<String, String> {
    let page = get(&url).await?.text().await?;
    Ok(page)
}

fn main() {}
