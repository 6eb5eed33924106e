//! Training curves that stay as they are: a change of numerics, of seeds or of an order shows here.
//!
//! The numbers are those of this program. To record them anew behind a change that is meant, and says so in its commit:
//! a failing test prints the curve that it found in the form of the constants below.

use crate::support::run::{events, run, work_dir};

/// One outer step: the loss before the last adaptation step, and the query loss, both means over two episodes.
type Losses = [f64; 2];

/// Dropout is 0.1; four adaptation steps an episode.
const SETTINGS: &str = "--algo fomaml --model @tiny --data @data --seed 3 --steps 6 --outer-lr 1e-3 \
     --low-resource-max 16 --set data.meta_dev_count=0 --support 8 --query 8 --inner-epochs 2 \
     --inner-batch 4 --inner-lr 5e-3 --max-length 32 --workers 1 --threads 1 --device cpu";

/// Recorded on an AMD EPYC (AVX2). One or two threads, libtorch's and this crate's loops without vector instructions, the
/// BLAS with its slowest: the largest distance was 1e-6.
const FP32: [Losses; 6] = [
    [0.637496, 0.725152],
    [0.740666, 0.709395],
    [0.581166, 0.716506],
    [0.657688, 0.712415],
    [0.734994, 0.726025],
    [0.693640, 0.714212],
];
const FP32_TOLERANCE: f64 = 1e-4;

/// Recorded on the same processor, which has no bf16 instructions: products are emulated there. What is rounded to 8 bits of
/// mantissa falls on the other side where a sum has another order: the largest distance was 2.5e-4.
const BF16: [Losses; 6] = [
    [0.637511, 0.725096],
    [0.740671, 0.709537],
    [0.581033, 0.716452],
    [0.657557, 0.712328],
    [0.734848, 0.726118],
    [0.693787, 0.714166],
];
const BF16_TOLERANCE: f64 = 2e-3;

fn curve(precision: &str) -> Vec<Losses> {
    let dir = work_dir();
    let train = format!("train --run-dir r --precision {precision} {SETTINGS}");
    run(dir.path(), &train).success();
    let steps = events(&dir.path().join("r"), "outer_step");
    let loss = |step: &serde_json::Value, key: &str| step[key].as_f64().expect("a loss");
    let losses = |step| [loss(step, "support_loss_last"), loss(step, "query_loss")];
    steps.iter().map(losses).collect()
}

fn largest_distance(left: &[Losses], right: &[Losses]) -> f64 {
    assert_eq!(left.len(), right.len(), "outer steps");
    let pairs = left.as_flattened().iter().zip(right.as_flattened());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn check(precision: &str, recorded: &[Losses], tolerance: f64) {
    let found = curve(precision);
    let distance = largest_distance(&found, recorded);
    assert!(
        distance <= tolerance,
        "{precision}: the curve is off by {distance:.1e}, of {tolerance:e} at most\n\
         found    {found:.6?}\nrecorded {recorded:.6?}"
    );
}

#[test]
fn the_fp32_curve_is_the_recorded_one() {
    check("fp32", &FP32, FP32_TOLERANCE);
}

#[test]
fn the_bf16_curve_is_the_recorded_one() {
    check("bf16", &BF16, BF16_TOLERANCE);
}

#[test]
fn bf16_stays_near_fp32_and_is_not_fp32() {
    let (single, half) = (curve("fp32"), curve("bf16"));
    let distance = largest_distance(&single, &half);
    // At least ten times what another order of sums makes of fp32; at most a hundredth of a loss of ln 2.
    let expected = 1e-5..7e-3;
    assert!(expected.contains(&distance), "off by {distance:e}\nfp32 {single:?}\nbf16 {half:?}");
}
