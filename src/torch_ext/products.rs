//! Matrix products whose bits do not depend on the number of threads.
//!
//! The BLAS deals the rows and columns of a result out to its threads, and sums those of an incomplete tile in another order
//! than those of a whole one. Which tiles are incomplete depends on how many threads there are. With matrices that consist of
//! whole tiles none are.

use tch::{Device, Kind, TchError, Tensor};

/// Rows and columns of the result that the BLAS computes together. Found by trying, for 1 to 128 threads of an AVX2 machine.
const TILE: [i64; 2] = [4, 16];
/// With more rows than this, each of 64 threads has whole tiles to compute.
const MANY_ROWS: i64 = 256;

/// `input · weightᵀ + bias`, for `input` `[rows, in]`, `weight` `[out, in]` and `bias` `[out]`; returns `[rows, out]`.
///
/// On a CPU in float32 neither the result nor its gradients depend on the number of threads.
///
/// # Errors
/// Any error of libtorch.
pub fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    let (rows, columns) = match (input.size().as_slice(), weight.size().as_slice()) {
        (&[rows, _], &[columns, _]) if input.device() == Device::Cpu => (rows, columns),
        _ => return input.f_linear(weight, bias),
    };
    let missing_rows = if rows < MANY_ROWS { missing(rows, TILE[0]) } else { 0 };
    let missing_columns = missing(columns, TILE[1]);
    if !matches!(input.kind(), Kind::Float | Kind::Double) || missing_rows + missing_columns == 0 {
        return input.f_linear(weight, bias);
    }
    let product = match (missing_rows, missing_columns) {
        (_, 0) => below(input, missing_rows)?.f_linear(weight, bias)?,
        _ => {
            let bias = bias.map(|bias| bias.f_constant_pad_nd([0, missing_columns]));
            below(input, missing_rows)?
                .f_linear(&below(weight, missing_columns)?, bias.transpose()?.as_ref())?
        }
    };
    product.f_narrow(0, 0, rows)?.f_narrow(1, 0, columns)?.f_contiguous()
}

/// `left · right`, for `[rows, inner]` and `[inner, columns]`, with the promise of [`linear`].
///
/// # Errors
/// Any error of libtorch.
pub fn matmul(left: &Tensor, right: &Tensor) -> Result<Tensor, TchError> {
    linear(left, &right.f_transpose(0, 1)?, None)
}

fn missing(count: i64, tile: i64) -> i64 {
    (tile - count % tile) % tile
}

/// `matrix` with `count` more rows of zeros.
fn below(matrix: &Tensor, count: i64) -> Result<Tensor, TchError> {
    match count {
        0 => Ok(matrix.shallow_clone()),
        _ => matrix.f_constant_pad_nd([0, 0, 0, count]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch_ext::gradients;
    use crate::torch_ext::tests::{assert_near, normal, with_threads};

    /// A product and its gradients.
    fn run([input, weight, bias]: &[Tensor; 3]) -> Vec<Tensor> {
        let product = linear(input, weight, Some(bias)).unwrap();
        let loss = product.square().sum(product.kind());
        let mut found = gradients(&loss, &[input, weight, bias], false).unwrap();
        found.push(product.detach());
        found
    }

    fn operands(rows: i64, columns: i64, kind: Kind) -> [Tensor; 3] {
        let sizes: [&[i64]; 3] = [&[rows, 64], &[columns, 64], &[columns]];
        let mut seed = 0;
        sizes.map(|size| {
            seed += 1;
            normal(size, seed).to_kind(kind).set_requires_grad(true)
        })
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        // Shares of few rows, and columns of many labels; the last of each are none of a tile.
        for rows in (1..40).chain([255, 256, 257]) {
            for columns in [1, 2, 7, 22, 64, 150] {
                let operands = operands(rows, columns, Kind::Float);
                let [one, rest @ ..] = with_threads([1, 2, 3, 4, 8], || run(&operands));
                for found in rest {
                    let is_same = one.iter().zip(&found).all(|(one, found)| one.equal(found));
                    assert!(is_same, "{rows} rows, {columns} columns");
                }
            }
        }
    }

    #[test]
    fn it_is_the_product_of_libtorch() {
        for (rows, columns) in [(1, 1), (3, 16), (4, 5), (16, 16), (300, 7)] {
            let operands = operands(rows, columns, Kind::Double);
            let [input, weight, bias] = &operands;
            let expected = input.linear(weight, Some(bias));
            let loss = expected.square().sum(Kind::Double);
            let mut of_libtorch = gradients(&loss, &[input, weight, bias], false).unwrap();
            of_libtorch.push(expected);
            for (found, expected) in run(&operands).iter().zip(&of_libtorch) {
                assert_near(found, expected, 1e-12);
            }
            let product = matmul(input, &weight.transpose(0, 1)).unwrap();
            assert_near(&product, &input.matmul(&weight.transpose(0, 1)), 1e-12);
        }
    }
}
