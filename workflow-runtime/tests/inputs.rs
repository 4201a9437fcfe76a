//! What a stored input may look like when it is read.

use workflow_model::codec;
use workflow_runtime::prelude::*;

#[task]
async fn tag(names: Vec<String>, limit: Option<u32>, r#type: u8) -> (Vec<String>, Option<u32>, u8) {
    (names, limit, r#type)
}

#[task]
async fn shorten(text: &str, words: &[String], limit: &u32) -> String {
    format!("{text} {} {limit}", words.join("+"))
}

fn read(text: &str) -> Result<tag, String> {
    let bytes = codec::from_json(&serde_json::from_str(text).expect("JSON")).expect("a value");
    codec::decode(&bytes).map_err(|error| error.to_string())
}

fn run<T: Task>(task: T) -> T::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(workflow_runtime::TaskCall::new(task).into_future())
}

#[test]
fn fields_are_found_by_name_and_unknown_ones_are_passed_over() {
    let task = read(r#"{"type": 3, "later": [1], "names": ["a"], "limit": 5}"#).unwrap();
    assert_eq!(run(task), (vec!["a".to_owned()], Some(5), 3));
}

#[test]
fn an_option_may_be_missing_and_nothing_else() {
    let task = read(r#"{"type": 3, "names": []}"#).unwrap();
    assert_eq!(run(task), (vec![], None, 3));
    assert!(
        read(r#"{"type": 3}"#)
            .unwrap_err()
            .contains("missing field `names`")
    );
    assert!(
        read(r#"{"names": []}"#)
            .unwrap_err()
            .contains("missing field `type`")
    );
}

#[test]
fn a_field_of_another_type_is_named() {
    let error = read(r#"{"type": 300, "names": []}"#).unwrap_err();
    assert!(error.contains("type") && error.contains("300"), "{error}");
}

#[test]
fn an_input_is_a_struct_for_any_format() {
    let task: tag = serde_json::from_str(r#"{"type": 1, "names": ["x"], "limit": null}"#).unwrap();
    let text = serde_json::to_string(&task).unwrap();
    assert_eq!(text, r#"{"names":["x"],"limit":null,"type":1}"#);
    let twice = serde_json::from_str::<tag>(r#"{"type": 1, "type": 2}"#).unwrap_err();
    assert!(twice.to_string().contains("duplicate field `type`"), "{twice}");
}

#[test]
fn borrowed_arguments_are_stored_as_owned_ones_are() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let words = ["a".to_owned(), "b".to_owned()];
    let output = runtime.block_on(async { shorten("text", &words, &7).await });
    assert_eq!(output, "text a+b 7");
}
