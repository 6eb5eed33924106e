//! Clipping by global norm.

use tch::TchError;

use crate::params::ParamSet;

/// Scales `gradient` in place so that its global L2 norm is at most `max_norm` (0 switches
/// clipping off), and returns the norm it had. A norm that is not finite is returned untouched:
/// the caller decides what that means.
///
/// # Errors
/// Any error of libtorch.
pub fn clip_by_global_norm(gradient: &mut ParamSet, max_norm: f64) -> Result<f64, TchError> {
    let norm = gradient.global_norm()?.f_double_value(&[])?;
    if max_norm > 0.0 && norm.is_finite() && norm > max_norm {
        gradient.scale(max_norm / norm)?;
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::params::{Init, Layout, Region};
    use tch::Tensor;

    fn gradient() -> ParamSet {
        let mut layout = Layout::default();
        layout.register("g", Region::Head, &[2], Init::Zeros);
        ParamSet::new(Arc::new(layout), vec![Tensor::from_slice(&[3.0, 4.0])])
    }

    #[test]
    fn long_gradients_are_shortened_and_short_ones_left() {
        for (max_norm, expected) in [(1.0, [0.6, 0.8]), (10.0, [3.0, 4.0]), (0.0, [3.0, 4.0])] {
            let mut clipped = gradient();
            assert_eq!(clip_by_global_norm(&mut clipped, max_norm).unwrap(), 5.0);
            let found = Vec::<f64>::try_from(&clipped.tensors()[0]).unwrap();
            // One multiplication and one division in f64.
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        }
    }
}
