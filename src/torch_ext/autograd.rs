//! Gradients of a scalar with respect to chosen tensors.

use tch::{TchError, Tensor};

/// Returns the gradient of the scalar `loss` with respect to each of `inputs` (same shapes and
/// dtypes), zeros where the loss does not depend on an input. Nothing is accumulated in `.grad`.
///
/// With `create_graph` the gradients can themselves be differentiated, and the graph is kept.
///
/// # Errors
/// A loss that is not a scalar or has no graph, an input that does not require a gradient, or any error of libtorch.
pub fn gradients(
    loss: &Tensor,
    inputs: &[&Tensor],
    create_graph: bool,
) -> Result<Vec<Tensor>, TchError> {
    // libtorch's engine sums a loss of any shape, follows a null pointer where it has no graph, and fills `.grad` where
    // there are no inputs.
    let loss = loss.f_reshape([0_i64; 0])?;
    if !loss.requires_grad() {
        return Err(TchError::Torch("gradients: the loss depends on no input".to_owned()));
    }
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let found = Tensor::f_run_backward(&[&loss], inputs, create_graph, create_graph)?;
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
    use crate::torch_ext::tests::fails;
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
    fn a_loss_without_a_graph_is_an_error() {
        let x = Tensor::from_slice(&[2.0]).set_requires_grad(true);
        fails(gradients(&Tensor::from(3.0), &[&x], false), "the loss depends on no input");
        fails(gradients(&x.detach().sum(Kind::Double), &[&x], false), "depends on no input");
        assert!(gradients(&Tensor::new(), &[&x], false).is_err());
    }

    #[test]
    fn a_loss_is_a_scalar() {
        let x = Tensor::from_slice(&[2.0, 3.0]).set_requires_grad(true);
        fails(gradients(&(&x * &x), &[&x], false), "invalid for input of size 2");
        fails(gradients(&x.narrow(0, 0, 0), &[&x], false), "invalid for input of size 0");
    }

    #[test]
    fn without_inputs_nothing_is_accumulated() {
        let x = Tensor::from_slice(&[2.0]).set_requires_grad(true);
        assert!(gradients(&(&x * &x).sum(Kind::Double), &[], false).unwrap().is_empty());
        assert!(!x.grad().defined());
    }

    #[test]
    fn an_input_without_a_gradient_is_an_error() {
        let (x, y) = (Tensor::from_slice(&[2.0]).set_requires_grad(true), Tensor::from(1.0));
        fails(gradients(&x.sum(Kind::Double), &[&x, &y], false), "set_requires_grad");
    }

    #[test]
    fn gradients_of_gradients_exist_with_create_graph() {
        let x = Tensor::from_slice(&[2.0]).set_requires_grad(true);
        let first = gradients(&x.pow_tensor_scalar(3).sum(Kind::Double), &[&x], true).unwrap();
        let second = gradients(&first[0].sum(Kind::Double), &[&x], false).unwrap();
        assert_eq!(second[0].double_value(&[0]), 12.0);
    }
}
