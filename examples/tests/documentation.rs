//! The documentation and the code name the same things.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder, without what a build left.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true if name == "target" || name.starts_with('.') => {}
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Every `W` with four digits in a text.
fn codes(text: &str) -> BTreeSet<String> {
    let bytes = text.as_bytes();
    let starts = (0..bytes.len()).filter(|start| {
        bytes[*start] == b'W'
            && bytes
                .get(start + 1..start + 5)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
            && !bytes.get(start + 5).is_some_and(u8::is_ascii_digit)
    });
    starts.map(|start| text[start..start + 5].to_owned()).collect()
}

#[test]
fn every_error_code_has_its_page_and_every_page_its_code() {
    let mut sources = Vec::new();
    files(&root().join("workflow-macros/src"), &mut sources);
    let in_sources: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| codes(&fs::read_to_string(source).unwrap()))
        .collect();
    assert!(in_sources.len() > 20, "{in_sources:?}");
    let mut pages = Vec::new();
    files(&root().join("docs/errors"), &mut pages);
    let (index, pages): (Vec<_>, Vec<_>) = pages.into_iter().partition(|page| page.ends_with("README.md"));
    let in_pages: BTreeSet<String> = pages
        .iter()
        .map(|page| page.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        in_sources, in_pages,
        "left: codes in the macros; right: pages in docs/errors"
    );
    assert_eq!(
        codes(&fs::read_to_string(&index[0]).unwrap()),
        in_pages,
        "docs/errors/README.md lists all pages"
    );
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let code = page.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(text.starts_with(&format!("# {code}: ")), "{}", page.display());
        for part in ["\n## Cause\n", "\n## Example\n\n```compile_fail\n", "\n## Fix\n"] {
            assert!(text.contains(part), "{part:?} is missing in {}", page.display());
        }
    }
}

#[test]
fn every_page_is_a_test() {
    let tested = fs::read_to_string(root().join("examples/src/lib.rs")).unwrap();
    let mut pages = Vec::new();
    files(&root().join("docs"), &mut pages);
    pages.push(root().join("README.md"));
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|end| end == "md"))
    {
        let text = fs::read_to_string(page).unwrap();
        let name = page.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        // Every other fence opens a block; the ones of other languages say so.
        let mut fences = text.lines().filter(|line| line.starts_with("```")).step_by(2);
        let has_code = fences.any(|fence| !matches!(fence, "```text" | "```toml"));
        if has_code {
            assert!(
                tested.contains(&format!("/{name}\"")),
                "examples/src/lib.rs does not name {name}"
            );
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let mut pages = Vec::new();
    files(&root(), &mut pages);
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|end| end == "md"))
    {
        let text = fs::read_to_string(page).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target)
        {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(
                page.with_file_name("").join(file).exists(),
                "{}: {target} leads nowhere",
                page.display()
            );
        }
    }
}
