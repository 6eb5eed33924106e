//! Seeded first values of parameters.

use rand::distr::Distribution;
use rand_distr::Normal;
use tch::{Device, Kind, Tensor};

use super::params::{Init, Layout, ParamSet, Slot};
use crate::seed;
use std::sync::Arc;

/// Draws every slot of `layout`, float32 on the CPU. A slot's values depend on `seed` and its name
/// alone, so that a head is the same whatever encoder it sits on.
pub fn draw(layout: &Arc<Layout>, seed: u64) -> ParamSet {
    let tensors = layout.slots().iter().map(|slot| draw_slot(slot, seed)).collect();
    ParamSet::new(layout.clone(), tensors)
}

/// Draws one slot, float32 on the CPU.
pub fn draw_slot(slot: &Slot, seed: u64) -> Tensor {
    let options = (Kind::Float, Device::Cpu);
    match slot.init {
        Init::Zeros => Tensor::zeros(&slot.shape, options),
        Init::Ones => Tensor::ones(&slot.shape, options),
        Init::Normal(std) => {
            let count = slot.shape.iter().product::<i64>() as usize;
            let normal = Normal::new(0.0, std as f32).expect("a configured std is finite");
            let mut rng = seed::rng(seed, &format!("initial value of {}", slot.name), 0);
            let values: Vec<f32> = normal.sample_iter(&mut rng).take(count).collect();
            Tensor::from_slice(&values).view(slot.shape.as_slice())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str) -> Slot {
        Slot { name: name.into(), shape: vec![200, 100], init: Init::Normal(0.02) }
    }

    #[test]
    fn values_depend_on_seed_and_name() {
        let drawn = draw_slot(&slot("a"), 1);
        assert!(drawn.equal(&draw_slot(&slot("a"), 1)));
        assert!(!drawn.equal(&draw_slot(&slot("a"), 2)));
        assert!(!drawn.equal(&draw_slot(&slot("b"), 1)));
    }

    #[test]
    fn values_have_the_configured_spread() {
        let drawn = draw_slot(&slot("a"), 1);
        // 20,000 draws: the sample std of a normal is within 0.02 * 3 / sqrt(2 * 20,000) of 0.02.
        let std = drawn.std(true).double_value(&[]);
        assert!((std - 0.02).abs() < 0.0003, "std {std}");
    }
}
