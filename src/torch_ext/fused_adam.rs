//! libtorch's fused Adam and AdamW kernels, which `tch` does not bind.

use std::ffi::{c_char, c_int};
use tch::{Kind, TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn metabert_fused_adam(
        params: *const *const C_tensor,
        gradients: *const *const C_tensor,
        first_moments: *const *const C_tensor,
        second_moments: *const *const C_tensor,
        count: usize,
        step: *const C_tensor,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        decoupled: c_int,
    ) -> *mut c_char;
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
/// Any error of libtorch, such as differing shapes.
pub fn fused_adam(
    params: &[Tensor],
    gradients: &[Tensor],
    first_moments: &[Tensor],
    second_moments: &[Tensor],
    step: u64,
    hyper: &AdamHyper,
) -> Result<(), TchError> {
    let count = params.len();
    assert!(
        [gradients, first_moments, second_moments].iter().all(|list| list.len() == count),
        "the four lists of an Adam step run parallel"
    );
    let Some(first) = params.first() else { return Ok(()) };
    let step = Tensor::f_full([], step as f64, (Kind::Float, first.device()))?;
    let pointers = |list: &[Tensor]| list.iter().map(Tensor::as_ptr).collect::<Vec<_>>();
    let (p, g) = (pointers(params), pointers(gradients));
    let (m, v) = (pointers(first_moments), pointers(second_moments));
    // SAFETY: each list holds `count` pointers to tensors that outlive the call, and the shim
    // only reads the pointers; it writes through the tensors' own storage, as in-place operations do.
    let message = unsafe {
        metabert_fused_adam(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            count,
            step.as_ptr(),
            hyper.lr,
            hyper.beta1,
            hyper.beta2,
            hyper.weight_decay,
            hyper.eps,
            hyper.decoupled.into(),
        )
    };
    super::shim_result(message)
}
