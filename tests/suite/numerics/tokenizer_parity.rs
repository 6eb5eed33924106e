//! Token ids against transformers' BertTokenizer on difficult texts: see
//! tests/fixtures/make_bert_fixtures.py.

use metabert::data::TextTokenizer;

use crate::support::fixtures::{integers, json, path};

#[test]
fn difficult_texts_have_the_ids_of_transformers() {
    let fixture = json("bert/tokenizer_cases.json");
    let max_length = fixture["max_length"].as_u64().unwrap() as usize;
    // Once with tokenizer.json, once with vocab.txt alone.
    let bare = tempfile::tempdir().unwrap();
    std::fs::copy(path("bert/plain/vocab.txt"), bare.path().join("vocab.txt")).unwrap();
    for dir in [path("bert/plain"), bare.path().to_owned()] {
        let tokenizer = TextTokenizer::open(&dir).unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 40);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let found = tokenizer.encode_batch(&[text], max_length).unwrap().remove(0);
            let what = format!("{}: {} {text:?}", dir.display(), case["what"]);
            assert_eq!(found.ids, integers(&case["ids"]), "{what}");
            let full = case["untruncated_length"].as_u64().unwrap() as usize;
            assert_eq!(found.full_length, full, "{what}");
        }
    }
}
