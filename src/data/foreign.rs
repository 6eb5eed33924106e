//! Calls into crates that panic on bad input: their panics are errors here.
//!
//! tokenizers panics on files whose parts contradict each other, and where a regular expression gives up; parquet may on damaged
//! files. That is bad input, and no bug of metabert's. Knows no file and no text.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `call` into a crate returns; its error or its panic, in words. The panic is not printed.
pub(super) fn call<T, E: ToString>(
    name: &str,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    // The hook belongs to the whole process, and prints before anything is caught.
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_CAUGHT.get() {
                print(info);
            }
        }));
    });
    let was_caught = IS_CAUGHT.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    IS_CAUGHT.set(was_caught);
    match outcome {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(payload) => Err(format!("the {name} crate gave up: {}", reason(&*payload))),
    }
}

fn reason(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_errors_and_panics_come_back() {
        assert_eq!(call("tokenizers", || Ok::<_, String>(3)), Ok(3));
        assert_eq!(call("tokenizers", || Err::<(), _>("no")), Err("no".to_owned()));
        for value in [1, 2] {
            let panicking = || -> Result<(), String> { panic!("on {value}") };
            let expected = format!("the tokenizers crate gave up: on {value}");
            assert_eq!(call("tokenizers", panicking), Err(expected));
        }
    }
}
