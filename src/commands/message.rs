//! An error as a terminal shows it: its chain of causes, in printable lines of a bounded length.
//!
//! Messages quote files in many places, some of them in other crates: quoted text is made harmless here, once.

use anyhow::Error;

/// The longest line: only text from a file is longer.
const MAX_LINE_CHARS: usize = 4_000;
/// Lists of problems end after twenty: only text from a file has more lines.
const MAX_LINES: usize = 60;

/// The advice where the memory is too small. Each worker holds a minibatch of texts at a time, or a whole query set, however
/// many episodes a meta-batch has.
const MEMORY_ADVICE: &str = "there is too little memory: lower --max-length; in training and adapting also --workers, \
    --inner-batch or --query; or take a smaller model, or another --device";

/// The error chain on one line, a cause that its consequence already quotes left out; with advice where memory ran out.
pub fn describe(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        // libtorch appends a C++ stack trace to its messages.
        let cause = cause.to_string();
        let cause = cause.split("\nException raised from").next().unwrap_or_default().trim_end();
        if text.is_empty() {
            text = cause.to_owned();
        } else if !text.contains(cause) {
            text = format!("{text}: {cause}");
        }
    }
    let text = printable(&text);
    if is_out_of_memory(&text) { format!("{text}; {MEMORY_ADVICE}") } else { text }
}

/// Whether libtorch says that it could not get memory: it has a type of error for it, but only the words arrive here.
fn is_out_of_memory(text: &str) -> bool {
    // Of its allocator on a GPU; of CUDA itself; of a library on top, which gets memory of its own; of the CPU.
    let reports = [
        "CUDA out of memory",
        "CUDA error: out of memory",
        "_STATUS_ALLOC_FAILED",
        "DefaultCPUAllocator: ",
    ];
    reports.iter().any(|words| text.contains(words))
}

/// A text with long lines cut, and with control characters escaped: some of them steer a terminal.
pub fn printable(text: &str) -> String {
    let mut lines = text.split('\n');
    let mut printed: Vec<String> = lines.by_ref().take(MAX_LINES).map(printable_line).collect();
    if lines.next().is_some() {
        printed.push("...".to_owned());
    }
    printed.join("\n")
}

fn printable_line(line: &str) -> String {
    let mut printed = String::new();
    for (position, char) in line.chars().enumerate() {
        if position == MAX_LINE_CHARS {
            printed.push_str("...");
            break;
        }
        if char.is_control() && char != '\t' {
            printed.extend(char.escape_debug());
        } else {
            printed.push(char);
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_that_is_quoted_already_is_left_out() {
        let error = anyhow!("no such file").context("a.json: no such file").context("data");
        assert_eq!(describe(&error), "data: a.json: no such file");
        let error = anyhow!("bad shape\nException raised from f at x.cpp:1\nframe #0");
        assert_eq!(describe(&error), "bad shape");
    }

    #[test]
    fn out_of_memory_comes_with_advice() {
        let on_gpu = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139.80 GiB of \
            which 12.25 GiB is free. Including non-PyTorch memory, this process has 127.54 GiB memory in use. Of the \
            allocated memory 126.31 GiB is allocated by PyTorch, and 608.72 MiB is reserved by PyTorch but \
            unallocated. If reserved but unallocated memory is large try setting \
            PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory \
            Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)";
        let trace = "\nException raised from malloc at /pytorch/c10/cuda/CUDACachingAllocator.cpp:1465 (most recent \
            call first):\nframe #0: c10::Error::Error(...) + 0x9d (0x7f libc10.so)";
        let error = Error::new(tch::TchError::Torch(format!("{on_gpu}{trace}")));
        let message = describe(&error.context("outer step 3, episode 5"));
        let expected =
            format!("outer step 3, episode 5: Internal torch error: {on_gpu}; {MEMORY_ADVICE}");
        assert_eq!(message, expected);
        for report in [
            "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in the documentation of CUDA",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
             allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)",
        ] {
            let message = describe(&anyhow!("Internal torch error: {report}").context("predict"));
            assert!(message.ends_with(&format!("; {MEMORY_ADVICE}")), "{message}");
        }
        assert_eq!(describe(&anyhow!("CUDA error: unknown error")), "CUDA error: unknown error");
    }

    #[test]
    fn text_from_a_file_cannot_steer_the_terminal_or_fill_it() {
        let error = anyhow!("unknown variant `\u{1b}[31m\r`, expected\n\tadam");
        assert_eq!(describe(&error), "unknown variant `\\u{1b}[31m\\r`, expected\n\tadam");
        let error = anyhow!("a.toml: line 1\n{}\nno `=`", "\u{e9}".repeat(1_000_000));
        let expected = format!("a.toml: line 1\n{}...\nno `=`", "\u{e9}".repeat(4_000));
        assert_eq!(describe(&error), expected);
        let message = describe(&anyhow!("a\n".repeat(1_000_000)));
        assert_eq!(message, "a\n".repeat(60) + "...");
    }
}
