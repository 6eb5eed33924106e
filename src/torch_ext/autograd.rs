//! Gradients of a scalar with respect to chosen tensors.

use tch::{TchError, Tensor};

/// Returns the gradient of the scalar `loss` with respect to each of `inputs` (same shapes and
/// dtypes), zeros where the loss does not depend on an input. Nothing is accumulated in `.grad`.
///
/// With `create_graph` the gradients can themselves be differentiated, and the graph is kept.
///
/// # Errors
/// An input that does not require a gradient, or any error of libtorch.
pub fn gradients(
    loss: &Tensor,
    inputs: &[&Tensor],
    create_graph: bool,
) -> Result<Vec<Tensor>, TchError> {
    let found = Tensor::f_run_backward(&[loss], inputs, create_graph, create_graph)?;
    found
        .into_iter()
        .zip(inputs)
        .map(|(gradient, input)| {
            // libtorch hands back undefined tensors for inputs that the loss never touched.
            if gradient.defined() { Ok(gradient) } else { input.f_zeros_like() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn an_unused_input_has_a_zero_gradient() {
        let used = Tensor::from_slice(&[1.0, 2.0]).set_requires_grad(true);
        let unused = Tensor::from_slice(&[3.0]).set_requires_grad(true);
        let loss = (&used * &used).sum(Kind::Double);
        let found = gradients(&loss, &[&used, &unused], false).unwrap();
        assert_eq!(Vec::<f64>::try_from(&found[0]).unwrap(), [2.0, 4.0]);
        assert_eq!(Vec::<f64>::try_from(&found[1]).unwrap(), [0.0]);
    }

    #[test]
    fn gradients_of_gradients_exist_with_create_graph() {
        let x = Tensor::from_slice(&[2.0]).set_requires_grad(true);
        let first = gradients(&x.pow_tensor_scalar(3).sum(Kind::Double), &[&x], true).unwrap();
        let second = gradients(&first[0].sum(Kind::Double), &[&x], false).unwrap();
        assert_eq!(second[0].double_value(&[0]), 12.0);
    }
}
