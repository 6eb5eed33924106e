//! libtorch's fused Adam and AdamW kernels, which `tch` does not bind.

use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn metabert_fused_adam(
        params: *const *const C_tensor,
        gradients: *const *const C_tensor,
        first_moments: *const *const C_tensor,
        second_moments: *const *const C_tensor,
        count: usize,
        step: f64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        is_decoupled: bool,
    ) -> *const c_char;
}

/// The constants of one Adam step.
#[derive(Clone, Copy, Debug)]
pub struct AdamHyper {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay: an L2 penalty, or AdamW's where `decoupled`.
    pub weight_decay: f64,
    /// Whether the weight decay is AdamW's (Loshchilov & Hutter 2019).
    pub decoupled: bool,
}

/// Updates `params` and both moments in place by one step of Adam (Kingma & Ba 2015), step
/// number `step` (the first is 1). All four lists run parallel: same shapes, dtypes and devices.
///
/// # Errors
/// Lists of different lengths, and tensors of different shapes, dtypes or devices; parameters and moments that are not
/// contiguous, or share memory with another tensor of the step; step number 0; any error of libtorch.
pub fn fused_adam(
    params: &[Tensor],
    gradients: &[Tensor],
    first_moments: &[Tensor],
    second_moments: &[Tensor],
    step: u64,
    hyper: &AdamHyper,
) -> Result<(), TchError> {
    let lists = [params, gradients, first_moments, second_moments];
    let lengths = lists.map(<[Tensor]>::len);
    if lengths.iter().any(|length| *length != params.len()) {
        return Err(TchError::Shape(format!(
            "fused adam: expected as many parameters as gradients and moments of each kind, found {lengths:?}"
        )));
    }
    if params.is_empty() {
        return Ok(());
    }
    let [p, g, m, v] = lists.map(|list| list.iter().map(Tensor::as_ptr).collect::<Vec<_>>());
    // SAFETY: each list holds as many pointers as `params` to tensors that outlive the call. It only reads the pointers,
    // and writes through the tensors' own storage, as in-place operations do.
    unsafe {
        super::shim_result(metabert_fused_adam(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            params.len(),
            step as f64,
            hyper.lr,
            hyper.beta1,
            hyper.beta2,
            hyper.weight_decay,
            hyper.eps,
            hyper.decoupled,
        ))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::torch_ext::tests::{fails, normal};
    use tch::Kind;

    pub(in crate::torch_ext) const HYPER: AdamHyper = AdamHyper {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-3,
        weight_decay: 0.05,
        decoupled: false,
    };

    /// Parameters, gradients and both moments of two slots.
    fn step_of_two() -> [Vec<Tensor>; 4] {
        [1, 2, 3, 4].map(|seed| vec![normal(&[3, 4], seed).abs(), normal(&[5], seed).abs()])
    }

    fn step([p, g, m, v]: &[Vec<Tensor>; 4]) -> Result<(), TchError> {
        fused_adam(p, g, m, v, 1, &HYPER)
    }

    const NAMES: [&str; 4] = ["parameter", "gradient", "first moment", "second moment"];

    #[test]
    fn lists_run_parallel() {
        for list in 0..4 {
            let mut lists = step_of_two();
            lists[list].pop();
            fails(step(&lists), "as many parameters as gradients and moments");
        }
        assert!(step(&[const { Vec::new() }; 4]).is_ok());
    }

    #[test]
    fn shapes_and_dtypes_are_those_of_the_parameter() {
        for (list, name) in NAMES.iter().enumerate() {
            for size in [&[3, 5][..], &[3], &[4, 3], &[12], &[0]] {
                let mut lists = step_of_two();
                lists[list][0] = normal(size, 9);
                // A parameter of another shape is one that its gradient does not fit.
                let name = if list == 0 { "gradient" } else { name };
                fails(step(&lists), &format!("{name}: expected the shape"));
            }
            let mut lists = step_of_two();
            lists[list][1] = lists[list][1].to_kind(Kind::Float);
            fails(step(&lists), &format!("{name}: expected Double, found Float"));
            lists[list][1] = Tensor::new();
            fails(step(&lists), &format!("{name}: expected a dense tensor"));
            lists[list][1] = normal(&[5], 1).to_sparse_sparse_dim(1);
            fails(step(&lists), &format!("{name}: expected a dense tensor"));
        }
    }

    #[test]
    fn tensors_to_be_written_are_contiguous_and_gradients_need_not_be() {
        for list in [0, 2, 3] {
            for other in
                [normal(&[4, 3], 9).transpose(0, 1), normal(&[1, 4], 9).expand([3, 4], false)]
            {
                let mut lists = step_of_two();
                lists[list][0] = other;
                fails(step(&lists), &format!("{}: expected a contiguous tensor", NAMES[list]));
            }
        }
        let (mut transposed, plain) = (step_of_two(), step_of_two());
        transposed[1][0] = plain[1][0].transpose(0, 1).contiguous().transpose(0, 1);
        step(&transposed).unwrap();
        step(&plain).unwrap();
        assert!(transposed[0][0].equal(&plain[0][0]));
    }

    #[test]
    fn tensors_to_be_written_share_no_memory() {
        for (list, other) in [(2, 0), (3, 2), (1, 0), (1, 3)] {
            let mut lists = step_of_two();
            lists[list][0] = lists[other][0].shallow_clone();
            fails(step(&lists), "found shared memory");
        }
        let mut lists = step_of_two();
        let whole = normal(&[24], 1);
        lists[0][0] = whole.narrow(0, 0, 12).view([3, 4]);
        lists[2][0] = whole.narrow(0, 11, 12).view([3, 4]);
        fails(step(&lists), "found shared memory");
        // Neighbours in one allocation share none, and gradients are only read.
        lists[2][0] = whole.narrow(0, 12, 12).view([3, 4]);
        lists[1][0] = normal(&[1, 4], 1).expand([3, 4], false);
        step(&lists).unwrap();
    }

    #[test]
    fn steps_are_numbered_from_1() {
        let [p, g, m, v] = step_of_two();
        fails(fused_adam(&p, &g, &m, &v, 0, &HYPER), "a step number of at least 1, found 0");
    }
}
