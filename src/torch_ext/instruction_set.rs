//! The instruction set of the CPU path's kernels.

use std::cell::Cell;
use std::env;
use std::ffi::c_int;
use std::io;
use tch::TchError;

unsafe extern "C" {
    fn metabert_has_instruction_set(isa: c_int) -> bool;
}

/// An instruction set that the kernels are compiled for, the fastest last; `cpp/kernels.h` has the same list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum InstructionSet {
    /// That of every processor of the architecture.
    Generic,
    /// AVX2 and FMA of x86-64.
    Avx2,
    /// AVX-512 F and DQ of x86-64.
    Avx512,
}

const NAMED: [(&str, InstructionSet); 3] = [
    ("generic", InstructionSet::Generic),
    ("avx2", InstructionSet::Avx2),
    ("avx512", InstructionSet::Avx512),
];

thread_local! {
    /// The choice of this thread, once it has one.
    static CURRENT: Cell<Option<InstructionSet>> = const { Cell::new(None) };
}

/// The name of the instruction set that this thread's kernels use on a CPU.
///
/// # Errors
/// A value of `METABERT_ISA` that this processor lacks.
pub fn kernels() -> Result<&'static str, TchError> {
    let current = InstructionSet::current()?;
    let named = NAMED.iter().find(|(_, isa)| *isa == current);
    Ok(named.expect("every instruction set has a name").0)
}

impl InstructionSet {
    /// The instruction set that the environment variable `METABERT_ISA` names, and without it the fastest that this
    /// processor has. Each thread reads the variable once.
    ///
    /// # Errors
    /// An unknown name, and an instruction set that this processor lacks.
    pub(super) fn current() -> Result<Self, TchError> {
        if let Some(chosen) = CURRENT.get() {
            return Ok(chosen);
        }
        let asked = env::var_os("METABERT_ISA");
        let chosen = Self::named(asked.as_ref().map(|name| name.to_string_lossy()).as_deref())?;
        CURRENT.set(Some(chosen));
        Ok(chosen)
    }

    fn named(asked: Option<&str>) -> Result<Self, TchError> {
        let mut available = NAMED.iter().filter(|(_, isa)| isa.is_available());
        let found = match asked {
            None => available.next_back(),
            Some(asked) => available.clone().find(|(name, _)| *name == asked),
        };
        found.map(|(_, isa)| *isa).ok_or_else(|| {
            let names: Vec<&str> = available.map(|(name, _)| *name).collect();
            let expected = names.join(" or ");
            let asked = asked.unwrap_or_default();
            TchError::Io(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("METABERT_ISA: expected {expected} on this processor, found \"{asked}\""),
            ))
        })
    }

    fn is_available(self) -> bool {
        // SAFETY: the function reads a number and asks the processor.
        unsafe { metabert_has_instruction_set(self as c_int) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Runs `test` with the kernels of every instruction set that this processor has.
    pub(in crate::torch_ext) fn with_each_instruction_set(test: impl Fn()) {
        let before = CURRENT.get();
        for (name, isa) in NAMED.iter().filter(|(_, isa)| isa.is_available()) {
            println!("instruction set {name}");
            CURRENT.set(Some(*isa));
            test();
        }
        CURRENT.set(before);
    }

    #[test]
    fn names_are_those_of_the_processor() {
        let Ok(cpuinfo) = std::fs::read_to_string("/proc/cpuinfo") else { return };
        let has = |flag: &str| cpuinfo.split_whitespace().any(|word| word == flag);
        let has_avx2 = has("avx2") && has("fma");
        let expected = [
            ("generic", true),
            ("avx2", has_avx2),
            ("avx512", has_avx2 && has("avx512f") && has("avx512dq")),
        ];
        for (name, is_available) in expected {
            assert_eq!(InstructionSet::named(Some(name)).is_ok(), is_available, "{name}");
        }
        let (fastest, _) = expected.iter().rfind(|(_, is_available)| *is_available).unwrap();
        assert_eq!(
            InstructionSet::named(None).unwrap(),
            InstructionSet::named(Some(fastest)).unwrap()
        );
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        for name in ["sse9", "AVX2", ""] {
            let error = InstructionSet::named(Some(name)).unwrap_err().to_string();
            let expected = format!("on this processor, found \"{name}\"");
            assert!(error.contains("METABERT_ISA: expected generic"), "{error}");
            assert!(error.contains(&expected), "{error}");
        }
    }
}
