//! How fast this machine multiplies, and its processes exchange.

use std::time::Instant;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::model::Precision;
use crate::ranks::Group;
use crate::torch_ext::synchronize;

/// The side of the matrices of which a product is timed.
const SIDE: i64 = 2_048;
/// The numbers, float32, that all processes together send to each of them.
const EXCHANGED: i64 = 32 << 20;

/// The speed of a product of matrices, in 10^9 operations a second: the best of three, after one that warms up.
pub fn product_speed(precision: Precision, device: Device) -> Result<f64> {
    let _no_graph = tch::no_grad_guard();
    let matrix = Tensor::f_ones([SIDE, SIDE], (Kind::Float, device))?;
    let bias = Tensor::f_zeros([SIDE], (Kind::Float, device))?;
    let mut best = f64::INFINITY;
    for attempt in 0..4 {
        synchronize(device)?;
        let started = Instant::now();
        let _product = precision.linear(&matrix, &matrix, &bias)?;
        synchronize(device)?;
        if attempt > 0 {
            best = best.min(started.elapsed().as_secs_f64());
        }
    }
    Ok(2.0 * (SIDE as f64).powi(3) / best / 1e9)
}

/// What a process gets from the others, in MiB a second; `None` for one process.
pub fn exchange_speed(group: &Group) -> Result<Option<f64>> {
    let num_others = group.size() - 1;
    if num_others == 0 {
        return Ok(None);
    }
    let count = EXCHANGED / group.size() as i64;
    let vector = Tensor::f_zeros([count], (Kind::Float, Device::Cpu))?;
    // The first one warms up.
    drop(group.all_gather(&vector)?);
    let started = Instant::now();
    drop(group.all_gather(&vector)?);
    let mib = (num_others as i64 * count * 4) as f64 / f64::from(1 << 20);
    Ok(Some(mib / started.elapsed().as_secs_f64()))
}
