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

/// What several processes exchange in a second, in MiB: what each gets from the others between the hosts, or adds up on its GPU,
/// `device`, where these are connected.
pub fn exchange_speed(group: &Group, device: Device) -> Result<f64> {
    let size = group.size() as i64;
    let (count, place, counted) = match group.has_gpus() {
        true => (EXCHANGED, device, EXCHANGED),
        false => (EXCHANGED / size, Device::Cpu, EXCHANGED / size * (size - 1)),
    };
    let vectors = [Tensor::f_zeros([count], (Kind::Float, place))?];
    let exchange = || match group.has_gpus() {
        true => group.sum_on_gpus(&vectors),
        false => group.all_gather(&vectors[0]).map(drop),
    };
    // The first one warms up.
    exchange()?;
    let started = Instant::now();
    exchange()?;
    let seconds = started.elapsed().as_secs_f64();
    // No process leaves while another one's GPU still reads from its.
    group.of_lead(())?;
    let mib = (counted * 4) as f64 / f64::from(1 << 20);
    Ok(mib / seconds)
}
