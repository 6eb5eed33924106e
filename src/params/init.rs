//! Seeded first values of parameters.

use rand::distr::Distribution;
use rand_distr::Normal;
use tch::{Device, Kind, TchError, Tensor};

use super::layout::{Init, Layout, Slot};
use super::set::ParamSet;
use crate::seed;
use std::sync::Arc;

/// Values drawn at once: a tensor may fill the memory, and is not to be there twice.
const CHUNK: i64 = 1 << 16;

/// Draws every slot of `layout`, float32 on the CPU. A slot's values depend on `seed` and its name
/// alone, so that a head is the same whatever encoder it sits on.
///
/// # Errors
/// Too little memory.
pub fn draw(layout: &Arc<Layout>, seed: u64) -> Result<ParamSet, TchError> {
    let tensors = layout.slots().iter().map(|slot| draw_slot(slot, seed));
    Ok(ParamSet::new(layout.clone(), tensors.collect::<Result<_, TchError>>()?))
}

/// Draws one slot, float32 on the CPU.
///
/// # Errors
/// Too little memory.
pub fn draw_slot(slot: &Slot, seed: u64) -> Result<Tensor, TchError> {
    let options = (Kind::Float, Device::Cpu);
    match slot.init {
        Init::Zeros => Tensor::f_zeros(&slot.shape, options),
        Init::Ones => Tensor::f_ones(&slot.shape, options),
        Init::Constant(value) => Tensor::f_full(&slot.shape, value, options),
        Init::Normal(std) => {
            let count = slot.shape.iter().product::<i64>();
            let normal = Normal::new(0.0, std as f32).expect("a configured std is finite");
            let mut rng = seed::rng(seed, &format!("initial value of {}", slot.name), 0);
            let mut values = normal.sample_iter(&mut rng);
            let flat = Tensor::f_empty([count], options)?;
            for start in (0..count).step_by(CHUNK as usize) {
                let length = CHUNK.min(count - start);
                let chunk: Vec<f32> = values.by_ref().take(length as usize).collect();
                flat.f_narrow(0, start, length)?.f_copy_(&Tensor::f_from_slice(&chunk)?)?;
            }
            flat.f_view(slot.shape.as_slice())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Region;

    fn slot(name: &str) -> Slot {
        Slot {
            name: name.into(),
            region: Region::Head,
            shape: vec![200, 100],
            init: Init::Normal(0.02),
        }
    }

    #[test]
    fn values_depend_on_seed_and_name() {
        let drawn = draw_slot(&slot("a"), 1).unwrap();
        assert!(drawn.equal(&draw_slot(&slot("a"), 1).unwrap()));
        assert!(!drawn.equal(&draw_slot(&slot("a"), 2).unwrap()));
        assert!(!drawn.equal(&draw_slot(&slot("b"), 1).unwrap()));
    }

    #[test]
    fn values_have_the_configured_spread() {
        let drawn = draw_slot(&slot("a"), 1).unwrap();
        // 20,000 draws: the sample std of a normal is within 0.02 * 3 / sqrt(2 * 20,000) of 0.02.
        let std = drawn.std(true).double_value(&[]);
        assert!((std - 0.02).abs() < 0.0003, "std {std}");
    }
}
