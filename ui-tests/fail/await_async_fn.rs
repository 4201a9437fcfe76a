//! A plain async function is not a task.

use workflow_runtime::prelude::*;

async fn fetch(url: &str) -> Result<String, String> {
    Ok(url.to_owned())
}

#[workflow]
async fn crawl(url: String) -> Result<usize, String> {
    let page = fetch(&url).await?;
    Ok(page.len())
}

fn main() {}
